//! The request that the upstream gets, compared with the one that the client sent.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::{Config, Route, SecretOrigin, UpstreamHost};
use crate::gateway::{OmittedClaim, Outgoing};

/// What the upstream gets.
pub(super) struct ForwardedSummary {
    pub(super) upstream: String,
    pub(super) targets: Vec<String>,
    pub(super) method: String,
    pub(super) path: String,
    /// That of the route.
    pub(super) response_timeout: Option<Duration>,
    /// The largest request body, in bytes.
    pub(super) max_body_size: Option<u64>,
    /// Headers that the client did not send, or sent with another value.
    pub(super) added: Vec<(String, String)>,
    /// The names of headers that the upstream does not get.
    pub(super) removed: Vec<String>,
    /// Claim headers that are omitted, because a header cannot express their claims.
    pub(super) omitted_claims: Vec<OmittedClaim>,
}

impl ForwardedSummary {
    /// `route` is the one that the request takes.
    pub(super) fn of(
        outgoing: &Outgoing,
        received: &HeaderMap,
        route: &Route,
        config: &Config,
    ) -> Self {
        let Outgoing {
            route: _,
            upstream,
            parts,
            response_timeout,
            max_body_size,
            omitted,
        } = outgoing;
        let written = config
            .upstreams
            .iter()
            .find(|written| *written.name.value == **upstream);
        let mut added = added_headers(received, &parts.headers);
        name_sources(route, &mut added);
        match written.map(|written| &written.host) {
            Some(UpstreamHost::Target) => {
                added.push(("host".to_owned(), "(the target's)".to_owned()))
            }
            Some(UpstreamHost::Name(name)) => added.push(("host".to_owned(), name.to_string())),
            Some(UpstreamHost::Pass) | None => {}
        }
        let removed = received
            .keys()
            .filter(|name| !parts.headers.contains_key(*name))
            .map(ToString::to_string);
        let targets = written.map(|written| {
            written
                .targets
                .iter()
                .map(|target| target.value.address.to_string())
        });
        Self {
            upstream: upstream.to_string(),
            targets: targets
                .into_iter()
                .flatten()
                .map(|target| target.trim_end_matches('/').to_owned())
                .collect(),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            response_timeout: *response_timeout,
            max_body_size: *max_body_size,
            added,
            removed: removed.collect(),
            omitted_claims: omitted.clone(),
        }
    }
}

// The headers that the upstream gets, and that the client did not send with this value.
fn added_headers(received: &HeaderMap, sent: &HeaderMap) -> Vec<(String, String)> {
    let is_added = |name: &&HeaderName| !received.get_all(*name).iter().eq(sent.get_all(*name));
    let mut added = Vec::new();
    for name in sent.keys().filter(is_added) {
        let values = sent.get_all(name).iter();
        added.extend(values.map(|value| (name.to_string(), printable_value(name, value))));
    }
    added
}

// Values that the route takes from the environment or a file: where they come from is shown, even
// if the client sent the same value.
fn name_sources(route: &Route, added: &mut Vec<(String, String)>) {
    let rules = route.request_headers.iter().flat_map(|rules| &rules.set);
    for (name, value) in rules {
        let source = match value.value.origin() {
            SecretOrigin::Bare => None,
            SecretOrigin::Variable(variable) => {
                Some(format!("(the environment variable {variable:?})"))
            }
            SecretOrigin::File(path) => Some(format!("(the file {path:?})")),
        };
        if let Some(source) = source {
            let name = name.value.to_ascii_lowercase();
            added.retain(|(other, _)| *other != name);
            added.push((name, source));
        }
    }
}

// A header value, unless it may hold a token or a session.
fn printable_value(name: &HeaderName, value: &HeaderValue) -> String {
    if value.is_sensitive() || name == header::AUTHORIZATION || name == header::COOKIE {
        return "(not shown)".to_owned();
    }
    match value.to_str() {
        Ok(text) => text.to_owned(),
        // Outside ASCII, there may be control characters of a terminal.
        Err(_) => String::from_utf8_lossy(value.as_bytes())
            .escape_debug()
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_is_never_printed_whatever_its_characters() {
        let mut key = HeaderValue::from_static("s3cret");
        key.set_sensitive(true);
        let cookie = |bytes| HeaderValue::from_bytes(bytes).expect("a value");
        for (name, value) in [
            (header::AUTHORIZATION, cookie(b"Bearer a")),
            (header::COOKIE, cookie(b"a=b")),
            (header::COOKIE, cookie(b"a=caf\xc3\xa9")),
            (header::COOKIE, cookie(b"a=\xff")),
            (HeaderName::from_static("x-api-key"), key),
        ] {
            assert_eq!(printable_value(&name, &value), "(not shown)", "{value:?}");
        }
        let claim = HeaderName::from_static("x-groups");
        for (value, printed) in [
            (&b"[\"a\"]"[..], "[\"a\"]"),
            (b"caf\xc3\xa9\xc2\x9b", "caf\u{e9}\\u{9b}"),
        ] {
            assert_eq!(printable_value(&claim, &cookie(value)), printed);
        }
    }
}
