//! `scopegate check`: is the file good, what does it say, and where is it weak?

use std::path::Path;
use std::process::ExitCode;

use super::warnings::weak_choices;
use crate::config::{Config, Source};
use crate::gateway::Snapshot;
use crate::policy::requirement::Requirement;
use crate::policy::route::Route;

pub(super) fn check(path: &Path) -> ExitCode {
    match super::read(path).and_then(|(config, source)| Ok((super::compiled(&config, &source)?, config, source))) {
        Ok(((snapshot, _), config, source)) => tell(&snapshot, &config, &source),
        Err(code) => return code,
    }
    ExitCode::SUCCESS
}

fn tell(snapshot: &Snapshot, config: &Config, source: &Source) {
    let warnings = source.report(weak_choices(config));
    for line in warnings.lines() {
        eprintln!("warning: {line}");
    }
    println!(
        "{}: good, with {}, {} and {}",
        source.file_name(),
        counted(config.routes.len(), "route"),
        counted(config.issuers.len(), "issuer"),
        counted(config.upstreams.len(), "upstream"),
    );
    println!("{}", route_table(config, snapshot));
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn route_table(config: &Config, snapshot: &Snapshot) -> String {
    let mut rows = vec![["HOST", "METHODS", "PATH", "ASKS FOR", "ISSUERS", "UPSTREAM"].map(str::to_owned)];
    for (route, written) in snapshot.routes.routes().iter().zip(&config.routes) {
        rows.push([
            listed(&route.hosts, "any"),
            listed(route.methods.listed().unwrap_or_default(), "all"),
            route.path.as_str().to_owned(),
            asked_for(route),
            if route.requirement.is_public() { "-".to_owned() } else { listed(&route.issuers, "all") },
            written.upstream.value.clone(),
        ]);
    }
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let lines = rows.iter().map(|row| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn listed<T: ToString>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn asked_for(route: &Route) -> String {
    match &route.requirement {
        Requirement::Public => "nothing".to_owned(),
        Requirement::Token { any_of } if any_of.is_empty() => "any valid token".to_owned(),
        Requirement::Token { any_of } => any_of.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
    }
}
