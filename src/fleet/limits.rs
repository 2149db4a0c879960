//! Leases requests from the buckets of limits, which Redis holds for the whole fleet.
//!
//! A bucket in Redis is one number: when it is full, in microseconds of Redis' own clock, so that the
//! clocks of gateways play no part. Its name is an HMAC. Calls are sent together: while some are on
//! their way, the next ones gather.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::FleetSettings;
use super::redis::{FleetError, Redis};
use super::service::Service;
use crate::clock;
use crate::rate_limits::{Grant, LeaseRequest, SharedBucket, Sharing};
use crate::text::truncated;

/// Takes credit and leases from a bucket. Its own comment describes arguments and reply.
const SCRIPT: &str = include_str!("lease.lua");

/// Calls that are sent together.
const BATCH: usize = 256;
/// Buckets that may have unused leases. Beyond it, those of new ones are not given back.
const MAX_LEASED: usize = 100_000;
/// How often unused leases are given back.
const SWEEP: Duration = Duration::from_secs(1);

/// Leases what the limits of this gateway request.
pub(super) struct LimitService {
    pub(super) settings: Arc<FleetSettings>,
    pub(super) sharing: Arc<Sharing>,
    pub(super) requested: mpsc::Receiver<SharedBucket>,
}

impl Service for LimitService {
    async fn run(&mut self, redis: Redis) -> Result<Infallible, FleetError> {
        let mut leases = Leases::open(&self.settings, redis).await?;
        self.sharing.set_connected(true);
        leases.run(&mut self.requested).await
    }

    fn interrupt(&mut self) -> bool {
        let was_connected = self.sharing.set_connected(false);
        while let Ok(bucket) = self.requested.try_recv() {
            bucket.fail();
        }
        was_connected
    }

    fn log_failure(&self, error: &FleetError) {
        // A part of it may be from the server.
        let error = truncated(&error.to_string());
        tracing::warn!(
            error,
            "limits are not shared; each gateway has its part of them"
        );
    }
}

// Also after a panic: leases that nobody serves would refuse every request.
impl Drop for LimitService {
    fn drop(&mut self) {
        self.interrupt();
    }
}

/// One connection, and what was leased on it.
struct Leases<'s> {
    settings: &'s FleetSettings,
    redis: Redis,
    script: Vec<u8>,
    /// By their names.
    leased: HashMap<String, SharedBucket>,
}

/// One call of the script.
struct ScriptCall {
    name: String,
    bucket: SharedBucket,
    request: LeaseRequest,
    unused: u64,
}

impl<'s> Leases<'s> {
    async fn open(settings: &'s FleetSettings, mut redis: Redis) -> Result<Self, FleetError> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        let Value::BulkString(script) = redis.query(load, settings.timeout).await? else {
            return Err(FleetError::UnexpectedReply);
        };
        Ok(Self {
            settings,
            redis,
            script,
            leased: HashMap::new(),
        })
    }

    async fn run(
        &mut self,
        requested: &mut mpsc::Receiver<SharedBucket>,
    ) -> Result<Infallible, FleetError> {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buckets = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = requested.recv_many(&mut buckets, BATCH) => {
                    if count == 0 {
                        // No limit is left.
                        std::future::pending::<()>().await;
                    }
                    let calls = buckets.drain(..).map(|bucket| self.lease_call(bucket)).collect();
                    self.send(calls).await?;
                }
                _ = sweep.tick() => self.give_back().await?,
            }
        }
    }

    fn lease_call(&mut self, bucket: SharedBucket) -> ScriptCall {
        let [limit, rules, key] = bucket.name();
        let name = self.settings.seal.name(&[&limit, &rules, &key]);
        let name = self.settings.key(&format!("limit:{name}"));
        if self.leased.len() < MAX_LEASED {
            self.leased.insert(name.clone(), bucket.clone());
        }
        ScriptCall {
            request: bucket.request(),
            name,
            bucket,
            unused: 0,
        }
    }

    // An idle connection is tested as well.
    async fn give_back(&mut self) -> Result<(), FleetError> {
        let mut calls = Vec::new();
        self.leased.retain(|name, bucket| {
            let unused = bucket.take_unused();
            if unused > 0 {
                calls.push(ScriptCall {
                    name: name.clone(),
                    bucket: bucket.clone(),
                    request: LeaseRequest::default(),
                    unused,
                });
            }
            unused == 0 && bucket.is_in_use()
        });
        if calls.is_empty() {
            return self
                .redis
                .query(redis::cmd("PING"), self.settings.timeout)
                .await
                .map(drop);
        }
        while !calls.is_empty() {
            let rest = calls.split_off(calls.len().min(BATCH));
            self.send(std::mem::replace(&mut calls, rest)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, calls: Vec<ScriptCall>) -> Result<(), FleetError> {
        let replies = self.try_send(&calls).await;
        if replies.is_err() {
            for call in &calls {
                call.bucket.fail();
            }
        }
        let now = clock::now();
        for (call, grant) in calls.iter().zip(replies?) {
            if call.unused == 0 {
                call.bucket.grant(call.request, grant, now);
            }
        }
        Ok(())
    }

    async fn try_send(&mut self, calls: &[ScriptCall]) -> Result<Vec<Grant>, FleetError> {
        let mut commands = redis::pipe();
        for ScriptCall {
            name,
            bucket,
            request,
            unused,
        } in calls
        {
            let (interval, capacity) = bucket.interval_and_capacity();
            commands
                .cmd("EVALSHA")
                .arg(&self.script)
                .arg(1)
                .arg(name)
                .arg(micros(interval))
                .arg(micros(capacity))
                .arg(request.credit)
                .arg(request.wanted)
                .arg(*unused)
                .arg(micros(bucket.max_refill_time()));
        }
        let timeout = self.settings.timeout;
        let replies = self
            .redis
            .query_all(&commands, calls.len(), timeout)
            .await?;
        let grants = replies.iter().zip(calls).map(|(reply, call)| {
            parse_grant(reply, call.request.wanted).ok_or(FleetError::UnexpectedReply)
        });
        grants.collect()
    }
}

// Redis counts in microseconds, with fractions: a limit may allow more than a million a second.
fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

// Never more than was requested, whatever the server replies.
fn parse_grant(reply: &Value, wanted: u64) -> Option<Grant> {
    let Value::Array(numbers) = reply else {
        return None;
    };
    let [Value::Int(leased), Value::Int(full_in)] = numbers[..] else {
        return None;
    };
    let leased = u64::try_from(leased)
        .ok()
        .filter(|leased| *leased <= wanted)?;
    let full_in = u64::try_from(full_in).ok()?.checked_mul(1000)?;
    Some(Grant { leased, full_in })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_is_no_more_than_was_requested() {
        let reply = |leased, full_in| Value::Array(vec![Value::Int(leased), Value::Int(full_in)]);
        let grant = Grant {
            leased: 3,
            full_in: 7_000,
        };
        assert_eq!(parse_grant(&reply(3, 7), 3), Some(grant));
        let strange = [
            reply(4, 7),
            reply(-1, 7),
            reply(3, -7),
            reply(3, i64::MAX),
            Value::Array(vec![Value::Int(3)]),
            Value::Int(3),
            Value::Nil,
        ];
        for reply in strange {
            assert_eq!(parse_grant(&reply, 3), None, "{reply:?}");
        }
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(
            [micros(1), micros(1_500), micros(60_000_000_000)],
            ["0.001", "1.500", "60000000.000"]
        );
    }
}
