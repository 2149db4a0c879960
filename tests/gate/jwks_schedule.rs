//! When keys are fetched and how long they serve (R26), with times that a test can wait for.

use std::sync::Arc;
use std::time::Duration;

use scopegate::clock::Backoff;
use scopegate::http_client::HttpClient;
use scopegate::oauth::jose::Algorithm;
use scopegate::transport::tls;
use scopegate::verify::{Endpoint, Epoch, KeyRing, RefreshPolicy};
use serde_json::json;

use harness::{Key, Reply, Server, eventually};

const POLICY: RefreshPolicy = RefreshPolicy {
    default_lifetime: Duration::from_millis(200),
    min_lifetime: Duration::from_millis(100),
    max_lifetime: Duration::from_millis(400),
    max_stale: Duration::from_secs(3600),
    unknown_key_cooldown: Duration::from_secs(3600),
    backoff: Backoff {
        first: Duration::from_millis(10),
        max: Duration::from_millis(50),
    },
};

/// Runs a ring on the keys of `server` for as long as the test likes.
fn with_ring(server: &Server, policy: RefreshPolicy, test: impl FnOnce(&KeyRing)) {
    let client = tls::client(rustls::RootCertStore::empty(), None).expect("a TLS configuration");
    let http =
        HttpClient::new(client, Duration::from_secs(1), Duration::from_secs(1)).expect("a client");
    let endpoint = Endpoint::Known(format!("http://{}/jwks", server.address));
    let ring = KeyRing::new(
        "corp".into(),
        endpoint,
        http,
        vec![Algorithm::ES256],
        policy,
        Epoch::default(),
    );
    let ring = Arc::new(ring);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let keeping = runtime.spawn(KeyRing::refresh(Arc::downgrade(&ring)));
    test(&ring);
    keeping.abort();
    runtime.shutdown_background();
}

fn keys(cache_control: Option<&'static str>) -> impl Fn(&harness::Received) -> Reply + Send + Sync {
    let body = json!({ "keys": [Key::es256("k").jwk()] }).to_string();
    move |_| {
        Reply::new(
            200,
            cache_control
                .map(|value| ("cache-control", value))
                .as_slice(),
            &body,
        )
    }
}

#[test]
fn cache_control_counts_within_bounds_and_sets_are_fetched_before_they_are_too_old() {
    // What is asked for, and how many fetches that makes in about 1.2 s, with jitter allowed for. A slow machine may take
    // longer over the least of them.
    for (cache_control, fetches) in [
        (None, 4..=12),
        (Some("max-age=3600"), 2..=6),
        (Some("no-store"), 7..=25),
        (Some("max-age=0"), 7..=25),
    ] {
        let server = Server::start(keys(cache_control));
        with_ring(&server, POLICY, |_| {
            // The window in which the fetches are counted.
            std::thread::sleep(Duration::from_millis(1200));
            assert!(
                server.hits() <= *fetches.end(),
                "{cache_control:?}: {}",
                server.hits()
            );
            eventually("they are fetched again", || {
                server.hits() >= *fetches.start()
            });
        });
    }
}

#[test]
fn old_keys_serve_while_the_issuer_is_down_up_to_a_bound() {
    let server = Server::start(keys(None));
    let policy = RefreshPolicy {
        max_stale: Duration::from_millis(600),
        ..POLICY
    };
    with_ring(&server, policy, |ring| {
        eventually("keys", || ring.current().is_ok());
        server.script(|_| Reply::status(500));
        let began = std::time::Instant::now();
        eventually("the keys are given up", || ring.current().is_err());
        assert!(
            began.elapsed() > Duration::from_millis(500),
            "after {:?}",
            began.elapsed()
        );
        server.script(keys(None));
        eventually("keys again", || ring.current().is_ok());
    });
}
