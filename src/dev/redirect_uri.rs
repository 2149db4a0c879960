//! Redirect URIs. Only loopback ones are accepted (RFC 8252 §7.3), so that no authorization code
//! leaves this machine.

use std::net::Ipv6Addr;

use url::{Host, Url};

const MAX_LENGTH: usize = 2048;

/// An `http` or `https` URI with a loopback host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RedirectUri {
    text: String,
    url: Url,
}

impl RedirectUri {
    /// Parses a redirect URI (RFC 6749 §3.1.2). `None` if it may lead off this machine.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The parser reads `\` as `/` and skips white space; clients that compare strings do not.
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if !is_plain || text.len() > MAX_LENGTH || text.contains('#') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https");
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_loopback = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address == Ipv6Addr::LOCALHOST,
        };
        (is_web && !has_user && is_loopback).then(|| Self {
            text: text.to_owned(),
            url,
        })
    }

    /// As the client wrote it.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both are the same but for the port: an application on loopback listens on any free
    /// one (RFC 8252 §7.3).
    pub(super) fn differs_at_most_in_port(&self, other: &Self) -> bool {
        let parts = |uri: &Self| {
            let url = &uri.url;
            [url.scheme(), url.path(), url.query().unwrap_or_default()].map(str::to_owned)
        };
        self.url.host() == other.url.host() && parts(self) == parts(other)
    }

    /// Scheme, host and port, to show where the browser goes next.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// A source of a Content-Security-Policy that matches it. CSP has no form for IPv6 addresses.
    pub(super) fn csp_source(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv6(_)) | None => format!("{}:", self.url.scheme()),
            Some(Host::Domain(_) | Host::Ipv4(_)) => self.origin(),
        }
    }

    /// With these parameters at the end of its query (RFC 6749 §4.1.2).
    pub(super) fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_uris_are_accepted() {
        let cases = [
            ("http://127.0.0.1:1234/callback", true),
            ("http://localhost/callback?a=b", true),
            ("http://[::1]:1234/", true),
            ("https://localhost:8443/callback", true),
            ("https://app.example/callback", false),
            ("http://localhost.evil.example/", false),
            ("http://127.0.0.1.evil.example/", false),
            ("http://127.0.0.1@evil.example/", false),
            ("http://user@127.0.0.1/", false),
            ("http://evil.example#@127.0.0.1/", false),
            ("http://evil.example\\@127.0.0.1/", false),
            ("http://127.0.0.1\\@evil.example/", false),
            ("http://127.0.0.1/callback#", false),
            ("http://127.0.0.1/\r\nset-cookie:a=b", false),
            ("http://127.0.0.1/\u{e9}", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("app://callback", false),
            ("javascript:alert(1)", false),
            ("data:text/html,a", false),
            ("/callback", false),
            ("", false),
        ];
        for (text, accepted) in cases {
            assert_eq!(RedirectUri::parse(text).is_some(), accepted, "{text:?}");
        }
        let long = format!("http://127.0.0.1/{}", "a".repeat(MAX_LENGTH));
        assert_eq!(RedirectUri::parse(&long), None);
    }

    #[test]
    fn port_alone_may_differ() {
        let uri = |text| RedirectUri::parse(text).expect("a loopback URI");
        let registered = uri("http://127.0.0.1:1/callback?a=b");
        for (text, fits) in [
            ("http://127.0.0.1:2/callback?a=b", true),
            ("http://127.0.0.1/callback?a=b", true),
            ("http://127.0.0.2:1/callback?a=b", false),
            ("http://localhost:1/callback?a=b", false),
            ("https://127.0.0.1:1/callback?a=b", false),
            ("http://127.0.0.1:1/callback/?a=b", false),
            ("http://127.0.0.1:1/callback", false),
            ("http://127.0.0.1:1/callback?a=b&c", false),
        ] {
            assert_eq!(
                registered.differs_at_most_in_port(&uri(text)),
                fits,
                "{text}"
            );
        }
    }

    #[test]
    fn parameters_are_appended_and_encoded() {
        let uri = RedirectUri::parse("http://127.0.0.1:1/callback?a=b").expect("a loopback URI");
        assert_eq!(
            uri.with(&[("state", "x&y=z\r\n#\u{e9}")]),
            "http://127.0.0.1:1/callback?a=b&state=x%26y%3Dz%0D%0A%23%C3%A9"
        );
    }
}
