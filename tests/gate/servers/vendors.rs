//! The emulated authorization servers, each with its example request.

use std::net::SocketAddr;

use jsonwebtoken::Algorithm;

use super::authorization_server::AuthorizationServer;
use super::{aidbox, curity, forgerock, mobilefirst, wso2};
use harness::{Received, Reply};

/// The form of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jwt,
    Opaque,
}

/// The token that a client requests.
pub(super) struct TokenRequest<'w> {
    pub(super) kind: Kind,
    pub(super) scope: &'w str,
    /// Whether its audience is another API.
    pub(super) for_another: bool,
}

impl TokenRequest<'_> {
    /// Id and secret of the client.
    pub(super) fn client(&self) -> (&'static str, &'static str) {
        if self.for_another {
            ("stranger", "secret of stranger")
        } else {
            ("app", "secret of app")
        }
    }
}

/// An emulated authorization server, and one request through the gateway that its example protects.
pub(super) struct Vendor {
    pub(super) name: &'static str,
    /// Its URL in the example.
    pub(super) base: &'static str,
    /// `kid` and algorithm of its signing key.
    pub(super) key: (Option<&'static str>, Algorithm),
    pub(super) kinds: &'static [Kind],
    pub(super) reply: fn(&AuthorizationServer, &str, &Received) -> Reply,
    pub(super) ask: fn(SocketAddr, &TokenRequest<'_>) -> String,
    pub(super) revoke: fn(&AuthorizationServer, SocketAddr, &str),
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The scope that the request requires, and a granted wildcard that meets it.
    pub(super) scope: &'static str,
    pub(super) wildcard: &'static str,
    /// Seconds after which a token has expired, leeway included.
    pub(super) expired_after: i64,
}

const BOTH: &[Kind] = &[Kind::Jwt, Kind::Opaque];

pub(super) const VENDORS: [Vendor; 5] = [
    Vendor {
        name: "mobilefirst",
        base: "https://mfp.example.com:9443",
        key: (None, Algorithm::RS256),
        kinds: &[Kind::Jwt],
        reply: mobilefirst::reply,
        ask: mobilefirst::ask,
        revoke: mobilefirst::revoke,
        method: "POST",
        path: "/push/apps/com.acme/messages",
        scope: "messages.write push.application.com.acme",
        wildcard: "messages.write push.application.*",
        expired_after: 3630,
    },
    Vendor {
        name: "curity",
        base: "https://login.example.com",
        key: (Some("-1725417167"), Algorithm::PS256),
        kinds: BOTH,
        reply: curity::reply,
        ask: curity::ask,
        revoke: curity::revoke,
        method: "GET",
        path: "/orders/7",
        scope: "orders.read",
        wildcard: "orders.*",
        expired_after: 330,
    },
    Vendor {
        name: "aidbox",
        base: "https://box.example.com",
        key: (None, Algorithm::RS256),
        kinds: BOTH,
        reply: aidbox::reply,
        ask: aidbox::ask,
        revoke: aidbox::revoke,
        method: "GET",
        path: "/fhir/Patient/7",
        scope: "system/Patient.read",
        wildcard: "system/*.read",
        expired_after: 3030,
    },
    Vendor {
        name: "wso2",
        base: "https://is.example.com:9443",
        key: (None, Algorithm::RS256),
        kinds: BOTH,
        reply: wso2::reply,
        ask: wso2::ask,
        revoke: wso2::revoke,
        method: "POST",
        path: "/orders/7",
        scope: "orders.write",
        wildcard: "*.write",
        expired_after: 3630,
    },
    Vendor {
        name: "forgerock",
        base: "https://am.example.com:8443",
        key: (None, Algorithm::RS256),
        kinds: BOTH,
        reply: forgerock::reply,
        ask: forgerock::ask,
        revoke: forgerock::revoke,
        method: "GET",
        path: "/records/Medication",
        scope: "user/Medication.read",
        wildcard: "user/*.read",
        expired_after: 3630,
    },
];
