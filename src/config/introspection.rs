//! `[issuers.NAME.introspection]`: introspection requests to an authorization server (RFC 7662, RFC 9701).

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
use super::scalars::{PUBLIC_KEY_ALGORITHMS, boolean, keyword, one_of, text};
use super::secret::Secret;
use super::units::{DAY, HOUR, count, whole_seconds};
use crate::values::{AuthenticationMethod, IntrospectionFormat, Keyword};

table! {
    /// Introspection of an issuer's tokens (RFC 7662).
    pub struct Introspection {
        fn read(table) -> Option<Self>;

        /// Where introspection requests go. Without it, where the metadata says.
        pub endpoint: Option<Spanned<Url>> = optional(url()),
        /// How the gateway authenticates itself.
        pub authentication: Authentication = required_computed(authentication(table)),
        /// Whether the server's 409 becomes the client's (MobileFirst); otherwise it is 503.
        pub conflict: bool = or(boolean(), false),
        /// JSON, a signed response (RFC 9701), or a JWT that the upstream gets in place of the token.
        pub accept: Spanned<IntrospectionFormat> = spanned_or(keyword(), "json"),
        /// How long an active response stays in the cache at most; 0s: not at all.
        pub cache_ttl: Duration = or(whole_seconds(Duration::ZERO..=DAY), "60s"),
        /// How long an inactive response stays in the cache.
        pub negative_ttl: Duration = or(whole_seconds(Duration::ZERO..=HOUR), "5s"),
        /// Whether a token in use is introspected again in the background before its cached response expires, so that no
        /// request waits for that.
        pub refresh_ahead: bool = or(boolean(), true),
        /// Introspection requests in flight at one time; 503 beyond.
        pub max_in_flight: usize = or(count(1..=65_536), 256),
    }
}

/// How the gateway authenticates itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// Not at all.
    None(Spanned<()>),
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Basic(ClientSecret),
    /// `client_secret_post` (RFC 6749 §2.3.1).
    Form(ClientSecret),
    /// By an access token of its own.
    Bearer {
        /// As whom it is fetched, by Basic.
        client: ClientSecret,
        /// Where it is fetched; without it, where the metadata says.
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
        /// The name of the algorithm that it signs with.
        algorithm: String,
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
    "As whom the gateway asks. Required, except for authentication none. Without it, as nobody.",
);
const CLIENT_SECRET: Key = key(
    "client_secret",
    "Its secret, for basic, form and bearer. Without it, none.",
);
const CLIENT_KEY: Key = key(
    "client_key",
    "Its private key in PEM, for private_key_jwt. Without it, none.",
);
const CLIENT_KEY_ID: Key = key(
    "client_key_id",
    "The kid of client_key. Without it, none is named.",
);
const CLIENT_KEY_ALGORITHM: Key = key("client_key_algorithm", "What client_key signs with.");
const TOKEN_ENDPOINT: Key = key(
    "token_endpoint",
    "Where the gateway's own token comes from, for bearer. Without it, where the metadata says.",
);
const SCOPE: Key = key("scope", "The scope of the gateway's own token, for bearer.");

const METHOD_KEYS: [MethodKey; 7] = {
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
    ]
};

impl Introspection {
    /// Whether answers are signed with the issuer's keys.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        match self.accept.value {
            IntrospectionFormat::Json => false,
            IntrospectionFormat::Jwt | IntrospectionFormat::Phantom => true,
        }
    }

    /// `client_id`, where the gateway has one.
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

fn authentication(table: &mut Table<'_>) -> Option<Authentication> {
    let key = key("authentication", "How the gateway authenticates itself.");
    let method = table.spanned_or(key, keyword(), AuthenticationMethod::Basic.keyword());
    // A method that cannot be read needs nothing that is known.
    let is_known = !table.has(key.name) || method.is_written();
    let id = table.optional(CLIENT_ID, text());
    let secret = table.secret(CLIENT_SECRET);
    let private_key = table.optional(CLIENT_KEY, path(table.folder()));
    let key_id = table.optional_value(CLIENT_KEY_ID, text());
    let algorithm = table.or(
        CLIENT_KEY_ALGORITHM,
        one_of(&PUBLIC_KEY_ALGORITHMS),
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
    // The default holds without the key as well.
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
