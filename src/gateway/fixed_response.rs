//! The response of a route without an upstream (`respond`).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::policy::decision::Permit;

/// A response that is the same for every permitted request.
#[derive(Clone, Debug)]
pub struct FixedResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without the length of the body.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl FixedResponse {
    /// The response to a permitted request, which ends with it: the permit is consumed.
    pub(super) fn respond(&self, permit: Permit, method: &Method) -> Response<Bytes> {
        let Permit { .. } = permit;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if *method != Method::HEAD {
            *response.body_mut() = self.body.clone();
        } else if !self.body.is_empty() {
            // That of a GET (RFC 9110 §8.6).
            let length = HeaderValue::from(self.body.len());
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length);
        }
        response
    }
}
