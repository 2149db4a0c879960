//! The keys and endpoints of an issuer: from the file, or from its metadata (RFC 8414).

use std::borrow::Cow;
use std::path::PathBuf;

use serde_json::json;
use toml::de::DeValue;
use url::Url;

use super::addresses::{URL_OF_TENANTS, path, read_url_of_tenants};
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
    /// Not used: disabled, or the file sets every URL.
    Off,
    /// At the well-known URLs of the first `issuer`.
    WellKnown,
    /// At this URL.
    At(Url),
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// At the URL in the metadata.
    Discovered,
    /// At this URL.
    Uri(Spanned<Url>),
    /// In this file.
    File(Spanned<PathBuf>),
    /// A single shared secret: everyone who can verify can also sign.
    SharedSecret(Spanned<Secret>),
}

impl KeySource {
    /// Whether it is a missing secret.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::SharedSecret(secret) if secret.value.is_missing())
    }
}

const KEY_SOURCES: [&str; 3] = ["jwks_uri", "jwks_file", "shared_secret"];

/// Reads the source of the keys; `None` if no signature is verified.
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
    // The part of `needed` that a schema can express.
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
        let help = "validation = \"jwks+introspection\" verifies signatures before introspection";
        table.push_unless_misspelt(&["validation"], table.fault(name, message).with_help(help));
    }
    None
}

/// Reads the token that fetches keys and metadata. Its file is read again for each fetch, so only
/// its place counts.
pub(super) fn jwks_token(table: &mut Table<'_>) -> Option<Spanned<Secret>> {
    let key = key(
        "jwks_token",
        "Bearer token for fetching keys and metadata. A file is read again for each fetch. It is sent only to the origins \
         of the first `issuer`, of `discovery` and of `jwks_uri`. Without it, they are fetched without a token. \
         Example: `jwks_token = { file = \"/var/run/secrets/kubernetes.io/serviceaccount/token\" }`",
    );
    let token = table.secret(key);
    // Nothing fetches those.
    for fixed in ["jwks_file", "shared_secret"] {
        table.refuse_both(fixed, "jwks_token");
    }
    let token = token?;
    Some(token.with_value(token.value.clone().without_text_of_file()))
}

/// Reads the location of the metadata, if the file omits some URL. Discovery must then be possible.
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
    let undeclared = undeclared_urls(table, keys, introspection);
    if undeclared.is_empty() {
        return Discovery::Off;
    }
    // An unreadable issuer already has a fault.
    let Some(issuer) = issuer.and_then(<[_]>::first) else {
        return discovery;
    };
    match &discovery {
        Discovery::Off => {
            for (what, remedy) in &undeclared {
                let message = format!("expected discovery or {what}, but found neither");
                let fault = table
                    .fault("discovery", message)
                    .with_help(format!("give {remedy}"));
                table.push_unless_misspelt(&KEY_SOURCES, fault);
            }
        }
        Discovery::WellKnown => {
            let remedies: Vec<_> = undeclared.iter().map(|(_, remedy)| *remedy).collect();
            refuse_undiscoverable(table, issuer, &remedies.join(", and "));
        }
        Discovery::At(_) => {}
    }
    discovery
}

// What the file omits, and the key that would declare it.
fn undeclared_urls(
    table: &Table<'_>,
    keys: Option<&KeySource>,
    introspection: Option<&Introspection>,
) -> Vec<(&'static str, &'static str)> {
    let mut undeclared = Vec::new();
    if keys.is_some() && !KEY_SOURCES.iter().any(|source| table.has(source)) {
        let signed = introspection.is_some_and(Introspection::needs_keys);
        let what = if signed {
            "another source of keys for signed responses"
        } else {
            "another source of keys"
        };
        undeclared.push((what, "jwks_uri, jwks_file or shared_secret"));
    }
    if introspection.is_some_and(|introspection| introspection.endpoint.is_none()) {
        undeclared.push(("introspection.endpoint", "introspection.endpoint"));
    }
    let authentication = introspection.map(|introspection| &introspection.authentication);
    if let Some(Authentication::Bearer {
        token_endpoint: None,
        ..
    }) = authentication
    {
        undeclared.push((
            "introspection.token_endpoint",
            "introspection.token_endpoint",
        ));
    }
    undeclared
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
            read_url_of_tenants(value).map_err(|mismatch| mismatch.or_help(hint()))
        },
        || Description::pattern("URL", URL_OF_TENANTS),
    )
}

fn metadata_location() -> impl ValueType<Discovery> {
    value_type(read_metadata_location, || {
        let schema = json!({"type": ["boolean", "string"], "pattern": URL_OF_TENANTS});
        Description::new("boolean or URL", schema)
    })
}

fn read_metadata_location(value: &DeValue<'_>) -> Result<Discovery, Mismatch> {
    let mismatch = || expected("true, false or the http or https URL of the metadata document");
    match value.as_bool() {
        Some(true) => Ok(Discovery::WellKnown),
        Some(false) => Ok(Discovery::Off),
        None => read_url_of_tenants(value)
            .map(Discovery::At)
            .map_err(|cause| Mismatch {
                expected: mismatch().expected,
                ..cause
            }),
    }
}

/// The text with letters in place of `{name}`, wherever it is: templates are compiled later. `${NAME}`
/// is no parameter, but a variable that nobody filled in.
fn without_parameters(text: &str) -> Cow<'_, str> {
    let braces = text
        .split_once('{')
        .filter(|(before, _)| !before.ends_with('$'));
    match braces.and_then(|(before, inner)| Some((before, inner.split_once('}')?.1))) {
        Some((before, after)) => format!("{before}x{}", without_parameters(after)).into(),
        None => text.into(),
    }
}

/// Well-known URLs are built from the issuer (RFC 8414 §3.1), which has no query or fragment (§2).
fn refuse_undiscoverable(table: &Table<'_>, issuer: &Spanned<String>, remedy: &str) {
    let text = without_parameters(&issuer.value);
    let url = read_url_of_tenants(&DeValue::String(text.as_ref().into()));
    let (found, hint) = match url {
        Ok(url) if url.query().is_none() => return,
        Ok(_) => (None, None),
        // A bare name may be intentional.
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
