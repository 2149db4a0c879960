//! Readiness: whether requests can be judged and forwarded, and what is missing if not.

use std::fmt::Display;
use std::time::Duration;

use super::Admin;
use crate::clock;
use crate::fleet::FleetReport;
use crate::revocation::Counts;
use crate::upstream::TargetReport;
use crate::verify::{IntrospectionReport, IssuerReport, KeysReport};

/// The outcome of every check.
pub(super) struct Readiness(Vec<Check>);

struct Check {
    status: Status,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    /// The gateway is ready, but an operator should know.
    Degraded,
    /// The gateway is not ready.
    Failed,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.0.iter().all(|check| check.status != Status::Failed)
    }

    /// One line per check: all if `is_verbose`, otherwise those that are not ok.
    pub(super) fn to_text(&self, is_verbose: bool) -> String {
        let mut text = String::from(if self.is_ready() {
            "ready\n"
        } else {
            "not ready\n"
        });
        for Check { status, detail } in &self.0 {
            let mark = match status {
                Status::Ok if is_verbose => "+",
                Status::Ok => continue,
                Status::Degraded => "!",
                Status::Failed => "-",
            };
            text.push_str(&format!("[{mark}] {detail}\n"));
        }
        text
    }
}

impl Admin {
    pub(super) fn readiness(&self) -> Readiness {
        let snapshot = self.shared_snapshot.load();
        let routes = snapshot.routes.routes();
        let mut checks = vec![ok(format!(
            "configuration: {}",
            plural(routes.len(), "route")
        ))];
        if self.is_stopping() {
            checks.push(Check {
                status: Status::Failed,
                detail: "stopping".to_owned(),
            });
        }
        if !self.reloads.last().is_active {
            let detail = "configuration: the last reload was rejected; the previous configuration stays active (see the log)";
            checks.push(degraded(detail.to_owned()));
        }
        let open: Vec<_> = snapshot
            .routes
            .unenforced()
            .map(|route| route.path.as_str())
            .collect();
        if !open.is_empty() {
            let detail = format!(
                "shadow mode: requests without a sufficient token are forwarded at {}",
                shortened(&open)
            );
            checks.push(degraded(detail));
        }
        let revocations = snapshot.verifier.revocations();
        checks.extend(revocations.map(|revocations| revocations_check(revocations.counts())));
        let fleet = snapshot.fleet.as_ref();
        checks.extend(fleet.map(|fleet| fleet_check(&fleet.report())));
        for (address, connections) in self.telemetry.listeners() {
            checks.push(ok(format!(
                "listener {address}: {}",
                plural(connections.open.read(), "connection")
            )));
        }
        let issuers = snapshot.verifier.issuers().iter();
        checks.extend(issuers.flat_map(|issuer| issuer_checks(&issuer.report())));
        let now = clock::now();
        checks.extend(snapshot.upstreams.iter().map(|upstream| {
            let report = upstream.report(now);
            upstream_check(&upstream.settings().name, &report.targets)
        }));
        Readiness(checks)
    }
}

fn revocations_check(counts: Counts) -> Check {
    Check {
        status: if counts.entries < counts.max_entries {
            Status::Ok
        } else {
            Status::Degraded
        },
        detail: format!(
            "revocations: {} of at most {}",
            counts.entries, counts.max_entries
        ),
    }
}

fn degraded(detail: String) -> Check {
    Check {
        status: Status::Degraded,
        detail,
    }
}

fn ok(detail: String) -> Check {
    Check {
        status: Status::Ok,
        detail,
    }
}

fn plural<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let suffix = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{suffix}")
}

fn fleet_check(report: &FleetReport) -> Check {
    let age = report.age.map_or_else(
        || "revocations were never read".to_owned(),
        |age| format!("revocations heard {} s ago", age.as_secs()),
    );
    let others = plural(report.peers, "other gateway");
    let failure = match &report.failure {
        Some(failure) if !report.is_connected => format!("; no connection to Redis: {failure}"),
        Some(_) | None => String::new(),
    };
    let (status, effect) = match (report.is_stale, report.refuses) {
        (false, _) => (Status::Ok, ""),
        (true, false) => (Status::Degraded, "; tokens revoked elsewhere may pass"),
        (true, true) => (Status::Failed, "; requests with tokens are refused"),
    };
    Check {
        status,
        detail: format!("fleet: {age}, {others}{effect}{failure}"),
    }
}

// Still ready: cached tokens pass, and another gateway could not reach the server either.
fn introspection_check(issuer: &str, report: &IntrospectionReport) -> Check {
    let Some(failures) = &report.failures else {
        return ok(format!("issuer {issuer}: introspection works"));
    };
    let probed = if report.is_circuit_closed {
        ""
    } else {
        "; introspection is suspended until a probe reaches the server"
    };
    let detail = format!("issuer {issuer}: introspection fails: {failures}{probed}");
    Check {
        status: Status::Degraded,
        detail,
    }
}

// Still ready: other upstreams get requests, and another gateway could not reach this one either.
fn upstream_check(upstream: &str, targets: &[TargetReport]) -> Check {
    let up = targets.iter().filter(|target| target.is_up).count();
    Check {
        status: if up < targets.len().max(1) {
            Status::Degraded
        } else {
            Status::Ok
        },
        detail: format!(
            "upstream {upstream}: {up} of {} up",
            plural(targets.len() as u64, "endpoint")
        ),
    }
}

fn issuer_checks(report: &IssuerReport) -> impl Iterator<Item = Check> + use<> {
    let issuer = &report.issuer;
    let keys = report.keys.as_ref().map(|keys| keys_check(issuer, keys));
    let introspection = report.introspection.as_ref();
    let introspection = introspection.map(|report| introspection_check(issuer, report));
    keys.into_iter().chain(introspection)
}

fn keys_check(issuer: &str, keys: &KeysReport) -> Check {
    let Some(usable) = keys.usable else {
        let detail = match (keys.since_success, &keys.failures) {
            (Some(age), Some(failures)) => {
                format!(
                    "issuer {issuer}: its keys have expired, fetched {} s ago: {failures}",
                    age.as_secs()
                )
            }
            (Some(age), None) => format!(
                "issuer {issuer}: its keys have expired, fetched {} s ago",
                age.as_secs()
            ),
            (None, Some(failures)) => format!("issuer {issuer}: no keys: {failures}"),
            (None, None) => format!("issuer {issuer}: its keys are not fetched yet"),
        };
        return Check {
            status: Status::Failed,
            detail,
        };
    };
    let age = keys
        .since_success
        .map(|age| format!(", fetched {} s ago", age.as_secs()))
        .unwrap_or_default();
    let usable = plural(usable, "key");
    if let Some(failures) = &keys.failures {
        let detail =
            format!("issuer {issuer}: {usable}{age}, and newer ones cannot be fetched: {failures}");
        return Check {
            status: Status::Degraded,
            detail,
        };
    }
    if keys.stale > Duration::ZERO {
        let detail = format!("issuer {issuer}: {usable}{age}, stale (see the log)");
        return Check {
            status: Status::Degraded,
            detail,
        };
    }
    ok(format!("issuer {issuer}: {usable}{age}"))
}

// A file may have thousands of routes.
fn shortened(paths: &[&str]) -> String {
    const MAX_PATHS: usize = 10;
    let mut text = paths
        .iter()
        .take(MAX_PATHS)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if paths.len() > MAX_PATHS {
        text.push_str(&format!(" and {} more", paths.len() - MAX_PATHS));
    }
    text
}
