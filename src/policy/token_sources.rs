//! Where a request may have its access token: `token_from` of a route.
//!
//! 1. Only the sources of the route count. Two tokens in one request are refused: the gateway and
//!    the upstream might each use another one.
//! 2. Browsers send cookies with requests that pages of other origins cause. So a cookie counts
//!    only beside an `Origin` that is listed, or beside `Sec-Fetch-Site: same-origin`. A page
//!    cannot set either header. The other sources are set by a script that knows the token.
//! 3. What held a token is not forwarded, whether or not that token was accepted.
//! 4. The query is deliberately no source: URLs end up in logs, histories and `Referer`
//!    (RFC 9700 §4.3.2).
//!
//! - `cookie`: cookies by name. `websocket`: tokens among the protocols of a WebSocket.

mod cookie;
mod websocket;

use std::cell::OnceCell;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

pub use websocket::OfferedProtocols;

use super::cors::{self, OriginList};
use crate::oauth::bearer::{self, BearerError, BearerToken};
use websocket::ProtocolToken;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The sources of a route whose tokens do not come from the `Authorization` header alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSources {
    /// The `Authorization` header.
    pub header: bool,
    /// The protocols that a WebSocket handshake offers.
    pub websocket_protocol: bool,
    /// A cookie.
    pub cookie: Option<CookieSource>,
}

/// A cookie that holds the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSource {
    /// Its name, which is case-sensitive.
    pub name: Box<str>,
    /// The pages that may cause requests with it, beside those of the gateway's own origin.
    pub origins: OriginList,
}

/// Memory for a token that is not sent as its own text.
pub type DecodedToken = OnceCell<Zeroizing<String>>;

/// Why a request has no access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// As the `Authorization` header says.
    #[error(transparent)]
    Header(#[from] BearerError),
    /// None of several sources has one.
    #[error("expected an access token where token_from allows one, but found none")]
    NotSent,
    /// Several sources have one.
    #[error("expected an access token in one place, but found it in several")]
    SeveralSources,
    /// Not one token among the protocols.
    #[error(
        "expected one access token in Sec-WebSocket-Protocol, after \"bearer\" or in the Kubernetes form, but found \
         something else"
    )]
    MalformedProtocols,
    /// Only a token in the Kubernetes form: a browser needs a protocol in the response, and a token
    /// must not be there.
    #[error(
        "expected another protocol beside the access token in Sec-WebSocket-Protocol, but found none"
    )]
    NoOtherProtocol,
    /// The cookie is not one b64token.
    #[error("expected one b64token in the cookie, but found something else")]
    MalformedCookie,
    /// Several cookies have the name.
    #[error("expected one cookie of this name, but found several")]
    RepeatedCookie,
    /// A page that is not listed may have caused the request.
    #[error(
        "expected a listed Origin or Sec-Fetch-Site: same-origin beside the cookie, but found neither"
    )]
    ForeignPage,
}

/// What was removed from the headers of a request, in other forms.
#[derive(Debug, Default)]
pub struct DetachedToken {
    /// The token as an `Authorization` header, unless it was in one.
    pub authorization: Option<HeaderValue>,
    /// What remains of the protocols of a WebSocket handshake that had a token among them.
    pub protocols: Option<Box<OfferedProtocols>>,
}

/// A source that has a token, and the text there.
enum Found<'h> {
    Header(BearerToken<'h>),
    Protocol(ProtocolToken<'h>),
    Cookie(&'h str),
}

impl TokenSources {
    /// Extracts the token of a request. Only WebSocket handshakes have protocols. A token that is
    /// not sent as its own text is written to `decoded`.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn extract<'h>(
        &self,
        headers: &'h HeaderMap,
        is_handshake: bool,
        decoded: &'h DecodedToken,
    ) -> Result<BearerToken<'h>, TokenError> {
        self.find(headers, is_handshake)?.token(decoded)
    }

    fn find<'h>(
        &self,
        headers: &'h HeaderMap,
        is_handshake: bool,
    ) -> Result<Found<'h>, TokenError> {
        let header = if self.header {
            match bearer::extract(headers) {
                Err(BearerError::Missing) => None,
                other => Some(other),
            }
        } else {
            None
        };
        let protocol = if self.websocket_protocol && is_handshake {
            websocket::offered(headers)?
        } else {
            None
        };
        let cookie = match &self.cookie {
            Some(source) => cookie::find(headers, &source.name)?.map(|text| (source, text)),
            None => None,
        };
        match (header, protocol, cookie) {
            (None, None, None) => Err(TokenError::NotSent),
            (Some(header), None, None) => Ok(Found::Header(header?)),
            (None, Some(offered), None) => {
                if offered.can_be_echoed() {
                    Ok(Found::Protocol(offered.token))
                } else {
                    Err(TokenError::NoOtherProtocol)
                }
            }
            (None, None, Some((source, text))) => {
                if source.is_own_page(headers) {
                    Ok(Found::Cookie(text))
                } else {
                    Err(TokenError::ForeignPage)
                }
            }
            _ => Err(TokenError::SeveralSources),
        }
    }

    /// Removes the tokens of the sources beside the `Authorization` header. Other cookies and
    /// protocols stay.
    pub fn detach(&self, headers: &mut HeaderMap, is_handshake: bool) -> DetachedToken {
        let mut detached = DetachedToken::default();
        let decoded = DecodedToken::new();
        match self.find(headers, is_handshake) {
            Ok(Found::Header(_)) | Err(_) => {}
            Ok(found @ (Found::Protocol(_) | Found::Cookie(_))) => {
                let token = found.token(&decoded).ok();
                detached.authorization = token.and_then(authorization);
            }
        }
        if let Some(source) = &self.cookie {
            cookie::remove(headers, &source.name);
        }
        if self.websocket_protocol {
            detached.protocols = websocket::detach(headers);
        }
        detached
    }
}

impl<'h> Found<'h> {
    fn token(self, decoded: &'h DecodedToken) -> Result<BearerToken<'h>, TokenError> {
        match self {
            Found::Header(token) => Ok(token),
            Found::Cookie(text) => BearerToken::parse(text).ok_or(TokenError::MalformedCookie),
            Found::Protocol(token) => token
                .decode(decoded)
                .and_then(BearerToken::parse)
                .ok_or(TokenError::MalformedProtocols),
        }
    }
}

impl CookieSource {
    // Rule 2. A header that occurs twice counts as none.
    fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let site = cors::only_value(headers, &SEC_FETCH_SITE);
        site.is_some_and(|site| site == "same-origin")
            || cors::origin(headers).is_some_and(|origin| self.origins.contains(origin))
    }
}

fn authorization(token: BearerToken<'_>) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", token.as_str()));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
