//! The operation that a request to an MCP server asks for (Model Context Protocol, Streamable HTTP),
//! and what it requires of a token.
//!
//! 1. What was judged is what runs. A message has one reading or is refused: a server's parser may
//!    be more lenient, and must not find another operation in the same bytes.
//! 2. Headers that mirror the message (`Mcp-Method`, `Mcp-Name`, `MCP-Protocol-Version`) must agree
//!    with it, because a server may go by either.
//! 3. The first rule that matches an operation decides. An operation without a rule is refused.
//! 4. Where the headers alone are judged ([`JudgedBy::Headers`]), the server must compare them with
//!    the message. Revisions without these headers are refused there.
//!
//! - `message`: reads a message; `message_error`: why it is none. `skipped`: the values in it that nothing judges. `names`: names
//!   that another parser may take for one that is judged.
//! - `headers`: the mirrored headers. `media_type`: how a body must be labelled. `revision`: the
//!   revisions of the protocol.
//! - `rules`: what operations require. `fault`: the response to a client that is refused.

mod fault;
mod headers;
mod media_type;
mod message;
mod message_error;
mod names;
mod revision;
mod rules;
mod skipped;

use http::{HeaderMap, Method};

pub use fault::{HeaderError, McpError, McpFault};
pub use headers::{HEADERS, RESPONSE_HEADERS};
pub use media_type::MediaTypeError;
pub use message::{Id, Message};
pub use message_error::MessageError;
pub use revision::Revision;
pub use rules::{Operation, OperationLabel, OperationRule, OperationRules, RuleSource};

use super::cors::{self, OriginList};
use super::requirement::SharedParameters;
use crate::values::JudgedBy;
use headers::MirroredHeaders;

/// What an MCP route requires beside its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpPolicy {
    /// What is judged.
    pub judged_by: JudgedBy,
    /// The pages that may send requests. Clients that are no browsers send no `Origin`.
    pub origins: OriginList,
    /// What each operation requires.
    pub rules: OperationRules,
}

impl McpPolicy {
    /// Whether the `Origin` of a request is allowed. Without this check, a page of any site could
    /// reach a server on its visitor's machine by DNS rebinding.
    #[must_use]
    pub fn allows_origin(&self, headers: &HeaderMap) -> bool {
        !headers.contains_key(http::header::ORIGIN)
            || cors::origin(headers).is_some_and(|origin| self.origins.contains(origin))
    }

    /// Judges a request whose body is not read.
    ///
    /// # Errors
    /// See [`McpError`]; the client gets the fault without an `id`, because that is in the body.
    pub fn judge_headers<'p>(
        &'p self,
        method: &Method,
        headers: &HeaderMap,
        has_body: bool,
    ) -> Result<Option<(usize, &'p OperationRule)>, McpFault> {
        let judge = || {
            let mirrored = MirroredHeaders::parse(headers)?;
            if !mirrored.revision.mirrors_messages() {
                return Err(McpError::RevisionWithoutHeaders(mirrored.revision));
            }
            if is_without_message(method) {
                mirrored.expect_no_message(has_body)?;
                return Ok(None);
            }
            let operation = mirrored.operation()?;
            self.rule_for(&operation).map(Some)
        };
        judge().map_err(McpFault::without_id)
    }

    /// Judges a request by its whole body.
    ///
    /// # Errors
    /// See [`McpError`].
    pub fn judge_message<'p>(
        &'p self,
        method: &Method,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<(usize, &'p OperationRule)>, McpFault> {
        if is_without_message(method) {
            let judged = MirroredHeaders::parse(headers)
                .and_then(|mirrored| mirrored.expect_no_message(!body.is_empty()));
            return judged.map(|()| None).map_err(McpFault::without_id);
        }
        check_head(method, headers)?;
        let message = Message::parse(body).map_err(|error| McpFault::without_id(error.into()))?;
        let judge = || {
            let mirrored = MirroredHeaders::parse(headers)?;
            mirrored.compare(&message)?;
            self.rule_for(&message.operation())
        };
        judge()
            .map(Some)
            .map_err(|error| McpFault::of_message(error, &message))
    }

    /// Whether a request that passes this policy certainly passes `other`. Uncertain is no.
    #[must_use]
    pub fn is_as_strict_as(&self, other: &Self, shared: SharedParameters) -> bool {
        let Self {
            judged_by,
            origins,
            rules,
        } = other;
        self.judged_by == *judged_by
            && self.origins == *origins
            && self.rules.are_as_strict_as(rules, shared)
    }

    pub(super) fn moved(&self, segment: &impl Fn(&str) -> usize) -> Self {
        Self {
            rules: self.rules.moved(segment),
            ..self.clone()
        }
    }

    fn rule_for(&self, operation: &Operation<'_>) -> Result<(usize, &OperationRule), McpError> {
        self.rules
            .find(operation)
            .ok_or_else(|| McpError::NoRule(operation.describe()))
    }
}

/// Checks what can be checked of a message before its body is read.
///
/// # Errors
/// It is not labelled as JSON in UTF-8.
pub fn check_head(method: &Method, headers: &HeaderMap) -> Result<(), McpFault> {
    if is_without_message(method) {
        return Ok(());
    }
    media_type::check(headers).map_err(|error| McpFault::without_id(error.into()))
}

/// Whether requests of this method have no message: `GET` opens a stream, and `DELETE` ends a
/// session (revisions before 2026-07-28). The body of any other method is judged.
#[must_use]
pub fn is_without_message(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS].contains(method)
}

#[cfg(test)]
mod tests;
