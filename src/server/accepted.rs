//! A connection that was accepted, on its way to the worker that serves it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::connection::{ConnectionGuards, Identified, Origin, serve};
use super::connection_limit::ConnectionPermit;
use super::listen::Sharing;
use super::tls::CurrentCertificates;
use super::worker_state::WorkerState;
use crate::telemetry::Connections;
use crate::telemetry::metrics::GaugeGuard;
use crate::transport::Peer;

/// What the sockets of all workers at one address share.
#[derive(Clone)]
pub(super) struct ListenerState {
    /// Its place among the listeners.
    pub(super) index: usize,
    /// Certificates for clients that speak TLS.
    pub(super) certificates: Arc<CurrentCertificates>,
    pub(super) sharing: Sharing,
    pub(super) connections: Arc<Connections>,
}

/// A connection that was accepted, and what it holds until it is closed.
pub(super) struct Accepted<S> {
    pub(super) socket: S,
    pub(super) peer: Peer,
    pub(super) identified: Identified,
    pub(super) listener: ListenerState,
    pub(super) permit: Option<ConnectionPermit>,
    /// Counts it for the worker that serves it.
    pub(super) workload: GaugeGuard,
}

impl<S> Accepted<S> {
    /// The same connection with its socket in another form.
    pub(super) fn map_socket<T>(
        self,
        map: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<Accepted<T>> {
        Ok(Accepted {
            socket: map(self.socket)?,
            peer: self.peer,
            identified: self.identified,
            listener: self.listener,
            permit: self.permit,
            workload: self.workload,
        })
    }
}

impl Accepted<TcpStream> {
    /// Serves it in a task of its own.
    pub(super) fn serve(self, worker: &Rc<WorkerState>) {
        let ListenerState {
            index,
            certificates,
            connections,
            ..
        } = self.listener;
        connections.accepted.count();
        let guards = ConnectionGuards {
            _permit: self.permit,
            _workload: self.workload,
            _gauge: connections.open.enter(),
            connections,
        };
        let origin = Origin {
            listener: index,
            tls: certificates.current(),
            peer: self.peer,
        };
        serve(worker, self.socket, self.identified, origin, guards);
    }
}
