//! Cached tokens, requests under load, and streams.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use harness::{Connection, Reply};

fn request(token: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

#[test]
fn revoked_token_leaves_the_cache_of_its_connection_its_worker_and_all_workers() {
    let top = format!("[server]\nworkers = 2\n{ADMIN}[revocations]\n");
    let bed = TestBed::toml(&top, "", "", ROUTE);
    let token = bed.token("");
    // On connections of both workers, each of which has the token now.
    let mut connections: Vec<_> = (0..8).map(|_| Connection::open(bed.address)).collect();
    for connection in &mut connections {
        for _ in 0..2 {
            assert_eq!(connection.ask(request(&token, "/a")).status, 200);
        }
    }
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "sub": "client-1"}),
    );
    let hits = bed.hits();
    for connection in &mut connections {
        for _ in 0..2 {
            assert_eq!(connection.ask(request(&token, "/a")).status, 401);
        }
    }
    assert_eq!(bed.hits(), hits);
    // A reload forgets nothing.
    let entries = bed.gateway.metric("scopegate_revocation_entries{}");
    assert_eq!(entries, Some(1.0));
}

#[test]
fn no_request_that_begins_after_the_204_passes_under_load() {
    let bed = test_bed("");
    let tokens: Vec<_> = (0..20)
        .map(|number| {
            let mut claims = bed.issuer.claims("");
            claims["jti"] = json!(format!("token {number}"));
            bed.key.token(&claims)
        })
        .collect();
    // How many of the tokens are revoked, and confirmed.
    let (revoked, is_done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let passed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for first in 0..4 {
            let (tokens, bed, revoked, is_done, passed) =
                (&tokens, &bed, &revoked, &is_done, &passed);
            scope.spawn(move || {
                let mut connection = Connection::open(bed.address);
                for number in (first..).step_by(7).map(|number| number % tokens.len()) {
                    if is_done.load(Ordering::SeqCst) {
                        return;
                    }
                    let confirmed = revoked.load(Ordering::SeqCst);
                    let status = connection.ask(request(&tokens[number], "/a")).status;
                    assert!(
                        number >= confirmed || status == 401,
                        "{number} of {confirmed}: {status}"
                    );
                    if status == 200 {
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for number in 0..tokens.len() {
            let before = passed.load(Ordering::SeqCst);
            harness::eventually("tokens still pass", || {
                passed.load(Ordering::SeqCst) >= before + 5
            });
            let jti = format!("token {number}");
            revoke(&bed.gateway, &json!({"issuer": bed.issuer.url, "jti": jti}));
            revoked.store(number + 1, Ordering::SeqCst);
        }
        is_done.store(true, Ordering::SeqCst);
    });
    for token in &tokens {
        // Lines of other workers may follow in the log, so only the status is compared.
        assert_eq!(bed.get("/a", Some(token)).status, 401);
    }
}

#[test]
fn reload_keeps_entries_and_refuses_to_forget_them() {
    let bed = test_bed("");
    let token = bed.token("");
    revoke(&bed.gateway, &json!({"issuer": bed.issuer.url, "jti": "1"}));
    let file = |top: &str| {
        format!(
            "{ADMIN}{top}[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\ncache_entries = 7\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
            bed.issuer.url, bed.upstream.address
        )
    };
    bed.gateway
        .reload(&file("[revocations]\nmax_entries = 1\n"))
        .expect("a good file");
    assert_revoked(&bed, &token, "after the reload");
    let other = json!({"issuer": bed.issuer.url, "jti": "2"}).to_string();
    assert_eq!(
        post(&bed.gateway, GOOD, &other).status,
        507,
        "the new limit"
    );
    let refused = bed.gateway.reload(&file("")).expect_err("it would forget");
    assert_eq!(refused, "[revocations] changed, which needs a restart");
    assert_revoked(&bed, &token, "after the rejected reload");
}

#[test]
fn stream_ends_within_a_second_after_its_token_was_revoked() {
    let routes = "[[routes]]\npath = \"/events\"\nupstream = \"up\"\nclose_at_expiry = true\n\
                  [[routes]]\npath = \"/unlimited\"\nupstream = \"up\"\n";
    let bed = TestBed::toml(&format!("{ADMIN}[revocations]\n"), "", "", routes);
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n";
    bed.upstream.script(|_| Reply::RawThenHang(head.to_vec()));
    let token = bed.token("");
    let ask = |path: &str| {
        let mut connection = Connection::open(bed.address);
        connection.write(request(&token, path));
        assert!(connection.reads_until("\n\n\r\n"));
        connection
    };
    let (mut events, unlimited) = (ask("/events"), ask("/unlimited"));
    // Another user's revocation ends nothing.
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "sub": "another"}),
    );
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "sub": "client-1"}),
    );
    let began = Instant::now();
    assert!(!events.reads_until("0\r\n\r\n"), "the body is truncated");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "after {:?}",
        began.elapsed()
    );
    harness::eventually("the end has a reason", || {
        let lines = bed.gateway.requests.lines();
        lines.iter().any(|line| line["reason"] == "token_revoked")
    });
    drop(unlimited);
}
