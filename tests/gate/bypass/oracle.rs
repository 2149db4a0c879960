//! Judges what reaches the upstream. It shares no code with the gateway.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::generator::Case;
use super::lenient::{self, decode};
use harness::Received;

/// What a resource requires.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    Nothing,
    AnyToken,
    /// All of these; `{name}` is the value of a parameter.
    Scope(&'static str),
    AnyScope(&'static [&'static str]),
}

/// A resource, and its route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource {
    host: &'static str,
    pub(super) path: &'static str,
    methods: &'static str,
    needs: Needs,
}

/// How a server may read what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Byte for byte.
    Strict,
    /// Decoded once (RFC 3986).
    Decoded,
    /// In every way known of a lenient server.
    Lenient,
}

impl Resource {
    pub(super) const fn new(
        host: &'static str,
        path: &'static str,
        methods: &'static str,
        needs: Needs,
    ) -> Self {
        Self {
            host,
            path,
            methods,
            needs,
        }
    }

    /// The `[[routes]]` table for it.
    pub(super) fn route(&self) -> String {
        let stripped = self.host == "stripped.test";
        let prefix = if stripped { "/api" } else { "" };
        let mut route = format!(
            "[[routes]]\npath = \"{prefix}{}\"\nupstream = \"up\"\n",
            self.path
        );
        if stripped {
            route.push_str("strip_prefix = \"/api\"\n");
        }
        if !self.host.is_empty() {
            route.push_str(&format!("host = \"{}\"\n", self.host));
        }
        // In a route, GET includes HEAD.
        let methods: Vec<_> = self
            .methods
            .split_whitespace()
            .filter(|method| *method != "HEAD")
            .collect();
        if !methods.is_empty() {
            route.push_str(&format!("methods = {methods:?}\n"));
        }
        route.push_str(&match self.needs {
            Needs::Nothing => "public = true\n".to_owned(),
            Needs::AnyToken => "claim_headers = { \"X-Client-Id\" = \"client_id\" }\n".to_owned(),
            Needs::Scope(scope) => format!("scope = \"{scope}\"\n"),
            Needs::AnyScope(sets) => format!("any_scope = {sets:?}\n"),
        });
        route
    }

    fn host_rank(&self, host: &str) -> Option<usize> {
        match self.host.strip_prefix('*') {
            _ if self.host.is_empty() => Some(0),
            Some(suffix) => host.ends_with(suffix).then_some(suffix.len()),
            None => (host == self.host).then_some(usize::MAX),
        }
    }

    // The rank of the match, segment by segment, and the values of the parameters.
    fn fit(
        &self,
        segments: &[String],
        reading: Reading,
    ) -> Option<(Vec<u8>, BTreeMap<&'static str, String>)> {
        let (mut rank, mut values) = (Vec::new(), BTreeMap::new());
        let mut segments = segments.iter();
        for expected in self.path.split('/').skip(1) {
            if expected.starts_with("{*") {
                rank.push(0);
                return Some((rank, values));
            }
            let segment = segments.next()?;
            let literal = if reading == Reading::Lenient {
                lenient::folded(expected)
            } else {
                expected.to_owned()
            };
            if let Some(name) = expected
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'))
            {
                if segment.is_empty() {
                    return None;
                }
                rank.push(1);
                values.insert(name, segment.clone());
            } else if *segment == literal {
                rank.push(2);
            } else {
                return None;
            }
        }
        rank.push(1);
        let rest: Vec<_> = segments.collect();
        (rest.is_empty() || rest == [""]).then_some((rank, values))
    }

    // Which segments of the path are literal.
    fn literal_segments(&self) -> Vec<bool> {
        self.path
            .split('/')
            .skip(1)
            .map(|segment| !segment.starts_with('{'))
            .collect()
    }

    fn allows(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.split(' ').any(|known| known == method)
    }

    fn is_met(&self, token: Option<&str>, values: &BTreeMap<&'static str, String>) -> bool {
        let grants = |scopes: &str| {
            let granted = token.unwrap_or_default();
            scopes.split(' ').all(|scope| {
                let needed = values
                    .iter()
                    .fold(scope.to_owned(), |scope, (name, value)| {
                        scope.replace(&format!("{{{name}}}"), value)
                    });
                granted.split(' ').any(|granted| covers(granted, &needed))
            })
        };
        match self.needs {
            Needs::Nothing => true,
            Needs::AnyToken => token.is_some(),
            Needs::Scope(scopes) => grants(scopes),
            Needs::AnyScope(sets) => sets.iter().any(|scopes| grants(scopes)),
        }
    }
}

fn covers(granted: &str, needed: &str) -> bool {
    match granted.split_once('*') {
        None => granted == needed,
        Some((before, after)) => {
            needed.len() > before.len() + after.len()
                && needed.starts_with(before)
                && needed.ends_with(after)
        }
    }
}

