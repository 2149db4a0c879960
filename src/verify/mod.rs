//! Verifies access tokens: whether a token is active, and what it claims.
//!
//! A token is looked up in the cache of its connection, of its worker and of all workers. On a miss
//! it is verified by its signature, by introspection, or by both, as its issuer is configured. The
//! result is a [`VerifiedToken`]. Whether that suffices for a request is decided by
//! [`policy`](crate::policy), for each request anew.

mod cache;
mod discovery;
mod error;
mod examine;
mod explain;
mod failures;
pub mod introspection;
mod issuer;
mod issuer_keys;
pub mod jwt;
mod key_ring;
mod renewal;
mod report;
mod revoke;
mod security_event;
mod settings;
mod tenant_tokens;
mod tenants;
mod verified_token;
mod verifier;

pub use cache::{
    CacheBudget, CacheLimit, ConnectionCache, TokenCache, USUAL_ENTRY_BYTES, WorkerCache,
};
pub use discovery::{DiscoveryError, Endpoint, EndpointName, Endpoints, Metadata};
pub use error::VerifyError;
pub use examine::{Examined, Shape, Signed};
pub use issuer::Issuer;
pub use issuer_keys::IssuerKeys;
pub use key_ring::{KeyRing, NoKeys, RefreshPolicy};
pub use report::{FailuresReport, IntrospectionReport, IssuerReport, KeysReport};
pub use revoke::UnknownTokens;
pub use security_event::{SecurityEventRefusal, SecurityEventRequest, VerifiedEvents};
pub use settings::{AcceptedTenants, IssuerSettings, Tenancy, TenantTemplates};
pub use tenants::{PublishedTenantKeys, TenantKeys, TenantKeysPlace, Tenants};
pub use verified_token::VerifiedToken;
pub use verifier::{VerificationRequest, Verifier};

pub use crate::sync::Epoch;
