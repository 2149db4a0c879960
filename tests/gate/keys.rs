//! Keys over time (R24-R27).

use std::thread;
use std::time::Duration;

use serde_json::json;

use harness::{Gateway, Key, Reply, Server, TestBed, eventually, get};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nupstream = \"up\"\n";

/// A stand whose issuer may be asked for an unknown key every second.
fn eager() -> TestBed {
    TestBed::toml("", "unknown_key_cooldown = \"1s\"", "", ROUTES)
}

#[test]
fn r27_unknown_key_is_fetched_and_the_request_waits_for_it() {
    let test_bed = eager();
    let next = Key::es256("second");
    test_bed.issuer.publish(&[&test_bed.key, &next]);
    assert_eq!(
        test_bed
            .get("/things", Some(&next.token(&test_bed.issuer.claims(""))))
            .status,
        200
    );
    assert_eq!(test_bed.issuer.fetches(), 2);
    assert_eq!(
        test_bed.get("/things", Some(&test_bed.token(""))).status,
        200
    );
}

#[test]
fn r27_unknown_keys_start_one_fetch_per_cooldown_however_many_there_are() {
    let test_bed = TestBed::routes(ROUTES);
    let stranger = Key::es256("stranger");
    let claims = test_bed.issuer.claims("");
    thread::scope(|scope| {
        for client in 0..8 {
            let (test_bed, stranger, claims) = (&test_bed, &stranger, &claims);
            scope.spawn(move || {
                for number in 0..25 {
                    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("{client}-{number}") });
                    let answer = test_bed.get("/things", Some(&stranger.token_with(&header, claims)));
                    let challenge = Some("Bearer error=\"invalid_token\"");
                    assert_eq!((answer.status, answer.challenge()), (401, challenge));
                }
            });
        }
    });
    assert_eq!(
        test_bed.issuer.fetches(),
        2,
        "one at the start and one for all of them"
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn r43_unknown_key_is_a_503_while_nobody_can_tell_whose_it_is() {
    for failure in [
        Reply::status(500),
        Reply::text("<html>maintenance</html>"),
        Reply::json(json!({ "keys": [] })),
        Reply::RawThenClose(Vec::new()),
        Reply::RawThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":".to_vec()),
        Reply::Raw(
            b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        Reply::text(&format!(
            "{{\"keys\":[],\"padding\":\"{}\"}}",
            "x".repeat(2 * 1024 * 1024)
        )),
    ] {
        let test_bed = eager();
        test_bed.issuer.fail(failure.clone());
        let stranger = Key::es256("stranger").token(&test_bed.issuer.claims(""));
        let answer = test_bed.get("/things", Some(&stranger));
        let failure = format!("{failure:.100?}");
        assert_eq!(
            (answer.status, answer.challenge()),
            (503, None),
            "{failure}"
        );
        assert!(answer.header("retry-after").is_some());
        assert_eq!(test_bed.hits(), 0, "{failure}");
        // R26: the keys that are known serve on.
        assert_eq!(
            test_bed.get("/things", Some(&test_bed.token(""))).status,
            200,
            "{failure}"
        );
    }
}

#[test]
fn unknown_key_of_an_issuer_that_is_down_is_told_with_the_fetches_that_failed() {
    let test_bed = eager();
    let down = "http://127.0.0.1:";
    let readiness = || test_bed.get_admin("/readyz?verbose").text();
    assert!(
        readiness().contains("[+] issuer corp: 1 key, fetched 0 s ago\n"),
        "{}",
        readiness()
    );
    test_bed.issuer.fail(Reply::status(502));
    let next = Key::es256("new").token(&test_bed.issuer.claims(""));
    assert_eq!(test_bed.get("/things", Some(&next)).status, 503);
    let cause = || {
        test_bed.requests.lines().pop().expect("a line")["cause"]
            .as_str()
            .expect("a cause")
            .to_owned()
    };
    let told = cause();
    let begins = "expected \"first\" as kid (the issuer's keys), but found \"new\", and newer keys cannot be fetched: ";
    assert!(told.starts_with(&format!("{begins}{down}")), "{told}");
    assert!(
        told.ends_with("expected status 200, but found 502 (failed once, 0 s ago)"),
        "{told}"
    );
    // The attempts go on in the background, and the operator is told of all of them.
    eventually("another attempt", || {
        readiness().contains("(failed 2 times in a row, last 0 s ago)")
    });
    let told = readiness();
    assert!(
        told.starts_with("ready\n"),
        "the keys that are there serve on: {told}"
    );
    let begins = "[!] issuer corp: 1 key, fetched 0 s ago, and newer ones cannot be fetched: ";
    assert!(told.contains(begins), "{told}");
    test_bed.issuer.recover();
    eventually("the failures are over", || !readiness().contains("failed"));
    assert_eq!(
        test_bed.get("/things", Some(&next)).status,
        401,
        "now it is known that it is nobody's"
    );
}

#[test]
fn r26_key_that_the_issuer_takes_back_stops_working_cached_tokens_included() {
    let test_bed = eager();
    let token = test_bed.token("");
    assert_eq!(test_bed.get("/things", Some(&token)).status, 200);
    let next = Key::es256("second");
    test_bed.issuer.publish(&[&next]);
    // The new key's first token has the set fetched; the old one goes with it.
    assert_eq!(
        test_bed
            .get("/things", Some(&next.token(&test_bed.issuer.claims(""))))
            .status,
        200
    );
    let answer = test_bed.get("/things", Some(&token));
    assert_eq!(
        (answer.status, answer.challenge()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert_eq!(test_bed.hits(), 2);
}

#[test]
fn r26_one_bad_key_does_not_spoil_the_set() {
    let test_bed = eager();
    let next = Key::es256("second");
    let keys = json!({ "keys": [
        7, { "kty": "oct", "k": "c2VjcmV0", "kid": "oct" }, { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short" },
        next.jwk(),
    ] });
    test_bed.issuer.server.script(move |_| Reply::json(&keys));
    assert_eq!(
        test_bed
            .get("/things", Some(&next.token(&test_bed.issuer.claims(""))))
            .status,
        200
    );
}

#[test]
fn hung_issuer_delays_nobody_who_does_not_need_it() {
    let test_bed = eager();
    test_bed.issuer.fail(Reply::RawThenHang(Vec::new()));
    thread::scope(|scope| {
        let stranger = Key::es256("stranger").token(&test_bed.issuer.claims(""));
        let waiting = scope.spawn(|| test_bed.get("/things", Some(&{ stranger })).status);
        eventually("the issuer is asked", || test_bed.issuer.fetches() == 2);
        let began = std::time::Instant::now();
        for _ in 0..20 {
            assert_eq!(
                test_bed.get("/things", Some(&test_bed.token(""))).status,
                200
            );
        }
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "known keys waited {:?}",
            began.elapsed()
        );
        assert_eq!(waiting.join().expect("an answer"), 503);
    });
}

#[test]
fn r24_r25_metadata_is_found_at_either_place_and_must_name_the_issuer() {
    let key = Key::es256("k");
    let jwks = json!({ "keys": [key.jwk()] });
    for (place, names_itself, found) in [
        ("/.well-known/oauth-authorization-server/tenant", true, true),
        ("/tenant/.well-known/openid-configuration", true, true),
        ("/tenant/.well-known/oauth-authorization-server", true, true),
        ("/tenant/.well-known/openid-configuration", false, false),
        ("/.well-known/openid-configuration", true, false),
    ] {
        let server = Server::start(|_| Reply::status(404));
        let issuer = format!("http://{}/tenant", server.address);
        let metadata = json!({
            "issuer": if names_itself { &*issuer } else { "https://other.test" },
            "jwks_uri": format!("http://{}/keys", server.address),
        });
        let jwks = jwks.clone();
        server.script(move |request| match &*request.target {
            "/keys" => Reply::json(&jwks),
            target if target == place => Reply::json(&metadata),
            _ => Reply::status(404),
        });
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{issuer}\"\naudience = \"https://api.test\"\n[upstreams.up]\n\
             targets = \"http://{}\"\n{ROUTES}",
            upstream.address
        ));
        let token = key.token(&harness::claims(&issuer, ""));
        let status = || get(gateway.address, "/things", Some(&token)).status;
        if found {
            eventually(place, || status() == 200);
        } else {
            eventually("all places were asked", || server.hits() >= 3);
            assert_eq!((status(), upstream.hits()), (503, 0), "{place}");
        }
    }
}

#[test]
fn keys_of_a_file_and_a_shared_secret_need_no_server() {
    let key = Key::es256("k");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    std::fs::write(&file, json!({ "keys": [key.jwk()] }).to_string()).expect("a file");
    let secret = "a secret of thirty-two bytes, or more";
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.file]\nissuer = \"com.ibm.mfp\"\naudience = \"https://api.test\"\njwks_file = \"{}\"\n\
         [issuers.secret]\nissuer = \"in-house\"\naudience = \"https://api.test\"\nshared_secret = \"{secret}\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
        file.display(),
        upstream.address
    ));
    let shared = Key::hs256(secret.as_bytes());
    for (token, status) in [
        (key.token(&harness::claims("com.ibm.mfp", "")), 200),
        (shared.token(&harness::claims("in-house", "")), 200),
        (key.token(&harness::claims("in-house", "")), 401),
        (shared.token(&harness::claims("com.ibm.mfp", "")), 401),
        (
            Key::hs256(b"another secret of thirty-two bytes")
                .token(&harness::claims("in-house", "")),
            401,
        ),
    ] {
        assert_eq!(
            get(gateway.address, "/things", Some(&token)).status,
            status,
            "{token}"
        );
    }
    assert_eq!(upstream.hits(), 2);
}
