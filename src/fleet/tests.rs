//! Two gateways of one fleet. `hostile` has a server of its own, which lies. The tests here need a
//! real one: only where `FLEET_TEST_REDIS` names the Unix socket
//! of one that holds nothing else; `tests/fleet/run` starts it.

mod fake_redis;
mod hostile;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::rate_limits::{ClientIdentity, Counted, KeyPart, Limit, LimitSettings, WorkerLimits};
use crate::revocation::{Digest, Entry, IssuedBefore, Origin};
use crate::sync::Epoch;
use crate::transport::tls;
use crate::values::StaleRevocations;

struct Gateway {
    revocations: Arc<Revocations>,
    status: Arc<FleetStatus>,
}

fn socket() -> Option<PathBuf> {
    let socket = std::env::var_os("FLEET_TEST_REDIS").map(PathBuf::from);
    if socket.is_none() {
        eprintln!("SKIPPED: FLEET_TEST_REDIS names no server");
    }
    socket
}

impl Gateway {
    fn start(socket: &Path, prefix: &str) -> Self {
        let key = FleetKey::from_hex(&"5a".repeat(32)).expect("64 digits");
        let settings = FleetSettings {
            redis: RedisSettings {
                servers: vec![RedisServer::Unix(socket.to_owned())],
                username: None,
                password: None,
                tls: Arc::new(tls::client(rustls::RootCertStore::empty(), None).expect("TLS")),
            },
            seal: Seal::new(&key, None),
            prefix: prefix.to_owned(),
            retention: Duration::from_secs(3600),
            timeout: Duration::from_secs(1),
        };
        let status = FleetStatus::new(
            StaleRevocations::Closed,
            Duration::from_secs(2),
            settings.limits_secret(),
            settings.timeout,
        );
        let revocations = Revocations::new(1_000_000, Epoch::default());
        start(
            settings,
            Arc::clone(&status),
            Arc::clone(&revocations),
            Clock::system(),
        );
        Self {
            revocations,
            status,
        }
    }

    fn add(&self, digest: u128) {
        let now = Clock::system().now();
        let entry = Entry {
            digest: Digest::from_bytes(digest.to_be_bytes()),
            issued_before: IssuedBefore::Always,
            expires: now.later_by(Duration::from_secs(600)),
        };
        let added = self.revocations.add(&entry, Origin::Here, now);
        assert_eq!(added, Ok(true));
    }

    fn entries(&self) -> u64 {
        self.revocations.counts().entries
    }
}

