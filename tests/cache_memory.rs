//! The token cache uses as much memory as it reports, and at most `cache_bytes`. The only test in
//! its process, because it measures the memory of the process.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use jsonwebtoken::{EncodingKey, Header, encode};
use scopegate::config;
use scopegate::gateway::compile;
use scopegate::oauth::UnixTime;
use scopegate::oauth::bearer;
use scopegate::telemetry::TokenCacheStats;
use scopegate::verify::{ConnectionCache, VerificationRequest, Verifier, WorkerCache};
use serde_json::{Value, json};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str = "a secret of at least thirty-two bytes";
const NOW: i64 = 1_800_000_000;
/// The default of `cache_bytes`.
const LIMIT: f64 = 64.0 * 1024.0 * 1024.0;

/// Distinct claims of several sizes and shapes.
fn claims(number: usize) -> Value {
    let mut claims = json!({
        "iss": "in-house", "aud": "https://api.test", "sub": format!("user-{number}"), "client_id": "client-1",
        "scope": "read write", "exp": NOW + 3600, "jti": number.to_string(),
    });
    match number % 4 {
        0 | 1 => {}
        2 => {
            claims["iat"] = json!(NOW);
            claims["realm_access"] = json!({ "roles": ["reader", "writer", "offline_access"] });
            claims["name"] = json!("Somebody With A Longer Name");
            claims["email"] = json!(format!("user-{number}@example.com"));
            claims["session_state"] = json!("0e2ad0e2-70a9-4c8f-8f6b-d8a1f0a3a9c5");
            claims["acr"] = json!("1");
            claims["azp"] = json!("client-1");
        }
        _ => {
            claims["groups"] = (0..40)
                .map(|group| format!("group-of-users-{group}"))
                .collect();
            // One more than a power of two.
            let scopes: Vec<_> = (0..33).map(|scope| format!("scope-{scope}")).collect();
            claims["scope"] = json!(scopes.join(" "));
        }
    }
    claims
}

fn verify(
    verifier: &Verifier,
    connection_cache: &ConnectionCache,
    number: usize,
    key: &EncodingKey,
) {
    let token = encode(&Header::default(), &claims(number), key).expect("a token");
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header value");
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let request = VerificationRequest {
        token: bearer::extract(&headers).expect("a token"),
        connection_cache,
        accepts: |_: &str| true,
        client: || IpAddr::from([127, 0, 0, 1]),
        now: UnixTime::from_seconds(NOW),
        trace: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(verifier.verify(&request))
        .expect("a valid token");
}

fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .expect("a number")
        * 4096.0
}

#[test]
fn cache_memory_is_reported_and_at_most_cache_bytes() {
    scopegate::verify::jwt::install_cryptography();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let toml = format!(
        "[server]\nworkers = 1\n[issuers.corp]\nissuer = \"in-house\"\naudience = \"https://api.test\"\n\
         shared_secret = \"{SECRET}\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:9\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n"
    );
    let (config, _) =
        config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
    let snapshot = compile(&config).unwrap_or_else(|faults| panic!("{faults:?}"));
    let (cache, stats) = (
        snapshot.verifier.cache_and_epoch().0,
        Arc::new(TokenCacheStats::default()),
    );
    let worker = WorkerCache::new(Arc::clone(&stats));
    worker.set_budget(cache.budget());
    let connection_cache = ConnectionCache::new(worker);
    let reported = || {
        let ((_, shared), (_, worker)) = (cache.size(), stats.worker_tier.read());
        (shared as f64, worker as f64)
    };

    let mut seen = 0;
    let mut verify_until = |number| {
        (seen..number)
            .for_each(|number| verify(&snapshot.verifier, &connection_cache, number, &key));
        seen = number;
    };
    // Excludes what is not the cache: keys, and the first pages of the allocator.
    verify_until(500);
    let before = resident() - reported().0;

    // Without evictions, every entry of a worker is also in the shared tier, and in memory once.
    verify_until(8000);
    let (used, (shared, worker)) = (resident() - before, reported());
    assert_eq!(cache.size().0, 8000);
    let ratio = used / shared;
    assert!(
        (0.9..1.1).contains(&ratio),
        "{used} bytes used, but {shared} reported: {ratio:.3}"
    );
    assert!(worker > 0.2 * LIMIT, "the worker's tier is full: {worker}");

    // Three times as many as fit.
    verify_until(32_000);
    let (used, (shared, worker)) = (resident() - before, reported());
    assert!(
        shared + worker > 0.8 * LIMIT && shared + worker < LIMIT,
        "{shared} and {worker} bytes reported"
    );
    let ratio = used / LIMIT;
    assert!(
        (0.85..1.1).contains(&ratio),
        "{used} bytes used of {LIMIT}: {ratio:.3}"
    );
}
