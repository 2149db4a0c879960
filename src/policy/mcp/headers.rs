//! The headers that mirror a message.
//!
//! 1. A header that occurs twice, or is not text in the form of the specification, is refused: a
//!    server may read it in another way.
//! 2. Where a header is there, it must agree with the message, in every revision.
//! 3. From 2026-07-28 on, requests must have them. Clients differ about notifications.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::fault::{HeaderError, McpError};
use super::message::Message;
use super::revision::Revision;
use super::rules::{Operation, RESPONSE};

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The headers of MCP requests that pages may send, as they are usually written.
pub const HEADERS: [&str; 5] = [
    "MCP-Protocol-Version",
    "Mcp-Session-Id",
    "Mcp-Method",
    "Mcp-Name",
    "Last-Event-ID",
];
/// The headers of MCP responses that pages may read.
pub const RESPONSE_HEADERS: [&str; 2] = ["Mcp-Session-Id", "MCP-Protocol-Version"];

/// What surrounds a value that is no plain text. Both are case-sensitive.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

const REPEATED: &str = "expected one value, but found several";
const MALFORMED: &str =
    "expected printable ASCII or =?base64?…?= with UTF-8 in it, but found something else";
const MISSING: &str = "expected the header that this revision requires, but found none";
const UNEXPECTED: &str = "expected none on a request without a message, but found one";
const DIFFERENT: &str = "expected the value that the message has, but found another one";

/// The mirrored headers of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MirroredHeaders<'h> {
    pub(super) revision: Revision,
    method: Option<Cow<'h, str>>,
    name: Option<Cow<'h, str>>,
}

impl<'h> MirroredHeaders<'h> {
    /// Reads them.
    pub(super) fn parse(headers: &'h HeaderMap) -> Result<Self, McpError> {
        let revision = match only(headers, &MCP_PROTOCOL_VERSION, "MCP-Protocol-Version")? {
            None => Revision::V2025_03_26,
            Some(value) => {
                let name = value.to_str().unwrap_or_default();
                Revision::parse(name)
                    .ok_or_else(|| McpError::UnknownRevision(value.as_bytes().into()))?
            }
        };
        Ok(Self {
            revision,
            method: decoded(headers, &MCP_METHOD, "Mcp-Method")?,
            name: decoded(headers, &MCP_NAME, "Mcp-Name")?,
        })
    }

    /// Compares them with the message.
    pub(super) fn compare(&self, message: &Message<'_>) -> Result<(), McpError> {
        if message
            .revision
            .as_deref()
            .is_some_and(|revision| revision != self.revision.name())
        {
            return Err(fault("MCP-Protocol-Version", DIFFERENT));
        }
        // A notification has no id. A response has no method.
        let is_required =
            self.revision.mirrors_messages() && message.id.is_some() && message.method.is_some();
        compare_one(
            "Mcp-Method",
            self.method.as_deref(),
            message.method.as_deref(),
            is_required,
        )?;
        let has_name = message
            .method
            .as_deref()
            .is_some_and(|method| Operation::named_by(method).is_some());
        if !has_name {
            // Extensions name other operations by other members.
            return Ok(());
        }
        let is_required = is_required && message.name.is_some();
        compare_one(
            "Mcp-Name",
            self.name.as_deref(),
            message.name.as_deref(),
            is_required,
        )
    }

    /// Checks that a request whose method has no message asks for no operation in another way.
    pub(super) fn expect_no_message(&self, has_body: bool) -> Result<(), McpError> {
        if has_body {
            Err(McpError::UnexpectedBody)
        } else if self.method.is_some() {
            Err(fault("Mcp-Method", UNEXPECTED))
        } else if self.name.is_some() {
            Err(fault("Mcp-Name", UNEXPECTED))
        } else {
            Ok(())
        }
    }

