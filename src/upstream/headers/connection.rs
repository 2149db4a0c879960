//! The options of `Connection` (RFC 9110 §7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Whether `Connection` has this option.
pub(super) fn has_option(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(options)
        .any(|found| found.eq_ignore_ascii_case(option.as_bytes()))
}

/// The fields that `Connection` names, except those that are never forwarded.
///
/// An option that is not a token is skipped: no field has such a name. The rest of the list counts.
pub(super) fn named_fields(headers: &HeaderMap) -> Vec<HeaderName> {
    // The values of most messages; neither names a field.
    let is_usual = |value: &&HeaderValue| {
        ["keep-alive", "close"]
            .iter()
            .any(|usual| value.as_bytes().eq_ignore_ascii_case(usual.as_bytes()))
    };
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter(|value| !is_usual(value))
        .flat_map(options)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| {
            !matches!(
                name.as_str(),
                "close" | "keep-alive" | "te" | "transfer-encoding" | "upgrade"
            )
        })
        .collect()
}

// Octets instead of text: one byte outside ASCII must not hide the options beside it.
fn options(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
}
