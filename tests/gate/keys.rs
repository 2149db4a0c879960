//! Keys that are rotated, unknown, withdrawn or unavailable (R24-R27).

use std::thread;
use std::time::Duration;

use serde_json::json;

use harness::{Gateway, Key, Reply, Server, TestBed, eventually, get};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nupstream = \"up\"\n";

/// A test bed in which unknown keys start a JWKS fetch once a second.
fn test_bed_with_short_cooldown() -> TestBed {
    TestBed::toml("", "unknown_key_cooldown = \"1s\"", "", ROUTES)
}

#[test]
fn r27_unknown_key_starts_a_fetch_and_the_request_waits_for_it() {
    let test_bed = test_bed_with_short_cooldown();
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
fn r27_unknown_keys_start_one_fetch_per_cooldown() {
    let test_bed = TestBed::routes(ROUTES);
    let stranger = Key::es256("stranger");
    let claims = test_bed.issuer.claims("");
    thread::scope(|scope| {
        for client in 0..8 {
            let (test_bed, stranger, claims) = (&test_bed, &stranger, &claims);
            scope.spawn(move || {
                for number in 0..25 {
                    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("{client}-{number}") });
                    let response = test_bed.get("/things", Some(&stranger.token_with(&header, claims)));
                    let challenge = Some("Bearer error=\"invalid_token\"");
                    assert_eq!((response.status, response.challenge()), (401, challenge));
                }
            });
        }
    });
    assert_eq!(
        test_bed.issuer.fetches(),
        2,
        "one fetch at the start and one for all unknown keys"
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn r43_unknown_key_is_a_503_while_the_jwks_cannot_be_fetched() {
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
        let test_bed = test_bed_with_short_cooldown();
        test_bed.issuer.fail(failure.clone());
        let stranger = Key::es256("stranger").token(&test_bed.issuer.claims(""));
        let response = test_bed.get("/things", Some(&stranger));
        let failure = format!("{failure:.100?}");
        assert_eq!(
            (response.status, response.challenge()),
            (503, None),
            "{failure}"
        );
        assert!(response.header("retry-after").is_some());
        assert_eq!(test_bed.hits(), 0, "{failure}");
        // R26: known keys stay usable.
        assert_eq!(
            test_bed.get("/things", Some(&test_bed.token(""))).status,
            200,
            "{failure}"
        );
    }
}

#[test]
fn cause_of_an_unknown_key_names_the_failed_fetches() {
    let test_bed = test_bed_with_short_cooldown();
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
    let found = cause();
    let prefix = "expected \"first\" as kid (the issuer's keys), but found \"new\", and newer keys cannot be fetched: ";
    assert!(found.starts_with(&format!("{prefix}{down}")), "{found}");
    assert!(
        found.ends_with("expected status 200, but found 502 (failed once, 0 s ago)"),
        "{found}"
    );
    // The attempts continue in the background, and /readyz counts them.
    eventually("another attempt", || {
        readiness().contains("(failed 2 times in a row, last 0 s ago)")
    });
    let report = readiness();
    assert!(
        report.starts_with("ready\n"),
        "known keys stay usable: {report}"
    );
    let warning = "[!] issuer corp: 1 key, fetched 0 s ago, and newer ones cannot be fetched: ";
    assert!(report.contains(warning), "{report}");
    test_bed.issuer.recover();
    eventually("a fetch succeeds", || !readiness().contains("failed"));
    assert_eq!(
        test_bed.get("/things", Some(&next)).status,
        401,
        "the fetched JWKS does not contain the key"
    );
}

#[test]
fn r26_withdrawn_key_ends_its_tokens_cached_or_not() {
    let test_bed = test_bed_with_short_cooldown();
    let token = test_bed.token("");
    assert_eq!(test_bed.get("/things", Some(&token)).status, 200);
    let next = Key::es256("second");
    test_bed.issuer.publish(&[&next]);
    // The first token of the new key starts a fetch, which removes the old key.
    assert_eq!(
        test_bed
            .get("/things", Some(&next.token(&test_bed.issuer.claims(""))))
            .status,
        200
    );
    let response = test_bed.get("/things", Some(&token));
    assert_eq!(
        (response.status, response.challenge()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert_eq!(test_bed.hits(), 2);
}

#[test]
fn r26_unusable_keys_do_not_affect_the_others_of_the_jwks() {
    let test_bed = test_bed_with_short_cooldown();
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
fn hung_issuer_delays_only_requests_with_unknown_keys() {
    let test_bed = test_bed_with_short_cooldown();
    test_bed.issuer.fail(Reply::RawThenHang(Vec::new()));
    thread::scope(|scope| {
        let stranger = Key::es256("stranger").token(&test_bed.issuer.claims(""));
        let waiting = scope.spawn(|| test_bed.get("/things", Some(&{ stranger })).status);
        eventually("the JWKS is requested", || test_bed.issuer.fetches() == 2);
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
        assert_eq!(waiting.join().expect("no panic"), 503);
    });
}

#[test]
fn r24_r25_metadata_is_found_at_every_location_and_must_name_the_issuer() {
    let key = Key::es256("k");
    let jwks = json!({ "keys": [key.jwk()] });
    for (location, names_itself, is_found) in [
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
            target if target == location => Reply::json(&metadata),
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
        if is_found {
            eventually(location, || status() == 200);
        } else {
            eventually("all locations were requested", || server.hits() >= 3);
            assert_eq!((status(), upstream.hits()), (503, 0), "{location}");
        }
    }
}

#[test]
fn keys_from_a_file_and_shared_secrets_need_no_server() {
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
