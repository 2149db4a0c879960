//! One worker: a thread, a runtime, its sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::clients::{Clients, Counted};
use super::closing::{close, concerns_one_connection};
use super::connection::{ConnectionGuards, Serving, serve};
use super::eviction::{Ask, Evictors};
use super::limit::{ConnectionLimit, Place};
use super::listen::Sharing;
use super::pulse::Heart;
use super::tls::Shown;
use super::{Phase, Settings};
use crate::clock::{Clock, TICK, Ticker};
use crate::gateway::{Gate, SharedSnapshot};
use crate::telemetry::{Connections, InFlight, Telemetry};

/// How long accepting pauses when the process or the machine has run out of something.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How often a client that waits for a place has an idle connection searched for.
const EVICTED_EACH: Duration = TICK;

/// Everything that one worker thread needs.
pub(super) struct Worker {
    pub(super) sockets: Vec<(TcpListener, Listener)>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) publisher: SharedSnapshot,
    pub(super) clock: Clock,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) limit: ConnectionLimit,
    pub(super) clients: Arc<Clients>,
    pub(super) evictors: Evictors,
    /// What the workers ask this one.
    pub(super) asked: UnboundedReceiver<Ask>,
    pub(super) heart: Heart,
    pub(super) phase: watch::Receiver<Phase>,
}

/// What the sockets of all workers at one address have in common.
#[derive(Clone)]
pub(super) struct Listener {
    /// What clients see who speak TLS.
    pub(super) shown: Arc<Shown>,
    pub(super) sharing: Sharing,
    pub(super) connections: Arc<Connections>,
}

impl Worker {
    /// Says whether it is ready, and serves until it has drained. Returns the requests that it cut off.
    pub(super) fn run(self, ready: &mpsc::Sender<io::Result<()>>) -> InFlight {
        let tell = |outcome| {
            // An error means that nobody waits for it any more: another worker was not ready.
            let _ = ready.send(outcome);
            InFlight::default()
        };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = match builder
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
        {
            Ok(runtime) => runtime,
            Err(error) => return tell(Err(error)),
        };
        let Self {
            sockets,
            settings,
            publisher,
            clock,
            telemetry,
            limit,
            clients,
            evictors,
            asked,
            heart,
            mut phase,
        } = self;
        let heart = Rc::new(heart);
        runtime.block_on(async {
            let listening =
                |(socket, listener)| Ok((tokio::net::TcpListener::from_std(socket)?, listener));
            let listeners = match sockets
                .into_iter()
                .map(listening)
                .collect::<io::Result<Vec<_>>>()
            {
                Ok(listeners) => listeners,
                Err(error) => return tell(Err(error)),
            };
            tell(Ok(()));
            if phase
                .wait_for(|phase| *phase >= Phase::Serve)
                .await
                .is_err()
            {
                return InFlight::default();
            }
            let ticker = Ticker::new(clock);
            let telemetry = telemetry.worker();
            let gate = Rc::new(Gate::new(
                publisher,
                Rc::clone(&ticker),
                Rc::clone(&telemetry),
            ));
            let serving = Rc::new(Serving::new(Rc::clone(&gate), Rc::clone(&ticker), settings));
            let beating = Rc::clone(&heart);
            let beaten = Rc::clone(&ticker);
            tokio::task::spawn_local(Rc::clone(&ticker).run(move || {
                gate.tick();
                beating.beat(beaten.now());
            }));

            let attending = Rc::clone(&serving);
            tokio::task::spawn_local(async move {
                attending.connections.run(asked, &attending.ticker).await
            });

            let mut accepting = JoinSet::new();
            for (socket, listener) in listeners {
                let accept = Accept {
                    listener,
                    serving: Rc::clone(&serving),
                    limit: limit.clone(),
                    clients: Arc::clone(&clients),
                    evictors: evictors.clone(),
                };
                let mut phase = phase.clone();
                accepting.spawn_local(async move {
                    // An error means that the server is gone: then there is nothing left to serve for.
                    accept
                        .until(phase.wait_for(|phase| *phase >= Phase::Drain), &socket)
                        .await;
                    accept.rest_of(socket).await;
                });
            }
            let _ = phase.wait_for(|phase| *phase >= Phase::Ending).await;
            serving.begin_ending();
            let _ = phase.wait_for(|phase| *phase >= Phase::Drain).await;
            serving.begin_drain();
            tokio::select! {
                () = async {
                    while accepting.join_next().await.is_some() {}
                    serving.drained().await;
                } => {}
                _ = phase.wait_for(|phase| *phase >= Phase::CutOff) => {}
            }
            heart.end();
            // Those that are left end with the runtime.
            telemetry.in_flight()
        })
    }
}

