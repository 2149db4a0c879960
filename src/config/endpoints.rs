//! Where an issuer's keys and endpoints are: written in the file, or found by its metadata (RFC 8414).

use std::path::PathBuf;

use serde_json::json;
use toml::de::DeValue;
use url::Url;

use super::addresses::{URL, path, read_url, url};
use super::introspection::{Authentication, Introspection};
use super::mismatch::{Mismatch, expected};
use super::read::Table;
use super::reference::{Description, forbidden, key};
use super::report::Spanned;
use super::secret::Secret;
use super::value_type::{ValueType, value_type};
use crate::values::{IntrospectionFormat, Keyword, Validation};

/// Where an issuer's metadata is (RFC 8414 §3).
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    /// Nowhere, or nothing is left to it.
    Off,
    /// At the well-known places of the first `issuer`.
    WellKnown,
    /// Here.
    At(Url),
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// Where its metadata says.
    Discovered,
    /// At this URL.
    Uri(Spanned<Url>),
    /// In this file.
    File(Spanned<PathBuf>),
    /// There is only one, and whoever can verify can sign.
    SharedSecret(Spanned<Secret>),
}

impl KeySource {
    /// Whether it is a secret that is not here.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::SharedSecret(secret) if secret.value.is_missing())
    }
}

const KEY_SOURCES: [&str; 3] = ["jwks_uri", "jwks_file", "shared_secret"];

/// Reads where the keys are; `None` where nothing is signed for us.
pub(super) fn keys(table: &mut Table<'_>, needed: bool) -> Option<KeySource> {
    let jwks_uri = key(
        "jwks_uri",
        "URL of the issuer's JWK set. Without it, discovery finds the keys. \
         Example: `jwks_uri = \"https://id.example.com/keys\"`",
    );
    let jwks_file = key(
        "jwks_file",
        "File with the issuer's JWK set. Without it, discovery finds the keys. \
         Example: `jwks_file = \"keys.json\"`",
    );
    let shared_secret = key(
        "shared_secret",
        "Secret of HS256, HS384 or HS512. Without it, tokens are verified with public keys. \
         Example: `shared_secret = { env = \"JWT_SECRET\" }`",
    );
    let uri = table.optional(jwks_uri, url_of_keys()).map(KeySource::Uri);
    let file = table
        .optional(jwks_file, path(table.folder()))
        .map(KeySource::File);
    let shared_secret = table.secret(shared_secret).map(KeySource::SharedSecret);
    for (first, second) in [
        ("jwks_uri", "jwks_file"),
        ("jwks_uri", "shared_secret"),
        ("jwks_file", "shared_secret"),
    ] {
        table.refuse_both(first, second);
    }
    // The same as `needed`, of what a schema can see.
    table.rule(|| {
        json!({
            "if": {
                "properties": {
                    "validation": {"const": Validation::Introspection.keyword()},
                    "introspection": {"properties": {"accept": {"const": IntrospectionFormat::Json.keyword()}}},
                },
                "required": ["validation"],
            },
            "then": {"properties": forbidden(&KEY_SOURCES)},
        })
    });
    let source = uri.or(file).or(shared_secret);
    if needed {
        return Some(source.unwrap_or(KeySource::Discovered));
    }
    for name in KEY_SOURCES.into_iter().filter(|name| table.has(name)) {
        let message = "expected no keys where no signature is verified, but found them";
        let help = "validation = \"jwks+introspection\" verifies signatures before it asks";
        table.push_unless_misspelt(&["validation"], table.fault(name, message).with_help(help));
    }
    None
}

