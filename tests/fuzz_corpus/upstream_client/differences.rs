//! Where the two clients differ, and why that is as it should be.

use crate::fuzz_bodies::response::outcome::Kind;

/// A difference that is known.
pub(crate) struct Difference {
    /// Class and name.
    pub(crate) response: &'static str,
    pub(crate) kind: Kind,
    pub(crate) reason: &'static str,
}

const LENGTH_AND_CODING: &str = "a length beside a transfer coding is the pattern of response smuggling (RFC 9112 §6.3): readers differ in which of them they take";
const OTHER_CODING: &str = "no request of ours allows a transfer coding but chunked (RFC 9112 §6.1), and a list is read in several ways";
const UNLIKE_LENGTHS: &str =
    "two lengths are a broken message whatever its status or method (RFC 9112 §6.3)";
const ONE_LENGTH: &str =
    "equal lengths are forwarded as one (RFC 9110 §8.6), so that the client need not judge them";
const ANNOUNCED: &str = "a server that announces content where there is none may send it as well, and it would be read as the next response";
const CONTROL: &str =
    "a control character in an extension is outside its grammar (RFC 9112 §7.1.1)";
const DIGITS: &str =
    "sixteen digits are all that a 64-bit size has; readers that count in 64 bits differ beyond";
const REASON: &str = "obs-text may stand in a reason (RFC 9112 §4), and is kept";

/// Every difference. Ours is nowhere laxer, and nowhere uses a connection again that hyper closes.
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
