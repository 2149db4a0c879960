//! Hints for messages about issuer identifiers that nearly match.
//!
//! Issuer identifiers are compared as strings (RFC 8414 §3.3, RFC 7519 §2), so one with a trailing
//! slash is another issuer.
//!
//! 1. Nothing here decides. A hint only shows an operator that two identifiers probably mean the
//!    same issuer.
//! 2. Hosts and paths must be equal except for letter case and trailing slashes. Other differences
//!    mean another server, or another tenant.

/// How `found` differs from a similar identifier: "a trailing slash", "the scheme". `None` if not
/// similar.
#[must_use]
pub fn difference(found: &str, expected: &str) -> Option<String> {
    let (one, other) = (Parts::of(found), Parts::of(expected));
    if !one.host.eq_ignore_ascii_case(other.host) || !one.path.eq_ignore_ascii_case(other.path) {
        return None;
    }
    let differs_in_case = one.scheme.eq_ignore_ascii_case(other.scheme)
        && (one.scheme, one.host, one.path) != (other.scheme, other.host, other.path);
    let differences = [
        (found.trim().len() != found.len(), "white space around it"),
        (!one.scheme.eq_ignore_ascii_case(other.scheme), "the scheme"),
        (differs_in_case, "upper and lower case"),
        (one.port != other.port, "the port"),
        (one.slashes != other.slashes, "a trailing slash"),
    ];
    let differences: Vec<_> = differences
        .iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, name)| *name)
        .collect();
    (!differences.is_empty()).then(|| differences.join(" and "))
}

/// `, which differs from "…" by …` for the first similar identifier in `expected`; else empty.
pub(crate) fn hint<'e>(found: Option<&str>, expected: impl IntoIterator<Item = &'e str>) -> String {
    let near = |expected: &str| {
        let difference = difference(found?, expected)?;
        Some(format!(
            ", which differs from {:?} by {difference}",
            crate::text::truncated(expected)
        ))
    };
    expected.into_iter().find_map(near).unwrap_or_default()
}

/// The parts of an identifier. Most identifiers are URLs; some are plain names.
struct Parts<'t> {
    scheme: &'t str,
    host: &'t str,
    port: &'t str,
    path: &'t str,
    slashes: usize,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Self {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("", text.trim()));
        let whole = rest.trim_end_matches('/');
        let (authority, path) = whole.split_at(whole.find('/').unwrap_or(whole.len()));
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = authority
            .rsplit_once(':')
            .filter(|(_, port)| is_port(port))
            .unwrap_or((authority, ""));
        Self {
            scheme,
            host,
            port,
            path,
            slashes: rest.len() - whole.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn similar_identifiers_have_a_named_difference() {
        for (found, other, expected) in [
            (
                "https://id.example.com/",
                "https://id.example.com",
                Some("a trailing slash"),
            ),
            (
                "https://id.example.com",
                "https://id.example.com/",
                Some("a trailing slash"),
            ),
            (
                "https://id.example.com/realms/a/",
                "https://id.example.com/realms/a",
                Some("a trailing slash"),
            ),
            (
                "http://id.example.com",
                "https://id.example.com",
                Some("the scheme"),
            ),
            (
                "id.example.com",
                "https://id.example.com",
                Some("the scheme"),
            ),
            (
                "http://id.example.com/",
                "https://id.example.com",
                Some("the scheme and a trailing slash"),
            ),
            (
                "https://id.example.com:443",
                "https://id.example.com",
                Some("the port"),
            ),
            (
                "https://id.example.com:8443/a",
                "https://id.example.com:9443/a",
                Some("the port"),
            ),
            (
                "https://ID.example.com/Realms/a",
                "https://id.example.com/realms/a",
                Some("upper and lower case"),
            ),
            ("Corp", "corp", Some("upper and lower case")),
            (
                " https://id.example.com",
                "https://id.example.com",
                Some("white space around it"),
            ),
            ("https://[::1]:8443", "https://[::1]", Some("the port")),
            ("https://id.example.com", "https://id.example.com", None),
            ("https://id.example.org", "https://id.example.com", None),
            (
                "https://id.example.com/realms/b",
                "https://id.example.com/realms/a",
                None,
            ),
            (
                "https://id.example.com/realms",
                "https://id.example.com",
                None,
            ),
            ("", "https://id.example.com", None),
        ] {
            assert_eq!(
                difference(found, other).as_deref(),
                expected,
                "{found:?} and {other:?}"
            );
        }
    }
}
