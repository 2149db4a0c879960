//! `[issuers.NAME]`: whose access tokens count, and what they must say.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::endpoints::{self, Discovery, KeySource};
use super::introspection::{Authentication, Introspection};
use super::names::{did_you_mean, quoted_list};
use super::read::Table;
use super::report::Placed;
use super::secret::Secret;
use super::units::{
    DAY, HOUR, MEBIBYTE, MILLISECOND, MINUTE, MONTH, SECOND, count, duration, size, whole_seconds,
};
use super::values::{
    Mismatch, PUBLIC_KEY_ALGORITHMS, any_text, boolean, expected, keyword, path, text,
};
use crate::values::{ExpiryUnit, IntrospectionFormat, Validation};

/// `[issuers.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// The name by which routes speak of it.
    pub name: Placed<String>,
    /// The exact `iss` values it goes by, at least one; the first is used for discovery.
    pub issuer: Vec<Placed<String>>,
    /// Whom its tokens must be meant for.
    pub audience: Audience,
    /// Whether a token without `aud` is refused.
    pub audience_required: bool,
    /// How a token is judged.
    pub validation: Validation,
    /// Where its metadata is.
    pub discovery: Discovery,
    /// Where its keys are; `None` where nothing is signed for us.
    pub keys: Option<KeySource>,
    /// How its server is asked about tokens, where it is.
    pub introspection: Option<Introspection>,
    /// What its opaque tokens begin with.
    pub token_prefix: Placed<String>,
    /// Names of the signature algorithms it may use (RFC 7518 §3.1, RFC 8037 §3.1), at least one.
    pub algorithms: Vec<Placed<String>>,
    /// Accepted values of the header `typ`; "" for none.
    pub token_types: Vec<Placed<String>>,
    /// Claims a token must have beyond those that are always asked for.
    pub required_claims: Vec<Placed<String>>,
    /// Claims that may hold the scope; the first that is present counts.
    pub scope_claims: Vec<Placed<String>>,
    /// The unit of `exp`, `nbf` and `iat`.
    pub expiry_unit: ExpiryUnit,
    /// Whether an `exp` more than ten years ahead is taken as "never" instead of refused.
    pub accept_unbounded_expiry: bool,
    /// How long a verified token is remembered at most.
    pub cache_max_age: Duration,
    /// How many verified tokens are remembered.
    pub cache_entries: usize,
    /// How many bytes of memory they may take; `None` where only their number is limited.
    pub cache_bytes: Option<usize>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// Whether `*` in a granted scope is a wildcard.
    pub granted_wildcards: bool,
    /// Whether a token bound to a sender passes without that sender's proof.
    pub insecure_ignore_cnf: bool,
    /// How often keys are fetched where Cache-Control does not say.
    pub jwks_refresh: Duration,
    /// How long old keys serve while new ones cannot be fetched.
    pub jwks_max_stale: Duration,
    /// The least time between two fetches for the sake of an unknown key.
    pub unknown_key_cooldown: Duration,
    /// The roots trusted for its endpoints, if not the system's.
    pub tls_ca: Option<Placed<PathBuf>>,
    /// How long connecting to its endpoints may take.
    pub connect_timeout: Duration,
    /// How long one of its answers may take.
    pub timeout: Duration,
}

/// Whom tokens must be meant for.
#[derive(Clone, Debug, PartialEq)]
pub enum Audience {
    /// Anybody: every resource server that takes this issuer's tokens can replay them here.
    Any(Placed<()>),
    /// One of these, at least one.
    OneOf(Vec<Placed<String>>),
}

