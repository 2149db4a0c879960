//! One worker: a thread, a runtime, its sockets.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::{Serving, serve};
use super::limit::ConnectionLimit;
use super::pulse::Heart;
use super::tls::Shown;
use super::{Phase, Settings};
use crate::clock::{Clock, TICK, Ticker};
use crate::gateway::{Gate, Publisher};

/// How long accepting pauses when the process or the machine has run out of something.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Everything that one worker thread needs.
pub(super) struct Worker {
    /// Each with what it shows to clients who speak TLS.
    pub(super) sockets: Vec<(TcpListener, Arc<Shown>)>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) publisher: Publisher,
    pub(super) clock: Clock,
    pub(super) limit: ConnectionLimit,
    pub(super) heart: Heart,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Worker {
    /// Says whether it is ready, and serves until it has drained.
    pub(super) fn run(self, ready: &mpsc::Sender<io::Result<()>>) {
        // An error means that nobody waits for it any more: another worker was not ready.
        let tell = |outcome| _ = ready.send(outcome);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = match builder.enable_all().build_local(tokio::runtime::LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tell(Err(error)),
        };
        let Self { sockets, settings, publisher, clock, limit, heart, mut phase } = self;
        let heart = Rc::new(heart);
        runtime.block_on(async {
            let listener = |(socket, shown)| Ok((tokio::net::TcpListener::from_std(socket)?, shown));
            let listeners = match sockets.into_iter().map(listener).collect::<io::Result<Vec<_>>>() {
                Ok(listeners) => listeners,
                Err(error) => return tell(Err(error)),
            };
            tell(Ok(()));
            if phase.wait_for(|phase| *phase >= Phase::Serve).await.is_err() {
                return;
            }
            let ticker = Ticker::new(clock);
            let gate = Rc::new(Gate::new(publisher, Rc::clone(&ticker)));
            let serving = Rc::new(Serving::new(Rc::clone(&gate), Rc::clone(&ticker), settings));
            let beating = Rc::clone(&heart);
            tokio::task::spawn_local(Rc::clone(&ticker).run(move || {
                gate.prune();
                beating.beat();
            }));

            let mut accepting = JoinSet::new();
            for (listener, shown) in listeners {
                accepting.spawn_local(accept(listener, shown, Rc::clone(&serving), limit.clone()));
            }
            // An error means that the server is gone: then there is nothing left to serve for.
            let _ = phase.wait_for(|phase| *phase == Phase::Drain).await;
            accepting.shutdown().await;
            serving.drain().await;
            heart.end();
        });
    }
}

async fn accept(listener: tokio::net::TcpListener, shown: Arc<Shown>, serving: Rc<Serving>, limit: ConnectionLimit) {
    loop {
        // The place first: a connection that was accepted is served.
        let Some(place) = limit.take() else {
            tokio::time::sleep(TICK).await;
            continue;
        };
        match listener.accept().await {
            Ok((socket, peer)) => serve(&serving, socket, peer, shown.current(), place),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; accepting pauses");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

// The client went away between knocking and being let in. Any other error, such as too many open files, would come
// again at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
