//! scopegate: a reverse proxy that lets a request through only with a good OAuth 2.0 bearer token.

pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod gateway;
pub mod net;
pub mod oauth;
pub mod policy;
pub mod server;
pub mod telemetry;
pub mod upstream;
pub mod verify;
