//! Is this token active, and what does it say?
//!
//! A token is looked for where it was last seen: with its connection, then among all that were verified. Only then is it
//! verified: by its signature, by asking the authorization server, or by both, as its issuer's configuration says. What
//! comes out is a fact, [`VerifiedToken`]; whether it suffices for the request at hand is [`policy`](crate::policy)'s to
//! decide, each time.

mod cache;
mod discovery;
mod error;
mod examine;
mod failures;
pub mod introspection;
mod issuer;
mod issuer_keys;
pub mod jwt;
mod key_ring;
mod renewal;
mod report;
mod settings;
mod verified_token;
mod verifier;

pub use cache::{
    CacheBudget, CacheLimit, ConnectionCache, Epoch, TokenCache, USUAL_ENTRY_BYTES, WorkerCache,
};
pub use discovery::{DiscoveryError, Endpoint, EndpointName, Endpoints, Metadata};
pub use error::VerifyError;
pub use examine::{Examined, Shape, Signed};
pub use issuer::Issuer;
pub use issuer_keys::IssuerKeys;
pub use key_ring::{KeyRing, NoKeys, RefreshPolicy};
pub use report::{FailuresReport, IntrospectionReport, IssuerReport, KeysReport};
pub use settings::IssuerSettings;
pub use verified_token::VerifiedToken;
pub use verifier::{VerificationRequest, Verifier};
