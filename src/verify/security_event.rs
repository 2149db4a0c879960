//! Verifies Security Event Tokens, as strictly as access tokens.
//!
//! 1. `typ` is `secevent+jwt`: an access token is no Security Event Token. The reverse holds because
//!    access tokens have no `events`.
//! 2. `iss` selects the issuer, tenants included, and the signature must be by a key of this issuer
//!    that it also uses for access tokens.
//! 3. Issuers without keys or without an audience accept none: nothing would show who sent a token, or
//!    whether it is for this gateway.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::cache::ConnectionCache;
use super::error::VerifyError;
use super::issuer::Issuer;
use super::tenants::Tenants;
use super::verifier::{Signature, VerificationRequest, Verifier};
use crate::client_limits::client_network;
use crate::oauth::UnixTime;
use crate::oauth::bearer::BearerToken;
use crate::oauth::claims::ExpectedAudience;
use crate::oauth::jose::{CompactJws, JwsError, TokenShape, classify};
use crate::oauth::security_event::{
    ErrorCode, SecurityEvent, SecurityEventClaims, SecurityEventError,
};
use crate::text::{alternatives, truncated};

/// The `typ` of a Security Event Token (RFC 8417 §2.3).
const TYPE: &str = "secevent+jwt";

/// A Security Event Token to verify, and its context.
pub struct SecurityEventRequest<'t, C> {
    /// The token, in compact form.
    pub token: &'t str,
    /// The cache of its connection, which has the worker's turns.
    pub connection_cache: &'t ConnectionCache,
    /// The client address; computed only if needed.
    pub client: C,
    /// The time.
    pub now: UnixTime,
}

/// The events of a verified token.
#[derive(Debug)]
pub struct VerifiedEvents {
    /// The issuer's name in gateway.toml.
    pub issuer_name: Arc<str>,
    /// The exact `iss`, of the tenant if the issuer has tenants.
    pub issuer: String,
    /// The events.
    pub events: Vec<SecurityEvent>,
}

/// Why a Security Event Token is not accepted. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SecurityEventRefusal {
    /// By a fault of its own.
    #[error("{detail}")]
    Invalid {
        /// What the transmitter learns.
        code: ErrorCode,
        /// For the operator.
        detail: String,
        /// The issuer's name in gateway.toml, if it is one of them.
        issuer: Option<Arc<str>>,
    },
    /// The issuer's keys are unavailable.
    #[error("{cause}")]
    Unavailable {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// When a retry may succeed.
        retry_after: Duration,
        /// For the operator.
        cause: String,
    },
    /// Too many tokens wait for verification.
    #[error("too many {bound}")]
    Overloaded {
        /// The limit that is reached.
        bound: &'static str,
        /// When a retry may succeed.
        retry_after: Duration,
    },
}

impl Issuer {
    /// Whether it can prove events: it has keys, and an audience to address them to.
    #[must_use]
    pub fn accepts_security_events(&self) -> bool {
        let has_audience = match &self.settings.expectation.audience {
            ExpectedAudience::Any => false,
            ExpectedAudience::OneOf { names, .. } => !names.is_empty(),
        };
        has_audience && (self.jwt_keys().is_some() || self.tenants().is_some())
    }
}

