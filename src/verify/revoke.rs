//! From what is revoked to the entries of the store: which issuers are meant, and for how long their
//! tokens can live.

use std::time::Duration;

use super::settings::{IssuerSettings, Tenancy};
use super::verifier::Verifier;
use crate::oauth::UnixTime;
use crate::oauth::claims::{Claims, Revocable};
use crate::oauth::jose::{TokenShape, classify};
use crate::revocation::{Entry, Revocation, Selector};

/// A token without `iat` expires within ten years: a later `exp` is refused.
const TEN_YEARS: Duration = Duration::from_secs(3653 * 24 * 60 * 60);

/// Why nothing can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTokens {
    /// No issuer accepts this `iss`.
    #[error("expected the iss of an issuer of the configuration")]
    Issuer,
    /// The token names another issuer.
    #[error("expected a token of this issuer, but found one with another iss")]
    Foreign,
}

impl Verifier {
    /// The entries that revoke these tokens: one for each accepted `iss` of each issuer that accepts
    /// the one of `revocation`. Usually that is one. `token` is the token itself, if that is revoked.
    ///
    /// # Errors
    /// [`UnknownTokens`]
    pub fn revocation_entries(
        &self,
        revocation: &Revocation,
        token: Option<&str>,
        now: UnixTime,
    ) -> Result<Vec<Entry>, UnknownTokens> {
        let mut entries: Vec<Entry> = Vec::new();
        let claims = token.and_then(claims_of);
        let iss = claims.as_ref().and_then(Claims::issuer);
        let mut is_foreign = false;
        let issuers = self.issuers().iter().map(|issuer| &issuer.settings);
        for settings in issuers.filter(|settings| settings.is_called(&revocation.issuer)) {
            let Some(revocable) = settings.expectation.revocable else {
                continue;
            };
            let names = settings.names_beside(&revocation.issuer);
            // It would be revoked nowhere, and pass.
            if iss.is_some_and(|iss| !names.iter().any(|name| name == iss)) {
                is_foreign = true;
                continue;
            }
            let expires = expiry(settings, revocable, revocation, claims.as_ref(), now);
            for issuer in names {
                let one = Revocation {
                    issuer,
                    ..revocation.clone()
                };
                let entry = one.entry(expires);
                match entries
                    .iter_mut()
                    .find(|known| known.digest == entry.digest)
                {
                    Some(known) => known.expires = known.expires.max(expires),
                    None => entries.push(entry),
                }
            }
        }
        match (entries.is_empty(), is_foreign) {
            (false, _) => Ok(entries),
            (true, true) => Err(UnknownTokens::Foreign),
            (true, false) => Err(UnknownTokens::Issuer),
        }
    }
}

// What a JWT says of itself. Not verified.
fn claims_of(token: &str) -> Option<Claims> {
    match classify(token) {
        Ok(TokenShape::Jwt(jws)) => Claims::parse(jws.payload()).ok(),
        Ok(TokenShape::Opaque) | Err(_) => None,
    }
}

impl IssuerSettings {
    // Every name of the issuer, or of the tenant that this `iss` names.
    fn names_beside(&self, iss: &str) -> Vec<String> {
        match &self.tenancy {
            Tenancy::Single | Tenancy::Tenant(_) => self.expectation.issuers.clone(),
            Tenancy::Template(templates) => templates
                .tenant_of(iss)
                .map_or_else(Vec::new, |tenant| templates.filled(&tenant)),
        }
    }
}

// The last of the revoked tokens was issued `skew` after now at the latest, by a clock that is
// `leeway` ahead, and is accepted until `leeway` after its end.
fn expiry(
    settings: &IssuerSettings,
    revocable: Revocable,
    revocation: &Revocation,
    claims: Option<&Claims>,
    now: UnixTime,
) -> UnixTime {
    let expected = &settings.expectation;
    let selector = revocation.selector.as_ref();
    let may_lack_iat = !revocable.iat_required && selector.is_some_and(Selector::is_one_token);
    let end = if may_lack_iat {
        let exp = claims.and_then(|claims| claims.expires_at(expected.expiry_unit));
        let latest = now.later_by(TEN_YEARS);
        exp.map_or(latest, |exp| exp.min(latest))
            .max(now.later_by(revocable.max_token_lifetime))
    } else {
        now.later_by(revocable.max_token_lifetime + revocable.skew)
    };
    end.later_by(expected.leeway * 2)
}
