//! `[issuers.NAME]`: accepted issuers, and what their tokens must claim.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use toml::de::DeValue;
use url::Url;

use super::addresses::path;
use super::claim_rule::ClaimRule;
use super::declare::table;
use super::endpoints::{self, Discovery, KeySource};
use super::introspection::{Authentication, Introspection};
use super::mismatch::{Mismatch, expected};
use super::provider;
use super::read::Table;
use super::reference::{Description, forbidden, key};
use super::report::Spanned;
use super::scalars::{any_text, boolean, keyword, keywords, read_keyword, read_keyword_that, text};
use super::scope_claim::{ScopeClaim, scope_claim};
use super::secret::Secret;
use super::tenants::{Tenants, tenants};
use super::units::{
    HOUR, MEBIBYTE, MILLISECOND, MINUTE, MONTH, SECOND, count, duration, size, whole_seconds,
};
use super::value_type::{ValueType, value_type};
use crate::values::{
    Algorithm, ExpiryUnit, IntrospectionFormat, Keyword, Provider, ScopeSeparator, Validation,
};

table! {
    /// An issuer of access tokens, and what its tokens must say.
    pub struct Issuer {
        fn read(table, key: Spanned<String>, has_resources: bool) -> Option<Self>;

        /// The name that routes use.
        pub name: Spanned<String> = computed(key),
        /// Whose preset filled in the keys that the table does not set.
        pub provider: Option<Spanned<Provider>> = computed(provider::provider(table)),
        /// Accepted values of `iss`, compared exactly. The first one is used for discovery. With
        /// `tenants`, each has one parameter, such as `{tenant}`, as a segment of its path.
        /// Example: `issuer = "https://id.example.com"`
        pub issuer: Vec<Spanned<String>> = required_list(text(), "the iss of its tokens"),
        /// Accepted aud strings, or "any".
        pub audience: Audience = required_computed(audience(table, has_resources)),
        /// Whether a token without `aud` is refused. A token with a wrong `aud` always is.
        /// Example: `audience_required = false`
        pub audience_required: bool = or(boolean(), true),
        /// Claims that name the audience of a token without `aud`: names, or JSON Pointers. The first one
        /// that is present counts. An `aud` that is present always counts, and these do not.
        /// Example: `audience_claims = ["client_id"]`
        pub audience_claims: Vec<Spanned<String>> = list_or(text(), 1, json!(["aud"])),
        /// How tokens are validated: by signature, by introspection, by both in this order, or JWTs
        /// by signature and all other tokens by introspection.
        /// Example: `validation = "introspection"`
        pub validation: Spanned<Validation> = spanned_or(validation(), "jwks"),
        /// Introspection by the authorization server, if `validation` uses it.
        pub introspection: Option<Introspection> =
            computed(introspection(table, &validation, audience.as_ref(), provider.as_ref())),
        /// Where its keys are; `None` where nothing is signed for the gateway.
        pub keys: Option<KeySource> =
            computed(endpoints::keys(table, needs_keys(&validation, introspection.as_ref()))),
        /// Where its metadata is.
        pub discovery: Discovery = computed({
            // The needs of an unreadable table are unknown.
            let is_known = introspection.is_some() || !table.has("introspection");
            let issuer = issuer.as_deref().filter(|_| is_known);
            endpoints::discovery(table, issuer, keys.as_ref(), introspection.as_ref())
        }),
        /// The bearer token that fetches its keys and metadata.
        pub jwks_token: Option<Spanned<Secret>> =
            computed(endpoints::jwks_token(table)),
        /// What the opaque tokens of this issuer begin with. It distinguishes the tokens of two
        /// issuers.
        /// Example: `token_prefix = "corp_"`
        pub token_prefix: Spanned<String> = spanned_or(token_prefix(), ""),
        /// The accepted signature algorithms, at least one.
        pub algorithms: Vec<Spanned<Algorithm>> = computed({
            let algorithms = algorithms(table);
            refuse_short_secret(table, keys.as_ref(), &algorithms);
            algorithms
        }),
        /// Accepted values of `typ` in the header of a token. `""` stands for a missing `typ`.
        /// Example: `token_types = ["at+jwt"]`
        pub token_types: Vec<Spanned<String>> =
            list_or(any_text(), 1, json!(["at+jwt", "JWT", ""])),
        /// Claims that a token must have, in addition to `exp`.
        /// Example: `required_claims = ["sub", "client_id"]`
        pub required_claims: Vec<Spanned<String>> = list_or(text(), 0, json!([])),
        /// Claims that contain the scopes. Of the names, the first one that is present counts. JSON
        /// Pointers and tables count in addition; a `*` in their values is no wildcard, unless the
        /// table sets `wildcards`.
        /// Example: `scope_claims = ["scope", "/realm_access/roles", { claim = "/resource_access/app/roles", prefix = "app:" }]`
        pub scope_claims: Vec<Spanned<ScopeClaim>> =
            list_or(scope_claim(), 1, json!(["scope", "scp"])),
        /// What separates the scopes in a string. With `","`, spaces around a scope are ignored.
        /// Example: `scope_separator = ","`
        pub scope_separator: ScopeSeparator = or(keyword(), " "),
        /// Rules over the claims of a token, in addition to the checks of this table. A token that does
        /// not meet all of them is invalid (401). Without it, there are none.
        /// Example: `claims = [{ claim = "token_use", is = "access" }]`
        pub claims: Vec<ClaimRule> = tables(ClaimRule::read),
        /// Whether a token with `nonce`, `at_hash` or `c_hash` is refused as an ID token. Set
        /// `false` only if the server writes them into access tokens, and `audience` distinguishes
        /// the two.
        /// Example: `refuse_id_tokens = false`
        pub refuse_id_tokens: bool = or(boolean(), true),
        /// Whether a token without `iss` is refused. `false` verifies it by this issuer if the route
        /// accepts no other.
        /// Example: `require_issuer = false`
        pub require_issuer: bool = or(boolean(), true),
        /// The tenants whose tokens are accepted; `None` if the issuer has none.
        pub tenants: Option<Tenants> = computed(tenants(table, require_issuer)),
        /// Maximum number of tenants. If there are more, the one without a verified token for the
        /// longest time is dropped. Listed tenants never are.
        /// Example: `max_tenants = 500`
        pub max_tenants: usize = or(count(1..=10_000), 100),
        /// Unit of `exp`, `nbf` and `iat`.
        /// Example: `expiry_unit = "milliseconds"`
        pub expiry_unit: ExpiryUnit = or(keyword(), "seconds"),
        /// Whether an `exp` more than ten years ahead means "never". `false` refuses such a token.
        /// Example: `accept_unbounded_expiry = true`
        pub accept_unbounded_expiry: Spanned<bool> = spanned_or(boolean(), false),
        /// Maximum lifetime of a token, and how long a revocation is remembered. With `[revocations]`,
        /// a token expires this long after `iat` at the latest.
        /// Example: `max_token_lifetime = "1h"`
        pub max_token_lifetime: Duration = or(whole_seconds(SECOND..=12 * MONTH), "24h"),
        /// How long after a revocation tokens of the same user, client or session are still revoked, if
        /// the clock of the authorization server is ahead. Whole seconds.
        /// Example: `revocation_skew = "5s"`
        pub revocation_skew: Duration = or(whole_seconds(Duration::ZERO..=5 * MINUTE), "0s"),
        /// Whether a token without `iat` is refused if `[revocations]` is there. `false` accepts it;
        /// then only `token` and `jti` can revoke it.
        /// Example: `iat_required = false`
        pub iat_required: bool = or(boolean(), true),
        /// Maximum time that a verified token stays in the cache.
        /// Example: `cache_max_age = "1h"`
        pub cache_max_age: Duration = or(whole_seconds(Duration::ZERO..=MONTH), "24h"),
        /// Maximum memory of the cache in bytes; `None` if only the number of tokens is limited.
        pub cache_bytes: Option<usize> = computed(cache_bytes(table)),
        /// Maximum number of verified tokens in the cache. If the file sets this key and not
        /// `cache_bytes`, a token above 4 KiB counts as several.
        /// Example: `cache_entries = 500000`
        pub cache_entries: usize = or(count(0..=10_000_000), 100_000),
        /// Tolerated difference between clocks. A token stays valid until `exp` plus this.
        /// Example: `leeway = "10s"`
        pub leeway: Duration = or(whole_seconds(Duration::ZERO..=5 * MINUTE), "30s"),
        /// Whether `*` in a granted scope is a wildcard.
        /// Example: `granted_wildcards = false`
        pub granted_wildcards: bool = or(boolean(), true),
        /// Whether a token that is bound to a sender's key passes without proof of that key.
        /// Example: `insecure_ignore_cnf = true`
        pub insecure_ignore_cnf: bool = or(boolean(), false),
        /// Time between two fetches of the keys, if the response has no `Cache-Control`.
        /// Example: `jwks_refresh = "5m"`
        // The bounds are those of Cache-Control, so no value of an operator is clamped unseen.
        pub jwks_refresh: Duration = or(duration(MINUTE..=HOUR), "10m"),
        /// How long the last keys stay valid while new ones cannot be fetched.
        /// Example: `jwks_max_stale = "6h"`
        pub jwks_max_stale: Duration = or(duration(Duration::ZERO..=MONTH), "24h"),
        /// Minimum time between two fetches that are caused by tokens that no known key verifies.
        /// Example: `unknown_key_cooldown = "1m"`
        pub unknown_key_cooldown: Duration = or(duration(SECOND..=HOUR), "30s"),
        /// Trusted authorities for the certificates of the issuer's endpoints, in PEM. A server's own
        /// certificate may be named as well: it is trusted for its names until it expires. Without
        /// it, the authorities of the system.
        /// Example: `tls_ca = "internal-ca.pem"`
        pub tls_ca: Option<Spanned<PathBuf>> = optional(path(table.folder())),
        /// Maximum time to connect to the issuer's endpoints.
        /// Example: `connect_timeout = "500ms"`
        pub connect_timeout: Duration = or(duration(MILLISECOND..=MINUTE), "1s"),
        /// Maximum time for one request to the issuer's endpoints.
        /// Example: `timeout = "2s"`
        pub timeout: Duration = or(duration(MILLISECOND..=MINUTE), "3s"),
    }
}

