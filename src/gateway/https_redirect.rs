//! Listeners that send every client to https: `redirect_to_https`.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::refusal::Refusal;
use crate::config::{Config, Listener};
use crate::policy::path::PathError;

/// The default port of https, which a URL leaves out (RFC 9110 §4.2.2).
const HTTPS_PORT: u16 = 443;

/// Where a listener redirects its requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// `external_url`, without a path.
    ExternalUrl(Arc<str>),
    /// The host that the request names.
    RequestedHost {
        /// The index of the only TLS listener.
        listener: usize,
        /// The port of that listener.
        port: u16,
    },
}

impl HttpsRedirect {
    /// For each listener of a file, in their order: where it redirects to; none if it serves routes.
    #[must_use]
    pub fn of_listeners(config: &Config) -> Vec<Option<Self>> {
        let external_url = config.server.external_url.as_ref();
        let external_url =
            external_url.map(|url| Arc::from(url.value.origin().ascii_serialization()));
        let tls = config
            .listeners
            .iter()
            .enumerate()
            .find_map(|(index, one)| {
                let address = one.tls.as_ref().and_then(|_| one.address.value.ip())?;
                Some((index, address.port()))
            });
        let redirect = |listener: &Listener| {
            if !listener.redirects_to_https() {
                return None;
            }
            if let Some(url) = &external_url {
                return Some(Self::ExternalUrl(Arc::clone(url)));
            }
            // Reading the file has refused a redirect without a TLS listener.
            let (listener, port) = tls?;
            Some(Self::RequestedHost { listener, port })
        };
        config.listeners.iter().map(redirect).collect()
    }

    /// Fills in the port of the TLS listener: the file may say 0.
    #[must_use]
    pub fn with_ports(mut self, port_of: impl Fn(usize) -> Option<u16>) -> Self {
        match &mut self {
            Self::RequestedHost { listener, port } => *port = port_of(*listener).unwrap_or(*port),
            Self::ExternalUrl(_) => {}
        }
        self
    }

    /// The `Location` for a request to `host`: its path and query as they came.
    ///
    /// `host` has been checked: it is a host in lower case, without port or user information. So
    /// the redirect leads to the host that the client already talks to, or to `external_url`.
    ///
    /// # Errors
    /// If the target is no path, or has a character that a URL must encode.
    pub(super) fn location(&self, host: &str, parts: &Parts) -> Result<HeaderValue, Refusal> {
        let target = parts
            .uri
            .path_and_query()
            .map_or("", |target| target.as_str());
        // The `*` of OPTIONS would become a part of the host's name.
        if !target.starts_with('/') {
            return Err(PathError::NotAbsolute.into());
        }
        let location = match self {
            Self::ExternalUrl(url) => format!("{url}{target}"),
            Self::RequestedHost {
                port: HTTPS_PORT, ..
            } => format!("https://{host}{target}"),
            Self::RequestedHost { port, .. } => format!("https://{host}:{port}{target}"),
        };
        let is_url = location.bytes().all(|byte| byte.is_ascii_graphic());
        let location = HeaderValue::try_from(location).ok().filter(|_| is_url);
        location.ok_or_else(|| PathError::ForbiddenCharacter.into())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn location(redirect: &HttpsRedirect, target: &str) -> Option<String> {
        let (parts, ()) = Request::builder()
            .uri(target)
            .body(())
            .expect("a target")
            .into_parts();
        let location = redirect.location("api.test", &parts).ok()?;
        Some(location.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn location_has_the_path_and_query_as_they_came() {
        let external = HttpsRedirect::ExternalUrl("https://api.example.com:8443".into());
        let at = |port| HttpsRedirect::RequestedHost { listener: 0, port };
        for (redirect, target, expected) in [
            (&at(443), "/", "https://api.test/"),
            (&at(8443), "/a?b=c", "https://api.test:8443/a?b=c"),
            (&at(443), "http://api.test/a", "https://api.test/a"),
            (&at(443), "http://api.test", "https://api.test/"),
            (&at(443), "//evil.test/..", "https://api.test//evil.test/.."),
            (&at(443), "/a/../%2e%41?@", "https://api.test/a/../%2e%41?@"),
            (&at(443), "/@evil.test", "https://api.test/@evil.test"),
            (&external, "/a?", "https://api.example.com:8443/a?"),
        ] {
            assert_eq!(
                location(redirect, target).as_deref(),
                Some(expected),
                "{target}"
            );
        }
        for target in ["*", "/\u{fc}", "/?\u{fc}"] {
            assert_eq!(location(&at(443), target), None, "{target}");
            assert_eq!(location(&external, target), None, "{target}");
        }
    }

    #[test]
    fn port_that_was_picked_replaces_the_one_of_the_file() {
        let redirect = HttpsRedirect::RequestedHost {
            listener: 1,
            port: 0,
        };
        let redirect = redirect.with_ports(|listener| (listener == 1).then_some(8443));
        assert_eq!(
            location(&redirect, "/a").as_deref(),
            Some("https://api.test:8443/a")
        );
    }
}
