//! A client connection, as the gateway knows it.

use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use http::HeaderValue;

use super::https_redirect::HttpsRedirect;
use super::snapshot::Snapshot;
use super::tunnel::Tunnel;
use crate::client_limits::{ClientAddress, PeerCredentials};
use crate::transport::{ConnectionState, Interim};
use crate::upstream::headers::ClientInfo;
use crate::verify::ConnectionCache;

/// How a client has connected.
#[derive(Clone, Debug)]
pub struct ConnectionOrigin {
    /// The peer, or the client that its PROXY header names.
    pub client: ClientAddress,
    /// The process of a peer of a Unix socket.
    pub peer: Option<PeerCredentials>,
    /// Whether over TLS.
    pub is_tls: bool,
    /// Where its listener redirects every request; none if it serves routes.
    pub redirect: Option<HttpsRedirect>,
}

/// A client connection.
pub struct Connection {
    pub(super) origin: ConnectionOrigin,
    client: RefCell<Option<Known>>,
    pub(super) state: Rc<ConnectionState>,
    pub(super) interim: Interim,
    pub(super) connection_cache: ConnectionCache,
    pub(super) tunnel: RefCell<Option<Tunnel>>,
}

/// The client as one snapshot sees it.
struct Known {
    // Weak: a connection can be idle or a tunnel for days. A snapshot held as long would keep the
    // background tasks of removed issuers and upstreams running.
    by: Weak<Snapshot>,
    client: Rc<ClientInfo>,
}

impl Connection {
    pub(super) fn new(
        mut origin: ConnectionOrigin,
        state: Rc<ConnectionState>,
        interim: Interim,
        connection_cache: ConnectionCache,
    ) -> Self {
        origin.client = origin.client.to_canonical();
        let (client, tunnel) = (RefCell::default(), RefCell::default());
        Self {
            origin,
            client,
            state,
            interim,
            connection_cache,
            tunnel,
        }
    }

    /// The client as this snapshot sees it: another one may trust other proxies.
    pub(super) fn client(&self, snapshot: &Arc<Snapshot>) -> Rc<ClientInfo> {
        let mut known = self.client.borrow_mut();
        if let Some(known) = known
            .as_ref()
            .filter(|known| ptr::eq(known.by.as_ptr(), Arc::as_ptr(snapshot)))
        {
            return Rc::clone(&known.client);
        }
        let scheme = HeaderValue::from_static(if self.origin.is_tls { "https" } else { "http" });
        let scheme = snapshot.external_scheme.clone().unwrap_or(scheme);
        let client = Rc::new(ClientInfo::new(
            self.origin.client,
            snapshot.trusted_proxies.contains(self.origin.client),
            scheme,
        ));
        *known = Some(Known {
            by: Arc::downgrade(snapshot),
            client: Rc::clone(&client),
        });
        client
    }

    /// The state that the transport tracks.
    #[must_use]
    pub fn state(&self) -> Rc<ConnectionState> {
        Rc::clone(&self.state)
    }

    /// The tunnel that follows the last response, if that switched protocols.
    #[must_use]
    pub fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }
}