/// What `aud` must contain.
#[derive(Clone, Debug, PartialEq)]
pub enum Audience {
    /// Not checked: every resource server that receives tokens of this issuer can replay them here.
    Any(Spanned<()>),
    /// One of these names; the list is not empty.
    OneOf(Vec<Spanned<String>>),
    /// What the resource of a route says: every route that accepts the issuer has one.
    OfResources,
}

impl Issuer {
    /// Whether JWTs are introspected, alone or after their signature was verified.
    #[must_use]
    pub fn introspects_jwts(&self) -> bool {
        match self.validation.value {
            Validation::Introspection | Validation::JwksAndIntrospection => true,
            Validation::Jwks | Validation::JwksOrIntrospection => false,
        }
    }

    /// The URLs of the file to which the gateway sends requests. Metadata may name more.
    pub fn known_urls(&self) -> Vec<Url> {
        let metadata = match &self.discovery {
            Discovery::At(url) => Some(url.clone()),
            Discovery::WellKnown => self
                .issuer
                .first()
                .and_then(|iss| Url::parse(&iss.value).ok()),
            Discovery::Off => None,
        };
        let written = self.written_endpoints().map(|url| url.value.clone());
        metadata.into_iter().chain(written).collect()
    }

    /// Whether any of its endpoints may have an https URL.
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

