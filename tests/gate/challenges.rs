//! The responses to refused clients, byte for byte (RFC 6750 §3), and where tokens are read from
//! (§2.1).

use harness::{Connection, Key, Reply, TestBed, send};

const ROUTE: &str = "[[routes]]\npath = \"/things/{id}\"\nmethods = [\"GET\", \"POST\"]\nscope = \"read things.{id}\"\n\
                     upstream = \"up\"\n";

fn with_authorization(test_bed: &TestBed, lines: &str) -> (u16, Option<String>) {
    let response = send(
        test_bed.address,
        format!("GET /things/a HTTP/1.1\r\nHost: a\r\n{lines}\r\n"),
    );
    (response.status, response.challenge().map(str::to_owned))
}

#[test]
fn r1_r2_r3_missing_malformed_and_invalid_credentials_are_distinguished() {
    let test_bed = TestBed::routes(ROUTE);
    let token = test_bed.token("read things.a");
    let no_token = (401, Some("Bearer".to_owned()));
    let malformed = (400, Some("Bearer error=\"invalid_request\"".to_owned()));
    let invalid = (401, Some("Bearer error=\"invalid_token\"".to_owned()));
    for (lines, expected) in [
        (String::new(), &no_token),
        (
            "Authorization: Basic dGVzdDp0ZXN0\r\n".to_owned(),
            &no_token,
        ),
        (format!("Authorization: Bearer{token}\r\n"), &no_token),
        (format!("Authorization: {token}\r\n"), &no_token),
        ("Authorization: Bearer\r\n".to_owned(), &malformed),
        ("Authorization: Bearer \r\n".to_owned(), &malformed),
        (format!("Authorization: Bearer {token} x\r\n"), &malformed),
        (format!("Authorization: Bearer {token},\r\n"), &malformed),
        (format!("Authorization: Bearer \"{token}\"\r\n"), &malformed),
        (
            format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
            &malformed,
        ),
        (
            format!("Authorization: Bearer {token}\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n"),
            &malformed,
        ),
        ("Authorization: Bearer opaque\r\n".to_owned(), &invalid),
        (format!("Authorization: Bearer {token}x\r\n"), &invalid),
        (format!("Authorization: Bearer {token}==\r\n"), &invalid),
    ] {
        assert_eq!(&with_authorization(&test_bed, &lines), expected, "{lines}");
    }
    let in_the_query = send(
        test_bed.address,
        format!("GET /things/a?access_token={token} HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    assert_eq!(
        (in_the_query.status, in_the_query.challenge()),
        (401, Some("Bearer"))
    );
    assert_eq!(test_bed.hits(), 0);

    for lines in [
        format!("authorization: bEaReR {token}\r\n"),
        format!("Authorization: Bearer   {token}\r\n"),
    ] {
        assert_eq!(
            with_authorization(&test_bed, &lines),
            (200, None),
            "{lines}"
        );
    }
}

#[test]
fn r4_refusals_match_rfc_6750_byte_for_byte() {
    let test_bed = TestBed::routes(ROUTE);
    for (token, status, challenge) in [
        (None, 401, "Bearer"),
        (
            Some("garbage".to_owned()),
            401,
            "Bearer error=\"invalid_token\"",
        ),
        (
            Some(test_bed.token("")),
            403,
            "Bearer error=\"insufficient_scope\", scope=\"read things.com.acme\"",
        ),
        (
            Some(test_bed.token("read")),
            403,
            "Bearer error=\"insufficient_scope\", scope=\"read things.com.acme\"",
        ),
        (
            Some(test_bed.token("read things.x")),
            403,
            "Bearer error=\"insufficient_scope\", scope=\"read things.com.acme\"",
        ),
    ] {
        let response = test_bed.get("/things/com.acme", token.as_deref());
        assert_eq!(
            (response.status, response.challenge()),
            (status, Some(challenge))
        );
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        let problem: serde_json::Value =
            serde_json::from_slice(&response.body).expect("problem details are JSON");
        assert_eq!(problem["status"], status);
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn challenge_has_realm_description_and_scope_if_configured() {
    let challenge =
        "[challenge]\nrealm = \"things\"\ndescribe = true\nscope_when_unauthenticated = true\n";
    let test_bed = TestBed::toml(challenge, "", "", ROUTE);
    for (token, expected) in [
        (None, "Bearer realm=\"things\", scope=\"read things.a\""),
        (
            Some("garbage".to_owned()),
            "Bearer realm=\"things\", error=\"invalid_token\", error_description=\"opaque\"",
        ),
        (
            Some(test_bed.token("")),
            "Bearer realm=\"things\", error=\"insufficient_scope\", error_description=\"the access token does not \
             grant the scope that this request needs\", scope=\"read things.a\"",
        ),
    ] {
        assert_eq!(
            test_bed.get("/things/a", token.as_deref()).challenge(),
            Some(expected)
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn refused_head_request_has_no_body_and_keeps_its_connection() {
    let test_bed = TestBed::routes(ROUTE);
    let mut connection = Connection::open(test_bed.address);
    let head = connection.ask("HEAD /things/a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.challenge(), head.body.len()),
        (401, Some("Bearer"), 0)
    );
    let again = connection.ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((again.status, again.challenge()), (404, None));
    let with_body =
        connection.ask("POST /things/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(with_body.status, 401);
    let token = test_bed.token("*");
    let permitted = connection.ask(format!(
        "GET /things/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    ));
    assert_eq!(
        (permitted.status, permitted.text()),
        (200, "hello".to_owned())
    );
    assert_eq!(test_bed.hits(), 1);
}

#[test]
fn issuer_without_keys_is_a_503_without_challenge_until_keys_arrive() {
    let test_bed = TestBed::routes(ROUTE);
    let (key, issuer) = (Key::es256("late"), harness::Issuer::start(&[]));
    issuer.fail(Reply::status(500));
    let gateway = harness::Gateway::start(&format!(
        "[issuers.late]\nissuer = \"{}\"\naudience = \"https://api.test\"\n[upstreams.up]\ntargets = \"http://{}\"\n\
         {ROUTE}",
        issuer.url, test_bed.upstream.address
    ));
    let token = key.token(&issuer.claims("*"));
    let response = harness::get(gateway.address, "/things/a", Some(&token));
    assert_eq!((response.status, response.challenge()), (503, None));
    assert!(
        response
            .header("retry-after")
            .is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0))
    );
    assert_eq!(test_bed.hits(), 0);

    issuer.publish(&[&key]);
    issuer.recover();
    harness::eventually("the JWKS is fetched", || {
        harness::get(gateway.address, "/things/a", Some(&token)).status == 200
    });
}

#[test]
fn refused_request_with_a_short_body_keeps_its_connection() {
    let test_bed =
        TestBed::routes("[[routes]]\npath = \"/{*rest}\"\nscope = \"read\"\nupstream = \"up\"\n");
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..3 {
        connection.write("POST /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\n");
        connection.write("hello");
        let response = connection.read(false);
        assert_eq!(
            (
                response.status,
                response.header("connection"),
                response.complete
            ),
            (401, None, true)
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn refused_upload_gets_a_response_with_connection_close() {
    let test_bed =
        TestBed::routes("[[routes]]\npath = \"/{*rest}\"\nscope = \"read\"\nupstream = \"up\"\n");
    let heads = [
        "Content-Length: 8000000",
        "Transfer-Encoding: chunked",
        "Content-Length: 5\r\nExpect: 100-continue",
    ];
    for head in heads {
        let mut connection = Connection::open(test_bed.address);
        connection.write(format!(
            "POST /x HTTP/1.1\r\nHost: api.test\r\n{head}\r\n\r\n"
        ));
        let is_upload = !head.contains("Expect");
        let mut hand = connection.clone_socket();
        let upload = std::thread::spawn(move || {
            use std::io::Write;
            // Until the gateway closes the connection.
            let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
            while is_upload && hand.write_all(&chunk).is_ok() {}
        });
        let response = connection.read(false);
        assert_eq!(
            (
                response.status,
                response.header("connection"),
                response.complete
            ),
            (401, Some("close"), true),
            "{head}"
        );
        assert!(connection.is_closed(), "{head}");
        drop(connection);
        upload.join().expect("no panic");
    }
    assert_eq!(test_bed.hits(), 0);
}
