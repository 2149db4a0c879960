//! Weak choices of `request_headers`: credentials that are written in the file.

use crate::config::{Config, Fault, SecretOrigin, holds_credential};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    if config.development.is_some() {
        return Vec::new();
    }
    let rules = config
        .routes
        .iter()
        .filter_map(|route| route.request_headers.as_ref());
    let written = rules.flat_map(|rules| &rules.set).filter(|(name, value)| {
        *value.value.origin() == SecretOrigin::Bare && holds_credential(&name.value)
    });
    written
        .map(|(name, _)| {
            name.fault(
                "the value is written in this file, and clients can send this header on other routes",
            )
            .with_help("if it is a secret, use { env = \"NAME\" } or { file = \"PATH\" }")
        })
        .collect()
}
