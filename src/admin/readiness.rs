//! Whether requests can be judged and sent on; and if not, what is missing.

use std::fmt::Display;
use std::time::Duration;

use super::Admin;
use crate::verify::{IntrospectionReport, KeysReport};

/// What was looked at.
pub(super) struct Readiness(Vec<Check>);

struct Check {
    finding: Finding,
    told: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Good,
    /// Ready all the same, but somebody should know.
    Loud,
    Missing,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.0.iter().all(|check| check.finding != Finding::Missing)
    }

    /// For people: all of it, or only what somebody should know of.
    pub(super) fn told(&self, is_verbose: bool) -> String {
        let mut text = String::from(if self.is_ready() {
            "ready\n"
        } else {
            "not ready\n"
        });
        for Check { finding, told } in &self.0 {
            let mark = match finding {
                Finding::Good if is_verbose => "+",
                Finding::Good => continue,
                Finding::Loud => "!",
                Finding::Missing => "-",
            };
            text.push_str(&format!("[{mark}] {told}\n"));
        }
        text
    }
}

impl Admin {
    pub(super) fn readiness(&self) -> Readiness {
        let snapshot = self.publisher.load();
        let routes = snapshot.routes.routes();
        let mut checks = vec![good(format!(
            "configuration: {}",
            counted(routes.len(), "route")
        ))];
        if self.is_stopping() {
            checks.push(Check {
                finding: Finding::Missing,
                told: "stopping".to_owned(),
            });
        }
        if !self.reloads.last().is_good {
            let told = "configuration: the last file was refused, and the one before it is in force (see the log)";
            checks.push(Check {
                finding: Finding::Loud,
                told: told.to_owned(),
            });
        }
        let open: Vec<_> = snapshot
            .routes
            .unenforced()
            .map(|route| route.path.as_str())
            .collect();
        if !open.is_empty() {
            let told = format!(
                "shadow mode: nobody is refused for lack of a good token at {}",
                shortened(&open)
            );
            checks.push(Check {
                finding: Finding::Loud,
                told,
            });
        }
        for (address, connections) in self.telemetry.listeners() {
            checks.push(good(format!(
                "listener {address}: {}",
                counted(connections.open.read(), "connection")
            )));
        }
        for report in snapshot
            .verifier
            .issuers()
            .iter()
            .map(|issuer| issuer.report())
        {
            checks.extend(
                report
                    .keys
                    .as_ref()
                    .map(|keys| of_keys(&report.issuer, keys)),
            );
            checks.extend(
                report
                    .introspection
                    .as_ref()
                    .map(|asked| of_introspection(&report.issuer, asked)),
            );
        }
        Readiness(checks)
    }
}

fn good(told: String) -> Check {
    Check {
        finding: Finding::Good,
        told,
    }
}

fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

// One that fails leaves the gateway ready: tokens that are known pass, and no other gateway could ask it either.
fn of_introspection(issuer: &str, asked: &IntrospectionReport) -> Check {
    let Some(failures) = &asked.failures else {
        return good(format!("issuer {issuer}: is asked about its tokens"));
    };
    let probed = if asked.is_circuit_closed {
        ""
    } else {
        "; no new token is asked about until a probe reaches it"
    };
    let told = format!("issuer {issuer}: cannot be asked about its tokens: {failures}{probed}");
    Check {
        finding: Finding::Loud,
        told,
    }
}

fn of_keys(issuer: &str, keys: &KeysReport) -> Check {
    let Some(usable) = keys.usable else {
        let told = match (keys.since_success, &keys.failures) {
            (Some(age), Some(failures)) => {
                format!(
                    "issuer {issuer}: its keys are too old, fetched {} s ago: {failures}",
                    age.as_secs()
                )
            }
            (Some(age), None) => format!(
                "issuer {issuer}: its keys are too old, fetched {} s ago",
                age.as_secs()
            ),
            (None, Some(failures)) => format!("issuer {issuer}: no keys: {failures}"),
            (None, None) => format!("issuer {issuer}: its keys have not come yet"),
        };
        return Check {
            finding: Finding::Missing,
            told,
        };
    };
    let age = keys
        .since_success
        .map(|age| format!(", fetched {} s ago", age.as_secs()))
        .unwrap_or_default();
    let usable = counted(usable, "key");
    if let Some(failures) = &keys.failures {
        let told =
            format!("issuer {issuer}: {usable}{age}, and newer ones cannot be fetched: {failures}");
        return Check {
            finding: Finding::Loud,
            told,
        };
    }
    if keys.stale > Duration::ZERO {
        let told = format!("issuer {issuer}: {usable}{age}, which is too long (see the log)");
        return Check {
            finding: Finding::Loud,
            told,
        };
    }
    good(format!("issuer {issuer}: {usable}{age}"))
}

// A file may have thousands of routes.
fn shortened(paths: &[&str]) -> String {
    const MOST: usize = 10;
    let mut text = paths
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if paths.len() > MOST {
        text.push_str(&format!(" and {} more", paths.len() - MOST));
    }
    text
}
