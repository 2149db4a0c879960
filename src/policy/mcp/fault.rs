//! The response to a request that is refused for its message or its mirrored headers.

use serde_json::{Value, json};

use super::media_type::MediaTypeError;
use super::message::{Id, Message};
use super::message_error::MessageError;
use super::revision::Revision;
use crate::text::truncated;

/// JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
/// MCP 2026-07-28, Streamable HTTP.
const HEADER_MISMATCH: i32 = -32020;
const UNSUPPORTED_REVISION: i32 = -32022;

/// Why the operation of a request is not permitted, whatever its token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum McpError {
    /// The body is not labelled as JSON in UTF-8: 415.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
    /// The body is not one message with one reading: 400.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A request of a method without message has a body: 400.
    #[error("expected no body with this method, but found one")]
    UnexpectedBody,
    /// A mirrored header is missing, malformed, or does not agree with the message: 400.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// `MCP-Protocol-Version` names no known revision: 400.
    #[error("expected a known revision in MCP-Protocol-Version, but found {:?}", quoted(.0))]
    UnknownRevision(Box<[u8]>),
    /// The revision has no mirrored headers, and the route goes by them: 400.
    #[error(
        "expected a revision whose headers mirror the message (mcp.body = \"trust\"), but found {0}"
    )]
    RevisionWithoutHeaders(Revision),
    /// No rule matches the operation: 403.
    #[error("expected an operation that a rule of tools matches, but found {0}")]
    NoRule(String),
}

/// Why headers and message do not agree: JSON-RPC error -32020.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct HeaderError {
    /// The header, as it is usually written.
    pub name: &'static str,
    /// What was expected and what was found.
    pub problem: &'static str,
}

/// An [`McpError`], and the message that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct McpFault {
    /// What is wrong.
    pub error: McpError,
    id: Option<Id>,
}

fn quoted(revision: &[u8]) -> String {
    truncated(&String::from_utf8_lossy(revision))
}

impl McpFault {
    pub(super) fn without_id(error: McpError) -> Self {
        Self { error, id: None }
    }

    pub(super) fn of_message(error: McpError, message: &Message<'_>) -> Self {
        Self {
            error,
            id: message.id.clone(),
        }
    }

    /// The response of JSON-RPC, where that is what the client expects: for a 400. It repeats the
    /// `id` of the message, and the revision that is not known.
    #[must_use]
    pub fn response(&self) -> Option<String> {
        let (code, message, data) = match &self.error {
            McpError::MediaType(_) | McpError::NoRule(_) => return None,
            McpError::Message(error) if error.is_syntax() => (PARSE_ERROR, "Parse error", None),
            McpError::Message(_) | McpError::UnexpectedBody => {
                (INVALID_REQUEST, "Invalid Request", None)
            }
            McpError::Header(_) => (
                HEADER_MISMATCH,
                "A header is missing, malformed or different from the message",
                None,
            ),
            McpError::UnknownRevision(found) => (
                UNSUPPORTED_REVISION,
                UNSUPPORTED,
                Some(supported(&quoted(found), |_| true)),
            ),
            McpError::RevisionWithoutHeaders(found) => {
                let data = supported(found.name(), Revision::mirrors_messages);
                (UNSUPPORTED_REVISION, UNSUPPORTED, Some(data))
            }
        };
        let mut error = json!({ "code": code, "message": message });
        if let Some(data) = data {
            error["data"] = data;
        }
        let response = json!({ "jsonrpc": "2.0", "id": self.id, "error": error });
        Some(format!("{response}\n"))
    }
}

const UNSUPPORTED: &str = "Unsupported protocol version";

fn supported(requested: &str, is_supported: impl Fn(Revision) -> bool) -> Value {
    let known = Revision::KNOWN.into_iter();
    let names: Vec<_> = known
        .filter(|revision| is_supported(*revision))
        .map(Revision::name)
        .collect();
    json!({ "supported": names, "requested": requested })
}