/// Reads where the metadata is, if anything is left to it; then discovery must be possible.
pub(super) fn discovery(
    table: &mut Table<'_>,
    issuer: Option<&[Spanned<String>]>,
    keys: Option<&KeySource>,
    introspection: Option<&Introspection>,
) -> Discovery {
    let key = key(
        "discovery",
        "Whether the issuer's metadata provides the URLs that the file does not set; or the URL of the metadata document. \
         Example: `discovery = \"https://id.example.com/metadata.json\"`",
    );
    let discovery = table.or(key, metadata_location(), true);
    let left_to_it = left_to_discovery(table, keys, introspection);
    if left_to_it.is_empty() {
        return Discovery::Off;
    }
    // An issuer that could not be read has faults enough.
    let Some(issuer) = issuer.and_then(<[_]>::first) else {
        return discovery;
    };
    match &discovery {
        Discovery::Off => {
            for (what, remedy) in &left_to_it {
                let message = format!("expected discovery or {what}, but found neither");
                let fault = table
                    .fault("discovery", message)
                    .with_help(format!("give {remedy}"));
                table.push_unless_misspelt(&KEY_SOURCES, fault);
            }
        }
        Discovery::WellKnown => {
            let remedies: Vec<_> = left_to_it.iter().map(|(_, remedy)| *remedy).collect();
            refuse_undiscoverable(table, issuer, &remedies.join(", and "));
        }
        Discovery::At(_) => {}
    }
    discovery
}

// What it is, and what would make it known without discovery.
fn left_to_discovery(
    table: &Table<'_>,
    keys: Option<&KeySource>,
    introspection: Option<&Introspection>,
) -> Vec<(&'static str, &'static str)> {
    let mut left = Vec::new();
    if keys.is_some() && !KEY_SOURCES.iter().any(|source| table.has(source)) {
        let signed = introspection.is_some_and(Introspection::needs_keys);
        let what = if signed {
            "another source of keys for answers that are signed"
        } else {
            "another source of keys"
        };
        left.push((what, "jwks_uri, jwks_file or shared_secret"));
    }
    if introspection.is_some_and(|introspection| introspection.endpoint.is_none()) {
        left.push(("introspection.endpoint", "introspection.endpoint"));
    }
    let authentication = introspection.map(|introspection| &introspection.authentication);
    if let Some(Authentication::Bearer {
        token_endpoint: None,
        ..
    }) = authentication
    {
        left.push((
            "introspection.token_endpoint",
            "introspection.token_endpoint",
        ));
    }
    left
}

fn url_of_keys() -> impl ValueType<Url> {
    let is_file =
        |text: &str| !text.contains("://") && (text.contains('/') || text.ends_with(".json"));
    value_type(
        move |value| {
            let hint = || {
                value
                    .as_str()
                    .filter(|text| is_file(text))
                    .map(|_| "jwks_file takes the path of a file".to_owned())
            };
            read_url(value).map_err(|mismatch| mismatch.or_help(hint()))
        },
        || url().describe(),
    )
}

fn metadata_location() -> impl ValueType<Discovery> {
    value_type(read_metadata_location, || {
        let schema = json!({"type": ["boolean", "string"], "pattern": URL});
        Description::new("boolean or URL", schema)
    })
}

fn read_metadata_location(value: &DeValue<'_>) -> Result<Discovery, Mismatch> {
    let mismatch = || expected("true, false or the http or https URL of the metadata document");
    match value.as_bool() {
        Some(true) => Ok(Discovery::WellKnown),
        Some(false) => Ok(Discovery::Off),
        None => read_url(value)
            .map(Discovery::At)
            .map_err(|cause| Mismatch {
                expected: mismatch().expected,
                ..cause
            }),
    }
}

/// The well-known places are made from the issuer (RFC 8414 §3.1), which has neither query nor fragment (§2).
fn refuse_undiscoverable(table: &Table<'_>, issuer: &Spanned<String>, remedy: &str) {
    let (found, hint) = match read_url(&DeValue::String(issuer.value.as_str().into())) {
        Ok(url) if url.query().is_none() => return,
        Ok(_) => (None, None),
        // A bare name may be one on purpose.
        Err(mismatch) => (
            mismatch.found,
            mismatch
                .help
                .filter(|_| issuer.value.contains([':', '/', '$', '{'])),
        ),
    };
    let found = found.unwrap_or_else(|| format!("{:?}", issuer.value));
    let message =
        format!("expected an http or https URL without query and fragment, but found {found}");
    let hint = hint.map(|hint| format!("{hint}; ")).unwrap_or_default();
    let fault = issuer
        .fault(message)
        .with_help(format!("{hint}to name an issuer otherwise, give {remedy}"));
    table.push_unless_misspelt(
        &[
            "discovery",
            "jwks_uri",
            "jwks_file",
            "shared_secret",
            "introspection",
        ],
        fault,
    );
}
