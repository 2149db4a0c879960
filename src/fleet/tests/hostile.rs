//! A Redis that lies, forgets and replays.

use super::fake_redis::{FakeRedis, Lie};
use super::*;

const STREAM: &str = "x:{fleet}:revocations";
const HEARTBEATS: &str = "x:{fleet}:heartbeats";

fn gateway(redis: &FakeRedis) -> Gateway {
    Gateway::start(&redis.socket(), "x:")
}

async fn until_up_to_date(gateways: &[&Gateway]) {
    until("all are up to date", || {
        gateways.iter().all(|one| !one.status.refuses_tokens())
    })
    .await;
}

// A gateway that can be stopped.
fn stoppable(redis: &FakeRedis) -> (tokio::runtime::Runtime, Gateway) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let guard = runtime.enter();
    let started = gateway(redis);
    drop(guard);
    (runtime, started)
}

#[tokio::test]
async fn no_reply_is_believed_or_does_harm_and_an_honest_server_is_heard_again() {
    let bytes = |text: &str| Lie::Bytes(text.as_bytes().to_vec());
    let nested = format!("{}:1\r\n", "*1\r\n".repeat(5_000));
    let endless = [&b"$2000000000\r\n"[..], &vec![b'a'; 9_000_000]].concat();
    let lies = [
        bytes("*2147483647\r\n"),
        bytes("*9223372036854775807\r\n*9223372036854775807\r\n"),
        bytes("%9223372036854775807\r\n"),
        bytes(&nested),
        Lie::Bytes(endless),
        bytes("-MOVED 1 127.0.0.1:1\r\n"),
        bytes("$-5\r\n"),
        bytes(":7\r\n"),
        bytes("+OK\r\n+OK\r\n+OK\r\n"),
        bytes("*1\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n"),
        bytes("\r\n\r\n\0\0\r\n"),
        Lie::Close,
        Lie::Silence,
    ];
    let mut cases = tokio::task::JoinSet::new();
    for lie in lies {
        for command in ["ROLE", "XREAD"] {
            let lie = lie.clone();
            cases.spawn(async move {
                let redis = FakeRedis::start();
                redis.lie(command, lie);
                let gateway = gateway(&redis);
                until("it fails", || gateway.status.report().failure.is_some()).await;
                assert!(gateway.status.refuses_tokens(), "{command}");
                gateway.add(1);
                redis.be_honest();
                until_up_to_date(&[&gateway]).await;
                assert_eq!(gateway.entries(), 1);
            });
        }
    }
    while let Some(ended) = cases.join_next().await {
        ended.expect("no panic");
    }
}

#[tokio::test]
async fn snapshot_that_is_replayed_does_not_hide_a_removed_revocation() {
    let redis = Arc::new(FakeRedis::start());
    let first = gateway(&redis);
    until_up_to_date(&[&first]).await;
    let second = gateway(&redis);
    until_up_to_date(&[&second]).await;
    let before = redis.messages(STREAM);
    first.add(1);
    until("it is published", || {
        redis.messages(STREAM).len() > before.len() && second.entries() == 1
    })
    .await;
    redis.remove_last(STREAM);
    // The heartbeats of both say that there was one.
    let beats = redis.messages(HEARTBEATS).len();
    until("both have sent heartbeats", || {
        redis.messages(HEARTBEATS).len() >= beats + 6
    })
    .await;
    let replayed = Arc::clone(&redis);
    tokio::spawn(async move {
        loop {
            replayed.replay(STREAM, &before);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let late = gateway(&redis);
    until_up_to_date(&[&late]).await;
    assert_eq!(late.entries(), 1, "a snapshot has made up for it");
}

#[tokio::test]
async fn what_a_stopped_gateway_revoked_is_published_again_although_others_have_published_since() {
    let redis = FakeRedis::start();
    let first = gateway(&redis);
    until_up_to_date(&[&first]).await;
    let (runtime, stopped) = stoppable(&redis);
    until_up_to_date(&[&stopped]).await;
    stopped.add(1);
    until("the first has it", || first.entries() == 1).await;
    runtime.shutdown_background();
    redis.lose_everything();
    first.add(2);
    until("it is published", || !redis.messages(STREAM).is_empty()).await;
    let late = gateway(&redis);
    until_up_to_date(&[&late]).await;
    assert_eq!(late.entries(), 2);
}

#[tokio::test]
async fn false_grants_neither_lock_a_client_out_nor_let_it_in() {
    let settings = hundred_a_second();
    for (lie, most) in [
        ("*2\r\n:0\r\n:18000000000000000\r\n", 200),
        ("*2\r\n:0\r\n:9223372036854775807\r\n", 800),
        ("*2\r\n:1000000\r\n:0\r\n", 800),
        ("*2\r\n:-1\r\n:0\r\n", 800),
        ("-ERR no such script\r\n", 800),
    ] {
        let redis = FakeRedis::start();
        redis.lie("EVALSHA", Lie::Bytes(lie.as_bytes().to_vec()));
        let gateways = [gateway(&redis)];
        let sharing = gateways[0].status.limits();
        until("it is connected", || sharing.is_connected()).await;
        let limit = Limit::new(settings.clone(), Some(sharing), clock::now());
        let limits = [Arc::new(limit.expect("a limit"))];
        let found = admitted(&gateways, &limits, Duration::from_secs(2)).await;
        assert!(found <= most, "{lie:?}: {found}");
        redis.be_honest();
        until("it is connected", || sharing.is_connected()).await;
        let found = admitted(&gateways, &limits, Duration::from_secs(3)).await;
        assert!(found > 50, "{lie:?}: {found}");
    }
}
