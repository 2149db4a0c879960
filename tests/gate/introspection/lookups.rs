//! Coalesced introspection requests, and the limits of those in flight.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use scopegate::config;
use scopegate::gateway::{compile, start_background_tasks};
use scopegate::oauth::UnixTime;
use scopegate::oauth::bearer;
use scopegate::verify::{ConnectionCache, VerificationRequest, WorkerCache};

use super::{TestBed, form, inactive};
use harness::{Connection, NOW, Reply, eventually};

fn request(token: &str) -> String {
    format!("GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn request_of(client: &str, token: &str) -> String {
    request(token).replacen(
        "Host: a\r\n",
        &format!("Host: a\r\nX-Forwarded-For: {client}\r\n"),
        1,
    )
}

#[test]
fn concurrent_requests_with_one_new_token_share_one_introspection_request() {
    for (reply, status) in [
        (None, 200),
        (Some(inactive()), 401),
        (Some(Reply::status(500)), 503),
    ] {
        let test_bed = TestBed::start();
        let reply = reply.unwrap_or_else(|| Reply::json(test_bed.active("read")));
        let latch = test_bed.respond_when_opened(reply);
        let mut connections: Vec<_> = (0..200)
            .map(|_| Connection::open(test_bed.address))
            .collect();
        for connection in &mut connections {
            connection.write(request("token"));
        }
        eventually("the introspection request arrives", || {
            test_bed.introspections().len() == 1
        });
        latch.open();
        for connection in &mut connections {
            assert_eq!(connection.read(false).status, status);
        }
        // A failure is not cached: a request that arrives after it starts an introspection request.
        if status != 503 {
            assert_eq!(test_bed.introspections().len(), 1, "{status}");
        }
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn thousand_concurrent_verifications_of_one_new_token_share_one_introspection_request() {
    let test_bed = TestBed::start();
    let latch = test_bed.respond_when_opened(Reply::json(test_bed.active("read")));
    // Without client sockets: not every machine lets a process open two thousand.
    let toml = format!(
        "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.corp.introspection]\nclient_id = \"gateway\"\nclient_secret = \"secret\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\n",
        test_bed.url
    );
    let (config, _) =
        config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
    let snapshot = compile(&config).unwrap_or_else(|faults| panic!("{faults:?}"));
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    control.block_on(async { start_background_tasks(&snapshot, None) });
    let worker = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    worker.block_on(tokio::task::LocalSet::new().run_until(async {
        let (snapshot, cache) = (Rc::new(snapshot), WorkerCache::new(Arc::default()));
        let verifications: Vec<_> = (0..1000)
            .map(|_| {
                let (snapshot, connection_cache) = (
                    Rc::clone(&snapshot),
                    ConnectionCache::new(Rc::clone(&cache)),
                );
                let headers = HeaderMap::from_iter([(
                    AUTHORIZATION,
                    HeaderValue::from_static("Bearer opaque"),
                )]);
                tokio::task::spawn_local(async move {
                    let request = VerificationRequest {
                        token: bearer::extract(&headers).expect("a token"),
                        connection_cache: &connection_cache,
                        accepts: |_: &str| true,
                        client: || IpAddr::from([127, 0, 0, 1]),
                        now: UnixTime::from_seconds(NOW),
                        trace: None,
                    };
                    snapshot
                        .verifier
                        .verify(&request)
                        .await
                        .map(|verified| verified.token().client_id().map(str::to_owned))
                })
            })
            .collect();
        tokio::task::yield_now().await;
        latch.open();
        for verification in verifications {
            assert_eq!(
                verification.await.expect("no panic"),
                Ok(Some("client-1".to_owned()))
            );
        }
    }));
    assert_eq!(test_bed.introspections().len(), 1);
    control.shutdown_background();
}

#[test]
fn introspection_request_survives_the_client_that_started_it() {
    let test_bed = TestBed::start();
    let latch = test_bed.respond_when_opened(Reply::json(test_bed.active("read")));
    let mut first = Connection::open(test_bed.address);
    first.write(request("token"));
    eventually("the introspection request arrives", || {
        test_bed.introspections().len() == 1
    });
    drop(first);
    let mut second = Connection::open(test_bed.address);
    second.write(request("token"));
    latch.open();
    assert_eq!(second.read(false).status, 200);
    assert_eq!((test_bed.introspections().len(), test_bed.hits()), (1, 1));
    assert_eq!(test_bed.get("token").status, 200);
    assert_eq!(test_bed.introspections().len(), 1, "the response is cached");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn one_client_may_use_a_quarter_of_max_in_flight_and_all_clients_share_it() {
    let test_bed = TestBed::with_file(
        "[server]\ntrusted_proxies = \"127.0.0.0/8\"",
        "",
        "max_in_flight = 8\nnegative_ttl = \"0s\"",
    );
    let latch = test_bed.respond_when_opened(inactive());
    let mut waiting = Vec::new();
    let mut number = 0;
    let mut ask = |client: &str| {
        number += 1;
        let mut connection = Connection::open(test_bed.address);
        connection.write(request_of(client, &format!("token-{number}")));
        connection
    };
    let assert_over_limit = |mut connection: Connection| {
        let response = connection.read(false);
        assert_eq!(
            (
                response.status,
                response.challenge(),
                response.header("retry-after")
            ),
            (503, None, Some("1"))
        );
    };
    for (client, introspections) in [("10.0.0.1", 1), ("10.0.0.1", 2)] {
        waiting.push(ask(client));
        eventually("the introspection request arrives", || {
            test_bed.introspections().len() == introspections
        });
    }
    // A client cannot choose its address: what it puts into X-Forwarded-For does not count.
    for client in [
        "10.0.0.1",
        "192.0.2.9, 10.0.0.1",
        "10.0.0.1, 127.0.0.1",
        "10.0.0.1:4711",
    ] {
        assert_over_limit(ask(client));
    }
    for (index, client) in [
        "10.0.0.2",
        "10.0.0.2",
        "[2001:db8::1]:80",
        "2001:db8::2",
        "10.0.0.4",
        "10.0.0.5",
    ]
    .iter()
    .enumerate()
    {
        waiting.push(ask(client));
        eventually("the introspection request arrives", || {
            test_bed.introspections().len() == 3 + index
        });
    }
    assert_over_limit(ask("2001:db8::ffff"));
    assert_over_limit(ask("10.0.0.6"));
    latch.open();
    for mut connection in waiting {
        assert_eq!(connection.read(false).status, 401);
    }
    let mut connection = ask("10.0.0.1");
    assert_eq!(
        connection.read(false).status,
        401,
        "introspection requests are allowed again"
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn renewed_cache_entry_is_used_by_every_connection() {
    let test_bed = TestBed::with("", "cache_ttl = \"10s\"");
    let mut connections: Vec<_> = (0..8).map(|_| Connection::open(test_bed.address)).collect();
    for (seconds, introspections) in [(0, 1), (10, 2), (20, 3)] {
        test_bed.gateway.set_time(seconds);
        for connection in &mut connections {
            assert_eq!(connection.ask(request("token")).status, 200);
        }
        // Each connection has cached the old entry, and must find the new one.
        assert_eq!(test_bed.introspections().len(), introspections);
    }
}

#[test]
fn introspection_responses_apply_to_their_own_token() {
    let test_bed = TestBed::with(
        "",
        "max_in_flight = 1024\ncache_ttl = \"0s\"\nnegative_ttl = \"0s\"",
    );
    let (active, received) = (test_bed.active("read"), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&received);
    test_bed.script(move |introspection| {
        counter.fetch_add(1, Ordering::SeqCst);
        let is_good = form(introspection)[0].1.starts_with("good");
        if is_good {
            Reply::json(&active)
        } else {
            inactive()
        }
    });
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for client in 0..8 {
            let (test_bed, wrong) = (&test_bed, &wrong);
            scope.spawn(move || {
                let mut connection = Connection::open(test_bed.address);
                for number in 0..40 {
                    // Several clients use each token at once.
                    let is_good = (client + number) % 3 == 0;
                    let token = format!("{}-{}", if is_good { "good" } else { "bad" }, number % 5);
                    let status = connection.ask(request(&token)).status;
                    if status != if is_good { 200 } else { 401 } {
                        wrong.lock().expect("no panic").push((token, status));
                    }
                }
            });
        }
    });
    assert_eq!(*wrong.lock().expect("no panic"), []);
    assert!(received.load(Ordering::SeqCst) <= 8 * 40);
}
