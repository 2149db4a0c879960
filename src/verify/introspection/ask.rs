//! One question about a token, and what an answer must look like to be believed.
//!
//! Whatever is not a clear answer is the server's fault or ours and never the client's: it is told as an error, for which
//! a client gets a 503.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::breaker::Outage;
use super::credentials::Credentials;
use super::own_token::OwnTokenError;
use super::{Accepted, Settings};
use crate::http_client::{HttpError, HttpResponse};
use crate::oauth::UnixTime;
use crate::oauth::claims::{Claims, ClaimsError};
use crate::oauth::introspection::{Introspection, SIGNED_ANSWER, UnclearAnswer};
use crate::oauth::jose::{CompactJws, JwsError, TokenShape, classify};
use crate::text::{quoted, truncated};
use crate::verify::discovery::DiscoveryError;
use crate::verify::issuer::Keys;
use crate::verify::jwt::{SignatureError, Signer};
use crate::verify::keys::NoKeys;

/// Bytes of a response. There may be hundreds at a time, so they are smaller than documents.
pub(super) const MAX_RESPONSE: usize = 128 * 1024;

const PHANTOM: &str = "application/jwt";
const SIGNED: &str = "application/token-introspection+jwt";

/// What the server says.
pub(super) enum Said {
    /// The token is active; what is said of it is yet to be judged, and by this key it was said.
    Active {
        claims: Claims,
        signer: Option<Signer>,
    },
    /// It is not.
    Inactive,
    /// It is active, and this stands for it.
    Phantom(Phantom),
}

/// A JWT that stands for an opaque token. Its signature is good, its claims are yet to be judged.
pub(super) struct Phantom {
    pub(super) jwt: Zeroizing<String>,
    pub(super) claims: Claims,
    pub(super) signer: Signer,
    /// How long it may be kept, where `Cache-Control` tells.
    pub(super) fresh_for: Option<Duration>,
}

/// Nobody knows more about the token than before.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error("{url}: {source}")]
    Fetch { url: String, source: HttpError },
    #[error("no token of the gateway's own: {0}")]
    OwnToken(#[from] Arc<OwnTokenError>),
    #[error("{url}: expected status 200, but found {status}{}", explained(*.status))]
    Status { url: String, status: u16 },
    #[error("{url}: expected content type {expected}, but found {} (see introspection.accept)", quoted(found.as_deref()))]
    MediaType {
        url: String,
        expected: &'static str,
        found: Option<String>,
    },
    #[error("{url}: {source}")]
    Unclear { url: String, source: UnclearAnswer },
    #[error("{url}: expected a signed answer, but found something else: {source}")]
    Jws { url: String, source: JwsError },
    #[error("{url}: expected claims, but found something else: {source}")]
    Claims { url: String, source: ClaimsError },
    #[error("{url}: expected a JWT, but found something else")]
    NotJwt { url: String },
    #[error(
        "{url}: expected an answer signed with a key of the issuer, but found another: {source}"
    )]
    Signature { url: String, source: SignatureError },
    #[error("{url}: cannot verify the signed answer: {why}")]
    NoKeys { url: String, why: String },
    /// MobileFirst's 409, which is the client's to hear of.
    #[error("{url}: status 409")]
    Conflict { url: String },
    #[error("no answer in time")]
    TooSlow,
}

impl AskError {
    /// Whether the server is down, as far as one can tell.
    pub(super) fn outage(&self) -> Option<Outage> {
        let when = |condition: bool, outage| condition.then_some(outage);
        match self {
            Self::TooSlow => Some(Outage::Failing),
            Self::Fetch { source, .. } if source.is_connect() => Some(Outage::Unreachable),
            Self::Fetch { source, .. } => when(source.is_outage(), Outage::Failing),
            // A redirect is followed nowhere, so the server answers no question. It is told of the client that asked, as
            // the others are: something in front of the server may redirect what it takes for an attack.
            Self::Status { status, .. } => {
                when(matches!(status, 300..=399 | 429 | 500..), Outage::Failing)
            }
            // Neither depends on the token. Metadata that does not tell the way is not to be fetched for each question.
            Self::Discovery(_) => Some(Outage::Unreachable),
            Self::OwnToken(error) => when(error.is_outage(), Outage::Unreachable),
            Self::MediaType { .. }
            | Self::Unclear { .. }
            | Self::Jws { .. }
            | Self::Claims { .. }
            | Self::NotJwt { .. }
            | Self::Signature { .. }
            | Self::NoKeys { .. }
            | Self::Conflict { .. } => None,
        }
    }
}