impl Verifier {
    /// Verifies a Security Event Token. Waits for the worker's turn, and for keys.
    ///
    /// # Errors
    /// [`SecurityEventRefusal`]
    pub async fn verify_security_event<C: Fn() -> IpAddr>(
        &self,
        request: &SecurityEventRequest<'_, C>,
    ) -> Result<VerifiedEvents, SecurityEventRefusal> {
        let jws = match classify(request.token)? {
            TokenShape::Jwt(jws) => jws,
            TokenShape::Opaque => {
                let detail = "expected a JWT, but found something else".to_owned();
                return Err(SecurityEventRefusal::invalid(
                    ErrorCode::InvalidRequest,
                    detail,
                ));
            }
        };
        jws.check_type(&[TYPE.to_owned()])?;
        let claims = SecurityEventClaims::parse(jws.payload())?;
        let iss = claims.issuer()?;
        let issuers = self.issuers().iter();
        let mut named = issuers
            .filter(|issuer| issuer.settings.is_called(iss))
            .peekable();
        let Some(first) = named.peek() else {
            return Err(self.unknown_issuer(iss));
        };
        let mut refusal = accepts_none(first);
        for issuer in named.filter(|issuer| issuer.accepts_security_events()) {
            let verified = match issuer.tenants() {
                None => self.verify_events(request, issuer, &jws, &claims).await,
                Some(tenants) => {
                    self.verify_events_of_tenant(request, issuer, tenants, &jws, &claims)
                        .await
                }
            };
            match verified.map_err(|error| error.with_issuer(&issuer.settings.name)) {
                // Issuers with the same `iss` differ in their audiences.
                Err(error) if error.is_about_audience() => refusal = error,
                decided => return decided,
            }
        }
        Err(refusal)
    }

    async fn verify_events_of_tenant<C: Fn() -> IpAddr>(
        &self,
        request: &SecurityEventRequest<'_, C>,
        issuer: &Arc<Issuer>,
        tenants: &Arc<Tenants>,
        jws: &CompactJws<'_>,
        claims: &SecurityEventClaims,
    ) -> Result<VerifiedEvents, SecurityEventRefusal> {
        let iss = claims.issuer()?;
        let Some(name) = tenants.tenant_of(iss) else {
            return Err(self.unknown_issuer(iss));
        };
        if tenants.is_new(&name)
            && let Some(tenant) = tenants.examine(&name)
        {
            // A token whose own claims already fail causes no fetch.
            claims.check(&tenant.settings.expectation, request.now)?;
        }
        let client = client_network((request.client)());
        let tenant = tenants.find(&name, client).await?;
        let of_tenant = issuer.of_tenant(&tenant);
        let verified = self.verify_events(request, &of_tenant, jws, claims).await?;
        tenants.admit(&tenant, request.now);
        Ok(verified)
    }

    async fn verify_events<C: Fn() -> IpAddr>(
        &self,
        request: &SecurityEventRequest<'_, C>,
        issuer: &Arc<Issuer>,
        jws: &CompactJws<'_>,
        claims: &SecurityEventClaims,
    ) -> Result<VerifiedEvents, SecurityEventRefusal> {
        let events = claims.check(&issuer.settings.expectation, request.now)?;
        let Some(keys) = issuer.jwt_keys() else {
            return Err(accepts_none(issuer));
        };
        let Some(token) = BearerToken::parse(request.token) else {
            let detail = "expected a JWT, but found other characters".to_owned();
            return Err(SecurityEventRefusal::invalid(
                ErrorCode::InvalidRequest,
                detail,
            ));
        };
        let verification = VerificationRequest {
            token,
            connection_cache: request.connection_cache,
            // No cached access token stands for a Security Event Token.
            accepts: |_: &str| false,
            client: &request.client,
            now: request.now,
            trace: None,
        };
        match self
            .verify_signature(&verification, issuer, keys, jws)
            .await?
        {
            Signature::Good { .. } => Ok(VerifiedEvents {
                issuer_name: Arc::clone(&issuer.settings.name),
                issuer: claims.issuer()?.to_owned(),
                events,
            }),
            Signature::Known(_) => {
                let detail = "expected a Security Event Token, but found an access token";
                Err(SecurityEventRefusal::invalid(
                    ErrorCode::InvalidRequest,
                    detail.to_owned(),
                ))
            }
        }
    }

    fn unknown_issuer(&self, iss: &str) -> SecurityEventRefusal {
        let issuers = self.issuers().iter();
        let accepted = issuers.filter(|issuer| issuer.accepts_security_events());
        let names = accepted.flat_map(|issuer| &issuer.settings.expectation.issuers);
        let detail = format!(
            "expected {} as iss (issuers with keys and an audience), but found {:?}",
            alternatives(names.map(String::as_str)),
            truncated(iss)
        );
        SecurityEventRefusal::invalid(ErrorCode::InvalidIssuer, detail)
    }
}

