//! `[issuers.NAME.introspection]`: introspection requests to an authorization server (RFC 7662, RFC
//! 9701).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::addresses::{path, url};
use super::declare::table;
use super::names::quoted_list;
use super::read::Table;
use super::reference::{Key, forbidden, key};
use super::report::Spanned;
use super::scalars::{boolean, keyword, keyword_that, text};
use super::secret::Secret;
use super::units::{DAY, HOUR, count, whole_seconds};
use crate::values::{Algorithm, AuthenticationMethod, BasicEncoding, IntrospectionFormat, Keyword};

table! {
    /// Introspection of an issuer's tokens (RFC 7662).
    pub struct Introspection {
        fn read(table) -> Option<Self>;

        /// URL of the introspection endpoint. Without it, the metadata names it.
        /// Example: `endpoint = "https://id.example.com/introspect"`
        pub endpoint: Option<Spanned<Url>> = optional(url()),
        /// How the gateway authenticates itself.
        pub authentication: Authentication = required_computed(authentication(table)),
        /// How client id and secret are escaped for Basic.
        pub basic_encoding: BasicEncoding = computed(basic_encoding(table, authentication.as_ref())),
        /// Whether a 409 of the authorization server becomes a 409 for the client (MobileFirst).
        /// `false` makes it a 503.
        /// Example: `conflict = true`
        pub conflict: bool = or(boolean(), false),
        /// Expected response: JSON, a signed response (RFC 9701), or a JWT that replaces the token
        /// towards the upstream.
        /// Example: `accept = "phantom"`
        pub accept: Spanned<IntrospectionFormat> = spanned_or(keyword(), "json"),
        /// Maximum time that an active response stays in the cache. `"0s"` caches none.
        /// Example: `cache_ttl = "10s"`
        pub cache_ttl: Duration = or(whole_seconds(Duration::ZERO..=DAY), "60s"),
        /// Time that an inactive response stays in the cache. `"0s"` caches none.
        /// Example: `negative_ttl = "30s"`
        pub negative_ttl: Duration = or(whole_seconds(Duration::ZERO..=HOUR), "5s"),
        /// Whether a token that is used in the last fifth of its cache lifetime is introspected
        /// again in the background. `false` makes the first request after expiry wait.
        /// Example: `refresh_ahead = false`
        pub refresh_ahead: bool = or(boolean(), true),
        /// Maximum number of introspection requests in flight. Requests that need one more get 503.
        /// Example: `max_in_flight = 64`
        pub max_in_flight: usize = or(count(1..=65_536), 256),
    }
}

/// How the gateway authenticates itself.
#[expect(
    clippy::large_enum_variant,
    reason = "one value for each issuer of a file"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// No authentication.
    None(Spanned<()>),
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Basic(ClientSecret),
    /// `client_secret_post` (RFC 6749 §2.3.1).
    Form(ClientSecret),
    /// By an access token of its own.
    Bearer {
        /// The client that requests it, with HTTP Basic.
        client: ClientSecret,
        /// Where it is requested; `None`: at the endpoint in the metadata.
        token_endpoint: Option<Spanned<Url>>,
        /// Its scope.
        scope: Spanned<String>,
    },
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt {
        /// `client_id`
        client_id: String,
        /// A private key in PEM.
        key: Spanned<PathBuf>,
        /// Its `kid`.
        key_id: Option<String>,
        /// The algorithm that it signs with.
        algorithm: Algorithm,
    },
}

/// A client and its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSecret {
    /// `client_id`
    pub id: String,
    /// `client_secret`
    pub secret: Spanned<Secret>,
}

/// A key that only some methods of authentication use.
struct MethodKey {
    key: Key,
    methods: &'static [AuthenticationMethod],
    is_required: bool,
}

