//! The clients: those of the file, and those that register themselves (RFC 7591).
//!
//! A client of the file is confidential. A registered one is public or confidential, and is
//! forgotten when the process ends.

use std::sync::{Arc, Mutex};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use secrecy::{ExposeSecret, SecretString};

use super::ConfiguredClient;
use super::credentials::Credentials;
use super::error::RequestError;
use super::expiring_map::ExpiringMap;
use super::redirect_uri::RedirectUri;
use crate::oauth::UnixTime;
use crate::oauth::scope::ScopeSet;
use crate::sync::lock;

/// The maximum number of registered clients. Beyond it, the oldest one is forgotten.
const MAX_REGISTERED: usize = 1_000;

/// A client that may request tokens.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    /// How the consent page calls it.
    pub(super) name: String,
    /// `None` for a public client (RFC 6749 §2.1).
    pub(super) secret: Option<SecretString>,
    /// The scopes that it may request. A `*` is a wildcard; alone it allows every scope.
    pub(super) allowed_scope: ScopeSet,
    pub(super) source: ClientSource,
}

/// Where a client comes from.
#[derive(Debug)]
pub(super) enum ClientSource {
    /// The file. The redirect URI is any loopback one: the client authenticates for each code.
    File,
    /// It registered itself, with these redirect URIs.
    Registration(Vec<RedirectUri>),
}

pub(super) struct Clients {
    of_file: Vec<Arc<Client>>,
    registered: Mutex<ExpiringMap<Arc<Client>>>,
}

impl Client {
    /// Whether the administrator chose this client.
    pub(super) fn is_of_file(&self) -> bool {
        matches!(self.source, ClientSource::File)
    }

    /// Whether the client may have codes sent there (RFC 6749 §3.1.2.3).
    pub(super) fn may_redirect_to(&self, uri: &RedirectUri) -> bool {
        match &self.source {
            ClientSource::File => true,
            ClientSource::Registration(registered) => registered
                .iter()
                .any(|registered| registered.differs_at_most_in_port(uri)),
        }
    }

    fn is_authenticated_by(&self, credentials: &Credentials) -> bool {
        match (&self.secret, &credentials.secret) {
            (None, None) => true,
            (Some(expected), Some(found)) => {
                let expected = expected.expose_secret();
                let literal = credentials.literal.as_ref();
                is_same_secret(expected, found)
                    || literal.is_some_and(|(_, literal)| is_same_secret(expected, literal))
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

impl Clients {
    pub(super) fn new(of_file: Vec<ConfiguredClient>) -> Self {
        let of_file = of_file.into_iter().map(|client| {
            Arc::new(Client {
                name: client.id.clone(),
                id: client.id,
                secret: Some(client.secret),
                allowed_scope: client.allowed_scope,
                source: ClientSource::File,
            })
        });
        Self {
            of_file: of_file.collect(),
            registered: Mutex::new(ExpiringMap::new(MAX_REGISTERED)),
        }
    }

    /// Remembers a client until the process ends or others displace it.
    pub(super) fn register(&self, client: Client, now: UnixTime) {
        let id = client.id.clone();
        let never = UnixTime::from_seconds(i64::MAX);
        lock(&self.registered).insert(&id, Arc::new(client), never, now);
    }

    /// The client of this id.
    pub(super) fn find(&self, id: &str, now: UnixTime) -> Option<Arc<Client>> {
        let of_file = self.of_file.iter().find(|client| client.id == id);
        of_file
            .cloned()
            .or_else(|| lock(&self.registered).get(id, now).cloned())
    }

    /// The client that these credentials prove, or that they name if it is public.
    pub(super) fn authenticate(
        &self,
        credentials: &Credentials,
        now: UnixTime,
    ) -> Result<Arc<Client>, RequestError> {
        let of_file = self
            .of_file
            .iter()
            .find(|client| credentials.has_id(&client.id));
        of_file
            .cloned()
            .or_else(|| self.find(&credentials.id, now))
            .filter(|client| client.is_authenticated_by(credentials))
            .ok_or(RequestError::InvalidClient(
                "unknown client or wrong secret",
            ))
    }
}

// Comparing digests leaks neither content nor length through timing.
fn is_same_secret(expected: &str, found: &str) -> bool {
    let [expected, found] =
        [expected, found].map(|secret| digest::digest(&digest::SHA256, secret.as_bytes()));
    verify_slices_are_equal(expected.as_ref(), found.as_ref()).is_ok()
}
