//! The response to an introspection request, and its checks.

use std::time::Duration;

use http::StatusCode;
use zeroize::Zeroizing;

use super::error::IntrospectionError;
use crate::http_client::HttpResponse;
use crate::oauth::claims::Claims;
use crate::oauth::introspection::{IntrospectionResponse, SIGNED_RESPONSE};
use crate::oauth::jose::{CompactJws, TokenShape, classify};
use crate::text::truncated;
use crate::verify::issuer_keys::IssuerKeys;
use crate::verify::jwt::Signer;
use crate::verify::key_ring::NoKeys;

const PHANTOM: &str = "application/jwt";
const SIGNED: &str = "application/token-introspection+jwt";

/// What a response must look like.
#[derive(Debug)]
pub enum ResponseFormat {
    /// JSON (RFC 7662 §2.2).
    Json,
    /// A JWT that the authorization server has signed (RFC 9701).
    Signed {
        /// The server's keys.
        keys: IssuerKeys,
        /// The accepted values of its `iss`.
        issuers: Vec<String>,
        /// The accepted values of its `aud`.
        recipients: Vec<String>,
    },
    /// A JWT that replaces the token at the upstream.
    PhantomToken {
        /// The keys that sign it.
        keys: IssuerKeys,
    },
}

/// The state of a token at its authorization server.
pub(super) enum TokenState {
    /// It is active. Its claims are not checked yet; `signer` is the key of a signed response.
    Active {
        claims: Claims,
        signer: Option<Signer>,
    },
    /// It is not active.
    Inactive,
    /// It is active, and a phantom token replaces it.
    PhantomToken(PhantomToken),
}

/// A JWT that replaces an opaque token. Its signature is verified; its claims are not checked yet.
pub(super) struct PhantomToken {
    pub(super) jwt: Zeroizing<String>,
    pub(super) claims: Claims,
    pub(super) signer: Signer,
}

impl ResponseFormat {
    /// The media type of `Accept`.
    pub(super) fn media_type(&self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Signed { .. } => SIGNED,
            Self::PhantomToken { .. } => PHANTOM,
        }
    }

    /// How long a response may be cached, if it says so. Only a phantom token does: other responses
    /// have `no-store` for shared caches.
    pub(super) fn lifetime(&self, response: &HttpResponse) -> Option<Duration> {
        match self {
            Self::Json | Self::Signed { .. } => None,
            Self::PhantomToken { .. } => response.freshness(),
        }
    }

    /// Reads a response from `url`. `token_types` are the accepted types of a phantom token;
    /// `has_conflict` is whether MobileFirst's 409 is expected.
    pub(super) async fn read(
        &self,
        response: HttpResponse,
        url: String,
        token_types: &[String],
        has_conflict: bool,
    ) -> Result<TokenState, IntrospectionError> {
        match self {
            Self::Json => {
                expect_ok(&response, &url, has_conflict)?;
                read_json(&response, url)
            }
            Self::Signed {
                keys,
                issuers,
                recipients,
            } => {
                expect_ok(&response, &url, has_conflict)?;
                read_signed(&response, url, keys, issuers, recipients).await
            }
            Self::PhantomToken { keys } => read_phantom(response, url, keys, token_types).await,
        }
    }
}

fn expect_ok(
    response: &HttpResponse,
    url: &str,
    has_conflict: bool,
) -> Result<(), IntrospectionError> {
    match response.status {
        StatusCode::OK => Ok(()),
        StatusCode::CONFLICT if has_conflict => Err(IntrospectionError::Conflict {
            url: url.to_owned(),
        }),
        status => Err(IntrospectionError::Status {
            url: url.to_owned(),
            status: status.as_u16(),
        }),
    }
}

fn read_json(response: &HttpResponse, url: String) -> Result<TokenState, IntrospectionError> {
    let is_json = |found: &str| found == "application/json" || found.ends_with("+json");
    let media_type = response.media_type();
    if !media_type.as_deref().is_some_and(is_json) {
        return Err(IntrospectionError::MediaType {
            url,
            expected: "application/json",
            found: media_type.as_deref().map(truncated),
        });
    }
    let parsed = IntrospectionResponse::parse(&response.body);
    parsed
        .map(|response| TokenState::of(response, None))
        .map_err(|source| IntrospectionError::Unclear { url, source })
}

