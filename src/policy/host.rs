//! The host of a request, and the host patterns of a route.
//!
//! 1. Hosts are compared in lower case, without port or trailing dot.
//! 2. `*.example.com` matches every subdomain of `example.com`, at any depth, but not
//!    `example.com`.
//! 3. `Host` must be a plain host with an optional port. User information, escapes and spaces are
//!    refused: servers disagree about them (RFC 9112 §3.2).

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

// RFC 1035 §2.3.4.
const MAX_NAME_LENGTH: usize = 253;

/// Why a `Host` value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no host.
    #[error("expected a host, but found none")]
    Empty,
    /// The host is longer than a DNS name can be.
    #[error("expected a host of at most {MAX_NAME_LENGTH} characters, but found a longer one")]
    TooLong,
    /// A character that is not allowed in a host name: user information, a space, an escape,
    /// non-ASCII.
    #[error("expected a host of ASCII letters, digits, - _ and ., but found another character")]
    ForbiddenCharacter,
    /// Two dots in a row, or one at the start.
    #[error("expected a name between two dots, but found none")]
    EmptyLabel,
    /// The host is not followed by `:` and a number up to 65535.
    #[error("expected a port from 0 to 65535, but found other text")]
    InvalidPort,
    /// The text in brackets is not an IPv6 address.
    #[error("expected an IPv6 address in brackets, but found other text")]
    InvalidIpv6,
}

/// Normalizes the value of a `Host` header: lower case, without port or trailing dot
/// (RFC 9110 §7.2).
///
/// Allocates only for upper case and IPv6 addresses.
///
/// # Errors
/// See [`HostError`].
pub fn normal_host(authority: &str) -> Result<Cow<'_, str>, HostError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(HostError::InvalidIpv6)?;
        let address: Ipv6Addr = address.parse().map_err(|_| HostError::InvalidIpv6)?;
        check_port(port)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    let end = authority
        .bytes()
        .position(|byte| byte == b':')
        .unwrap_or(authority.len());
    let (name, port) = authority.split_at(end);
    let (mut seen, mut empty_labels, mut last) = (0, 0, DOT);
    for byte in name.bytes() {
        let class = CLASSES[usize::from(byte)];
        if class == 0 {
            return Err(HostError::ForbiddenCharacter);
        }
        empty_labels |= last & class & DOT;
        seen |= class;
        last = class;
    }
    check_port(port)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(HostError::TooLong);
    }
    if empty_labels != 0 {
        return Err(HostError::EmptyLabel);
    }
    Ok(if seen & UPPER_CASE != 0 {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// A host, or all subdomains of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    // `api.example.com`, or `.example.com` for its subdomains.
    pub(super) name: Box<str>,
}

/// Why a text is not a [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// The host is invalid.
    #[error("{0}")]
    Host(#[from] HostError),
    /// A port: routes match every port.
    #[error("expected a host without port, but found {0:?}")]
    Port(String),
    /// A `*` that is not the whole first label.
    #[error("expected a * only as the first label, as in \"*.example.com\", but found {0:?}")]
    Wildcard(String),
    /// An address has no subdomains.
    #[error("expected a name after \"*.\", but found {0:?}")]
    SubdomainOfAddress(String),
}

impl HostPattern {
    /// Parses `api.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// See [`HostPatternError`].
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let parent = text.strip_prefix("*.");
        let host = parent.unwrap_or(text);
        if host.contains('*') {
            return Err(HostPatternError::Wildcard(text.to_owned()));
        }
        let normal = normal_host(host)?;
        let is_address = normal.starts_with('[');
        if host[host.find(']').unwrap_or(0)..].contains(':') {
            return Err(HostPatternError::Port(text.to_owned()));
        }
        match parent {
            Some(_) if is_address => Err(HostPatternError::SubdomainOfAddress(text.to_owned())),
            Some(_) => Ok(Self {
                name: format!(".{normal}").into(),
            }),
            None => Ok(Self {
                name: normal.into(),
            }),
        }
    }

    /// Whether the pattern matches a host that [`normal_host`] returned.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if self.is_wildcard() {
            host.ends_with(&*self.name)
        } else {
            *host == *self.name
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.name.starts_with('.')
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            if self.is_wildcard() { "*" } else { "" },
            self.name
        )
    }
}

