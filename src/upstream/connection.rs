//! Open connections to an upstream.

pub(super) mod http1;
pub(super) mod http2;
pub(super) mod upload;