impl Settings {
    /// Asks about a token.
    pub(super) async fn ask(
        &self,
        token: &str,
        token_types: &[String],
        now: UnixTime,
    ) -> Result<Said, AskError> {
        let url = self.endpoint.url(&self.http).await?;
        let answer = self.answer(&url, token, now).await;
        let may_have_moved = match &answer {
            Ok(HttpResponse { status, .. }) => {
                status.is_redirection()
                    || matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE)
            }
            Err(_) => true,
        };
        if may_have_moved {
            self.endpoint.forget().await;
        }
        let answer = answer?;
        match &self.accepted {
            Accepted::Json => self.read_json(&answer, url),
            Accepted::Signed { keys, recipients } => {
                self.read_signed(&answer, url, keys, recipients).await
            }
            Accepted::Phantom { keys } => read_phantom(answer, url, keys, token_types).await,
        }
    }

    async fn answer(
        &self,
        url: &str,
        token: &str,
        now: UnixTime,
    ) -> Result<HttpResponse, AskError> {
        let Exchange {
            authorization,
            answer,
        } = self.post(url, token, now).await?;
        let refused = matches!(
            answer.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        let (Credentials::OwnToken(own), Some(authorization), true) =
            (&self.credentials, authorization, refused)
        else {
            return Ok(answer);
        };
        // It may have been revoked, or the server has forgotten it. A fresh one is tried once.
        if own.refused(&authorization).await {
            Ok(self.post(url, token, now).await?.answer)
        } else {
            Ok(answer)
        }
    }

    async fn post(&self, url: &str, token: &str, now: UnixTime) -> Result<Exchange, AskError> {
        let authorization = match &self.credentials {
            Credentials::Client(_) => None,
            Credentials::OwnToken(own) => Some(own.authorization(&self.http, now).await?),
        };
        let (headers, form) = self.request(token, authorization.as_ref(), now);
        match self.http.post_form(url, headers, form, MAX_RESPONSE).await {
            Ok(answer) => Ok(Exchange {
                authorization,
                answer,
            }),
            Err(source) => Err(AskError::Fetch {
                url: url.to_owned(),
                source,
            }),
        }
    }

    // RFC 7662 §2.1.
    fn request(
        &self,
        token: &str,
        authorization: Option<&HeaderValue>,
        now: UnixTime,
    ) -> (HeaderMap, String) {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static(self.accepted.media_type()),
        );
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token)
            .append_pair("token_type_hint", "access_token");
        if let Credentials::Client(client) = &self.credentials {
            client.show(&mut headers, &mut form, now);
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        (headers, form.finish())
    }

    fn read_json(&self, answer: &HttpResponse, url: String) -> Result<Said, AskError> {
        self.expect_ok(answer, &url)?;
        let is_json = |found: &str| found == "application/json" || found.ends_with("+json");
        if !answer.media_type().as_deref().is_some_and(is_json) {
            let found = answer.media_type().as_deref().map(truncated);
            return Err(AskError::MediaType {
                url,
                expected: "application/json",
                found,
            });
        }
        let said = Introspection::parse(&answer.body);
        said.map(|said| Said::by(said, None))
            .map_err(|source| AskError::Unclear { url, source })
    }

    async fn read_signed(
        &self,
        answer: &HttpResponse,
        url: String,
        keys: &Keys,
        recipients: &[String],
    ) -> Result<Said, AskError> {
        self.expect_ok(answer, &url)?;
        expect_media_type(answer, &url, SIGNED)?;
        let jws = jwt(text(&answer.body), &url)?;
        jws.check_type(&[SIGNED_ANSWER.to_owned()])
            .map_err(|source| AskError::Jws {
                url: url.clone(),
                source,
            })?;
        let signer = verified(&jws, keys, &url).await?;
        let issuers = &self.expectation.issuers;
        let said = Introspection::parse_signed(jws.payload(), issuers, recipients);
        said.map(|said| Said::by(said, Some(signer)))
            .map_err(|source| AskError::Unclear { url, source })
    }

    fn expect_ok(&self, answer: &HttpResponse, url: &str) -> Result<(), AskError> {
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT if self.conflict => Err(AskError::Conflict {
                url: url.to_owned(),
            }),
            status => Err(AskError::Status {
                url: url.to_owned(),
                status: status.as_u16(),
            }),
        }
    }
}

