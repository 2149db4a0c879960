//! Secrets and private keys that `check` and `explain --offline` can do without.
//!
//! A laptop or a CI job has no secrets, but can check routes. Whatever uses a missing secret is
//! removed before the file is compiled, so that an empty secret never decides anything. `run` and
//! reloads do not use this module.

use std::path::PathBuf;

use crate::config::{Authentication, Certificate, Config, Fault, KeySource, Spanned};
use crate::files::{self, FileError, MAX_NAMED};

/// Removes what uses a missing secret or private key. Returns a warning for each missing key; those
/// for missing secrets come from reading the file.
pub(super) fn without_missing_secrets(config: &Config) -> (Config, Vec<Fault>) {
    let (mut config, mut missing) = (config.clone(), Vec::new());
    for listener in &mut config.listeners {
        let Some(tls) = &mut listener.tls else {
            continue;
        };
        tls.certificates
            .retain(|pair| has_key(&pair.key, &mut missing));
        if tls.certificates.is_empty() {
            listener.tls = None;
        }
    }
    for upstream in &mut config.upstreams {
        upstream
            .tls_client
            .take_if(|Certificate { key, .. }| !has_key(key, &mut missing));
    }
    config.fleet.take_if(|fleet| {
        let secrets = [
            Some(&fleet.key),
            fleet.previous_key.as_ref(),
            fleet.password.as_ref(),
        ];
        secrets
            .into_iter()
            .flatten()
            .any(|one| one.value.is_missing())
    });
    for issuer in &mut config.issuers {
        // `Discovered` fetches nothing here, so the tokens of this issuer stay undecided.
        issuer.keys = issuer.keys.take().map(|keys| {
            if keys.is_missing() {
                KeySource::Discovered
            } else {
                keys
            }
        });
        issuer.jwks_token.take_if(|token| token.value.is_missing());
        let Some(introspection) = &mut issuer.introspection else {
            continue;
        };
        let missing_at = match &introspection.authentication {
            Authentication::Basic(client)
            | Authentication::Form(client)
            | Authentication::Bearer { client, .. } => client
                .secret
                .value
                .is_missing()
                .then(|| client.secret.with_value(())),
            Authentication::PrivateKeyJwt { key, .. } => {
                (!has_key(key, &mut missing)).then(|| key.with_value(()))
            }
            Authentication::None(_) => None,
        };
        if let Some(place) = missing_at {
            introspection.authentication = Authentication::None(place);
        }
    }
    (config, missing)
}

fn has_key(key: &Spanned<PathBuf>, missing: &mut Vec<Fault>) -> bool {
    // Compiling reports a key that is present but invalid.
    let Err(error @ FileError::Unreadable { .. }) = files::read(&key.value, MAX_NAMED) else {
        return true;
    };
    let message = format!(
        "expected a private key in {}, but found {error}",
        key.value.display()
    );
    missing.push(
        key.fault(message)
            .with_help("only `scopegate run` needs it"),
    );
    false
}
