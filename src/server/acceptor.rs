//! Accepts client connections for one worker, within the limits of the process and of each client.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accepted::{Accepted, ListenerState};
use super::clients::Clients;
use super::closing::{close, close_unix};
use super::connection::Identified;
use super::connection_balancer::ConnectionBalancer;
use super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::eviction::Evictors;
use super::worker_state::WorkerState;
use crate::client_limits::ClientAddress;
use crate::clock::TICK;
use crate::telemetry::metrics::GaugeGuard;
use crate::transport::{ListeningSocket, Peer, accept_peer};

/// How often an idle connection is evicted while a client waits for a permit.
const EVICTION_INTERVAL: Duration = TICK;

/// Accepts the connections of one listener for one worker.
pub(super) struct Acceptor {
    pub(super) listener: ListenerState,
    pub(super) worker: Rc<WorkerState>,
    pub(super) limit: ConnectionLimit,
    pub(super) clients: Arc<Clients>,
    pub(super) evictors: Evictors,
    pub(super) balancer: Rc<ConnectionBalancer>,
}

impl Acceptor {
    /// Announces in responses that connections will close.
    pub(super) fn begin_stopping(&self) {
        self.worker.begin_stopping();
    }

    /// Accepts connections until the worker drains.
    ///
    /// The connection comes first and its permit second: a loop that waited for connections with a
    /// permit in hand would withhold it from the other loops. An accepted connection is always
    /// served. If no permit is free when the worker begins to drain, it is served without one, as
    /// the last.
    pub(super) async fn accept_until(&self, draining: impl Future, socket: &ListeningSocket) {
        let mut draining = pin!(draining);
        loop {
            let (socket, peer) = tokio::select! {
                biased;
                _ = &mut draining => return,
                accepted = accept_peer(socket, async |error| self.make_room(&error).await) => accepted,
            };
            let Ok(identified) = self.identify(peer.client()) else {
                continue;
            };
            let permit = tokio::select! {
                biased;
                permit = self.permit() => Some(permit),
                _ = &mut draining => None,
            };
            if permit.is_none() {
                self.serve(socket, peer, permit, identified);
                return;
            }
            match self.balancer.other_worker(self.worker.ticker.now()) {
                None => self.serve(socket, peer, permit, identified),
                Some(other) => {
                    let accepted = self.accepted(socket, peer, permit, identified, other.count());
                    // An error closes the connection.
                    let _ = accepted
                        .map_socket(TcpStream::into_std)
                        .map(|accepted| other.hand_over(accepted));
                }
            }
        }
    }

    // An evicted connection may free the descriptor or memory that was missing.
    async fn make_room(&self, error: &io::Error) {
        let now = self.worker.ticker.now();
        self.evictors.log_not_accepted(error, now);
        self.evictors.make_room().await;
    }

    /// Accepts what the kernel still holds for the socket, and closes it.
    pub(super) async fn accept_remaining(&self, socket: ListeningSocket) {
        let sharing = self.listener.sharing;
        match socket {
            ListeningSocket::Tcp(socket) => {
                let serve = |socket, peer| self.serve_remaining(socket, Peer::Ip(peer));
                close(socket, sharing, serve).await;
            }
            ListeningSocket::Unix(socket) => {
                close_unix(socket, sharing, |socket, peer| {
                    self.serve_remaining(socket, peer)
                });
            }
        }
    }

    fn serve_remaining(&self, socket: TcpStream, peer: Peer) {
        // Without a permit it is closed, as it would have been a moment later.
        if let (Ok(identified), Some(permit)) =
            (self.identify(peer.client()), self.limit.try_take())
        {
            self.serve(socket, peer, Some(permit), identified);
        }
    }

    /// Counts the connection of a client, or has its PROXY header read where the listener requires
    /// one. `Err` if it is refused.
    fn identify(&self, peer: ClientAddress) -> Result<Identified, ()> {
        let settings = self.worker.settings();
        let requires_header = settings.proxy_protocol.get(self.listener.index);
        if !requires_header.is_some_and(|requires_header| *requires_header) {
            let connections = &self.listener.connections;
            let counted = self.clients.admit(peer, &self.worker, connections)?;
            return Ok(Identified::Peer(counted));
        }
        if settings.trusted_proxies.contains(peer) {
            return Ok(Identified::ByProxyHeader(Arc::clone(&self.clients)));
        }
        self.listener.connections.without_proxy_header.count();
        let now = self.worker.ticker.now();
        self.clients
            .log_invalid_header(peer, "not one of trusted_proxies", now);
        Err(())
    }

    /// Takes a permit. While none is free, the connections that are idle for longest are evicted.
    async fn permit(&self) -> ConnectionPermit {
        if let Some(permit) = self.limit.try_take() {
            return permit;
        }
        self.evictors
            .log_exhausted(self.limit.max(), self.worker.ticker.now());
        let mut permit = pin!(self.limit.take());
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return permit,
                () = self.evictors.make_room() => {}
            }
            // A permit that is released is taken at once. Only the eviction is repeated: no
            // connection may have been idle.
            if let Ok(permit) = timeout(EVICTION_INTERVAL, &mut permit).await {
                return permit;
            }
        }
    }

    fn serve(
        &self,
        socket: TcpStream,
        peer: Peer,
        permit: Option<ConnectionPermit>,
        identified: Identified,
    ) {
        let workload = self.balancer.count();
        self.accepted(socket, peer, permit, identified, workload)
            .serve(&self.worker);
    }

    fn accepted(
        &self,
        socket: TcpStream,
        peer: Peer,
        permit: Option<ConnectionPermit>,
        identified: Identified,
        workload: GaugeGuard,
    ) -> Accepted<TcpStream> {
        Accepted {
            socket,
            peer,
            identified,
            listener: self.listener.clone(),
            permit,
            workload,
        }
    }
}
