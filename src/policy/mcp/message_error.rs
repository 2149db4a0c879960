//! Why a body is not one message with one reading.

/// Why a body is not one message with one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Some parsers skip a byte order mark, others refuse it.
    #[error("expected UTF-8 without a byte order mark, but found one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("expected UTF-8, but found other bytes")]
    NotUtf8,
    /// No JSON, or something behind it.
    #[error("expected one JSON object and nothing behind it, but found something else")]
    NotJson,
    /// Several messages.
    #[error("expected one message, but found a batch")]
    Batch,
    /// JSON, but no object.
    #[error("expected a JSON object, but found another value")]
    NotAnObject,
    /// Too many levels.
    #[error("expected at most 64 levels of objects and lists, but found more")]
    TooDeep,
    /// A judged object has a name twice.
    #[error("expected each member once, but found one again, or in another case")]
    RepeatedMember,
    /// A name that some parsers take for a judged one.
    #[error("expected members whose names no parser takes for others, but found one")]
    LookalikeMember,
    /// A judged object has too many members.
    #[error("expected at most 128 members, but found more")]
    TooManyMembers,
    /// Another version of JSON-RPC, or none.
    #[error("expected \"jsonrpc\": \"2.0\", but found something else")]
    Version,
    /// Neither a short text nor an exact integer.
    #[error(
        "expected a text of at most 256 bytes or an exact integer as id, but found something else"
    )]
    Id,
    /// Neither or both of a method and an outcome.
    #[error("expected a method, a result or an error, but found none or several")]
    Kind,
    /// The method is no text, or one that no server has.
    #[error("expected the name of a method, but found something else")]
    Method,
    /// Parameters that are not an object.
    #[error("expected an object as params and _meta, but found another value")]
    Params,
    /// What the operation is about is no text.
    #[error("expected a text as the name or uri of the operation, but found something else")]
    Name,
    /// The revision in `_meta` is no text.
    #[error("expected a text as protocolVersion, but found another value")]
    Revision,
}

impl MessageError {
    /// Whether it is no JSON at all, rather than another document than a message.
    #[must_use]
    pub fn is_syntax(self) -> bool {
        matches!(self, Self::ByteOrderMark | Self::NotUtf8 | Self::NotJson)
    }
}