/// What it takes to serve the clients of one listener.
struct Accept {
    listener: Listener,
    serving: Rc<Serving>,
    limit: ConnectionLimit,
    clients: Arc<Clients>,
    evictors: Evictors,
}

impl Accept {
    /// Accepts connections until the worker drains.
    ///
    /// The connection comes first and its place second: a loop that waited for connections with a place in hand would
    /// keep it from the other loops. A connection that was accepted is served. Where there is no place for it when the
    /// worker begins to drain, it is served without one: no new connections follow.
    async fn until(&self, draining: impl Future, socket: &tokio::net::TcpListener) {
        let mut draining = pin!(draining);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut draining => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let Ok(counted) = self.count(peer.ip()) else {
                        continue;
                    };
                    let place = tokio::select! {
                        biased;
                        place = self.place() => Some(place),
                        _ = &mut draining => None,
                    };
                    let is_last = place.is_none();
                    self.serve(socket, peer, place, counted);
                    if is_last {
                        return;
                    }
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.evictors
                        .log_not_accepted(&error, self.serving.ticker.now());
                    // What has run out may come back with it.
                    self.evictors.make_room().await;
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }

    async fn rest_of(&self, socket: tokio::net::TcpListener) {
        close(socket, self.listener.sharing, |socket, peer| {
            // Without a place it is turned away, as it would have been a moment later.
            if let (Ok(counted), Some(place)) = (self.count(peer.ip()), self.limit.try_take()) {
                self.serve(socket, peer, Some(place), counted);
            }
        })
        .await;
    }

    /// Counts a connection for its client, where that is limited. An error means that the client has too many.
    fn count(&self, client: IpAddr) -> Result<Option<Counted>, ()> {
        let settings = self.serving.settings();
        let max = settings.max_connections_per_client;
        if max == 0 || settings.trusted_proxies.contains(client) {
            return Ok(None);
        }
        let counted = self.clients.enter(client, max);
        if counted.is_none() {
            self.listener.connections.refused.count();
            self.clients
                .log_refused(client, max, self.serving.ticker.now());
        }
        counted.map(Some).ok_or(())
    }

    /// Takes a place. While none is free, the connections that have been idle longest are closed to make room.
    async fn place(&self) -> Place {
        if let Some(place) = self.limit.try_take() {
            return place;
        }
        self.evictors
            .log_exhausted(self.limit.max(), self.serving.ticker.now());
        let mut place = pin!(self.limit.take());
        loop {
            tokio::select! {
                biased;
                place = &mut place => return place,
                () = self.evictors.make_room() => {}
            }
            // A place that becomes free is taken at once. What is repeated is the search for an idle connection: there may
            // have been none.
            if let Ok(place) = timeout(EVICTED_EACH, &mut place).await {
                return place;
            }
        }
    }

    fn serve(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        place: Option<Place>,
        counted: Option<Counted>,
    ) {
        let connections = Arc::clone(&self.listener.connections);
        connections.accepted.count();
        let guards = ConnectionGuards {
            _place: place,
            _counted: counted,
            _entered: connections.open.enter(),
            connections,
        };
        serve(
            &self.serving,
            socket,
            peer,
            self.listener.shown.current(),
            guards,
        );
    }
}
