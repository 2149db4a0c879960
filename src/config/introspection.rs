//! `[issuers.NAME.introspection]`: how an authorization server is asked about its tokens (RFC 7662, RFC 9701).

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::names::quoted_list;
use super::read::Table;
use super::report::Placed;
use super::secret::Secret;
use super::units::{DAY, HOUR, SECOND, count, whole_seconds};
use super::values::{PUBLIC_KEY_ALGORITHMS, boolean, keyword, name, path, text, url};
use crate::values::{AuthenticationMethod, IntrospectionFormat, Keyword};

/// `[issuers.NAME.introspection]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Introspection {
    /// Where to ask; without it, where the metadata says.
    pub endpoint: Option<Placed<Url>>,
    /// How the gateway shows who asks.
    pub authentication: Authentication,
    /// Whether the server's 409 becomes the client's (MobileFirst).
    pub conflict: bool,
    /// What answers are asked for.
    pub accept: Placed<IntrospectionFormat>,
    /// How long an active answer is kept at most; zero keeps none.
    pub cache_ttl: Duration,
    /// How long an inactive answer is kept.
    pub negative_ttl: Duration,
    /// Whether a token in use is asked about again before its answer ends.
    pub refresh_ahead: bool,
    /// How many questions may be under way at once.
    pub max_in_flight: usize,
}

/// How the gateway authenticates itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// Not at all.
    None(Placed<()>),
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Basic(ClientSecret),
    /// `client_secret_post` (RFC 6749 §2.3.1).
    Form(ClientSecret),
    /// By an access token of its own.
    Bearer {
        /// As whom it is fetched, by Basic.
        client: ClientSecret,
        /// Where it is fetched; without it, where the metadata says.
        token_endpoint: Option<Placed<Url>>,
        /// Its scope.
        scope: Placed<String>,
    },
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt {
        /// `client_id`
        client_id: String,
        /// A private key in PEM.
        key: Placed<PathBuf>,
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
    pub secret: Placed<Secret>,
}

/// Keys that only some methods of authentication use, and whether those need them.
const USES: [(&str, &[AuthenticationMethod], bool); 7] = [
    (
        "client_id",
        &[
            AuthenticationMethod::Basic,
            AuthenticationMethod::Form,
            AuthenticationMethod::Bearer,
            AuthenticationMethod::PrivateKeyJwt,
        ],
        true,
    ),
    (
        "client_secret",
        &[
            AuthenticationMethod::Basic,
            AuthenticationMethod::Form,
            AuthenticationMethod::Bearer,
        ],
        true,
    ),
    ("client_key", &[AuthenticationMethod::PrivateKeyJwt], true),
    (
        "client_key_id",
        &[AuthenticationMethod::PrivateKeyJwt],
        false,
    ),
    (
        "client_key_algorithm",
        &[AuthenticationMethod::PrivateKeyJwt],
        false,
    ),
    ("token_endpoint", &[AuthenticationMethod::Bearer], false),
    ("scope", &[AuthenticationMethod::Bearer], false),
];

impl Introspection {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let authentication = authentication(table);
        Some(Self {
            endpoint: table.optional("endpoint", url),
            conflict: table.or("conflict", false, boolean),
            accept: table.placed_or("accept", IntrospectionFormat::Json, keyword),
            cache_ttl: table.or(
                "cache_ttl",
                60 * SECOND,
                whole_seconds(Duration::ZERO..=DAY),
            ),
            negative_ttl: table.or(
                "negative_ttl",
                5 * SECOND,
                whole_seconds(Duration::ZERO..=HOUR),
            ),
            refresh_ahead: table.or("refresh_ahead", true, boolean),
            max_in_flight: table.or("max_in_flight", 256, count(1..=65_536)),
            authentication: authentication?,
        })
    }

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
    let method = table.placed_or("authentication", AuthenticationMethod::Basic, keyword);
    // One that cannot be read needs nothing that one knows of.
    let written = !table.has("authentication") || method.is_written();
    let id = table.optional("client_id", text);
    let secret = table.secret("client_secret");
    let key = table.optional("client_key", path(table.folder()));
    let key_id = table.optional("client_key_id", text);
    let algorithm = table.or(
        "client_key_algorithm",
        "RS256",
        name(&PUBLIC_KEY_ALGORITHMS),
    );
    let token_endpoint = table.optional("token_endpoint", url);
    let scope = table.placed_or("scope", "authorization.introspect".to_owned(), text);
    if written {
        refuse_what_does_not_fit(table, method.value);
    }

    let client = |id: Option<Placed<String>>, secret| {
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
            key: key?,
            key_id: key_id.map(|id| id.value),
            algorithm: algorithm.to_owned(),
        }),
    }
}

fn refuse_what_does_not_fit(table: &Table<'_>, method: AuthenticationMethod) {
    for (key, methods, needed) in USES {
        let fits = methods.contains(&method);
        if fits && needed && !table.has(key) {
            let message = format!(
                "expected the {key} that authentication {:?} needs, but found nothing",
                method.keyword()
            );
            table.push_absent(&[key, "authentication"], table.fault(key, message));
        }
        if !fits && table.has(key) {
            let users: Vec<_> = methods.iter().map(|method| method.keyword()).collect();
            let message = format!(
                "expected authentication {} beside it, but found {:?}",
                quoted_list(&users, "or"),
                method.keyword()
            );
            table.push_absent(&["authentication"], table.fault(key, message));
        }
    }
}
