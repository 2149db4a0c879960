//! The host that a request names, and the hosts that a route answers to.
//!
//! 1. Hosts are compared in lower case, without port or trailing dot.
//! 2. `*.example.com` stands for every host beneath `example.com`, at any depth, and not for `example.com`.
//! 3. A `Host` that is no plain host with an optional port is refused: user information, escapes and spaces are read
//!    by every server in its own way (RFC 9112 §3.2).

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

// RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 253;

/// Why a `Host` value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no host.
    #[error("expected a host, but found none")]
    Empty,
    /// It is longer than any name can be.
    #[error("expected a host of at most {LONGEST_NAME} characters, but found a longer one")]
    TooLong,
    /// A character that stands in no host name: user information, a space, an escape, non-ASCII.
    #[error("expected a host of ASCII letters, digits, - _ and ., but found another character")]
    ForbiddenCharacter,
    /// Two dots in a row, or one at the start.
    #[error("expected a name between two dots, but found none")]
    EmptyLabel,
    /// What follows the host is not `:` and a number up to 65535.
    #[error("expected a port from 0 to 65535, but found something else")]
    InvalidPort,
    /// What stands in brackets is no IPv6 address.
    #[error("expected an IPv6 address in brackets, but found something else")]
    InvalidIpv6,
}

/// Reads the value of a `Host` header: the host in lower case, without port or trailing dot (RFC 9110 §7.2).
///
/// Borrows what is normal, except for IPv6 addresses.
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
    let (mut has_empty_label, mut has_upper_case, mut last) = (false, false, b'.');
    for byte in name.bytes() {
        if !is_name_character(byte) {
            return Err(HostError::ForbiddenCharacter);
        }
        has_empty_label |= last == b'.' && byte == b'.';
        has_upper_case |= byte.is_ascii_uppercase();
        last = byte;
    }
    check_port(port)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > LONGEST_NAME {
        return Err(HostError::TooLong);
    }
    if has_empty_label {
        return Err(HostError::EmptyLabel);
    }
    Ok(if has_upper_case {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// A host that a route answers to, or every host beneath one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    // `api.example.com`, or `.example.com` for everything beneath it.
    pub(super) name: Box<str>,
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// The host itself is wrong.
    #[error("{0}")]
    Host(#[from] HostError),
    /// A route answers on every port.
    #[error("expected a host without port, but found {0:?}")]
    Port(String),
    /// A `*` anywhere but in front of the first dot.
    #[error("expected a * only as the first label, as in \"*.example.com\", but found {0:?}")]
    Wildcard(String),
    /// An address has nothing beneath it.
    #[error("expected a name after \"*.\", but found {0:?}")]
    BeneathAddress(String),
}

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// See [`HostPatternError`].
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let beneath = text.strip_prefix("*.");
        let host = beneath.unwrap_or(text);
        if host.contains('*') {
            return Err(HostPatternError::Wildcard(text.to_owned()));
        }
        let normal = normal_host(host)?;
        let is_address = normal.starts_with('[');
        if host[host.find(']').unwrap_or(0)..].contains(':') {
            return Err(HostPatternError::Port(text.to_owned()));
        }
        match beneath {
            Some(_) if is_address => Err(HostPatternError::BeneathAddress(text.to_owned())),
            Some(_) => Ok(Self {
                name: format!(".{normal}").into(),
            }),
            None => Ok(Self {
                name: normal.into(),
            }),
        }
    }

    /// Whether it stands for this host, as [`normal_host`] reads it.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if self.is_beneath() {
            host.ends_with(&*self.name)
        } else {
            *host == *self.name
        }
    }

    pub(super) fn is_beneath(&self) -> bool {
        self.name.starts_with('.')
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            if self.is_beneath() { "*" } else { "" },
            self.name
        )
    }
}

fn check_port(port: &str) -> Result<(), HostError> {
    // RFC 3986 §3.2.3 has `host:` with an empty port as well.
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

fn is_name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

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
