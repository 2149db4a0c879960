//! Access tokens among the protocols of a WebSocket handshake (RFC 6455 §4.1).
//!
//! Scripts of browsers cannot set headers of a WebSocket, but can offer protocols. There are two
//! forms: `bearer` followed by the token, and one protocol of the kind that Kubernetes defines,
//! which holds the token in base64url. A protocol is a token of HTTP, so an access token with `/`
//! or `=` needs the second form.
//!
//! A browser fails the connection unless the response selects one of the protocols that it offered.
//! `bearer` says nothing secret, and may be selected. A token may not.

use http::header::{self, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::{DecodedToken, TokenError};
use crate::oauth::bearer::is_token_character;
use crate::oauth::jose::decode_base64url;
use crate::policy::cors::only_value;

const BEARER: &str = "bearer";
const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";

/// The protocols of a handshake with one token among them.
pub(super) struct ProtocolsWithToken<'h> {
    pub(super) token: ProtocolToken<'h>,
    others: Vec<&'h str>,
}

/// A token as a protocol.
#[derive(Clone, Copy)]
pub(super) enum ProtocolToken<'h> {
    /// After `bearer`.
    Plain(&'h str),
    /// In base64url.
    Encoded(&'h str),
}

/// The protocols that a client offered beside a token. The response selects one of them.
#[derive(Debug, PartialEq, Eq)]
pub struct OfferedProtocols {
    others: Vec<Box<str>>,
    bearer: bool,
}

/// The protocols of a handshake, if there is a token among them.
pub(super) fn offered(headers: &HeaderMap) -> Result<Option<ProtocolsWithToken<'_>>, TokenError> {
    let (mut token, mut others) = (None, Vec::new());
    let mut protocols = protocols(headers);
    while let Some(protocol) = protocols.next() {
        let protocol = protocol.ok_or(TokenError::MalformedProtocols)?;
        let found = if protocol == BEARER {
            let next = protocols.next().flatten();
            let is_protocol = |text: &&str| text.bytes().all(is_token_character);
            let next = next.filter(is_protocol);
            ProtocolToken::Plain(next.ok_or(TokenError::MalformedProtocols)?)
        } else if let Some(encoded) = protocol.strip_prefix(KUBERNETES) {
            ProtocolToken::Encoded(encoded)
        } else {
            others.push(protocol);
            continue;
        };
        if token.replace(found).is_some() {
            return Err(TokenError::MalformedProtocols);
        }
    }
    Ok(token.map(|token| ProtocolsWithToken { token, others }))
}

// The elements of all lines; none for one that is not ASCII.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| {
            std::str::from_utf8(element)
                .ok()
                .filter(|text| text.is_ascii())
        })
}

/// Removes the token from the protocols. If it is unclear which ones hold it, removes all.
pub(super) fn detach(headers: &mut HeaderMap) -> Option<Box<OfferedProtocols>> {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return None;
    }
    let offered = match offered(headers) {
        Ok(None) => return None,
        Ok(Some(offered)) => Some(offered.without_token()),
        Err(_) => None,
    };
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offered?;
    let others = HeaderValue::try_from(offered.others.join(", "));
    if let Some(others) = others.ok().filter(|others| !others.is_empty()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
    }
    Some(Box::new(offered))
}

impl ProtocolsWithToken<'_> {
    /// Whether a response can select a protocol without naming the token.
    pub(super) fn can_be_echoed(&self) -> bool {
        matches!(self.token, ProtocolToken::Plain(_)) || !self.others.is_empty()
    }

    fn without_token(&self) -> OfferedProtocols {
        OfferedProtocols {
            others: self.others.iter().map(|other| (*other).into()).collect(),
            bearer: matches!(self.token, ProtocolToken::Plain(_)),
        }
    }
}

impl<'h> ProtocolToken<'h> {
    /// The token itself.
    pub(super) fn decode(self, decoded: &'h DecodedToken) -> Option<&'h str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Encoded(encoded) => {
                let bytes = Zeroizing::new(decode_base64url(encoded)?);
                let text = std::str::from_utf8(&bytes).ok()?.to_owned();
                Some(decoded.get_or_init(|| Zeroizing::new(text)))
            }
        }
    }
}

impl OfferedProtocols {
    /// Makes a 101 select one of the protocols: the upstream's choice, or else `bearer`, if that
    /// was offered. What the client did not offer is removed.
    pub fn select(&self, response: &mut HeaderMap) {
        let is_offered = only_value(response, &header::SEC_WEBSOCKET_PROTOCOL)
            .is_some_and(|selected| self.others.iter().any(|other| selected == &**other));
        if is_offered {
            return;
        }
        response.remove(header::SEC_WEBSOCKET_PROTOCOL);
        if self.bearer {
            let bearer = HeaderValue::from_static(BEARER);
            response.insert(header::SEC_WEBSOCKET_PROTOCOL, bearer);
        }
    }
}
