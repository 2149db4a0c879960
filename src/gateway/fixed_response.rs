//! The response of a route without an upstream (`respond`).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::grpc;
use crate::policy::decision::Permit;

/// A response that is the same for every permitted request.
#[derive(Clone, Debug)]
pub struct FixedResponse {
    status: StatusCode,
    /// Without the length of the body.
    headers: HeaderMap,
    body: Bytes,
    /// What gRPC clients get instead of the body.
    grpc_message: Option<HeaderValue>,
}

impl FixedResponse {
    /// A response with these headers, beside the length of the body.
    pub(super) fn new(status: StatusCode, headers: HeaderMap, body: String) -> Self {
        Self {
            status,
            headers,
            grpc_message: grpc::message(&body),
            body: body.into(),
        }
    }

    /// The response to a permitted request, which ends with it: the permit is consumed.
    pub(super) fn respond(&self, permit: Permit, request: &Parts) -> Response<Bytes> {
        let Permit { .. } = permit;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if grpc::is_call(&request.headers) {
            let headers = response.headers_mut();
            grpc::write_status_of_http(self.status, self.grpc_message.as_ref(), headers);
        } else if request.method != Method::HEAD {
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
