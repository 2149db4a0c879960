//! `scopegate check`: validates the file, prints its routes, and warns of weak choices.

use std::path::Path;
use std::process::ExitCode;

use super::missing_secrets::without_missing_secrets;
use super::warnings::{notes, weak_choices};
use crate::config::{self, Config, Fault, Purpose, Source, TokenSource, Upstream};
use crate::gateway::{self, Snapshot};
use crate::policy::requirement::Requirement;
use crate::policy::route::Route;
use crate::values::Keyword;
use crate::verify::USUAL_ENTRY_BYTES;

/// The columns of the route table.
const COLUMNS: usize = 8;
/// A longer cell overflows its column; in characters.
const MAX_WIDTH: usize = 80;
/// Marks a route that any client, or any client with a token, may use.
const OPEN: &str = "!";

pub(super) fn check(path: &Path) -> ExitCode {
    let checked = super::read(path, Purpose::CheckOnly).and_then(|(config, source)| {
        let (complete, missing) = without_missing_secrets(&config);
        let (snapshot, _) = super::compile_file(&complete, &source)?;
        Ok(print_report(&snapshot, &config, &source, missing))
    });
    checked.unwrap_or_else(|code| code)
}

fn print_report(
    snapshot: &Snapshot,
    config: &Config,
    source: &Source,
    missing: Vec<Fault>,
) -> ExitCode {
    let mut warnings = weak_choices(config, source, snapshot);
    warnings.extend(missing);
    let mut findings = String::new();
    for (kind, found) in [("warning", warnings), ("note", notes(config, snapshot))] {
        for line in source.report(found).lines() {
            findings += &format!("{kind}: {line}\n");
        }
    }
    // One write: a file with many routes may have as many findings.
    eprint!("{findings}");
    let mut text = format!(
        "{}: valid, with {}, {} and {}\n",
        source.file_name(),
        counted(snapshot.routes.routes().len(), "route"),
        counted(config.issuers.len(), "issuer"),
        counted(config.upstreams.len(), "upstream"),
    );
    text += &presets(source);
    text += &token_memory(config);
    text += &weights(config);
    text += &egress(config);
    text += &format!("\n{}\n", route_table(config, snapshot, source));
    super::print_output(text.as_bytes())
}

// What the file does not show: the keys that `provider` filled in.
fn presets(source: &Source) -> String {
    let mut lines = String::new();
    for preset in source.presets() {
        let (issuer, provider) = (&preset.issuer, preset.provider.keyword());
        lines += &format!("issuer {issuer:?} has these keys of provider {provider:?}:\n");
        for key in &preset.keys {
            lines += &if key.is_overridden {
                format!("  {} (replaced by the file)\n", key.name)
            } else {
                format!("  {} = {}\n", key.name, key.value)
            };
        }
    }
    lines
}

// The token cache is the largest part of the gateway's memory, and the file sets its size.
fn token_memory(config: &Config) -> String {
    let mebibytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let mut lines = String::new();
    let limited: u64 = config
        .issuers
        .iter()
        .filter_map(|issuer| issuer.cache_bytes)
        .map(|bytes| bytes as u64)
        .sum();
    if limited > 0 {
        lines += &format!(
            "verified tokens take up to {} MiB of memory (cache_bytes)\n",
            mebibytes(limited)
        );
    }
    for issuer in config
        .issuers
        .iter()
        .filter(|issuer| issuer.cache_bytes.is_none())
    {
        let (name, entries) = (&issuer.name.value, issuer.cache_entries);
        let estimate = mebibytes(entries as u64 * USUAL_ENTRY_BYTES);
        lines += &format!(
            "verified tokens of {name:?} take about {estimate} MiB of memory, or more if they are large: \
             cache_entries is {entries}, and cache_bytes is not set\n"
        );
    }
    lines
}

// Only of upstreams that have weights.
fn weights(config: &Config) -> String {
    let weighted = config.upstreams.iter().filter(|upstream| {
        let mut targets = upstream.targets.iter();
        targets.any(|target| target.value.weight != 1)
    });
    let line = |upstream: &Upstream| {
        let targets: Vec<_> = upstream
            .targets
            .iter()
            .map(|target| format!("{} {}", target.value.address, target.value.weight))
            .collect();
        let (name, targets) = (&upstream.name.value, targets.join(", "));
        format!("weights of upstream {name:?}, for each address of a target: {targets}\n")
    };
    weighted.map(line).collect()
}

