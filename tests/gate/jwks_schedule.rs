//! When JWKS are fetched and how long keys stay usable (R26), with times short enough to wait for.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;
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

/// Keeps a key ring up to date from `server` while `test` runs.
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
    let refreshing = runtime.spawn(KeyRing::refresh(Arc::downgrade(&ring)));
    test(&ring);
    refreshing.abort();
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
fn cache_control_counts_within_bounds_and_jwks_is_fetched_before_it_expires() {
    // `Cache-Control`, and how many fetches it causes in about 1.2 s, with jitter. A slow machine
    // may take longer for the lower bound.
    let cases = [
        (None, 4..=12),
        (Some("max-age=3600"), 2..=6),
        (Some("no-store"), 7..=25),
        (Some("max-age=0"), 7..=25),
    ];
    let count = |cache_control, fetches: RangeInclusive<usize>| {
        let server = Server::start(keys(cache_control));
        with_ring(&server, POLICY, |_| {
            // The window in which fetches are counted; the upper bound shows an absence.
            thread::sleep(Duration::from_millis(1200));
            assert!(
                server.hits() <= *fetches.end(),
                "{cache_control:?}: {}",
                server.hits()
            );
            eventually("the JWKS is fetched again", || {
                server.hits() >= *fetches.start()
            });
        });
    };
    thread::scope(|scope| {
        for (cache_control, fetches) in cases {
            scope.spawn(move || count(cache_control, fetches));
        }
    });
}

#[test]
fn old_keys_stay_usable_while_the_issuer_is_down_up_to_max_stale() {
    let server = Server::start(keys(None));
    let policy = RefreshPolicy {
        max_stale: Duration::from_millis(600),
        ..POLICY
    };
    with_ring(&server, policy, |ring| {
        eventually("the JWKS is fetched", || ring.current().is_ok());
        server.script(|_| Reply::status(500));
        let began = std::time::Instant::now();
        eventually("the keys are too old", || ring.current().is_err());
        assert!(
            began.elapsed() > Duration::from_millis(500),
            "after {:?}",
            began.elapsed()
        );
        server.script(keys(None));
        eventually("the JWKS is fetched again", || ring.current().is_ok());
    });
}