    /// The operation that they name, where the message is not read.
    pub(super) fn operation(&self) -> Result<Operation<'_>, McpError> {
        let method = self
            .method
            .as_deref()
            .ok_or_else(|| fault("Mcp-Method", MISSING))?;
        // A rule for responses must not permit a request.
        if method == RESPONSE {
            return Err(fault("Mcp-Method", DIFFERENT));
        }
        let name = if Operation::named_by(method).is_some() {
            let name = self.name.as_deref();
            Some(name.ok_or_else(|| fault("Mcp-Name", MISSING))?)
        } else {
            None
        };
        Ok(Operation { method, name })
    }
}

fn compare_one(
    header: &'static str,
    mirrored: Option<&str>,
    original: Option<&str>,
    is_required: bool,
) -> Result<(), McpError> {
    match mirrored {
        None if is_required => Err(fault(header, MISSING)),
        Some(_) if mirrored != original => Err(fault(header, DIFFERENT)),
        Some(_) | None => Ok(()),
    }
}

fn fault(name: &'static str, problem: &'static str) -> McpError {
    McpError::Header(HeaderError { name, problem })
}

fn only<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<&'h HeaderValue>, McpError> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(fault(name, REPEATED)),
    }
}

fn decoded<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<Cow<'h, str>>, McpError> {
    let Some(value) = only(headers, header, name)? else {
        return Ok(None);
    };
    decode(value)
        .map(Some)
        .ok_or_else(|| fault(name, MALFORMED))
}

