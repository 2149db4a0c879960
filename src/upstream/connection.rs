//! Open connections to an upstream, each of which exchanges requests for responses.
//!
//! Nothing here knows endpoints, pools or retries. What has to live as long as a response body,
//! such as the count of requests in flight, is kept by the caller beside the body.
//!
//! - `exchange`: what both protocols have in common: the request, timeouts, errors.
//! - `http1`, `http2`: the protocols. `tunnel`: a connection after a 101.
//! - `socket`: TCP, TLS. `upload`: a request body that is sent while the response arrives.

pub(super) mod exchange;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod socket;
pub(super) mod tunnel;
mod upload;
