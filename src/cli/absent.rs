//! What only running needs, and may be absent where a file is looked at: secrets and private keys.
//!
//! On a laptop and for a pull request nobody has them, and routes can be looked at all the same. What would use one is
//! left out of what is compiled, so that nothing can be decided by a secret that is empty. `run` and reloads know nothing
//! of this.

use std::path::PathBuf;

use crate::config::{Authentication, Certificate, Config, Fault, KeySource, Spanned};
use crate::files::{self, FileError, MAX_NAMED};

/// The same without what needs a private key or a secret that is not here, and which keys those are. Missing secrets were
/// told when the file was read.
pub(super) fn left_out(config: &Config) -> (Config, Vec<Fault>) {
    let (mut config, mut absent) = (config.clone(), Vec::new());
    for listener in &mut config.listeners {
        let Some(tls) = &mut listener.tls else {
            continue;
        };
        tls.certificates
            .retain(|pair| is_here(&pair.key, &mut absent));
        if tls.certificates.is_empty() {
            listener.tls = None;
        }
    }
    for upstream in &mut config.upstreams {
        upstream
            .tls_client
            .take_if(|Certificate { key, .. }| !is_here(key, &mut absent));
    }
    for issuer in &mut config.issuers {
        // Nothing is fetched where this is looked at: so nobody can tell about its tokens.
        issuer.keys = issuer.keys.take().map(|keys| {
            if keys.is_missing() {
                KeySource::Discovered
            } else {
                keys
            }
        });
        let Some(asked) = &mut issuer.introspection else {
            continue;
        };
        let place = match &asked.authentication {
            Authentication::Basic(client)
            | Authentication::Form(client)
            | Authentication::Bearer { client, .. } => client
                .secret
                .value
                .is_missing()
                .then(|| client.secret.with_value(())),
            Authentication::PrivateKeyJwt { key, .. } => {
                (!is_here(key, &mut absent)).then(|| key.with_value(()))
            }
            Authentication::None(_) => None,
        };
        asked.authentication =
            place.map_or_else(|| asked.authentication.clone(), Authentication::None);
    }
    (config, absent)
}

fn is_here(key: &Spanned<PathBuf>, absent: &mut Vec<Fault>) -> bool {
    // One that is there and wrong is wrong everywhere, which compiling tells.
    let Err(error @ FileError::Unreadable { .. }) = files::read(&key.value, MAX_NAMED) else {
        return true;
    };
    let message = format!(
        "expected a private key in {}, but found {error}",
        key.value.display()
    );
    absent.push(
        key.fault(message)
            .with_help("it is not needed to look at the file, and is to run the gateway"),
    );
    false
}
