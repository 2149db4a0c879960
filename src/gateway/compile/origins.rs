//! What the parts of a snapshot were made of: whether they would come out the same again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config};
use crate::transport::Content;

/// What the parts of a snapshot were made of, in the order of the parts.
pub(in crate::gateway) struct Origins {
    pub(super) issuers: Vec<Origin<config::Issuer>>,
    pub(super) upstreams: Vec<Origin<(config::Upstream, Duration)>>,
}

/// What stood in the file, and in the files that it names.
#[derive(PartialEq)]
pub(super) struct Origin<T> {
    written: T,
    files: Content,
}

impl Origins {
    pub(super) fn of(config: &Config) -> Self {
        let body_idle_timeout = config.server.body_idle_timeout;
        Self {
            issuers: config
                .issuers
                .iter()
                .map(|issuer| {
                    Origin::new(
                        issuer.clone(),
                        issuer.files().map(|file| &file.value).collect(),
                    )
                })
                .collect(),
            // Their files are looked at all the time anyway.
            upstreams: config
                .upstreams
                .iter()
                .map(|upstream| Origin::new((upstream.clone(), body_idle_timeout), Vec::new()))
                .collect(),
        }
    }
}

impl<T: PartialEq> Origin<T> {
    fn new(written: T, files: Vec<&PathBuf>) -> Self {
        Self {
            written,
            files: Content::of(files),
        }
    }

    /// What was made of the same, among `made` of `origins`.
    pub(super) fn find<M>(&self, origins: &[Self], made: &[Arc<M>]) -> Option<Arc<M>> {
        let index = origins.iter().position(|origin| origin == self)?;
        made.get(index).map(Arc::clone)
    }
}