async fn until(what: &str, mut is_met: impl FnMut() -> bool) -> Duration {
    let started = clock::now();
    while !is_met() {
        assert!(clock::since(started) < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    clock::since(started)
}

async fn command(socket: &Path, command: &[&str]) {
    let tls = Arc::new(tls::client(rustls::RootCertStore::empty(), None).expect("TLS"));
    let settings = RedisSettings {
        servers: vec![RedisServer::Unix(socket.to_owned())],
        username: None,
        password: None,
        tls,
    };
    let connected = redis::Redis::connect(&settings, "none").await;
    let mut redis = connected.expect("a server");
    let mut packed = ::redis::cmd(command[0]);
    packed.arg(&command[1..]);
    let reply = redis.query(packed, Duration::from_secs(5)).await;
    reply.expect("a reply");
}

#[tokio::test]
async fn revocation_reaches_the_other_gateway_and_one_that_starts_later() {
    let Some(socket) = socket() else { return };
    let first = Gateway::start(&socket, "reaches:");
    let second = Gateway::start(&socket, "reaches:");
    until("both are up to date", || {
        !first.status.refuses_tokens() && !second.status.refuses_tokens()
    })
    .await;
    first.add(1);
    let took = until("the second has it", || second.entries() == 1).await;
    eprintln!("from one gateway to the other: {took:?}");
    second.add(2);
    until("the first has it", || first.entries() == 2).await;
    let third = Gateway::start(&socket, "reaches:");
    let ready = until("the third is up to date", || !third.status.refuses_tokens()).await;
    assert_eq!(third.entries(), 2, "read before it is up to date");
    eprintln!("a third gateway is up to date after {ready:?}");
    assert_eq!(first.status.report().peers, 2);
}

#[tokio::test]
async fn lost_data_is_published_again() {
    let Some(socket) = socket() else { return };
    let first = Gateway::start(&socket, "lost:");
    until("it is up to date", || !first.status.refuses_tokens()).await;
    (1..=600).for_each(|digest| first.add(digest));
    until("all are published", || first.status.report().published >= 3).await;
    command(
        &socket,
        &["DEL", "lost:{fleet}:revocations", "lost:{fleet}:heartbeats"],
    )
    .await;
    let second = Gateway::start(&socket, "lost:");
    let took = until("the second is up to date", || {
        !second.status.refuses_tokens()
    })
    .await;
    assert_eq!(second.entries(), 600);
    eprintln!("up to date {took:?} after the data was lost");
}

#[tokio::test]
async fn forged_message_counts_as_missing_until_a_snapshot() {
    let Some(socket) = socket() else { return };
    let first = Gateway::start(&socket, "forged:");
    let second = Gateway::start(&socket, "forged:");
    until("both are up to date", || {
        !first.status.refuses_tokens() && !second.status.refuses_tokens()
    })
    .await;
    first.add(1);
    until("the second has it", || second.entries() == 1).await;
    command(
        &socket,
        &["XADD", "forged:{fleet}:revocations", "*", "m", "nonsense"],
    )
    .await;
    until("both notice", || {
        first.status.report().unopened == 1 && second.status.report().unopened == 1
    })
    .await;
    let before = second.status.report().age.expect("heard");
    until("both are up to date again", || {
        let ages = [&first, &second].map(|one| one.status.report().age.expect("heard"));
        ages.iter()
            .all(|age| *age < before.max(Duration::from_secs(1)))
    })
    .await;
    assert_eq!(second.entries(), 1);
}

#[tokio::test]
async fn without_a_server_closed_refuses() {
    let missing = std::env::temp_dir().join("no-such-fleet.sock");
    let alone = Gateway::start(&missing, "none:");
    until("it has tried", || alone.status.report().failure.is_some()).await;
    assert!(alone.status.refuses_tokens());
    alone.add(1);
    assert_eq!(alone.entries(), 1, "active here at once");
}

fn hundred_a_second() -> LimitSettings {
    LimitSettings {
        name: "standard".into(),
        requests: 100,
        per: Duration::from_secs(1),
        burst: 100,
        key: [KeyPart::Route].into(),
    }
}

/// Requests that gateways admit in `duration`, with many times more attempts.
async fn admitted(gateways: &[Gateway], limits: &[Arc<Limit>], duration: Duration) -> usize {
    let client = ClientIdentity {
        token: None,
        address: None,
        route: &"/a".into(),
    };
    let limits = limits
        .iter()
        .map(|limit| WorkerLimits::new(&[Arc::clone(limit)]));
    let limits: Vec<_> = limits.collect();
    let started = clock::now();
    let mut admitted = 0;
    while clock::since(started) < duration {
        for (_, limits) in gateways.iter().zip(&limits) {
            let counted = Counted::count(&mut None, &[0], limits, client, clock::now());
            admitted += usize::from(counted.is_ok());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    admitted
}

#[tokio::test]
async fn gateways_share_a_limit_and_each_has_its_part_while_redis_is_away() {
    let Some(socket) = socket() else { return };
    for count in [1, 2, 4] {
        let prefix = format!("limits{count}:");
        let gateways: Vec<_> = (0..count)
            .map(|_| Gateway::start(&socket, &prefix))
            .collect();
        until("all hear each other", || {
            let heard = |gateway: &Gateway| gateway.status.report().peers + 1 == count;
            gateways.iter().all(heard)
        })
        .await;
        until("all are connected", || {
            gateways
                .iter()
                .all(|gateway| gateway.status.limits().is_connected())
        })
        .await;
        let settings = hundred_a_second();
        let limits: Vec<_> = gateways
            .iter()
            .map(|gateway| {
                let limit = Limit::new(
                    settings.clone(),
                    Some(gateway.status.limits()),
                    clock::now(),
                );
                Arc::new(limit.expect("a limit"))
            })
            .collect();
        let seconds = 3;
        let found = admitted(&gateways, &limits, Duration::from_secs(seconds)).await;
        let allowed = 100 + 100 * usize::try_from(seconds).expect("a small number");
        eprintln!("{count} gateways admitted {found} of {allowed}");
        assert!(
            found * 100 <= allowed * 105,
            "{count} gateways: {found} of {allowed}"
        );
        assert!(
            found * 100 >= allowed * 90,
            "{count} gateways: {found} of {allowed}"
        );
    }
}
