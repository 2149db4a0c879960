//! What all workers and the control plane share of one upstream.

use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use super::endpoint::list::Endpoints;
use super::resolver::Resolver;
use super::settings::UpstreamSettings;
use super::stats::{EndpointStats, PerWorker, TargetReport, UpstreamReport, UpstreamStats};
use crate::telemetry::metrics::HistogramSnapshot;
use crate::transport::Reloadable;

/// The settings of an upstream and its live state: endpoints, certificates, statistics.
///
/// The control plane writes the live state; workers read it with atomic loads.
#[derive(Debug)]
pub struct SharedUpstream {
    settings: UpstreamSettings,
    pub(super) endpoints: Endpoints,
    pub(super) resolver: Resolver,
    /// For `https` targets.
    pub(super) tls: Arc<Reloadable<ClientConfig>>,
    pub(super) stats: PerWorker<UpstreamStats>,
}

impl SharedUpstream {
    /// An upstream that no request was sent to yet. Names are looked up by the system's resolver.
    #[must_use]
    pub fn new(settings: UpstreamSettings, tls: Reloadable<ClientConfig>) -> Self {
        Self {
            endpoints: Endpoints::of(&settings.targets),
            resolver: Resolver::system(),
            tls: Arc::new(tls),
            stats: PerWorker::default(),
            settings,
        }
    }

    /// Replaces the system's resolver.
    pub fn set_resolver(&mut self, resolver: Resolver) {
        self.resolver = resolver;
    }

    /// The settings that it was made from.
    #[must_use]
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// The statistics of all workers together.
    #[must_use]
    pub fn report(&self, now: Instant) -> UpstreamReport {
        let mut report = UpstreamReport {
            durations: HistogramSnapshot::default(),
            retries: 0,
            targets: Vec::new(),
        };
        for stats in self.stats.all() {
            report.durations.add(&stats.durations.read());
            report.retries += stats.retries.read();
        }
        report.targets = self
            .endpoints
            .current()
            .iter()
            .map(|endpoint| {
                let workers = endpoint.stats.all();
                let sum =
                    |read: fn(&EndpointStats) -> u64| workers.iter().map(|stats| read(stats)).sum();
                TargetReport {
                    target: endpoint.to_string(),
                    is_up: endpoint.is_healthy()
                        && !workers.iter().any(|stats| stats.is_ejected(now)),
                    connections: sum(|stats| stats.connections.read()),
                    in_flight: sum(|stats| stats.in_flight.read()),
                    ejections: sum(|stats| stats.ejections.read()),
                }
            })
            .collect();
        report
    }
}