fn check_port(port: &str) -> Result<(), HostError> {
    // RFC 3986 §3.2.3 allows an empty port (`host:`).
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() {
            Ok(())
        } else {
            Err(HostError::InvalidPort)
        };
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || is_number && digits.parse::<u16>().is_ok() {
        Ok(())
    } else {
        Err(HostError::InvalidPort)
    }
}

const OTHER: u8 = 1;
const UPPER_CASE: u8 = 2;
const DOT: u8 = 4;
/// The class of each character of a name; 0 for those that none has. A look in a table costs less than
/// the comparisons.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' => UPPER_CASE,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => OTHER,
            b'.' => DOT,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_lower_case_without_port_and_trailing_dot() {
        for (authority, host) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM:8443", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com.:80", "api.example.com"),
            ("localhost:", "localhost"),
            ("my_host-1:65535", "my_host-1"),
            ("127.0.0.1:080", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:8080", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
        ] {
            assert_eq!(normal_host(authority).as_deref(), Ok(host), "{authority}");
        }
        assert!(matches!(
            normal_host("api.example.com:8443"),
            Ok(Cow::Borrowed("api.example.com"))
        ));
    }

    #[test]
    fn invalid_host_is_refused() {
        use HostError::*;
        for (authority, error) in [
            ("", Empty),
            (":80", Empty),
            (".", Empty),
            ("user@example.com", ForbiddenCharacter),
            ("user:pass@example.com", InvalidPort),
            ("exa mple.com", ForbiddenCharacter),
            (" example.com", ForbiddenCharacter),
            ("example.com/x", ForbiddenCharacter),
            ("ex%61mple.com", ForbiddenCharacter),
            ("*.example.com", ForbiddenCharacter),
            ("b\u{fc}cher.example", ForbiddenCharacter),
            ("a,b", ForbiddenCharacter),
            ("a..b", EmptyLabel),
            (".a", EmptyLabel),
            ("a..", EmptyLabel),
            ("a:65536", InvalidPort),
            ("a:+80", InvalidPort),
            ("a:-1", InvalidPort),
            ("a:80:80", InvalidPort),
            ("a:80 ", InvalidPort),
            ("::1", InvalidPort),
            ("[::1", InvalidIpv6),
            ("[]", InvalidIpv6),
            ("[1.2.3.4]", InvalidIpv6),
            ("[fe80::1%25eth0]", InvalidIpv6),
            ("[v1.x]", InvalidIpv6),
            ("[::1]80", InvalidPort),
            ("[::1].", InvalidPort),
        ] {
            assert_eq!(normal_host(authority), Err(error), "{authority:?}");
        }
        assert_eq!(normal_host(&"a".repeat(254)), Err(TooLong));
    }

    #[test]
    fn pattern_is_a_host_or_everything_beneath_one() {
        for (text, written) in [
            ("API.example.com.", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(
                HostPattern::parse(text).map(|pattern| pattern.to_string()),
                Ok(written.to_owned())
            );
        }
        for (text, message) in [
            ("", "expected a host, but found none"),
            (
                "api.example.com:80",
                "expected a host without port, but found \"api.example.com:80\"",
            ),
            (
                "[::1]:80",
                "expected a host without port, but found \"[::1]:80\"",
            ),
            (
                "*",
                "expected a * only as the first label, as in \"*.example.com\", but found \"*\"",
            ),
            (
                "a.*.com",
                "expected a * only as the first label, as in \"*.example.com\", but found \"a.*.com\"",
            ),
            (
                "*.[::1]",
                "expected a name after \"*.\", but found \"*.[::1]\"",
            ),
        ] {
            assert_eq!(
                HostPattern::parse(text).map_err(|error| error.to_string()),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }
}
