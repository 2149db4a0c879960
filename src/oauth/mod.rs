//! The terms of the OAuth 2.0 RFCs as types. Pure: no IO, clock, async or logging.

pub mod bearer;
pub mod challenge;
pub mod claims;
pub mod introspection;
pub mod issuer_name;
pub mod jose;
pub mod json;
pub mod scope;
pub mod security_event;
pub mod tenant;
mod time;
pub mod wildcard;

pub use time::UnixTime;