fn decode(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = value.to_str().ok()?;
    let (start, end) = ENCODED;
    let encoded = text
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(end));
    let decoded = match encoded {
        // Canonical Base64 only: padded, and without bits left over.
        Some(encoded) => Cow::Owned(String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?),
        None => Cow::Borrowed(text),
    };
    (!decoded.is_empty() && !decoded.contains(char::is_control)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(written: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in written {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(*name, value);
        }
        headers
    }

    fn compared(written: &[(&'static str, &str)], message: &str) -> Result<(), String> {
        let message = Message::parse(message.as_bytes()).expect("a message");
        let headers = headers(written);
        MirroredHeaders::parse(&headers)
            .and_then(|mirrored| mirrored.compare(&message))
            .map_err(|error| error.to_string())
    }

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;
    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    const NEW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

    #[test]
    fn headers_must_agree_with_the_message_in_every_revision() {
        for revision in Revision::KNOWN {
            let revision = ("mcp-protocol-version", revision.name());
            let good = [revision, ("mcp-method", "tools/call"), ("mcp-name", "add")];
            assert_eq!(compared(&good, CALL), Ok(()));
            for wrong in [
                [("mcp-method", "tools/list"), ("mcp-name", "add")],
                [("mcp-method", "Tools/call"), ("mcp-name", "add")],
                [("mcp-method", "tools/call"), ("mcp-name", "Add")],
                [("mcp-method", "tools/call"), ("mcp-name", "add ")],
                [("mcp-method", "tools/call"), ("mcp-name", "=?base64?YWRk?")],
                [
                    ("mcp-method", "tools/call"),
                    ("mcp-name", "=?base64?YWRl?="),
                ],
            ] {
                let [method, name] = wrong;
                assert!(
                    compared(&[revision, method, name], CALL).is_err(),
                    "{wrong:?}"
                );
            }
            let encoded = [
                revision,
                ("mcp-method", "tools/call"),
                ("mcp-name", "=?base64?YWRk?="),
            ];
            assert_eq!(compared(&encoded, CALL), Ok(()));
        }
    }

    #[test]
    fn headers_are_required_of_requests_from_the_revision_that_has_them() {
        assert_eq!(compared(&[], CALL), Ok(()));
        assert_eq!(
            compared(&[("mcp-protocol-version", "2025-11-25")], CALL),
            Ok(())
        );
        let missing = "expected the header that this revision requires, but found none";
        assert_eq!(
            compared(&[NEW], LIST),
            Err(format!("Mcp-Method: {missing}"))
        );
        assert_eq!(compared(&[NEW, ("mcp-method", "tools/list")], LIST), Ok(()));
        assert_eq!(
            compared(&[NEW, ("mcp-method", "tools/call")], CALL),
            Err(format!("Mcp-Name: {missing}"))
        );
        // Notifications have it or not.
        assert_eq!(compared(&[NEW], NOTE), Ok(()));
        let method = ("mcp-method", "notifications/initialized");
        assert_eq!(compared(&[NEW, method], NOTE), Ok(()));
        assert!(compared(&[NEW, ("mcp-method", "tools/call")], NOTE).is_err());
        let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(compared(&[], response), Ok(()));
        assert!(compared(&[("mcp-method", "tools/call")], response).is_err());
        assert!(compared(&[("mcp-method", "response")], response).is_err());
    }

    #[test]
    fn revision_must_be_known_and_that_of_the_message() {
        let with = |revision: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{revision}"}}}}}}"#
            )
        };
        let method = ("mcp-method", "a");
        assert_eq!(compared(&[NEW, method], &with("2026-07-28")), Ok(()));
        assert_eq!(compared(&[], &with("2025-03-26")), Ok(()));
        for (headers, revision) in [
            (&[NEW, method][..], "2025-11-25"),
            (&[NEW, method], "2026-07-28 "),
            (&[], "2026-07-28"),
            (&[("mcp-protocol-version", "2025-11-25")], "2026-07-28"),
        ] {
            assert!(compared(headers, &with(revision)).is_err(), "{headers:?}");
        }
        for unknown in [
            "2024-11-05",
            "2027-01-01",
            "",
            "draft",
            "2026-07-28 ",
            "\u{e9}",
        ] {
            let headers = headers(&[("mcp-protocol-version", unknown)]);
            let found = MirroredHeaders::parse(&headers);
            assert!(
                matches!(found, Err(McpError::UnknownRevision(_))),
                "{unknown}"
            );
        }
    }

    #[test]
    fn values_are_decoded_in_one_form_only() {
        for (value, expected) in [
            ("add", Some("add")),
            ("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, 世界")),
            // Any text that looks encoded is decoded.
            (
                "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
                Some("=?base64?literal?="),
            ),
            ("=?BASE64?YWRk?=", Some("=?BASE64?YWRk?=")),
            ("=?base64?YWRk", Some("=?base64?YWRk")),
            ("=?base64?YWR?=", None),
            ("=?base64?YWRkZQ?=", None),
            ("=?base64?YWRkZR==?=", None),
            ("=?base64?YW Rk?=", None),
            ("=?base64?_-8=?=", None),
            ("=?base64?/w==?=", None),
            ("=?base64?AA==?=", None),
            ("=?base64??=", None),
            ("caf\u{e9}", None),
            ("a\tb", None),
            ("", None),
        ] {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            assert_eq!(decode(&value).as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn repeated_header_is_refused_even_with_equal_values() {
        for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
            let headers = headers(&[(name, "2026-07-28"), (name, "2026-07-28")]);
            let error = MirroredHeaders::parse(&headers).expect_err("several values");
            assert!(error.to_string().ends_with(REPEATED), "{error}");
        }
    }

    #[test]
    fn headers_alone_name_the_operation() {
        let operation = |written: &[(&'static str, &str)]| {
            let headers = headers(written);
            let mirrored = MirroredHeaders::parse(&headers).expect("headers");
            mirrored
                .operation()
                .map(|found| (found.method.to_owned(), found.name.map(str::to_owned)))
                .ok()
        };
        let call = ("mcp-method", "tools/call");
        assert_eq!(
            operation(&[call, ("mcp-name", "=?base64?w6k=?=")]),
            Some(("tools/call".to_owned(), Some("é".to_owned())))
        );
        let list = [("mcp-method", "tools/list"), ("mcp-name", "x")];
        assert_eq!(operation(&list), Some(("tools/list".to_owned(), None)));
        assert_eq!(operation(&[call]), None);
        assert_eq!(operation(&[("mcp-name", "x")]), None);
        assert_eq!(operation(&[("mcp-method", "response")]), None);
    }
}
