//! Tokens of tenants: finds the tenant that a token names, before the token is verified as any other.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::{VerifyError, invalid};
use super::explain;
use super::issuer::Issuer;
use super::settings::Tenancy;
use super::tenants::Tenants;
use super::verified_token::VerifiedToken;
use super::verifier::{VerificationRequest, Verifier};
use crate::client_limits::client_network;
use crate::oauth::claims::Claims;
use crate::oauth::jose::CompactJws;

impl Verifier {
    /// Verifies a token of the tenant that its `iss` names, with the keys of this tenant only.
    pub(super) async fn verify_of_tenant<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        request: &VerificationRequest<'_, A, C>,
        issuer: &Arc<Issuer>,
        tenants: &Arc<Tenants>,
        jws: &CompactJws<'_>,
        claims: Claims,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let Some(name) = claims.issuer().and_then(|iss| tenants.tenant_of(iss)) else {
            let why = explain::unknown_issuer(self.issuers(), &request.accepts, claims.issuer());
            return Err(invalid("unknown_issuer", why));
        };
        if tenants.is_new(&name)
            && let Some(tenant) = tenants.examine(&name)
        {
            // A token whose own claims already fail causes no fetch.
            Claims::parse(jws.payload())?.check(&tenant.settings.expectation, request.now)?;
        }
        let client = client_network((request.client)());
        let tenant = tenants.find(&name, client).await?;
        let of_tenant = issuer.of_tenant(&tenant);
        let verified = self.verify_jwt(request, &of_tenant, jws, claims).await?;
        tenants.admit(&tenant, request.now);
        Ok(verified)
    }

    /// Whether a cached token's tenant is still in use, and has the keys that signed it. Issuers
    /// without tenants have no such tokens.
    pub(super) fn is_current_of_tenant(
        &self,
        verified: &VerifiedToken,
        revoked_of: &Cell<Option<Arc<str>>>,
    ) -> bool {
        let Tenancy::Tenant(tenant_use) = &verified.issuer.tenancy else {
            return false;
        };
        let mut issuers = self.issuers().iter();
        let issuer = issuers.find(|issuer| Arc::ptr_eq(&issuer.settings, tenant_use.issuer()));
        let tenants = issuer.and_then(|issuer| issuer.tenants());
        !tenant_use.is_dropped()
            && tenants.is_some_and(|tenants| {
                self.confirm(verified, revoked_of, || tenants.keys_of(&verified.issuer))
            })
    }

    /// Starts what the token with this `iss` needs of `issuer`, one of the examined token: for
    /// `explain`, which verifies one token. Waits for the keys for at most `timeout`.
    pub async fn fetch_keys(&self, issuer: &Arc<Issuer>, iss: Option<&str>, timeout: Duration) {
        let Tenancy::Tenant(tenant_use) = &issuer.settings.tenancy else {
            issuer.start(None);
            return issuer.wait_for_keys(timeout).await;
        };
        let mut issuers = self.issuers().iter();
        let declared = issuers.find(|one| Arc::ptr_eq(&one.settings, tenant_use.issuer()));
        if let Some((tenants, iss)) = declared.and_then(|one| one.tenants()).zip(iss) {
            // Keys of other tenants are fetched when the token is verified.
            if tenants.start_only(iss) {
                issuer.wait_for_keys(timeout).await;
            }
        }
    }
}
