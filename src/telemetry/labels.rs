//! Labels with few possible values, for metrics, spans and the access log.

use http::{Method, Version};

/// The label of a method, as in OpenTelemetry's HTTP conventions. Other methods are `_OTHER`: clients
/// may invent methods, and each would create a metric series.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

/// The HTTP version, as in OpenTelemetry's `network.protocol.version`.
pub(super) fn version_label(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