/// An answer, and the token that it was asked for with.
struct Exchange {
    authorization: Option<HeaderValue>,
    answer: HttpResponse,
}

impl Accepted {
    fn media_type(&self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Signed { .. } => SIGNED,
            Self::Phantom { .. } => PHANTOM,
        }
    }
}

// Curity's phantom tokens: a bare JWT for an active token, 204 for an inactive one.
async fn read_phantom(
    answer: HttpResponse,
    url: String,
    keys: &Keys,
    token_types: &[String],
) -> Result<Said, AskError> {
    match answer.status {
        StatusCode::NO_CONTENT => return Ok(Said::Inactive),
        StatusCode::OK => {}
        status => {
            return Err(AskError::Status {
                url,
                status: status.as_u16(),
            });
        }
    }
    expect_media_type(&answer, &url, PHANTOM)?;
    let fresh_for = answer.freshness();
    let body = Zeroizing::new(answer.body);
    let text = text(&body);
    let jws = jwt(text, &url)?;
    jws.check_type(token_types)
        .map_err(|source| AskError::Jws {
            url: url.clone(),
            source,
        })?;
    let signer = verified(&jws, keys, &url).await?;
    let claims = Claims::parse(jws.payload()).map_err(|source| AskError::Claims { url, source })?;
    Ok(Said::Phantom(Phantom {
        jwt: Zeroizing::new(text.to_owned()),
        claims,
        signer,
        fresh_for,
    }))
}

impl Said {
    fn by(said: Introspection, signer: Option<Signer>) -> Self {
        match said {
            Introspection::Active(claims) => Self::Active { claims, signer },
            Introspection::Inactive => Self::Inactive,
        }
    }
}

// Not UTF-8 is not a JWT either, and neither is nothing.
fn text(body: &[u8]) -> &str {
    str::from_utf8(body).unwrap_or_default().trim_ascii()
}

fn expect_media_type(
    answer: &HttpResponse,
    url: &str,
    expected: &'static str,
) -> Result<(), AskError> {
    if answer.media_type().as_deref() == Some(expected) {
        return Ok(());
    }
    Err(AskError::MediaType {
        url: url.to_owned(),
        expected,
        found: answer.media_type().as_deref().map(truncated),
    })
}

fn jwt<'t>(text: &'t str, url: &str) -> Result<CompactJws<'t>, AskError> {
    match classify(text) {
        Ok(TokenShape::Jwt(jws)) => Ok(jws),
        Ok(TokenShape::Opaque) => Err(AskError::NotJwt {
            url: url.to_owned(),
        }),
        Err(source) => Err(AskError::Jws {
            url: url.to_owned(),
            source,
        }),
    }
}

async fn verified(jws: &CompactJws<'_>, keys: &Keys, url: &str) -> Result<Signer, AskError> {
    let no_keys = |why| AskError::NoKeys {
        url: url.to_owned(),
        why,
    };
    let mut outcome = keys
        .current()
        .map_err(|NoKeys| no_keys(keys.why_none()))?
        .verify(jws);
    if outcome == Err(SignatureError::UnknownKey) {
        let fresh = keys
            .after_unknown_key()
            .await
            .map_err(|NoKeys| no_keys(keys.why_unknown(jws)))?;
        outcome = fresh.verify(jws);
    }
    outcome.map_err(|source| AskError::Signature {
        url: url.to_owned(),
        source,
    })
}

fn explained(status: u16) -> &'static str {
    match status {
        300..=399 | 400 | 404 | 405 | 410 => " (see introspection.endpoint)",
        401 => {
            " (the gateway is refused: see client_id and its secret, or the scope of its own token)"
        }
        403 => {
            " (the gateway may not introspect: see its rights and scopes at the authorization server)"
        }
        409 => " (MobileFirst: see introspection.conflict)",
        429 => " (the gateway asks more than it may)",
        _ => "",
    }
}
