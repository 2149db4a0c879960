//! `scopegate explain`: what the gateway would do with a request, and why. Nothing is forwarded.
//!
//! The request is written as a client would write it, parsed by the same HTTP/1.1 as in a listener,
//! and given to a [`DryRun`](crate::gateway::DryRun). The verdict is therefore the gateway's own,
//! and the details come from the functions that decide.
//!
//! - `arguments`: the command line; `sample_request`: the request that it describes; `dry_run`:
//!   runs it.
//! - `explanation`: the result as data; `forwarded`: the part about the upstream's request;
//!   `response_headers`: the rules for the response. `text` and `json` render it; `duration` formats
//!   durations.
//! - `cors`: what answers a preflight; `issuer_settings`: presets; `unread`: the claims that nothing
//!   reads.

mod arguments;
mod cors;
mod dry_run;
mod duration;
mod explanation;
mod forwarded;
mod issuer_settings;
mod json;
mod response_headers;
mod sample_request;
mod text;
mod unread;

use std::path::Path;
use std::process::ExitCode;

pub(super) use arguments::Arguments;

use super::missing_secrets::without_missing_secrets;
use crate::clock::Clock;
use crate::config::{Config, KeySource, Purpose};
use crate::files::{self, MAX_NAMED};
use crate::gateway::{Snapshot, compile};
use crate::oauth::claims::Claims;
use crate::oauth::jose::{Jwks, TokenShape, classify};
use crate::oauth::tenant::TenantTemplate;
use explanation::{Explanation, Verdict};
use sample_request::SampleRequest;

/// Explains a request. The exit code is 0 if it would pass, 1 if not, and 2 for invalid input.
pub(super) fn explain(file: &Path, arguments: &Arguments) -> ExitCode {
    match explain_request(file, arguments) {
        Ok(explanation) => {
            print!(
                "{}",
                if arguments.json {
                    json::render(&explanation)
                } else {
                    text::render(&explanation)
                }
            );
            match explanation.verdict {
                Verdict::Passes | Verdict::Replied => ExitCode::SUCCESS,
                Verdict::Refused | Verdict::Unknown => ExitCode::FAILURE,
            }
        }
        Err(code) => code,
    }
}

fn explain_request(file: &Path, arguments: &Arguments) -> Result<Explanation, ExitCode> {
    let purpose = if arguments.offline {
        Purpose::CheckOnly
    } else {
        Purpose::Try
    };
    let (mut config, source) = super::read(file, purpose)?;
    // It explains what a gateway decides that has heard its fleet.
    config.fleet = None;
    let request = SampleRequest::new(arguments, &config).map_err(super::bad_input)?;
    if let Some(jwks) = &arguments.jwks {
        use_key_file(&mut config, jwks, &request).map_err(super::bad_input)?;
    }
    let compiled = match purpose {
        Purpose::Run | Purpose::Try => compile(&config),
        Purpose::CheckOnly => {
            let (complete, mut missing) = without_missing_secrets(&config);
            missing.extend_from_slice(source.warnings());
            source
                .report(missing)
                .lines()
                .for_each(|line| eprintln!("warning: {line}"));
            compile(&complete)
        }
    };
    let snapshot = compiled.map_err(|faults| super::bad_input(source.report(faults)))?;
    read_revocations(&config, &snapshot);
    let result = dry_run::dry_run(&request, snapshot, &config);
    let result = result.map_err(|error| super::bad_input(format!("scopegate: {error}")))?;
    Ok(Explanation::new(&request, result, &config, &source))
}

// What is revoked is read from the file, which a running gateway may have open. Without it the
// explanation may still be of use.
fn read_revocations(config: &Config, snapshot: &Snapshot) {
    let written = config.revocations.as_ref();
    let Some((revocations, written)) = snapshot.verifier.revocations().zip(written) else {
        return;
    };
    let Some(file) = &written.file else {
        eprintln!(
            "warning: what is revoked is not known here: [revocations] has no file (a running gateway knows it)"
        );
        return;
    };
    // Before the first start there is none.
    if matches!(file.value.try_exists(), Ok(false)) {
        return;
    }
    if let Err(fault) = revocations.read(&file.value, Clock::system().now()) {
        eprintln!("warning: what is revoked is not known here: {fault}");
    }
}

// Replaces the keys of the issuer that the token names.
fn use_key_file(config: &mut Config, file: &Path, request: &SampleRequest) -> Result<(), String> {
    let name = file.display();
    let document = files::read_once(file, MAX_NAMED)
        .map_err(|error| format!("{name}: expected a JWK set, but found {error}"))?;
    let keys = Jwks::parse(&document)
        .map_err(|error| format!("{name}: expected a JWK set, but found none: {error}"))?;
    for skipped in &keys.skipped {
        eprintln!(
            "{name}: key {} of the set is ignored: {}",
            skipped.index, skipped.error
        );
    }
    let iss = request.token().and_then(|token| match classify(token) {
        Ok(TokenShape::Jwt(jws)) => Claims::parse(jws.payload())
            .ok()?
            .issuer()
            .map(str::to_owned),
        Ok(TokenShape::Opaque) | Err(_) => None,
    });
    let is_of = |written: &str, iss: &str| {
        let template = TenantTemplate::parse(written).ok().flatten();
        template.map_or(written == iss, |template| template.tenant_of(iss).is_some())
    };
    let named = |iss: String| {
        config.issuers.iter().position(|issuer| {
            let mut names = issuer.issuer.iter();
            names.any(|one| is_of(&one.value, &iss))
        })
    };
    let position = iss
        .and_then(named)
        .or_else(|| (config.issuers.len() == 1).then_some(0));
    let Some(issuer) = position.map(|position| &mut config.issuers[position]) else {
        return Err(
            "--jwks: expected a token whose iss names an issuer of the file, or a file with one issuer, but found neither".to_owned()
        );
    };
    let keys = match &issuer.keys {
        Some(KeySource::Discovered | KeySource::Uri(_) | KeySource::File(_)) => {
            issuer.name.with_value(file.to_owned())
        }
        Some(KeySource::SharedSecret(_)) | None => {
            let name = &issuer.name.value;
            return Err(format!(
                "--jwks: expected an issuer that publishes keys, but found {name:?}, which has none"
            ));
        }
    };
    issuer.keys = Some(KeySource::File(keys));
    Ok(())
}
