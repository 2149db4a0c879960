use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::oauth::UnixTime;
use crate::oauth::claims::{Claims, Expectation};
use crate::rate_limits::tests::{by_address, settings, v4};
use crate::rate_limits::{Counted, KeyPart};

/// One limit: a request in each second, and `burst` at once.
fn limit(burst: u32, key: KeyPart, max_buckets: u64, now: Instant) -> [Arc<Limit>; 1] {
    let limit = Limit::with_capacity(settings(1, burst, &[key]), None, max_buckets, now);
    [Arc::new(limit.expect("a limit"))]
}

fn is_admitted(worker: &WorkerLimits, client: ClientIdentity<'_>, now: Instant) -> bool {
    Counted::count(&mut None, &[0], worker, client, now).is_ok()
}

fn token(client_id: &str) -> Arc<ActiveToken> {
    let expectation = Expectation::of_any_token();
    let claims = json!({ "client_id": client_id }).to_string();
    let token = Claims::parse(claims.as_bytes())
        .and_then(|claims| claims.check(&expectation, UnixTime::from_seconds(0)));
    Arc::new(token.expect("valid claims"))
}

#[test]
fn workers_that_remember_a_bucket_admit_together_what_one_would() {
    let begin = Instant::now();
    let limits = limit(100, KeyPart::Address, 1000, begin);
    let workers = [(); 4].map(|()| WorkerLimits::new(&limits));
    // For a minute, every worker has a request in each millisecond.
    let admitted = (0..60_000).flat_map(|millis| {
        let now = begin + Duration::from_millis(millis);
        workers
            .each_ref()
            .map(|worker| is_admitted(worker, by_address(v4(1)), now))
    });
    assert_eq!(admitted.filter(|admitted| *admitted).count(), 100 + 59);
    assert_eq!(limits[0].report().buckets, 1);
}

#[test]
fn bucket_that_was_dropped_to_make_room_is_used_by_no_worker() {
    let now = Instant::now();
    let limits = limit(5, KeyPart::Address, 10, now);
    let workers = [(); 2].map(|()| WorkerLimits::new(&limits));
    let admitted = || {
        let asked = (0..20).map(|number| is_admitted(&workers[number % 2], by_address(v4(7)), now));
        asked.filter(|admitted| *admitted).count()
    };
    assert_eq!(admitted(), 5);
    for number in 0..1000 {
        is_admitted(&workers[1], by_address(v4(1_000_000 + number)), now);
    }
    assert!(
        limits[0].report().evictions >= 990,
        "none is left of before"
    );
    // One new bucket for both, although both remember the old one.
    assert_eq!(admitted(), 5);
}

#[test]
fn token_in_the_memory_of_an_earlier_one_is_not_taken_for_it() {
    let now = Instant::now();
    let worker = WorkerLimits::new(&limit(1, KeyPart::ClientId, 1000, now));
    let route = Arc::from("/a");
    let admitted = (0..100).filter(|number| {
        // Dropped before the next one is made.
        let token = token(&format!("client-{number}"));
        let client = ClientIdentity {
            token: Some(&token),
            address: None,
            route: &route,
        };
        is_admitted(&worker, client, now) && !is_admitted(&worker, client, now)
    });
    assert_eq!(admitted.count(), 100);
}

#[test]
fn tokens_routes_and_addresses_of_one_bucket_count_together() {
    let now = Instant::now();
    let worker = WorkerLimits::new(&limit(4, KeyPart::ClientId, 1000, now));
    let tokens = [token("one"), token("one")];
    let routes = [Arc::from("/a"), Arc::from("/b")];
    let mut admitted = 0;
    for _ in 0..3 {
        for (token, route) in tokens.iter().zip(&routes) {
            for address in [None, Some(v4(1)), Some(v4(2))] {
                let client = ClientIdentity {
                    token: Some(token),
                    address,
                    route,
                };
                admitted += usize::from(is_admitted(&worker, client, now));
            }
        }
    }
    assert_eq!(admitted, 4);
}