/// Judges a received request and returns the path of its resource.
///
/// `granted` returns the scopes of a token; `sent` holds the cases in flight.
///
/// # Errors
/// Describes the bypass.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(super) fn judge(
    resources: &[Resource],
    received: &Received,
    granted: impl Fn(&str) -> Option<&'static str>,
    sent: &Mutex<BTreeMap<usize, Case>>,
) -> Result<&'static str, String> {
    let case = match received.header("x-case")[..] {
        [case] => case
            .parse()
            .ok()
            .and_then(|case: usize| sent.lock().expect("no panic").get(&case).cloned()),
        _ => None,
    };
    let Some(case) = case else {
        return Err(format!("a request that no case sent: {received:?}"));
    };
    let bypass = |what: &str| {
        format!(
            "{what}:\nsent {:?}\narrived {received:?}",
            String::from_utf8_lossy(&case.bytes)
        )
    };

    differs_from(received, &case).map_err(|what| bypass(&what))?;
    if lenient::has_dot_segment(received.target.split('?').next().unwrap_or_default()) {
        return Err(bypass("a dot segment"));
    }
    // A public route forwards any token unchecked; an unknown one grants nothing.
    let token = match received.header("authorization")[..] {
        [one] => one.strip_prefix("Bearer ").and_then(&granted),
        _ => None,
    };
    let mut served: Option<&Resource> = None;
    let host = host(received);
    let best_host = resources
        .iter()
        .filter_map(|resource| resource.host_rank(&host))
        .max();
    let of_host: Vec<_> = resources
        .iter()
        .filter(|resource| resource.host_rank(&host) == best_host)
        .collect();
    for reading in [Reading::Strict, Reading::Decoded, Reading::Lenient] {
        let literal = served.map(Resource::literal_segments).unwrap_or_default();
        if reading == Reading::Lenient
            && served.is_some()
            && literal.iter().all(|is_literal| *is_literal)
        {
            // A resource with only literal segments has no other reading.
            break;
        }
        for (method, path) in requests(received, reading) {
            for segments in read(&path, reading, &literal) {
                let what = || format!("{reading:?}: {method} {path} as {segments:?}");
                let fits: Vec<_> = of_host
                    .iter()
                    .filter_map(|resource| Some((*resource, resource.fit(&segments, reading)?)))
                    .collect();
                let Some(best) = fits.iter().map(|(_, (rank, _))| rank).max() else {
                    return Err(bypass(&format!("{} matches no resource", what())));
                };
                let best: Vec<_> = fits.iter().filter(|(_, (rank, _))| rank == best).collect();
                let is_met = |(resource, (_, values)): &&&(&Resource, (_, _))| {
                    resource.is_met(token, values)
                };
                match best.iter().find(|(resource, _)| resource.allows(&method)) {
                    Some(found) if is_met(&found) => served = served.or(Some(found.0)),
                    Some((resource, _)) => {
                        return Err(bypass(&format!(
                            "{} is {} to this upstream",
                            what(),
                            resource.path
                        )));
                    }
                    // A client that may use all other methods may read as well.
                    None if reading == Reading::Lenient
                        && is_safe(&method)
                        && best.iter().all(|one| is_met(&one)) => {}
                    None => {
                        return Err(bypass(&format!("{} has no route for this method", what())));
                    }
                }
            }
        }
    }
    served
        .map(|resource| resource.path)
        .ok_or_else(|| bypass("no such resource"))
}

// Compares the received request with the case that sent it.
fn differs_from(received: &Received, case: &Case) -> Result<(), String> {
    if received.method != case.method {
        return Err("another method".to_owned());
    }
    let (mut path, query) = match received.target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query)),
        None => (received.target.clone(), None),
    };
    if host(received) == "stripped.test" {
        path.insert_str(0, "/api");
    }
    if decode(&path) != decode(&case.path) || query != case.query.as_deref() {
        return Err(format!(
            "another target than {} {:?}",
            case.path, case.query
        ));
    }
    if received.body != case.body {
        return Err("another body".to_owned());
    }
    if received.header("transfer-encoding").len() + received.header("content-length").len() > 1 {
        return Err("two framings".to_owned());
    }
    for (name, value) in &received.headers {
        let normalized = name.to_lowercase().replace(['_', '.'], "-");
        let is_gateway_header = ["x-client-id", "forwarded", "x-real-ip"].contains(&&*normalized)
            || normalized.starts_with("x-forwarded-");
        if is_gateway_header && value.contains("forged") {
            return Err(format!("a forged {name}"));
        }
    }
    Ok(())
}

fn host(received: &Received) -> String {
    let host = received
        .header("host")
        .first()
        .map(|host| host.to_lowercase())
        .unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    name.trim_end_matches('.').to_owned()
}

// The methods and paths that a server may read.
fn requests(received: &Received, reading: Reading) -> Vec<(String, String)> {
    let path = received
        .target
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut requests = vec![(received.method.clone(), path.clone())];
    if reading == Reading::Lenient {
        requests.push((received.method.to_uppercase(), path.clone()));
        for (name, value) in &received.headers {
            match &*name.to_lowercase().replace(['_', '.'], "-") {
                "x-http-method" | "x-http-method-override" | "x-method-override" => {
                    requests.push((value.to_uppercase(), path.clone()));
                }
                "x-original-url" | "x-rewrite-url" => {
                    requests.push((received.method.clone(), value.clone()))
                }
                _ => {}
            }
        }
    }
    requests
}

fn is_safe(method: &str) -> bool {
    ["GET", "HEAD", "OPTIONS"].contains(&method)
}

fn read(path: &str, reading: Reading, literal: &[bool]) -> Vec<Vec<String>> {
    match reading {
        Reading::Strict => vec![path.split('/').skip(1).map(str::to_owned).collect()],
        Reading::Decoded => vec![path.split('/').skip(1).map(decode).collect()],
        Reading::Lenient => lenient::readings(path, literal),
    }
}
