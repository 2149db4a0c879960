//! The token cache never decides for another route or issuer, stays within its limits, and leaks no
//! token.
//!
//! Other gateways had two such faults. A cached token passed a route that required more scope
//! (CVE-2021-32701). The response of one authorization server counted for the tokens of another
//! (CVE-2026-33496).

use serde_json::json;

use harness::{Connection, Gateway, Key, Reply, Server, TestBed, claims, get, logged, send};

const INVALID: Option<&str> = Some("Bearer error=\"invalid_token\"");

fn introspecting(name: &str, iss: &str, server: &Server) -> String {
    format!(
        "[issuers.{name}]\nissuer = \"{iss}\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.{name}.introspection]\nendpoint = \"http://{}/ask\"\nauthentication = \"none\"\n",
        server.address
    )
}

fn route(path: &str, more: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\nupstream = \"up\"\n{more}\n")
}

#[test]
fn cve_2021_32701_cached_token_is_checked_against_each_routes_scope() {
    let routes = [
        route("/read", "scope = \"read\""),
        route("/write", "scope = \"write\""),
        route("/any", ""),
    ]
    .concat();
    let test_bed = TestBed::routes(&routes);
    let authorization_server = Server::start(|_| {
        Reply::json(json!({ "active": true, "scope": "read", "aud": "https://api.test" }))
    });
    let introspecting = Gateway::start(&format!(
        "{}[upstreams.up]\ntargets = \"http://{}\"\n{routes}",
        introspecting("corp", "https://issuer.test", &authorization_server),
        test_bed.upstream.address
    ));
    for (address, token) in [
        (test_bed.address, test_bed.token("read")),
        (introspecting.address, "opaque".to_owned()),
    ] {
        let mut connection = Connection::open(address);
        let mut ask = |path: &str| {
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
            let response = connection.ask(head);
            (response.status, response.challenge().map(str::to_owned))
        };
        let insufficient = "Bearer error=\"insufficient_scope\", scope=\"write\"".to_owned();
        for _ in 0..3 {
            assert_eq!(ask("/read"), (200, None));
            assert_eq!(ask("/write"), (403, Some(insufficient.clone())));
            assert_eq!(ask("/any"), (200, None));
        }
        assert_eq!(
            get(address, "/write", Some(&token)).status,
            403,
            "from another connection"
        );
    }
}