const CLIENT_ID: Key = key(
    "client_id",
    "Client id of the gateway. Required unless `authentication` is `none`. Without it, none. \
     Example: `client_id = \"gateway\"`",
);
const CLIENT_SECRET: Key = key(
    "client_secret",
    "Client secret of the gateway, for `basic`, `form` and `bearer`. Without it, none. \
     Example: `client_secret = { env = \"GATEWAY_SECRET\" }`",
);
const CLIENT_KEY: Key = key(
    "client_key",
    "Private key of the gateway in PEM, for `private_key_jwt`. Without it, none. \
     Example: `client_key = \"gateway.key\"`",
);
const CLIENT_KEY_ID: Key = key(
    "client_key_id",
    "The `kid` of `client_key`. Without it, assertions have none. \
     Example: `client_key_id = \"2026-11\"`",
);
const CLIENT_KEY_ALGORITHM: Key = key(
    "client_key_algorithm",
    "Algorithm that `client_key` signs with. Example: `client_key_algorithm = \"ES256\"`",
);
const TOKEN_ENDPOINT: Key = key(
    "token_endpoint",
    "URL that issues the gateway's own token, for `bearer`. Without it, the metadata names it. \
     Example: `token_endpoint = \"https://id.example.com/token\"`",
);
const SCOPE: Key = key(
    "scope",
    "Scope of the gateway's own token, for `bearer`. Example: `scope = \"introspect\"`",
);

const BASIC_ENCODING: Key = key(
    "basic_encoding",
    "Escaping of client id and secret for Basic, also at `token_endpoint`. `minimal` escapes `%`, `+`, `:`, control \
     characters and non-ASCII; `form` is RFC 6749 to the letter; `raw` escapes nothing. \
     Example: `basic_encoding = \"form\"`",
);

const METHOD_KEYS: [MethodKey; 8] = {
    use AuthenticationMethod::{Basic, Bearer, Form, PrivateKeyJwt};
    const fn method_key(
        key: Key,
        methods: &'static [AuthenticationMethod],
        is_required: bool,
    ) -> MethodKey {
        MethodKey {
            key,
            methods,
            is_required,
        }
    }
    [
        method_key(CLIENT_ID, &[Basic, Form, Bearer, PrivateKeyJwt], true),
        method_key(CLIENT_SECRET, &[Basic, Form, Bearer], true),
        method_key(CLIENT_KEY, &[PrivateKeyJwt], true),
        method_key(CLIENT_KEY_ID, &[PrivateKeyJwt], false),
        method_key(CLIENT_KEY_ALGORITHM, &[PrivateKeyJwt], false),
        method_key(TOKEN_ENDPOINT, &[Bearer], false),
        method_key(SCOPE, &[Bearer], false),
        method_key(BASIC_ENCODING, &[Basic, Bearer], false),
    ]
};

impl Introspection {
    /// Whether the issuer's keys sign the responses.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        match self.accept.value {
            IntrospectionFormat::Json => false,
            IntrospectionFormat::Jwt | IntrospectionFormat::Phantom => true,
        }
    }

    /// `client_id`, if the gateway has one.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match &self.authentication {
            Authentication::None(_) => None,
            Authentication::Basic(client)
            | Authentication::Form(client)
            | Authentication::Bearer { client, .. } => Some(&client.id),
            Authentication::PrivateKeyJwt { client_id, .. } => Some(client_id),
        }
    }
}

fn basic_encoding(table: &mut Table<'_>, authentication: Option<&Authentication>) -> BasicEncoding {
    let encoding = table.or(BASIC_ENCODING, keyword(), BasicEncoding::Minimal.keyword());
    table.rule(|| {
        json!({
            "if": {"properties": {"basic_encoding": {"const": "raw"}}, "required": ["basic_encoding"]},
            "then": {"properties": {"client_id": {"pattern": "^[^:]*$"}}},
        })
    });
    if let Some(Authentication::Basic(client) | Authentication::Bearer { client, .. }) =
        authentication
        && encoding == BasicEncoding::Raw
        && client.id.contains(':')
    {
        // RFC 7617 §2: the first colon ends the id.
        let message = "expected a client_id without a colon beside \"raw\", but found one";
        table.push(table.fault("basic_encoding", message));
    }
    encoding
}