    /// The endpoints in the file: for keys, introspection and the gateway's own tokens.
    pub fn written_endpoints(&self) -> impl Iterator<Item = &Spanned<Url>> {
        let introspection = self.introspection.as_ref();
        let token_endpoint =
            introspection.and_then(|introspection| match &introspection.authentication {
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
            introspection.and_then(|introspection| introspection.endpoint.as_ref()),
            token_endpoint,
        ]
        .into_iter()
        .flatten()
    }

    /// The files that the table names.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<PathBuf>> {
        let keys = match &self.keys {
            Some(KeySource::File(file)) => Some(file),
            Some(KeySource::Discovered | KeySource::Uri(_) | KeySource::SharedSecret(_)) | None => {
                None
            }
        };
        let own = self.introspection.as_ref().and_then(|introspection| {
            match &introspection.authentication {
                Authentication::PrivateKeyJwt { key, .. } => Some(key),
                Authentication::None(_)
                | Authentication::Basic(_)
                | Authentication::Form(_)
                | Authentication::Bearer { .. } => None,
            }
        });
        [self.tls_ca.as_ref(), keys, own].into_iter().flatten()
    }

    /// The secrets that the table names or contains.
    pub fn secrets(&self) -> impl Iterator<Item = &Spanned<Secret>> {
        let shared = self.keys.as_ref().and_then(|keys| match keys {
            KeySource::SharedSecret(secret) => Some(secret),
            KeySource::Discovered | KeySource::Uri(_) | KeySource::File(_) => None,
        });
        let ours = self.introspection.as_ref().and_then(|introspection| {
            match &introspection.authentication {
                Authentication::Basic(client)
                | Authentication::Form(client)
                | Authentication::Bearer { client, .. } => Some(&client.secret),
                Authentication::None(_) | Authentication::PrivateKeyJwt { .. } => None,
            }
        });
        [shared, ours, self.jwks_token.as_ref()]
            .into_iter()
            .flatten()
    }
}

