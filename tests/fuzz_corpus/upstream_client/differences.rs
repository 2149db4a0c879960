//! Known differences between the two clients, and why scopegate differs.

use crate::fuzz_bodies::response::outcome::Kind;

/// A known difference.
pub(crate) struct Difference {
    /// Class and name.
    pub(crate) response: &'static str,
    pub(crate) kind: Kind,
    pub(crate) reason: &'static str,
}

const LENGTH_AND_CODING: &str = "a length beside a transfer coding is a pattern of response smuggling (RFC 9112 §6.3): readers disagree which one applies";
const OTHER_CODING: &str = "no request of ours allows a transfer coding but chunked (RFC 9112 §6.1), and readers disagree about lists";
const UNLIKE_LENGTHS: &str =
    "two different lengths are invalid for every status and method (RFC 9112 §6.3)";
const ONE_LENGTH: &str =
    "equal lengths are forwarded as one (RFC 9110 §8.6), so the client sees no ambiguity";
const ANNOUNCED: &str = "a server that announces forbidden content may also send it, and it would be read as the next response";
const CONTROL: &str = "the grammar of chunk extensions has no control characters (RFC 9112 §7.1.1)";
const DIGITS: &str =
    "a 64-bit size has at most sixteen digits; readers with 64-bit sizes disagree about more";
const REASON: &str = "obs-text is allowed in a reason (RFC 9112 §4), so it is preserved";

/// Every difference. Ours is never laxer, and never reuses a connection that hyper closes.
pub(crate) const DIFFERENCES: &[Difference] = &[
    listed(
        "transfer-encoding: with a length",
        Kind::Stricter,
        LENGTH_AND_CODING,
    ),
    listed(
        "transfer-encoding: with a length before",
        Kind::Stricter,
        LENGTH_AND_CODING,
    ),
    listed(
        "transfer-encoding: identity",
        Kind::Stricter,
        LENGTH_AND_CODING,
    ),
    listed(
        "transfer-encoding: chunked twice",
        Kind::Stricter,
        OTHER_CODING,
    ),
    listed(
        "transfer-encoding: chunked twice in a list",
        Kind::Stricter,
        OTHER_CODING,
    ),
    listed(
        "transfer-encoding: chunked, gzip",
        Kind::Stricter,
        OTHER_CODING,
    ),
    listed("transfer-encoding: empty", Kind::Stricter, OTHER_CODING),
    listed("transfer-encoding: gzip", Kind::Stricter, OTHER_CODING),
    listed(
        "transfer-encoding: gzip and chunked apart",
        Kind::Stricter,
        OTHER_CODING,
    ),
    listed(
        "transfer-encoding: gzip, chunked",
        Kind::Stricter,
        OTHER_CODING,
    ),
    listed(
        "transfer-encoding: in a list with nothing",
        Kind::Stricter,
        OTHER_CODING,
    ),
    listed("transfer-encoding: misspelt", Kind::Stricter, OTHER_CODING),
    listed("transfer-encoding: parameter", Kind::Stricter, OTHER_CODING),
    listed("transfer-encoding: quoted", Kind::Stricter, OTHER_CODING),
    listed(
        "head request: unlike lengths",
        Kind::Stricter,
        UNLIKE_LENGTHS,
    ),
    listed(
        "interim: with unlike lengths",
        Kind::Stricter,
        UNLIKE_LENGTHS,
    ),
    listed(
        "content-length: list alike",
        Kind::ReadOtherwise,
        ONE_LENGTH,
    ),
    listed(
        "content-length: twice alike",
        Kind::ReadOtherwise,
        ONE_LENGTH,
    ),
    listed(
        "content-length: twice, alike as numbers",
        Kind::ReadOtherwise,
        ONE_LENGTH,
    ),
    listed("bodiless: 204 chunked", Kind::ClosesMore, ANNOUNCED),
    listed("bodiless: 204 with a length", Kind::ClosesMore, ANNOUNCED),
    listed("bodiless: 304 chunked", Kind::ClosesMore, ANNOUNCED),
    listed("chunk sizes: extension with NUL", Kind::Stricter, CONTROL),
    listed("chunk sizes: seventeen digits", Kind::Stricter, DIGITS),
    listed(
        "status line: reason with obs-text",
        Kind::ReadOtherwise,
        REASON,
    ),
];

const fn listed(response: &'static str, kind: Kind, reason: &'static str) -> Difference {
    Difference {
        response,
        kind,
        reason,
    }
}
