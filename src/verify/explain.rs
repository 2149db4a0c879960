//! Explains to the operator why a token is invalid.

use std::sync::Arc;

use super::error::{VerifyError, invalid};
use super::issuer::Issuer;
use super::jwt::SignatureError;
use crate::oauth::issuer_name;
use crate::oauth::jose::CompactJws;
use crate::text::{alternatives, quoted, truncated};

/// Names the token's `iss`, the issuers of the route, and a similar one.
pub(super) fn unknown_issuer(
    issuers: &[Arc<Issuer>],
    accepts: &impl Fn(&str) -> bool,
    iss: Option<&str>,
) -> String {
    let accepted = || {
        issuers
            .iter()
            .filter(|issuer| accepts(&issuer.settings.name))
            .flat_map(|issuer| &issuer.settings.expectation.issuers)
            .map(String::as_str)
    };
    let declared = |iss: &str| {
        let issuer = issuers
            .iter()
            .find(|issuer| issuer.settings.is_called(iss))?;
        Some(format!(
            ", which is issuer {:?}, but not one of the route (see issuers)",
            issuer.settings.name
        ))
    };
    let expected = alternatives(accepted());
    let found = quoted(iss.map(truncated).as_deref());
    let hint = iss
        .and_then(declared)
        .unwrap_or_else(|| issuer_name::hint(iss, accepted()));
    format!("expected {expected} as iss (the route's issuers), but found {found}{hint}")
}

/// Says what the route expects instead of this opaque token.
pub(super) fn opaque_token<'i>(
    mut accepted: impl Iterator<Item = &'i Arc<Issuer>>,
) -> &'static str {
    if accepted.any(|issuer| issuer.introspection().is_some()) {
        "expected a token that begins with a token_prefix of the route's issuers, but found another"
    } else {
        "expected a JWT, but found another token (validation = \"introspection\" or \"jwks-or-introspection\" would introspect it)"
    }
}

/// Names the key that the token claims; `kid` is untrusted.
pub(super) fn invalid_signature(error: SignatureError, jws: &CompactJws<'_>) -> VerifyError {
    let (header, reason) = (jws.header(), error.reason());
    let kid = quoted(header.kid.as_deref().map(truncated).as_deref());
    invalid(
        reason,
        format!("{error} (kid {kid}, alg {})", header.algorithm.name()),
    )
}