#[test]
fn cve_2026_33496_introspection_response_counts_only_for_its_own_issuer() {
    let introspection = |active: bool| {
        json!({ "active": active, "scope": "read", "aud": "https://api.test" }).to_string()
    };
    let (lenient, strict) = (introspection(true), introspection(false));
    // Two authorization servers with the same issuer identifier, as tenants of one server have.
    let (lenient, strict) = (
        Server::start(move |_| Reply::json(&lenient)),
        Server::start(move |_| Reply::json(&strict)),
    );
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.up]\ntargets = \"http://{}\"\n{}{}",
        introspecting("lenient", "https://issuer.test", &lenient),
        introspecting("strict", "https://issuer.test", &strict),
        upstream.address,
        route("/lenient", "issuers = \"lenient\""),
        route("/strict", "issuers = \"strict\""),
    ));
    let jwt = Key::es256("k").token(&claims("https://issuer.test", "read"));
    for token in ["opaque", &jwt] {
        let mut connection = Connection::open(gateway.address);
        let mut ask = |path: &str| {
            connection.ask(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
        };
        for _ in 0..3 {
            assert_eq!(ask("/lenient").status, 200);
            let response = ask("/strict");
            assert_eq!((response.status, response.challenge()), (401, INVALID));
        }
    }
    assert_eq!((lenient.hits(), strict.hits(), upstream.hits()), (2, 2, 6));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r42_tokens_appear_in_no_log_and_no_response() {
    const CANARY: &str = "c4n4ryT0k3n";
    let routes = [
        route("/read", "scope = \"read\""),
        route("/open", "public = true"),
    ]
    .concat();
    let test_bed = TestBed::routes(&routes);
    let mut claims = test_bed.issuer.claims("read");
    claims["jti"] = json!(CANARY);
    let valid = test_bed.key.token(&claims);
    let invalid = Key::es256("first")
        .token(&json!({ "iss": test_bed.issuer.url, "sub": CANARY, "scope": CANARY }));
    let (signature, other_signature) = (valid.rsplit('.').next(), invalid.rsplit('.').next());
    let mut responses = Vec::new();
    for token in [
        &valid,
        &invalid,
        CANARY,
        &format!("{CANARY}.{CANARY}.{CANARY}"),
        &format!("{CANARY} {CANARY}"),
        &format!("{CANARY}\""),
    ] {
        for head in [
            format!("GET /read HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"),
            format!("GET /open HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"),
            format!("GET /nowhere HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"),
            format!(
                "DELETE /read HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: Authorization\r\n"
            ),
            format!("GET /read HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {token}\r\n"),
            format!("GET /read?access_token={token} HTTP/1.1\r\nHost: a\r\n"),
            format!("GET /{token} HTTP/1.1\r\nHost: a\r\n"),
            format!("GET /read HTTP/1.1\r\nHost: {token}\r\n"),
        ] {
            let response = send(test_bed.address, format!("{head}Connection: close\r\n\r\n"));
            responses.push(format!("{:?}{}", response.headers, response.text()));
        }
    }
    test_bed.issuer.fail(Reply::status(500));
    responses.push(
        test_bed
            .get(
                "/read",
                Some(
                    &Key::es256("unknown")
                        .token(&json!({ "iss": test_bed.issuer.url, "jti": CANARY })),
                ),
            )
            .text(),
    );
    for canary in [Some(CANARY), signature, other_signature]
        .into_iter()
        .flatten()
    {
        assert!(!logged(canary), "{canary} is in the log");
        assert!(
            responses.iter().all(|response| !response.contains(canary)),
            "{canary} is in a response"
        );
    }
    assert!(logged("request"), "the log was captured");
}

#[test]
fn flood_of_valid_tokens_stays_within_the_cache_limits() {
    const SECRET: &str = "a secret of at least thirty-two bytes";
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    let key = Key::hs256(SECRET.as_bytes());
    let upstream = Server::start(|_| Reply::text("hello"));
    let route = route("/any", "");
    for (limits, max_entries, max_bytes) in [
        ("cache_bytes = \"1MiB\"", f64::MAX, MEBIBYTE),
        ("cache_bytes = \"1MiB\"\ncache_entries = 50", 50.0, MEBIBYTE),
        ("cache_bytes = \"0B\"", 0.0, 0.0),
        ("cache_entries = 50", 50.0, f64::MAX),
    ] {
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"in-house\"\naudience = \"https://api.test\"\nshared_secret = \"{SECRET}\"\n\
             {limits}\n[upstreams.up]\ntargets = \"http://{}\"\n{route}",
            upstream.address
        ));
        let mut connection = Connection::open(gateway.address);
        for number in 0..1000 {
            let mut claims = claims("in-house", "read");
            claims["jti"] = json!(number);
            let token = key.token(&claims);
            let head =
                format!("GET /any HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
            assert_eq!(connection.ask(head).status, 200);
        }
        let size = |name: &str, tier: &str| {
            gateway
                .metric(&format!("scopegate_token_cache_{name}{{tier=\"{tier}\"}}"))
                .expect("a size")
        };
        let (entries, bytes) = (
            size("entries", "shared"),
            size("bytes", "shared") + size("bytes", "worker"),
        );
        assert!(
            entries <= max_entries && bytes <= max_bytes,
            "{limits}: {entries} entries, {bytes} bytes"
        );
        assert_eq!(size("entries", "connection"), 1.0, "{limits}");
        // The cache is in use: an empty one would stay within any limit.
        assert!(
            bytes >= 0.7 * max_bytes.min(0.1 * MEBIBYTE),
            "{limits}: {bytes} bytes"
        );
    }
}