async fn read_signed(
    response: &HttpResponse,
    url: String,
    keys: &IssuerKeys,
    issuers: &[String],
    recipients: &[String],
) -> Result<TokenState, IntrospectionError> {
    expect_media_type(response, &url, SIGNED)?;
    let jws = jwt(text(&response.body), &url)?;
    jws.check_type(&[SIGNED_RESPONSE.to_owned()])
        .map_err(|source| IntrospectionError::Jws {
            url: url.clone(),
            source,
        })?;
    let signer = verify_signature(&jws, keys, &url).await?;
    let parsed = IntrospectionResponse::parse_signed(jws.payload(), issuers, recipients);
    parsed
        .map(|response| TokenState::of(response, Some(signer)))
        .map_err(|source| IntrospectionError::Unclear { url, source })
}

// Curity's phantom tokens: a bare JWT for an active token, 204 for an inactive one.
async fn read_phantom(
    response: HttpResponse,
    url: String,
    keys: &IssuerKeys,
    token_types: &[String],
) -> Result<TokenState, IntrospectionError> {
    match response.status {
        StatusCode::NO_CONTENT => return Ok(TokenState::Inactive),
        StatusCode::OK => {}
        status => {
            return Err(IntrospectionError::Status {
                url,
                status: status.as_u16(),
            });
        }
    }
    expect_media_type(&response, &url, PHANTOM)?;
    let body = Zeroizing::new(response.body);
    let text = text(&body);
    let jws = jwt(text, &url)?;
    jws.check_type(token_types)
        .map_err(|source| IntrospectionError::Jws {
            url: url.clone(),
            source,
        })?;
    let signer = verify_signature(&jws, keys, &url).await?;
    let claims = Claims::parse(jws.payload())
        .map_err(|source| IntrospectionError::Claims { url, source })?;
    Ok(TokenState::PhantomToken(PhantomToken {
        jwt: Zeroizing::new(text.to_owned()),
        claims,
        signer,
    }))
}

impl TokenState {
    fn of(response: IntrospectionResponse, signer: Option<Signer>) -> Self {
        match response {
            IntrospectionResponse::Active(claims) => Self::Active { claims, signer },
            IntrospectionResponse::Inactive => Self::Inactive,
        }
    }
}

// Invalid UTF-8 becomes empty, which is no JWT either.
fn text(body: &[u8]) -> &str {
    str::from_utf8(body).unwrap_or_default().trim_ascii()
}

fn expect_media_type(
    response: &HttpResponse,
    url: &str,
    expected: &'static str,
) -> Result<(), IntrospectionError> {
    if response.media_type().as_deref() == Some(expected) {
        return Ok(());
    }
    Err(IntrospectionError::MediaType {
        url: url.to_owned(),
        expected,
        found: response.media_type().as_deref().map(truncated),
    })
}

fn jwt<'t>(text: &'t str, url: &str) -> Result<CompactJws<'t>, IntrospectionError> {
    match classify(text) {
        Ok(TokenShape::Jwt(jws)) => Ok(jws),
        Ok(TokenShape::Opaque) => Err(IntrospectionError::NotJwt {
            url: url.to_owned(),
        }),
        Err(source) => Err(IntrospectionError::Jws {
            url: url.to_owned(),
            source,
        }),
    }
}

async fn verify_signature(
    jws: &CompactJws<'_>,
    keys: &IssuerKeys,
    url: &str,
) -> Result<Signer, IntrospectionError> {
    let no_keys = |why| IntrospectionError::NoKeys {
        url: url.to_owned(),
        why,
    };
    let current = keys
        .current()
        .map_err(|NoKeys| no_keys(keys.explain_missing()))?;
    let mut outcome = current.verify(jws);
    if let Err(error) = outcome {
        let newer = keys.newer(&current, error).await;
        let newer = newer.map_err(|NoKeys| no_keys(keys.explain_unknown(jws)))?;
        outcome = newer.map_or(Err(error), |newer| newer.verify(jws));
    }
    outcome.map_err(|source| IntrospectionError::Signature {
        url: url.to_owned(),
        source,
    })
}