const DEFAULT_ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

fn needs_keys(validation: &Spanned<Validation>, introspection: Option<&Introspection>) -> bool {
    validation.value != Validation::Introspection
        || introspection.is_none_or(Introspection::needs_keys)
}

/// What `audience` is.
pub const AUDIENCE: &str = "the aud of tokens meant for this gateway, or \"any\"";

fn cache_bytes(table: &mut Table<'_>) -> Option<usize> {
    let key = key(
        "cache_bytes",
        "Maximum memory of the token cache. `\"0B\"` caches none. Without it, 64MiB, or no limit if the file sets \
         `cache_entries`. Example: `cache_bytes = \"256MiB\"`",
    );
    let bytes = table.optional_value(key, size(0..=1024 * 1024 * MEBIBYTE));
    // A file that sets only the number of entries accepts whatever memory they take.
    bytes.or((!table.has("cache_entries")).then_some(64 * MEBIBYTE))
}

fn audience(table: &mut Table<'_>, has_resources: bool) -> Option<Audience> {
    let key = key(
        "audience",
        "Accepted values of `aud`. `\"any\"` accepts every token of the issuer. Routes of `[[resources]]` accept the \
         audience of their resource instead. Without it, every route that accepts the issuer must have a resource. \
         Example: `audience = \"https://api.example.com\"`",
    );
    let names = table.list(key, text(), 1);
    if !table.has("audience") && has_resources {
        return Some(Audience::OfResources);
    }
    if !table.has("audience") {
        let fault = table.fault(
            "audience",
            format!("expected {AUDIENCE}, but found nothing"),
        );
        table.push_unless_misspelt(&["audience"], fault);
    }
    if names.is_empty() {
        return None;
    }
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

fn validation() -> impl ValueType<Validation> {
    value_type(read_validation, || keyword::<Validation>().describe())
}

/// A misspelling with both words gets a hint at both: one alone would drop the other.
fn read_validation(value: &DeValue<'_>) -> Result<Validation, Mismatch> {
    let both = value
        .as_str()
        .is_some_and(|text| text.contains("introspection") && text.contains("jwks"));
    let hint = |mismatch: Mismatch| {
        if both {
            mismatch.with_help("did you mean \"jwks+introspection\" or \"jwks-or-introspection\"?")
        } else {
            mismatch
        }
    };
    read_keyword(value).map_err(hint)
}

fn introspection(
    table: &mut Table<'_>,
    validation: &Spanned<Validation>,
    audience: Option<&Audience>,
    provider: Option<&Spanned<Provider>>,
) -> Option<Introspection> {
    let key = key(
        "introspection",
        "Introspection of tokens by the authorization server (RFC 7662). Without it, there is none. \
         Example: `introspection = { client_id = \"gateway\", client_secret = { env = \"GATEWAY_SECRET\" } }`",
    );
    let introspection = table.optional_table(key, Introspection::read);
    table.rule(introspection_rule);
    // An unreadable `validation` may mean introspection, and so may an unreadable `provider`.
    let introspects = validation.value != Validation::Jwks
        || (table.has("validation") && !validation.is_written())
        || (table.has("provider") && provider.is_none());
    if validation.value != Validation::Jwks && !table.has("introspection") {
        let message = "expected a table for introspection, but found nothing";
        let section = format!(
            "[{}] with client_id and client_secret",
            table.fault("introspection", "").key
        );
        table.push_unless_misspelt(
            &["introspection"],
            table
                .fault("introspection", message)
                .with_help(format!("add {section}")),
        );
    }
    for name in ["introspection", "token_prefix"]
        .into_iter()
        .filter(|name| !introspects && table.has(name))
    {
        let message = "expected it only with introspection, but found validation \"jwks\"";
        let help = "validation = \"introspection\", \"jwks+introspection\" or \"jwks-or-introspection\" uses introspection";
        table.push_unless_misspelt(&["validation"], table.fault(name, message).with_help(help));
    }
    if let Some(Introspection {
        accept,
        authentication: Authentication::None(_),
        ..
    }) = &introspection
        && accept.value == IntrospectionFormat::Jwt
        && matches!(audience, Some(Audience::Any(_) | Audience::OfResources))
    {
        // RFC 9701 §5: `aud` is the resource server.
        let message = "expected a client_id or an audience for signed responses, but found neither";
        table.push(accept.fault(message));
    }
    introspection
}

/// The keys of introspection go with a `validation` that uses it, of the file or of a provider.
fn introspection_rule() -> Value {
    let introspecting = [
        Validation::Introspection,
        Validation::JwksAndIntrospection,
        Validation::JwksOrIntrospection,
    ];
    json!({
        "if": {"anyOf": [
            {
                "properties": {"validation": {"enum": introspecting.map(Keyword::keyword)}},
                "required": ["validation"],
            },
            {
                "properties": {
                    "validation": false,
                    "provider": {"enum": provider::providers_with(&introspecting)},
                },
                "required": ["provider"],
            },
        ]},
        "then": {"required": ["introspection"]},
        "else": {"properties": forbidden(&["introspection", "token_prefix"])},
    })
}

fn token_prefix() -> impl ValueType<String> {
    value_type(read_token_prefix, || {
        Description::pattern("string", "^[A-Za-z0-9._~+/=-]*$")
    })
}

fn read_token_prefix(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let text = value
        .as_str()
        .filter(|text| text.bytes().all(is_token_byte));
    text.map(str::to_owned)
        .ok_or_else(|| expected("characters of a token: letters, digits and -._~+/="))
}

/// A public key must never serve as an HMAC secret (RFC 8725 §2.1), so an issuer uses only one of
/// the two families.
fn algorithms(table: &mut Table<'_>) -> Vec<Spanned<Algorithm>> {
    let key = key(
        "algorithms",
        "Accepted signature algorithms. `EdDSA` and `Ed25519` name the same one (RFC 9864). Without it, RS256, PS256, \
         ES256, ES384 and EdDSA; or HS256 if the file sets `shared_secret`. Example: `algorithms = [\"ES256\", \"RS512\"]`",
    );
    table.rule(|| {
        let shared_secret = keywords(Algorithm::is_hmac);
        let public_key = keywords(Algorithm::has_public_key);
        let only = |names: &[&str], others: &[&str]| {
            json!({"properties": {"algorithms": {"items": {"enum": names}, "not": {"enum": others}}}})
        };
        json!({
            "if": {"required": ["shared_secret"]},
            "then": only(&shared_secret, &public_key),
            "else": only(&public_key, &shared_secret),
        })
    });
    let (is_accepted, default, remedy): (fn(Algorithm) -> bool, &[Algorithm], _) =
        if table.has("shared_secret") {
            let remedy = "shared_secret works only with these";
            (Algorithm::is_hmac, &[Algorithm::HS256], remedy)
        } else {
            let remedy = "HS256, HS384 and HS512 need shared_secret";
            (Algorithm::has_public_key, &DEFAULT_ALGORITHMS, remedy)
        };
    let read = |value: &DeValue<'_>| {
        read_keyword_that(value, is_accepted).map_err(|mismatch| {
            let name = value.as_str().unwrap_or_default();
            if Algorithm::from_name(name).is_some() {
                mismatch.with_help(remedy)
            } else {
                mismatch
            }
        })
    };
    let algorithms = value_type(read, || keyword::<Algorithm>().describe());
    let default: Vec<_> = default.iter().map(|algorithm| algorithm.name()).collect();
    table.list_or_else(key, algorithms, 1, &default)
}

/// One token suffices to guess the secret offline: it must be as long as the hash (RFC 7518 §3.2).
fn refuse_short_secret(
    table: &Table<'_>,
    keys: Option<&KeySource>,
    algorithms: &[Spanned<Algorithm>],
) {
    let Some(KeySource::SharedSecret(secret)) = keys.filter(|keys| !keys.is_missing()) else {
        return;
    };
    let min_lengths = algorithms
        .iter()
        .filter_map(|algorithm| algorithm.value.min_secret_length());
    let min_length = min_lengths.max().unwrap_or(32);
    let length = secret.value.expose().len();
    if length < min_length {
        let message =
            format!("expected a secret of at least {min_length} bytes, but found {length}");
        table.push(
            secret
                .fault(message)
                .with_help("\"openssl rand -base64 64\" makes one"),
        );
    }
}
