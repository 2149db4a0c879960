//! One worker: a thread, a runtime, its sockets.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::accepted::ListenerState;
use super::acceptor::Acceptor;
use super::bound_socket::BoundSocket;
use super::clients::Clients;
use super::connection_balancer::{ConnectionBalancer, HandedOver, serve_handed_over};
use super::connection_limit::ConnectionLimit;
use super::eviction::{EvictionRequest, Evictors};
use super::liveness::WorkerHeartbeat;
use super::worker_state::WorkerState;
use super::{Phase, Settings};
use crate::clock::{Clock, TICK, Ticker};
use crate::gateway::{Gate, SharedSnapshot};
use crate::telemetry::{InFlight, Telemetry, WorkerTelemetry};
use crate::transport::ListeningSocket;

/// Everything that one worker thread needs.
pub(super) struct Worker {
    pub(super) sockets: Vec<(BoundSocket, ListenerState)>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) snapshot: SharedSnapshot,
    pub(super) clock: Clock,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) limit: ConnectionLimit,
    pub(super) clients: Arc<Clients>,
    pub(super) evictors: Evictors,
    /// Requests of all workers to evict a connection of this one.
    pub(super) evictions: UnboundedReceiver<EvictionRequest>,
    pub(super) balancer: ConnectionBalancer,
    /// Connections that other workers have accepted.
    pub(super) handed_over: UnboundedReceiver<HandedOver>,
    pub(super) heartbeat: WorkerHeartbeat,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Worker {
    /// Serves until the worker has drained. Returns the requests that were cut off.
    ///
    /// `ready` gets one message: the worker can serve, or why it cannot.
    pub(super) fn run(self, ready: &mpsc::Sender<io::Result<()>>) -> InFlight {
        // An error means that another worker could not be started, and the server gave up.
        let report = |outcome| drop(ready.send(outcome));
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve(report)),
            Err(error) => {
                report(Err(error));
                InFlight::default()
            }
        }
    }

    async fn serve(self, report: impl Fn(io::Result<()>)) -> InFlight {
        let Self {
            sockets,
            settings,
            snapshot,
            clock,
            telemetry,
            limit,
            clients,
            evictors,
            evictions,
            balancer,
            handed_over,
            heartbeat,
            mut phase,
        } = self;
        let listeners = match with_runtime(sockets) {
            Ok(listeners) => listeners,
            Err(error) => {
                report(Err(error));
                return InFlight::default();
            }
        };
        report(Ok(()));
        if !reaches_serve(&mut phase).await {
            return InFlight::default();
        }
        let ticker = Ticker::new(clock);
        let telemetry = telemetry.worker();
        let gate = Rc::new(Gate::new(
            snapshot,
            Rc::clone(&ticker),
            Rc::clone(&telemetry),
        ));
        let heartbeat = Rc::new(heartbeat);
        spawn_ticker(&ticker, &gate, &heartbeat);
        let worker = Rc::new(WorkerState::new(gate, ticker, settings));
        spawn_evictions(&worker, evictions);

        let mut accepting = JoinSet::new();
        accepting.spawn_local(serve_handed_over(Rc::clone(&worker), handed_over));
        let balancer = Rc::new(balancer);
        for (socket, listener) in listeners {
            let acceptor = Acceptor {
                listener,
                worker: Rc::clone(&worker),
                limit: limit.clone(),
                clients: Arc::clone(&clients),
                evictors: evictors.clone(),
                balancer: Rc::clone(&balancer),
            };
            accepting.spawn_local(accept_until_drain(acceptor, socket, phase.clone()));
        }
        // The accept loops hold the others: the last of them to end ends `serve_handed_over`.
        drop(balancer);
        drain(&worker, &telemetry, &mut accepting, &mut phase).await;
        heartbeat.end();
        // Requests that are left end with the runtime.
        telemetry.in_flight()
    }
}

// Follows the phases of the server from `Stopping` on. Returns when the worker is drained or cut
// off.
async fn drain(
    worker: &WorkerState,
    telemetry: &WorkerTelemetry,
    accepting: &mut JoinSet<()>,
    phase: &mut watch::Receiver<Phase>,
) {
    // An error means that the server is gone, which ends every phase.
    let _ = phase.wait_for(|phase| *phase >= Phase::Stopping).await;
    worker.begin_stopping();
    let _ = phase.wait_for(|phase| *phase >= Phase::Drain).await;
    worker.begin_drain();
    let drained = async {
        while accepting.join_next().await.is_some() {}
        worker.drained().await;
        // Uploads whose clients have sent everything, and closed their connections.
        while telemetry.in_flight().requests > 0 {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = drained => {}
        _ = phase.wait_for(|phase| *phase >= Phase::CutOff) => {}
    }
}

async fn accept_until_drain(
    acceptor: Acceptor,
    socket: ListeningSocket,
    mut phase: watch::Receiver<Phase>,
) {
    // An error means that the server is gone, and drains as well.
    let draining = phase.wait_for(|phase| *phase >= Phase::Drain);
    acceptor.accept_until(draining, &socket).await;
    // A client that finds the listener closed must read in its next response that its connection
    // closes as well. `drain` may run only after this.
    acceptor.begin_stopping();
    acceptor.accept_remaining(socket).await;
}

fn with_runtime(
    sockets: Vec<(BoundSocket, ListenerState)>,
) -> io::Result<Vec<(ListeningSocket, ListenerState)>> {
    sockets
        .into_iter()
        .map(|(socket, listener)| Ok((socket.with_runtime()?, listener)))
        .collect()
}

// Whether all workers are ready. False if one is not, and the server gave up.
async fn reaches_serve(phase: &mut watch::Receiver<Phase>) -> bool {
    phase.wait_for(|phase| *phase >= Phase::Serve).await.is_ok()
}

fn spawn_evictions(worker: &Rc<WorkerState>, evictions: UnboundedReceiver<EvictionRequest>) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(
        async move { worker.connections.run(evictions, &worker.ticker).await },
    );
}

fn spawn_ticker(ticker: &Rc<Ticker>, gate: &Rc<Gate>, heartbeat: &Rc<WorkerHeartbeat>) {
    let (gate, heartbeat) = (Rc::clone(gate), Rc::clone(heartbeat));
    let ticking = Rc::clone(ticker);
    tokio::task::spawn_local(Rc::clone(ticker).run(move || {
        gate.tick();
        heartbeat.beat(ticking.now());
    }));
}
