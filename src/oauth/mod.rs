//! The nouns of OAuth 2.0's RFCs. Pure: no IO, no clock, no async, no logging.

pub mod bearer;
pub mod challenge;
pub mod claims;
pub mod introspection;
pub mod issuer_name;
pub mod jose;
pub mod json;
pub mod scope;
mod time;

pub use time::UnixTime;
