//! Stores introspection responses for the other gateways, and finds theirs.
//!
//! A response is stored under the HMAC of what it depends on, its token among them, and sealed with
//! the time until which it counts. Queries are sent together: while some are on their way, the next
//! ones gather.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::FleetSettings;
use super::redis::{FleetError, Redis};
use super::service::Service;
use crate::clock::Clock;
use crate::oauth::UnixTime;
use crate::text::truncated;
use crate::verify::introspection::{FoundResponse, ResponseName, ResponseQuery, SharedResponses};

/// Queries that are sent together. Their replies are smaller than what a connection may receive.
const BATCH: usize = 256;
/// How often an idle connection is tested.
const TEST: Duration = Duration::from_secs(1);

/// Serves the queries of this gateway.
pub(super) struct ResponseService {
    pub(super) settings: Arc<FleetSettings>,
    pub(super) shared: Arc<SharedResponses>,
    pub(super) queries: mpsc::Receiver<ResponseQuery>,
    pub(super) clock: Clock,
}

/// Commands that are sent together, and who waits for their replies.
#[derive(Default)]
struct Batch {
    commands: Pipeline,
    count: usize,
    waiting: Vec<Waiting>,
}

/// Who waits for replies, the next ones of the batch.
enum Waiting {
    /// For the response of this name, and perhaps for the claim.
    Find {
        key: String,
        has_claim: bool,
        reply: oneshot::Sender<FoundResponse>,
    },
    /// For one reply that says nothing.
    Store,
}

impl Service for ResponseService {
    async fn run(&mut self, mut redis: Redis) -> Result<Infallible, FleetError> {
        self.shared.set_connected(true);
        let mut test = interval(TEST);
        test.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut queries = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = self.queries.recv_many(&mut queries, BATCH) => {
                    if count == 0 {
                        // No verifier is left.
                        std::future::pending::<()>().await;
                    }
                    self.serve(&mut redis, queries.drain(..)).await?;
                }
                _ = test.tick() => {
                    redis.query(redis::cmd("PING"), self.settings.timeout).await?;
                }
            }
        }
    }

    fn interrupt(&mut self) -> bool {
        let was_connected = self.shared.set_connected(false);
        // Those who wait for a reply notice that it is dropped.
        while self.queries.try_recv().is_ok() {}
        was_connected
    }

    fn log_failure(&self, error: &FleetError) {
        // A part of it may be from the server.
        let error = truncated(&error.to_string());
        tracing::warn!(
            error,
            "introspection responses are not shared; each gateway sends its own requests"
        );
    }
}

impl ResponseService {
    async fn serve(
        &self,
        redis: &mut Redis,
        queries: impl Iterator<Item = ResponseQuery>,
    ) -> Result<(), FleetError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        for query in queries {
            match query {
                ResponseQuery::Find { name, claim, reply } => {
                    batch.find(self.key(&name), claim, reply);
                }
                ResponseQuery::Store {
                    name,
                    expires,
                    value,
                } => {
                    let key = self.key(&name);
                    let sealed = self.settings.seal.seal(&key, expires, &value)?;
                    batch.store(&key, sealed, expires.since(now));
                }
            }
        }
        let Batch {
            commands,
            count,
            waiting,
        } = batch;
        let timeout = self.settings.timeout;
        let replies = redis.query_all(&commands, count, timeout).await?;
        self.distribute(replies.into_iter(), waiting, now)
    }

    fn distribute(
        &self,
        mut replies: impl Iterator<Item = Value>,
        waiting: Vec<Waiting>,
        now: UnixTime,
    ) -> Result<(), FleetError> {
        let mut next = || replies.next().ok_or(FleetError::UnexpectedReply);
        for waiting in waiting {
            match waiting {
                Waiting::Find {
                    key,
                    has_claim,
                    reply,
                } => {
                    let value = self.opened(&key, next()?, now);
                    // Nil: another gateway has the claim.
                    let is_claimed = !has_claim || next()? != Value::Nil;
                    // Who waited may have gone on without it.
                    let _ = reply.send(FoundResponse { value, is_claimed });
                }
                Waiting::Store => drop(next()?),
            }
        }
        Ok(())
    }

    // A value that another fleet has sealed, or nobody, is as good as none.
    fn opened(&self, key: &str, reply: Value, now: UnixTime) -> Option<Zeroizing<Vec<u8>>> {
        let Value::BulkString(sealed) = reply else {
            return None;
        };
        let opened = self.settings.seal.open(key, &sealed, now);
        opened.map(Zeroizing::new).ok()
    }

    fn key(&self, name: &ResponseName) -> String {
        let name = self.settings.seal.name(&name.parts());
        self.settings.key(&format!("response:{name}"))
    }
}

impl Batch {
    fn find(
        &mut self,
        key: String,
        claim: Option<Duration>,
        reply: oneshot::Sender<FoundResponse>,
    ) {
        self.commands.cmd("GET").arg(&key);
        self.count += 1;
        if let Some(claim) = claim {
            let claimed = format!("{key}:claim");
            self.set(&claimed, b"", claim).arg("NX");
        }
        self.waiting.push(Waiting::Find {
            key,
            has_claim: claim.is_some(),
            reply,
        });
    }

    fn store(&mut self, key: &str, sealed: Vec<u8>, for_time: Duration) {
        self.set(key, &sealed, for_time);
        self.waiting.push(Waiting::Store);
    }

    fn set(&mut self, key: &str, value: &[u8], for_time: Duration) -> &mut Pipeline {
        self.count += 1;
        let milliseconds = u64::try_from(for_time.as_millis()).unwrap_or(u64::MAX);
        self.commands
            .cmd("SET")
            .arg(key)
            .arg(value)
            .arg("PX")
            .arg(milliseconds.max(1))
    }
}