fn authentication(table: &mut Table<'_>) -> Option<Authentication> {
    let key = key(
        "authentication",
        "How the gateway authenticates itself to the introspection endpoint; `bearer` uses a token of its own. \
         Example: `authentication = \"private_key_jwt\"`",
    );
    let method = table.spanned_or(key, keyword(), AuthenticationMethod::Basic.keyword());
    // The needs of an unreadable method are unknown.
    let is_known = !table.has(key.name) || method.is_written();
    let id = table.optional(CLIENT_ID, text());
    let secret = table.secret(CLIENT_SECRET);
    let private_key = table.optional(CLIENT_KEY, path(table.folder()));
    let key_id = table.optional_value(CLIENT_KEY_ID, text());
    let algorithm = table.or(
        CLIENT_KEY_ALGORITHM,
        keyword_that(Algorithm::can_sign),
        "RS256",
    );
    let token_endpoint = table.optional(TOKEN_ENDPOINT, url());
    let scope = table.spanned_or(SCOPE, text(), "authorization.introspect");
    for (_, method) in AuthenticationMethod::KEYWORDS {
        table.rule(|| method_schema(*method));
    }
    if is_known {
        refuse_keys_of_other_methods(table, method.value);
    }

    let client = |id: Option<Spanned<String>>, secret| {
        Some(ClientSecret {
            id: id?.value,
            secret: secret?,
        })
    };
    match method.value {
        AuthenticationMethod::None => Some(Authentication::None(method.with_value(()))),
        AuthenticationMethod::Basic => client(id, secret).map(Authentication::Basic),
        AuthenticationMethod::Form => client(id, secret).map(Authentication::Form),
        AuthenticationMethod::Bearer => Some(Authentication::Bearer {
            client: client(id, secret)?,
            token_endpoint,
            scope,
        }),
        AuthenticationMethod::PrivateKeyJwt => Some(Authentication::PrivateKeyJwt {
            client_id: id?.value,
            key: private_key?,
            key_id,
            algorithm,
        }),
    }
}

/// The keys that a method requires and excludes, as a JSON Schema.
fn method_schema(method: AuthenticationMethod) -> Value {
    let (used, unused): (Vec<_>, Vec<_>) = METHOD_KEYS
        .iter()
        .partition(|used| used.methods.contains(&method));
    let required: Vec<_> = used
        .iter()
        .filter(|used| used.is_required)
        .map(|used| used.key.name)
        .collect();
    let unused: Vec<_> = unused.iter().map(|unused| unused.key.name).collect();
    let mut condition = json!({"properties": {"authentication": {"const": method.keyword()}}});
    // The default also holds without the key.
    if method != AuthenticationMethod::Basic {
        condition["required"] = json!(["authentication"]);
    }
    json!({
        "if": condition,
        "then": {"required": required, "properties": forbidden(&unused)},
    })
}

fn refuse_keys_of_other_methods(table: &Table<'_>, method: AuthenticationMethod) {
    for MethodKey {
        key,
        methods,
        is_required,
    } in METHOD_KEYS
    {
        let name = key.name;
        let is_used = methods.contains(&method);
        if is_used && is_required && !table.has(name) {
            let message = format!(
                "expected the {name} that authentication {:?} needs, but found nothing",
                method.keyword()
            );
            table.push_unless_misspelt(&[name, "authentication"], table.fault(name, message));
        }
        if !is_used && table.has(name) {
            let users: Vec<_> = methods.iter().map(|method| method.keyword()).collect();
            let message = format!(
                "expected authentication {} beside it, but found {:?}",
                quoted_list(&users, "or"),
                method.keyword()
            );
            table.push_unless_misspelt(&["authentication"], table.fault(name, message));
        }
    }
}