// What the file does not show: what NO_PROXY exempts, and what the environment says.
fn egress(config: &Config) -> String {
    let (Some(written), Some(proxy)) = (&config.server.http_proxy, gateway::egress_proxy(config))
    else {
        return String::new();
    };
    let mut lines = String::new();
    if written.http.is_none() && written.https.is_none() {
        lines += "http_proxy is \"environment\", but no variable names a proxy here: \
                  https_proxy, HTTPS_PROXY, http_proxy, all_proxy, ALL_PROXY\n";
    }
    for issuer in &config.issuers {
        let mut servers: Vec<String> = Vec::new();
        for url in issuer.known_urls() {
            let origin = url.origin().ascii_serialization();
            let server = match proxy.name_for(&url) {
                Some(proxy) => format!("{origin} through the proxy {proxy}"),
                None => format!("{origin} without a proxy"),
            };
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        if !servers.is_empty() {
            let (name, servers) = (&issuer.name.value, servers.join(", "));
            lines += &format!("requests for issuer {name:?} go to {servers}\n");
        }
    }
    lines
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

// A row for each host of each route, in the order of precedence.
fn route_table(config: &Config, snapshot: &Snapshot, source: &Source) -> String {
    let heading = [
        "", "HOST", "PATH", "METHODS", "REQUIRES", "ISSUERS", "UPSTREAM", "LINE",
    ]
    .map(str::to_owned);
    let mut rows: Vec<[String; COLUMNS]> = vec![heading];
    let has_hosts = config.routes.iter().any(|route| !route.host.is_empty());
    for (host, index) in snapshot.routes.by_precedence() {
        let route = &snapshot.routes.routes()[index];
        let (written, path) = snapshot.declaration(index, config);
        let any_host = if has_hosts { "any other" } else { "any" };
        rows.push([
            if is_open(route) {
                OPEN.to_owned()
            } else {
                String::new()
            },
            host.map_or_else(|| any_host.to_owned(), ToString::to_string),
            route.path.as_str().to_owned(),
            join_or(route.methods.listed().unwrap_or_default(), "all"),
            requirement_text(route)
                + if route.is_enforced { "" } else { " (shadow)" }
                + &restrictions(written),
            if route.requirement.is_public() {
                "-".to_owned()
            } else {
                join_or(&route.issuers, "all")
            },
            upstream_text(written),
            source
                .line_of(path)
                .map(|line| line.to_string())
                .unwrap_or_default(),
        ]);
    }
    let any_open = rows.iter().any(|row| row[0] == OPEN);
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        // A cell above MAX_WIDTH does not widen its column for every row.
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths
            .filter(|width| *width <= MAX_WIDTH)
            .max()
            .unwrap_or(0)
    });
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    let mut table = lines.collect::<Vec<_>>().join("\n");
    table.push_str(
        "\n\nA request is compared from the top: its first matching host, there its first matching path, there the route \
         for its method.\nIf there is none, the response is 404, or 405 for the method. `scopegate explain METHOD URL` \
         explains one request.",
    );
    if any_open {
        table.push_str("\n! requires no token, requires no scope, or is not enforced (shadow)");
    }
    table
}

fn upstream_text(route: &config::Route) -> String {
    let upstream = route.upstream_name().unwrap_or_default();
    match (&route.respond, &route.rewrite) {
        (Some(respond), _) => format!("(responds {})", respond.status.value),
        (None, Some(path)) => format!("{upstream} as {}", path.value),
        (None, None) => upstream.to_owned(),
    }
}

// Beside what the token must be.
fn restrictions(route: &config::Route) -> String {
    from_networks(route) + &within_limits(route) + &from_sources(route)
}

fn from_networks(route: &config::Route) -> String {
    if route.allow_from.is_empty() {
        return String::new();
    }
    format!(", from {}", join_or(&route.allow_from, "any"))
}

fn within_limits(route: &config::Route) -> String {
    let names: Vec<_> = route.limit.iter().map(|name| &name.value).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(", limit {}", join_or(&names, "none"))
}

fn from_sources(route: &config::Route) -> String {
    match token_sources(route) {
        sources if sources.is_empty() => String::new(),
        sources => format!(", token from {}", join_or(&sources, "nowhere")),
    }
}

/// Where the requests of a route may have their token; empty for the `Authorization` header alone.
pub(super) fn token_sources(route: &config::Route) -> Vec<&TokenSource> {
    let sources = route.token_from.iter().map(|source| &source.value);
    let is_usual = sources.clone().eq([&TokenSource::Header]);
    sources.filter(|_| !is_usual).collect()
}

fn is_open(route: &Route) -> bool {
    match &route.requirement {
        Requirement::Public => true,
        Requirement::Token { any_of } => {
            let asks_for_more = !route.claims.is_empty() || route.step_up.is_some();
            any_of.is_empty() && !asks_for_more || !route.is_enforced
        }
    }
}

/// Joins items with commas. An empty list becomes `none`.
pub(super) fn join_or<T: ToString>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What a route requires of a request's token.
pub(super) fn requirement_text(route: &Route) -> String {
    let operations = match route.mcp.as_ref().map(|mcp| mcp.rules.written().count()) {
        None => "",
        Some(0) => ", for any MCP operation",
        Some(_) => ", and what tools requires for the MCP operation",
    };
    format!("{}{operations}", token_requirement_text(route))
}

fn token_requirement_text(route: &Route) -> String {
    let scopes = match &route.requirement {
        Requirement::Public => "nothing (public)".to_owned(),
        Requirement::Token { any_of } if any_of.is_empty() => "any valid token".to_owned(),
        Requirement::Token { any_of } => any_of
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" | "),
    };
    let mut text = scopes;
    let tenant = route.claims.tenants_in_path().next();
    if let Some(tenant) = tenant.filter(|_| !route.requirement.is_public()) {
        text += &format!(", of the tenant {{{tenant}}}");
    }
    if let Some(step_up) = &route.step_up {
        text += &format!(", signed in by {step_up}");
    }
    let rules: Vec<_> = route.claims.iter().map(ToString::to_string).collect();
    if !rules.is_empty() {
        text += &format!(", with {}", rules.join(", "));
    }
    text
}
