//! The protocols that a connection may switch to (RFC 9110 §7.8).
//!
//! 1. Other versions of HTTP, and TLS, are removed from a client's list. Requests that follow the
//!    101 in one of them would bypass every rule. RFC 9113 §3.1 has withdrawn `h2c` anyway.
//! 2. A list that is malformed or on more than one line is ignored, and the request forwarded
//!    without an upgrade. A server may ignore an upgrade; a 400 would refuse the request for an
//!    optional header.
//! 3. A 101 is forwarded only if it selects one protocol that the client requested. Otherwise the
//!    two ends would speak different protocols over one connection.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use super::connection::has_option;
use crate::oauth::bearer::is_token_character;

/// The protocols in the `Upgrade` of a request that may be forwarded, by rules 1 and 2.
#[must_use]
pub fn requested_protocols(headers: &HeaderMap) -> Option<HeaderValue> {
    let requested = single_value(headers).filter(|_| has_option(headers, "upgrade"))?;
    let mut allowed = protocols(requested)?;
    allowed.retain(|protocol| !protocol.split('/').any(bypasses_rules));
    HeaderValue::from_str(&allowed.join(", "))
        .ok()
        .filter(|_| !allowed.is_empty())
}

/// Whether this is the opening handshake of a WebSocket that may be forwarded (RFC 6455 §4.1).
#[must_use]
pub fn is_websocket_handshake(parts: &Parts) -> bool {
    let is_websocket = |protocol: &str| protocol.eq_ignore_ascii_case("websocket");
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && requested_protocols(&parts.headers)
            .as_ref()
            .and_then(protocols)
            .is_some_and(|requested| requested.into_iter().any(is_websocket))
}

/// Sets the `Upgrade` of a request to [`requested_protocols`], or that of a 101 to the one it
/// selects.
pub fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Whether a 101 selects one of the protocols that were `requested`, by rule 3.
///
/// Protocol names are compared without regard to case, versions as they are (RFC 9110 §16.7).
pub(in crate::upstream) fn is_accepted_upgrade(
    requested: Option<&HeaderValue>,
    response: &Response<()>,
) -> bool {
    let headers = response.headers();
    let (Some(requested), Some(selected)) = (
        requested.and_then(protocols),
        single_value(headers).and_then(protocols),
    ) else {
        return false;
    };
    let [selected] = *selected else { return false };
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        // HTTP/1.0 has no 101 (RFC 9110 §15.2).
        && response.version() == Version::HTTP_11
        && has_option(headers, "upgrade")
        && requested
            .iter()
            .any(|requested| is_same(requested, selected))
}

fn single_value(headers: &HeaderMap) -> Option<&HeaderValue> {
    // Not `get_all`: most messages have none, and comparing a few names costs less than a hash.
    let mut lines = headers.iter().filter(|(name, _)| **name == header::UPGRADE);
    let line = lines.next().map(|(_, line)| line);
    line.filter(|_| lines.next().is_none())
}

// A list of `protocol-name ["/" protocol-version]`; `None` if it has any other element.
fn protocols(list: &HeaderValue) -> Option<Vec<&str>> {
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_character);
    let elements = list
        .to_str()
        .ok()?
        .split(',')
        .map(|element| element.trim_matches([' ', '\t']));
    // A recipient ignores empty elements (RFC 9110 §5.6.1.2).
    let elements = elements.filter(|element| !element.is_empty());
    let is_protocol = |element: &str| match element.split_once('/') {
        Some((name, version)) => is_token(name) && is_token(version),
        None => is_token(element),
    };
    elements
        .map(|element| is_protocol(element).then_some(element))
        .collect()
}

fn is_same(one: &str, other: &str) -> bool {
    let name_and_version = |protocol: &'_ str| -> (String, String) {
        let (name, version) = protocol.split_once('/').unwrap_or((protocol, ""));
        (name.to_ascii_lowercase(), version.to_owned())
    };
    name_and_version(one) == name_and_version(other)
}

// Names and versions alike: some servers look for `h2c` anywhere in the value.
fn bypasses_rules(name_or_version: &str) -> bool {
    let lower = name_or_version.to_ascii_lowercase();
    ["h2", "h3", "http", "tls"]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(lines: &[&[u8]]) -> HeaderMap {
        let values = lines
            .iter()
            .map(|line| HeaderValue::from_bytes(line).expect("a header value"));
        let mut headers: HeaderMap = values.map(|value| (header::UPGRADE, value)).collect();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers
    }

    #[test]
    fn only_protocols_other_than_http_are_forwarded() {
        for (lines, expected) in [
            (&[&b"websocket"[..]][..], Some("websocket")),
            (&[b"websocket, echo/2 "], Some("websocket, echo/2")),
            (&[b"websocket, h2c"], Some("websocket")),
            (
                &[b"h2c,\twebsocket, HTTP/2.0 , echo"],
                Some("websocket, echo"),
            ),
            (&[b"h2c"], None),
            (&[b"H2C, http/3, TLS/1.3, h3"], None),
            (&[b"x/h2c"], None),
            (&[b"\"h2c\""], None),
            (&[b"\"websocket\""], None),
            (&[b"websocket, a b"], None),
            (&[b"websocket/"], None),
            (&[b"/13"], None),
            (&[b"a/b/c"], None),
            (&[b"websocket, \xff"], None),
            (&[b""], None),
            (&[b" , ,"], None),
            (&[b"websocket", b"echo"], None),
            (&[], None),
        ] {
            let sent = requested_protocols(&upgrade(lines));
            assert_eq!(
                sent.as_ref().map(|value| value.to_str().expect("ASCII")),
                expected,
                "{lines:?}"
            );
        }
        let mut without_option = upgrade(&[b"websocket"]);
        without_option.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        assert_eq!(requested_protocols(&without_option), None);
        without_option.insert(
            header::CONNECTION,
            HeaderValue::from_bytes(b"\xff, UPGRADE").expect("a header value"),
        );
        assert!(requested_protocols(&without_option).is_some());
    }

    #[test]
    fn accepted_upgrade_selects_one_requested_protocol() {
        let is_accepted = |requested: &'static str, lines: &[&[u8]]| {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() = upgrade(lines);
            is_accepted_upgrade(Some(&HeaderValue::from_static(requested)), &response)
        };
        for (requested, lines, expected) in [
            ("websocket", &[&b"websocket"[..]][..], true),
            ("WebSocket", &[b"websocket"], true),
            ("echo/1, echo/2", &[b"ECHO/2"], true),
            ("echo/1", &[b"echo"], false),
            ("echo", &[b"echo/1"], false),
            ("echo/a", &[b"echo/A"], false),
            ("websocket", &[b"h2c"], false),
            ("websocket", &[b"websocket, h2c"], false),
            ("websocket, echo", &[b"websocket, echo"], false),
            ("websocket", &[b"websocket", b"websocket"], false),
            ("websocket", &[b""], false),
            ("websocket", &[b"web socket"], false),
            ("websocket", &[], false),
        ] {
            assert_eq!(
                is_accepted(requested, lines),
                expected,
                "{requested}: {lines:?}"
            );
        }
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = upgrade(&[b"websocket"]);
        let requested = HeaderValue::from_static("websocket");
        assert!(
            is_accepted_upgrade(Some(&requested), &response)
                && !is_accepted_upgrade(None, &response)
        );
        *response.version_mut() = Version::HTTP_10;
        assert!(!is_accepted_upgrade(Some(&requested), &response));
        *response.version_mut() = Version::HTTP_11;
        response.headers_mut().remove(header::CONNECTION);
        assert!(!is_accepted_upgrade(Some(&requested), &response));
    }
}
