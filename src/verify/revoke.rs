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

/// No issuer accepts this `iss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the iss of an issuer of the configuration")]
pub struct UnknownIssuer;

impl Verifier {
    /// The entries that revoke these tokens: one for each accepted `iss` of each issuer that accepts
    /// the one of `revocation`. Usually that is one. `token` is the token itself, if that is revoked.
    ///
    /// # Errors
    /// [`UnknownIssuer`]
    pub fn revocation_entries(
        &self,
        revocation: &Revocation,
        token: Option<&str>,
        now: UnixTime,
    ) -> Result<Vec<Entry>, UnknownIssuer> {
        let mut entries: Vec<Entry> = Vec::new();
        let issuers = self.issuers().iter().map(|issuer| &issuer.settings);
        for settings in issuers.filter(|settings| settings.is_called(&revocation.issuer)) {
            let Some(revocable) = settings.expectation.revocable else {
                continue;
            };
            let expires = expiry(settings, revocable, revocation, token, now);
            for issuer in settings.names_beside(&revocation.issuer) {
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
        if entries.is_empty() {
            Err(UnknownIssuer)
        } else {
            Ok(entries)
        }
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
    token: Option<&str>,
    now: UnixTime,
) -> UnixTime {
    let expected = &settings.expectation;
    let selector = revocation.selector.as_ref();
    let may_lack_iat = !revocable.iat_required && selector.is_some_and(Selector::is_one_token);
    let end = if may_lack_iat {
        let exp = token.and_then(|token| match classify(token) {
            Ok(TokenShape::Jwt(jws)) => Claims::parse(jws.payload())
                .ok()?
                .expires_at(expected.expiry_unit),
            Ok(TokenShape::Opaque) | Err(_) => None,
        });
        let latest = now.later_by(TEN_YEARS);
        exp.map_or(latest, |exp| exp.min(latest))
            .max(now.later_by(revocable.max_token_lifetime))
    } else {
        now.later_by(revocable.max_token_lifetime + revocable.skew)
    };
    end.later_by(expected.leeway * 2)
}