impl Issuer {
    pub(super) fn read(name: Placed<String>, table: &mut Table<'_>) -> Option<Self> {
        let issuer = table.required_one_or_many("issuer", "the iss of its tokens", text);
        let audience = audience(table);
        let validation = table.placed_or("validation", Validation::Jwks, validation);
        let introspection = introspection(table, &validation, audience.as_ref());
        let validation = validation.value;
        // Where the section could not be read, nobody knows what it needs.
        let is_known = introspection.is_some() || !table.has("introspection");
        let needs_keys = validation != Validation::Introspection
            || introspection.as_ref().is_none_or(Introspection::needs_keys);
        let keys = endpoints::keys(table, needs_keys);
        let issuer_to_judge = issuer.as_deref().filter(|_| is_known);
        let discovery = endpoints::discovery(
            table,
            issuer_to_judge,
            keys.as_ref(),
            introspection.as_ref(),
        );
        let algorithms = algorithms(table);
        refuse_short_secret(table, keys.as_ref(), &algorithms);
        Some(Self {
            name,
            audience_required: table.or("audience_required", true, boolean),
            token_prefix: table.placed_or("token_prefix", String::new(), token_prefix),
            validation,
            introspection,
            discovery,
            keys,
            algorithms,
            token_types: table.list_or("token_types", 1, &["at+jwt", "JWT", ""], any_text),
            required_claims: table.list_or("required_claims", 0, &[], text),
            scope_claims: table.list_or("scope_claims", 1, &["scope", "scp"], text),
            expiry_unit: table.or("expiry_unit", ExpiryUnit::Seconds, keyword),
            accept_unbounded_expiry: table.or("accept_unbounded_expiry", false, boolean),
            cache_max_age: table.or("cache_max_age", DAY, whole_seconds(Duration::ZERO..=MONTH)),
            // Whoever has written a number alone has meant it, whatever memory that takes.
            cache_bytes: table
                .optional("cache_bytes", size(0..=1024 * 1024 * MEBIBYTE))
                .map(|bytes| bytes.value)
                .or((!table.has("cache_entries")).then_some(64 * MEBIBYTE)),
            cache_entries: table.or("cache_entries", 100_000, count(0..=10_000_000)),
            leeway: table.or(
                "leeway",
                30 * SECOND,
                whole_seconds(Duration::ZERO..=5 * MINUTE),
            ),
            granted_wildcards: table.or("granted_wildcards", true, boolean),
            insecure_ignore_cnf: table.or("insecure_ignore_cnf", false, boolean),
            // The bounds are those to which Cache-Control is held: what an operator writes is never clamped unseen.
            jwks_refresh: table.or("jwks_refresh", 10 * MINUTE, duration(MINUTE..=HOUR)),
            jwks_max_stale: table.or("jwks_max_stale", DAY, duration(Duration::ZERO..=MONTH)),
            unknown_key_cooldown: table.or(
                "unknown_key_cooldown",
                30 * SECOND,
                duration(SECOND..=HOUR),
            ),
            tls_ca: table.optional("tls_ca", path(table.folder())),
            connect_timeout: table.or("connect_timeout", SECOND, duration(MILLISECOND..=MINUTE)),
            timeout: table.or("timeout", 3 * SECOND, duration(MILLISECOND..=MINUTE)),
            // What may be missing comes last, when every key was taken.
            issuer: issuer?,
            audience: audience?,
        })
    }
}

impl Issuer {
    /// Whether any of its endpoints may be at an https URL.
    #[must_use]
    pub fn may_use_tls(&self) -> bool {
        let metadata = match &self.discovery {
            Discovery::At(url) => url.scheme() == "https",
            Discovery::WellKnown => self
                .issuer
                .first()
                .is_some_and(|iss| iss.value.starts_with("https://")),
            Discovery::Off => false,
        };
        metadata
            || self
                .written_endpoints()
                .any(|url| url.value.scheme() == "https")
    }

