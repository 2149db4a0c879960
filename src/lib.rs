//! scopegate: a reverse proxy that lets a request through only with a good OAuth 2.0 bearer token.

pub mod dev;
pub mod config;
pub mod oauth;
pub mod policy;
pub mod verify;