fn accepts_none(issuer: &Issuer) -> SecurityEventRefusal {
    SecurityEventRefusal::Invalid {
        code: ErrorCode::AccessDenied,
        detail: "expected an issuer that has keys and an audience, but found one without"
            .to_owned(),
        issuer: Some(Arc::clone(&issuer.settings.name)),
    }
}

impl SecurityEventRefusal {
    fn is_about_audience(&self) -> bool {
        match self {
            Self::Invalid { code, .. } => *code == ErrorCode::InvalidAudience,
            Self::Unavailable { .. } | Self::Overloaded { .. } => false,
        }
    }

    /// A token with a fault of its own, whose issuer is not known yet.
    #[must_use]
    pub fn invalid(code: ErrorCode, detail: String) -> Self {
        Self::Invalid {
            code,
            detail,
            issuer: None,
        }
    }

    /// The name in gateway.toml of the issuer concerned.
    #[must_use]
    pub fn issuer(&self) -> Option<&Arc<str>> {
        match self {
            Self::Invalid { issuer, .. } => issuer.as_ref(),
            Self::Unavailable { issuer, .. } => Some(issuer),
            Self::Overloaded { .. } => None,
        }
    }

    /// When a retry may succeed; none for a token that will not be accepted later either.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Invalid { .. } => None,
            Self::Unavailable { retry_after, .. } | Self::Overloaded { retry_after, .. } => {
                Some(*retry_after)
            }
        }
    }

    /// The same refusal of a token of this issuer.
    #[must_use]
    pub fn with_issuer(self, name: &Arc<str>) -> Self {
        match self {
            Self::Invalid { code, detail, .. } => Self::Invalid {
                code,
                detail,
                issuer: Some(Arc::clone(name)),
            },
            Self::Unavailable { .. } | Self::Overloaded { .. } => self,
        }
    }
}

impl From<SecurityEventError> for SecurityEventRefusal {
    fn from(error: SecurityEventError) -> Self {
        SecurityEventRefusal::invalid(error.code(), error.to_string())
    }
}

impl From<JwsError> for SecurityEventRefusal {
    fn from(error: JwsError) -> Self {
        let code = match &error {
            JwsError::Unsigned => ErrorCode::AuthenticationFailed,
            JwsError::UnknownAlgorithm { .. } => ErrorCode::InvalidKey,
            JwsError::DuplicateMember
            | JwsError::UnsupportedParameter { .. }
            | JwsError::NotAString { .. }
            | JwsError::NotBase64Url
            | JwsError::WrongType { .. } => ErrorCode::InvalidRequest,
        };
        SecurityEventRefusal::invalid(code, error.to_string().replace(" (see token_types)", ""))
    }
}

// What fails when a signature is verified, or the keys of a tenant are looked for.
impl From<VerifyError> for SecurityEventRefusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Invalid { reason, detail, .. } => {
                let code = match reason {
                    "unknown_key" | "key_of_other_issuer" | "algorithm_not_allowed" => {
                        ErrorCode::InvalidKey
                    }
                    "unknown_issuer" | "unknown_tenant" => ErrorCode::InvalidIssuer,
                    _ => ErrorCode::AuthenticationFailed,
                };
                SecurityEventRefusal::invalid(code, detail)
            }
            VerifyError::TooLarge { .. } | VerifyError::Conflict => SecurityEventRefusal::invalid(
                ErrorCode::AuthenticationFailed,
                "the token cannot be verified".to_owned(),
            ),
            VerifyError::Unavailable {
                issuer,
                retry_after,
                cause,
            } => Self::Unavailable {
                issuer,
                retry_after,
                cause,
            },
            VerifyError::Overloaded { bound, retry_after } => {
                Self::Overloaded { bound, retry_after }
            }
        }
    }
}
