//! Whether a part of a configuration would compile to the same thing again.
//!
//! A reload keeps the issuers and upstreams whose fingerprints are equal, with their keys, cached
//! tokens and connections.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, HttpProxy};
use crate::transport::FileContents;

/// The fingerprints of all issuers and upstreams of a snapshot, in their order.
pub(in crate::gateway) struct Fingerprints {
    /// With the proxy that they are reached by, and whether routes judge their audience.
    pub(super) issuers: Vec<Fingerprint<(config::Issuer, Option<HttpProxy>, bool)>>,
    pub(super) upstreams: Vec<Fingerprint<(config::Upstream, Duration)>>,
}

/// A part as it is written, and the contents of the files that it names.
#[derive(PartialEq)]
pub(super) struct Fingerprint<T> {
    written: T,
    files: FileContents,
}

impl Fingerprints {
    /// `by_route` are the names of the issuers whose audience is judged by routes.
    pub(super) fn of(config: &Config, by_route: &HashSet<&str>) -> Self {
        let body_idle_timeout = config.server.body_idle_timeout;
        let http_proxy = &config.server.http_proxy;
        Self {
            issuers: config
                .issuers
                .iter()
                .map(|issuer| {
                    Fingerprint::new(
                        (
                            issuer.clone(),
                            http_proxy.clone(),
                            by_route.contains(issuer.name.value.as_str()),
                        ),
                        issuer.files().map(|file| &file.value).collect(),
                    )
                })
                .collect(),
            // Their certificates are watched and reloaded on their own.
            upstreams: config
                .upstreams
                .iter()
                .map(|upstream| Fingerprint::new((upstream.clone(), body_idle_timeout), Vec::new()))
                .collect(),
        }
    }
}

impl<T: PartialEq> Fingerprint<T> {
    fn new(written: T, files: Vec<&PathBuf>) -> Self {
        Self {
            written,
            files: FileContents::of(files),
        }
    }

    /// Of the `compiled` parts with these `fingerprints`, the one with this fingerprint.
    pub(super) fn find<M>(&self, fingerprints: &[Self], compiled: &[Arc<M>]) -> Option<Arc<M>> {
        let index = fingerprints
            .iter()
            .position(|fingerprint| fingerprint == self)?;
        compiled.get(index).map(Arc::clone)
    }
}
