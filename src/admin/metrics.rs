//! The metrics page for Prometheus (OpenMetrics 1.0).
//!
//! 1. Labels come from closed sets: route patterns and names of the configuration, methods, status, reasons. Never a
//!    token, a subject, a client's address or a path.
//! 2. Request durations follow OpenTelemetry's conventions (`http_server_request_duration_seconds`). All
//!    other names begin with `scopegate_`.
//! 3. Series of removed parts, such as a removed route, are dropped.

mod page;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::Admin;
use crate::clock;
use crate::rate_limits::LimitReport;
use crate::telemetry::metrics::HistogramSnapshot;
use crate::telemetry::{self, RequestKind};
use crate::upstream::TargetReport;
use crate::verify::IssuerReport;
use page::{Labels, Page};

pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the metrics page.
pub(super) fn text(admin: &Arc<Admin>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics(Arc::clone(admin))));
    let mut text = String::new();
    // Writing text to memory does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

struct Metrics(Arc<Admin>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        self.0.write_requests(&mut page)?;
        self.0.write_tokens(&mut page)?;
        self.0.write_issuers(&mut page)?;
        self.0.write_revocations(&mut page)?;
        self.0.write_upstreams(&mut page)?;
        self.0.write_limits(&mut page)?;
        self.0.write_security_events(&mut page)?;
        self.0.write_fleet(&mut page)?;
        self.0.write_process(&mut page)
    }
}