    /// The endpoints that the file names: of keys, of introspection, of our own tokens.
    pub fn written_endpoints(&self) -> impl Iterator<Item = &Placed<Url>> {
        let asked = self.introspection.as_ref();
        let token_endpoint = asked.and_then(|asked| match &asked.authentication {
            Authentication::Bearer { token_endpoint, .. } => token_endpoint.as_ref(),
            Authentication::None(_)
            | Authentication::Basic(_)
            | Authentication::Form(_)
            | Authentication::PrivateKeyJwt { .. } => None,
        });
        let keys = self.keys.as_ref().and_then(|keys| match keys {
            KeySource::Uri(url) => Some(url),
            KeySource::Discovered | KeySource::File(_) | KeySource::SharedSecret(_) => None,
        });
        [
            keys,
            asked.and_then(|asked| asked.endpoint.as_ref()),
            token_endpoint,
        ]
        .into_iter()
        .flatten()
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Placed<PathBuf>> {
        let keys = match &self.keys {
            Some(KeySource::File(file)) => Some(file),
            Some(KeySource::Discovered | KeySource::Uri(_) | KeySource::SharedSecret(_)) | None => {
                None
            }
        };
        let own = self
            .introspection
            .as_ref()
            .and_then(|asked| match &asked.authentication {
                Authentication::PrivateKeyJwt { key, .. } => Some(key),
                Authentication::None(_)
                | Authentication::Basic(_)
                | Authentication::Form(_)
                | Authentication::Bearer { .. } => None,
            });
        [self.tls_ca.as_ref(), keys, own].into_iter().flatten()
    }

    /// The secrets that the file names or holds.
    pub fn secrets(&self) -> impl Iterator<Item = &Placed<Secret>> {
        let shared = self.keys.as_ref().and_then(|keys| match keys {
            KeySource::SharedSecret(secret) => Some(secret),
            KeySource::Discovered | KeySource::Uri(_) | KeySource::File(_) => None,
        });
        let ours = self
            .introspection
            .as_ref()
            .and_then(|asked| match &asked.authentication {
                Authentication::Basic(client)
                | Authentication::Form(client)
                | Authentication::Bearer { client, .. } => Some(&client.secret),
                Authentication::None(_) | Authentication::PrivateKeyJwt { .. } => None,
            });
        [shared, ours].into_iter().flatten()
    }
}

const DEFAULT_ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

const SHARED_SECRET_ALGORITHMS: [&str; 3] = ["HS256", "HS384", "HS512"];

fn audience(table: &mut Table<'_>) -> Option<Audience> {
    let names = table.required_one_or_many(
        "audience",
        "the aud of tokens meant for this gateway, or \"any\"",
        text,
    )?;
    match (names.iter().find(|name| name.value == "any"), names.len()) {
        (Some(any), 1) => Some(Audience::Any(any.with_value(()))),
        (Some(any), _) => {
            table.push(
                any.fault("expected \"any\" to stand alone, but found other audiences beside it"),
            );
            None
        }
        (None, _) => Some(Audience::OneOf(names)),
    }
}

/// Whoever writes two words of which we know but one means both: a hint at one of them would leave the other out.
fn validation(value: &DeValue<'_>) -> Result<Validation, Mismatch> {
    let both = value
        .as_str()
        .is_some_and(|text| text.contains("introspection") && text.contains("jwks"));
    let hint = |mismatch: Mismatch| {
        if both {
            mismatch.with_help("did you mean \"jwks+introspection\"?")
        } else {
            mismatch
        }
    };
    keyword(value).map_err(hint)
}

fn introspection(
    table: &mut Table<'_>,
    validation: &Placed<Validation>,
    audience: Option<&Audience>,
) -> Option<Introspection> {
    let introspection = table
        .optional_section("introspection", Introspection::read)
        .flatten();
    // One that cannot be read may have been meant to ask.
    let asks = validation.value != Validation::Jwks
        || (table.has("validation") && !validation.is_written());
    if validation.value != Validation::Jwks && !table.has("introspection") {
        let message = "expected a table that says how tokens are asked about, but found nothing";
        let section = format!(
            "[{}] with client_id and client_secret",
            table.fault("introspection", "").key
        );
        table.push_absent(
            &["introspection"],
            table
                .fault("introspection", message)
                .with_help(format!("add {section}")),
        );
    }
    for name in ["introspection", "token_prefix"]
        .into_iter()
        .filter(|name| !asks && table.has(name))
    {
        let message = "expected it where tokens are asked about, but found validation \"jwks\"";
        let help = "validation = \"introspection\" or \"jwks+introspection\" asks";
        table.push_absent(&["validation"], table.fault(name, message).with_help(help));
    }
    if let Some(Introspection {
        accept,
        authentication: Authentication::None(_),
        ..
    }) = &introspection
        && accept.value == IntrospectionFormat::Jwt
        && matches!(audience, Some(Audience::Any(_)))
    {
        // RFC 9701 §5: `aud` is the resource server.
        let message = "expected a client_id or an audience that signed answers are meant for, but found neither";
        table.push(accept.fault(message));
    }
    introspection
}

fn token_prefix(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let text = value.as_str().filter(|text| text.bytes().all(is_of_tokens));
    text.map(str::to_owned)
        .ok_or_else(|| expected("characters that tokens are made of: letters, digits and -._~+/="))
}

/// A public key must never serve as an HMAC secret (RFC 8725 §2.1), so the two families never share an issuer.
fn algorithms(table: &mut Table<'_>) -> Vec<Placed<String>> {
    let (accepted, default, remedy): (&[&str], &[&str], _) = if table.has("shared_secret") {
        (
            &SHARED_SECRET_ALGORITHMS,
            &["HS256"],
            "shared_secret serves no other",
        )
    } else {
        (
            &PUBLIC_KEY_ALGORITHMS,
            &DEFAULT_ALGORITHMS,
            "HS256, HS384 and HS512 need shared_secret",
        )
    };
    table.list_or("algorithms", 1, default, |value| {
        let name = value.as_str().unwrap_or_default();
        if accepted.contains(&name) {
            return Ok(name.to_owned());
        }
        let of_other_family = PUBLIC_KEY_ALGORITHMS
            .iter()
            .chain(&SHARED_SECRET_ALGORITHMS)
            .any(|other| *other == name);
        let help = if of_other_family {
            Some(remedy.to_owned())
        } else {
            did_you_mean(name, accepted)
        };
        Err(Mismatch {
            help,
            ..expected(quoted_list(accepted, "or"))
        })
    })
}

/// Whoever holds one token can try secrets at leisure: a secret must be as long as the hash (RFC 7518 §3.2).
fn refuse_short_secret(table: &Table<'_>, keys: Option<&KeySource>, algorithms: &[Placed<String>]) {
    let Some(KeySource::SharedSecret(secret)) = keys.filter(|keys| !keys.is_missing()) else {
        return;
    };
    let least = |algorithm: &Placed<String>| match algorithm.value.as_str() {
        "HS512" => 64,
        "HS384" => 48,
        _ => 32,
    };
    let (least, length) = (
        algorithms.iter().map(least).max().unwrap_or(32),
        secret.value.expose().len(),
    );
    if length < least {
        let message = format!("expected a secret of at least {least} bytes, but found {length}");
        table.push(
            secret
                .fault(message)
                .with_help("\"openssl rand -base64 64\" makes one"),
        );
    }
}