impl Admin {
    fn write_requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let requests = self.telemetry.requests();
        let mut counts: BTreeMap<Labels, u64> = BTreeMap::new();
        let mut durations: BTreeMap<Labels, HistogramSnapshot> = BTreeMap::new();
        for (kind, distribution) in &requests {
            *counts.entry(labels_of(kind)).or_default() += distribution.count();
            durations
                .entry(http_labels_of(kind))
                .or_default()
                .add(distribution);
        }
        page.histogram(
            "http_server_request_duration_seconds",
            "Time from the request head to the last byte of the response",
            durations,
        )?;
        page.counter(
            "scopegate_requests",
            "Requests by decision and reason",
            counts,
        )
    }

    fn write_security_events(&self, page: &mut Page<'_>) -> fmt::Result {
        let snapshot = self.shared_snapshot.load();
        let Some(receiver) = &snapshot.security_events else {
            return Ok(());
        };
        let labels = |(event, outcome, count): (&str, &str, u64)| {
            let labels = vec![("event", event.to_owned()), ("outcome", outcome.to_owned())];
            (labels, count)
        };
        page.counter(
            "scopegate_security_events",
            "Events of verified Security Event Tokens by type and outcome",
            receiver.counts().map(labels),
        )
    }

    fn write_tokens(&self, page: &mut Page<'_>) -> fmt::Result {
        let (mut hits, mut misses) = ([0; 3], 0);
        for found in self.telemetry.tokens() {
            let tiers = [
                &found.connection_hits,
                &found.worker_hits,
                &found.shared_hits,
            ];
            hits.iter_mut()
                .zip(tiers)
                .for_each(|(hits, tier)| *hits += tier.read());
            misses += found.misses.read();
        }
        let tiers = ["connection", "worker", "shared"].map(|tier| vec![("tier", tier.to_owned())]);
        page.counter(
            "scopegate_token_cache_hits",
            "Token cache hits by tier",
            tiers.into_iter().zip(hits),
        )?;
        let help = "Token cache misses";
        page.counter("scopegate_token_cache_misses", help, [(Vec::new(), misses)])?;
        let sizes = self.token_cache_sizes();
        let each = |number: fn((u64, u64)) -> u64| {
            sizes.map(|(tier, size)| (vec![("tier", tier.to_owned())], number(size)))
        };
        let help = "Cached tokens by tier; a token can be in several tiers";
        page.gauge(
            "scopegate_token_cache_entries",
            help,
            each(|(entries, _)| entries),
        )?;
        let help = "Memory of cached tokens by tier; a token in several tiers counts in each but is stored once";
        page.gauge(
            "scopegate_token_cache_bytes",
            help,
            each(|(_, bytes)| bytes),
        )
    }

    fn write_revocations(&self, page: &mut Page<'_>) -> fmt::Result {
        let snapshot = self.shared_snapshot.load();
        let Some(counts) = snapshot.verifier.revocations().map(|one| one.counts()) else {
            return Ok(());
        };
        let one = |number| [(Vec::new(), number)];
        page.gauge(
            "scopegate_revocation_entries",
            "Revocations that have not expired",
            one(counts.entries),
        )?;
        page.gauge(
            "scopegate_revocation_entries_max",
            "Limit of revocations (max_entries)",
            one(counts.max_entries),
        )?;
        let outcomes = [
            ("added", counts.added),
            ("full", counts.refused),
            ("not_written", counts.unwritten),
        ];
        page.counter(
            "scopegate_revocations",
            "Revocations by outcome",
            outcomes.map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count)),
        )
    }

    // The entries and bytes of each tier.
    fn token_cache_sizes(&self) -> [(&'static str, (u64, u64)); 3] {
        let (mut connection_tier, mut in_workers) = ((0, 0), (0, 0));
        for found in self.telemetry.tokens() {
            for (all, (entries, bytes)) in [
                (&mut connection_tier, found.connection_tier.read()),
                (&mut in_workers, found.worker_tier.read()),
            ] {
                *all = (all.0 + entries, all.1 + bytes);
            }
        }
        let shared = self
            .shared_snapshot
            .load()
            .verifier
            .cache_and_epoch()
            .0
            .size();
        [
            ("connection", connection_tier),
            ("worker", in_workers),
            ("shared", shared),
        ]
    }

    #[expect(clippy::too_many_lines, reason = "one metric after the other")]
    fn write_issuers(&self, page: &mut Page<'_>) -> fmt::Result {
        let snapshot = self.shared_snapshot.load();
        let reports: Vec<_> = snapshot
            .verifier
            .issuers()
            .iter()
            .map(|issuer| issuer.report())
            .collect();
        let of = |report: &IssuerReport| vec![("issuer", report.issuer.to_string())];
        let outcomes = |report: &IssuerReport, good: u64, bad: u64| {
            [("success", good), ("failure", bad)].map(|(outcome, count)| {
                let mut labels = of(report);
                labels.push(("outcome", outcome.to_owned()));
                (labels, count)
            })
        };
        let keys = || {
            reports
                .iter()
                .filter_map(|report| Some((report, report.keys.as_ref()?)))
        };
        let fetched = || keys().filter(|(_, keys)| keys.fetched + keys.failed > 0);
        page.gauge(
            "scopegate_issuer_keys",
            "Usable verification keys",
            keys().map(|(report, keys)| (of(report), keys.usable.unwrap_or(0) as u64)),
        )?;
        page.gauge(
            "scopegate_issuer_keys_last_success_timestamp_seconds",
            "Unix time of the last successful JWKS fetch",
            fetched().filter_map(|(report, keys)| {
                Some((of(report), self.seconds_when(keys.since_success?)))
            }),
        )?;
        page.gauge(
            "scopegate_issuer_keys_stale_seconds",
            "Time since the JWKS became stale; 0 while it is fresh",
            fetched().map(|(report, keys)| (of(report), keys.stale.as_secs())),
        )?;
        page.counter(
            "scopegate_issuer_key_fetches",
            "JWKS fetches by outcome",
            fetched().flat_map(|(report, keys)| outcomes(report, keys.fetched, keys.failed)),
        )?;
        page.histogram(
            "scopegate_verification_duration_seconds",
            "Duration of signature verification",
            keys().map(|(report, _)| (of(report), report.verifications.clone())),
        )?;
        let introspections = || {
            reports
                .iter()
                .filter_map(|report| Some((report, report.introspection.as_ref()?)))
        };
        page.counter(
            "scopegate_introspection_calls",
            "Introspection requests by outcome",
            introspections()
                .flat_map(|(report, asked)| outcomes(report, asked.succeeded, asked.failed)),
        )?;
        page.histogram(
            "scopegate_introspection_duration_seconds",
            "Duration of introspection requests",
            introspections().map(|(report, asked)| (of(report), asked.durations.clone())),
        )
    }

    fn write_upstreams(&self, page: &mut Page<'_>) -> fmt::Result {
        let (snapshot, now) = (self.shared_snapshot.load(), clock::now());
        let reports: Vec<_> = snapshot
            .upstreams
            .iter()
            .map(|upstream| (upstream.settings().name.to_string(), upstream.report(now)))
            .collect();
        page.histogram(
            "scopegate_upstream_duration_seconds",
            "Time from sending a request to the response head",
            reports
                .iter()
                .map(|(name, report)| (vec![("upstream", name.clone())], report.durations.clone())),
        )?;
        page.counter(
            "scopegate_upstream_retries",
            "Retries of requests",
            reports
                .iter()
                .map(|(name, report)| (vec![("upstream", name.clone())], report.retries)),
        )?;
        let each = |number: fn(&TargetReport) -> u64| {
            reports.iter().flat_map(move |(name, report)| {
                report.targets.iter().map(move |target| {
                    (
                        vec![
                            ("upstream", name.clone()),
                            ("target", target.target.clone()),
                        ],
                        number(target),
                    )
                })
            })
        };
        let help = "1 if the endpoint gets requests, 0 if it is unhealthy or ejected";
        page.gauge(
            "scopegate_upstream_target_up",
            help,
            each(|target| u64::from(target.is_up)),
        )?;
        let help = "Open connections to the endpoint";
        page.gauge(
            "scopegate_upstream_target_connections",
            help,
            each(|target| target.connections),
        )?;
        page.gauge(
            "scopegate_upstream_target_in_flight",
            "Requests in flight to the endpoint",
            each(|target| target.in_flight),
        )?;
        let help = "Ejections of the endpoint";
        page.counter(
            "scopegate_upstream_target_ejections",
            help,
            each(|target| target.ejections),
        )
    }

    // Without the keys: they stand for clients.
    fn write_limits(&self, page: &mut Page<'_>) -> fmt::Result {
        let snapshot = self.shared_snapshot.load();
        let limits = snapshot.limits.iter();
        let reports: Vec<_> = limits
            .map(|limit| {
                let name = limit.settings().name.to_string();
                (vec![("limit", name)], limit.report())
            })
            .collect();
        let outcomes = reports.iter().flat_map(|(of, report)| {
            let outcomes = [("admitted", report.admitted), ("refused", report.refused)];
            outcomes.map(|(outcome, count)| {
                let mut labels = of.clone();
                labels.push(("outcome", outcome.to_owned()));
                (labels, count)
            })
        });
        let help = "Requests by the rate limit that admitted or refused them";
        page.counter("scopegate_rate_limit_requests", help, outcomes)?;
        let each = |number: fn(&LimitReport) -> u64| {
            let reports = reports.iter();
            reports.map(move |(of, report)| (of.clone(), number(report)))
        };
        page.gauge(
            "scopegate_rate_limit_buckets",
            "Buckets in memory: clients with recent requests",
            each(|report| report.buckets),
        )?;
        page.counter(
            "scopegate_rate_limit_evictions",
            "Buckets dropped to make room for new ones",
            each(|report| report.evictions),
        )
    }

    #[expect(clippy::too_many_lines, reason = "one metric after the other")]
    fn write_fleet(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(fleet) = self.shared_snapshot.load().fleet.as_ref().map(Arc::clone) else {
            return Ok(());
        };
        let report = fleet.report();
        let one = |number: u64| [(Vec::new(), number)];
        page.gauge(
            "scopegate_fleet_connected",
            "Whether there is a connection to Redis for revocations",
            one(u64::from(report.is_connected)),
        )?;
        page.gauge(
            "scopegate_fleet_limits_shared",
            "Whether the limits are shared with the other gateways",
            one(u64::from(report.are_limits_shared)),
        )?;
        page.gauge(
            "scopegate_fleet_introspection_responses_shared",
            "Whether introspection responses are shared with the other gateways",
            one(u64::from(report.are_responses_shared)),
        )?;
        page.gauge(
            "scopegate_fleet_revocations_stale",
            "Whether the revocations of the fleet are older than max_revocation_age",
            one(u64::from(report.is_stale)),
        )?;
        page.gauge(
            "scopegate_fleet_last_heard_timestamp_seconds",
            "Unix time up to which the revocations of the fleet are known",
            report.age.map(|age| (Vec::new(), self.seconds_when(age))),
        )?;
        page.gauge(
            "scopegate_fleet_round_trip_milliseconds",
            "Time from sending a heartbeat to reading it",
            one(u64::try_from(report.round_trip.as_millis()).unwrap_or(u64::MAX)),
        )?;
        page.gauge(
            "scopegate_fleet_peers",
            "Other gateways of the fleet",
            one(report.peers),
        )?;
        page.counter(
            "scopegate_fleet_connections",
            "Connections to Redis for revocations that were opened",
            one(report.connections),
        )?;
        page.counter(
            "scopegate_fleet_messages_published",
            "Messages with revocations that were published",
            one(report.published),
        )?;
        page.counter(
            "scopegate_fleet_revocations_received",
            "Revocations that other gateways published",
            one(report.received),
        )?;
        let causes = [
            ("not_sealed", report.unopened),
            ("out_of_order", report.out_of_order),
        ];
        page.counter(
            "scopegate_fleet_messages_suspect",
            "Messages that were not sealed by this fleet, or were missing, repeated or reordered",
            causes.map(|(cause, count)| (vec![("cause", cause.to_owned())], count)),
        )?;
        let outcomes = [
            ("found", report.responses.found),
            ("missing", report.responses.missing),
            ("failed", report.responses.failed),
        ];
        page.counter(
            "scopegate_fleet_introspection_lookups",
            "Lookups of introspection responses that other gateways have stored",
            outcomes.map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count)),
        )
    }

    #[expect(clippy::too_many_lines, reason = "one metric after the other")]
    fn write_process(&self, page: &mut Page<'_>) -> fmt::Result {
        let listeners = self.telemetry.listeners();
        let of = |address: &str| vec![("listener", address.to_string())];
        page.gauge(
            "scopegate_connections",
            "Open client connections",
            listeners
                .iter()
                .map(|(address, connections)| (of(address), connections.open.read())),
        )?;
        page.counter(
            "scopegate_connections_accepted",
            "Accepted client connections",
            listeners
                .iter()
                .map(|(address, connections)| (of(address), connections.accepted.read())),
        )?;
        page.counter(
            "scopegate_connections_evicted",
            "Idle client connections closed to make room for new ones",
            listeners
                .iter()
                .map(|(address, connections)| (of(address), connections.evicted.read())),
        )?;
        page.counter(
            "scopegate_connections_refused",
            "Client connections refused because of max_connections_per_client",
            listeners
                .iter()
                .map(|(address, connections)| (of(address), connections.refused.read())),
        )?;
        page.counter(
            "scopegate_connections_without_proxy_header",
            "Client connections closed because they had no valid PROXY header of a trusted proxy",
            listeners.iter().map(|(address, connections)| {
                (of(address), connections.without_proxy_header.read())
            }),
        )?;
        let reloads = [
            ("accepted", &self.reloads.accepted),
            ("refused", &self.reloads.rejected),
        ];
        page.counter(
            "scopegate_reloads",
            "Configuration reloads by outcome",
            reloads.map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count.read())),
        )?;
        let last = self.reloads.last();
        let help = "1 if the last reload was accepted, 0 if it was refused";
        page.gauge(
            "scopegate_last_reload_successful",
            help,
            [(Vec::new(), u64::from(last.is_active))],
        )?;
        let at = self.seconds_when(clock::since(last.success));
        let help = "Unix time of the last accepted reload";
        page.gauge(
            "scopegate_last_reload_success_timestamp_seconds",
            help,
            [(Vec::new(), at)],
        )?;
        let help = "Requests that panicked";
        page.counter(
            "scopegate_panicked_requests",
            help,
            [(Vec::new(), telemetry::panicked_requests())],
        )?;
        if let Some(log) = self.telemetry.access_log() {
            let help = "Log lines dropped because they were not read in time";
            page.counter(
                "scopegate_log_dropped_lines",
                help,
                [(Vec::new(), log.dropped_lines())],
            )?;
            let help = "Refusals without a log line because of refusals_per_second";
            page.counter(
                "scopegate_log_refusals_left_out",
                help,
                [(Vec::new(), log.refusals_left_out())],
            )?;
        }
        if let Some(spans) = self.telemetry.spans() {
            let help = "Spans that did not reach the collector";
            page.counter(
                "scopegate_dropped_spans",
                help,
                [(Vec::new(), spans.dropped())],
            )?;
        }
        let open = self.shared_snapshot.load().routes.unenforced().count();
        let help = "Routes in shadow mode (enforce = false)";
        page.gauge("scopegate_shadow_routes", help, [(Vec::new(), open as u64)])?;
        let is_ready = u64::from(self.readiness().is_ready());
        page.gauge(
            "scopegate_ready",
            "1 if /readyz responds 200, else 0",
            [(Vec::new(), is_ready)],
        )?;
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        page.gauge(
            "scopegate_build_info",
            "Version of scopegate",
            [(version, 1)],
        )
    }

    // The Unix time `age` ago.
    fn seconds_when(&self, age: Duration) -> u64 {
        u64::try_from(self.clock.now().earlier_by(age).as_seconds()).unwrap_or_default()
    }
}

fn labels_of(kind: &RequestKind) -> Labels {
    let status = kind
        .status
        .map_or_else(|| "none".to_owned(), |status| format!("{}xx", status / 100));
    let mut labels = vec![
        ("route", kind.route.to_string()),
        ("method", kind.method.to_owned()),
        ("status", status),
        ("decision", kind.decision.to_owned()),
        ("reason", kind.reason.unwrap_or_default().to_owned()),
    ];
    if let Some(operation) = &kind.operation {
        labels.push(("mcp_method", operation.method.to_string()));
        labels.push((
            "mcp_name",
            operation.name.as_deref().unwrap_or_default().to_owned(),
        ));
    }
    labels
}

fn http_labels_of(kind: &RequestKind) -> Labels {
    let mut labels = vec![("http_request_method", kind.method.to_owned())];
    if !kind.route.is_empty() {
        labels.push(("http_route", kind.route.to_string()));
    }
    if let Some(status) = kind.status {
        labels.push(("http_response_status_code", status.to_string()));
    }
    labels
}
