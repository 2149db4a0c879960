//! Shadow mode (`enforce = false`): requests without a sufficient token are forwarded and recorded.

use serde_json::json;

use harness::{Key, NOW, Reply, TestBed, logged, send};

const ROUTE: &str = "[[routes]]\npath = \"/things/{id}\"\nmethods = \"GET\"\nscope = \"read thing.{id}\"\nupstream = \"up\"\n\
                     claim_headers = { X-Client = \"client_id\" }\n";

fn shadow_mode(issuer_keys: &str) -> TestBed {
    TestBed::toml("", issuer_keys, "", &format!("{ROUTE}enforce = false\n"))
}

fn series(test_bed: &TestBed, status: &str, decision: &str, reason: &str) -> Option<f64> {
    test_bed.metric(&format!(
        "scopegate_requests_total{{route=\"/things/{{id}}\",method=\"GET\",status=\"{status}\",decision=\"{decision}\",reason=\"{reason}\"}}"
    ))
}

#[test]
fn request_without_a_sufficient_token_is_forwarded_and_recorded() {
    let test_bed = shadow_mode("");
    let mut expired = test_bed.issuer.claims("");
    expired["exp"] = json!(NOW - 60);
    let tokens = [
        (None, "no_token"),
        (Some("garbage".to_owned()), "opaque"),
        (Some(test_bed.key.token(&expired)), "expired"),
        (
            Some(Key::es256("first").token(&test_bed.issuer.claims("read"))),
            "bad_signature",
        ),
        (Some(test_bed.token("read")), "insufficient_scope"),
    ];
    for (token, reason) in tokens {
        let response = test_bed.get("/things/7", token.as_deref());
        assert_eq!(
            (
                response.status,
                response.text().as_str(),
                response.challenge()
            ),
            (200, "hello", None),
            "{reason}"
        );
        assert_eq!(
            series(&test_bed, "2xx", "shadowed", reason),
            Some(1.0),
            "{reason}"
        );
        // The request is forwarded with its Authorization header and without claim headers: no claim
        // is verified.
        let received = test_bed.last();
        assert_eq!(received.header("x-client"), Vec::<&str>::new(), "{reason}");
        assert_eq!(
            received.header("authorization").len(),
            usize::from(token.is_some()),
            "{reason}"
        );
    }
    assert!(logged("\"decision\":\"shadowed\""));
    // A sufficient token is permitted as usual.
    assert_eq!(
        test_bed
            .get("/things/7", Some(&test_bed.token("read thing.7")))
            .status,
        200
    );
    assert_eq!(test_bed.last().header("x-client"), ["client-1"]);
    assert_eq!(series(&test_bed, "2xx", "permitted", ""), Some(1.0));
}

#[test]
fn claim_headers_of_a_client_are_removed_in_shadow_mode_too() {
    let test_bed = shadow_mode("");
    for name in ["X-Client", "x_client", "X.Client"] {
        let request = format!("GET /things/7 HTTP/1.1\r\nHost: a\r\n{name}: admin\r\n\r\n");
        assert_eq!(send(test_bed.gateway.address, &request).status, 200);
        let received = test_bed.last();
        assert!(
            received.headers.iter().all(|(_, value)| value != "admin"),
            "{name}: {:?}",
            received.headers
        );
    }
}

#[test]
fn failing_authorization_server_stops_no_request_in_shadow_mode() {
    let test_bed = shadow_mode("unknown_key_cooldown = \"1s\"");
    test_bed.issuer.fail(Reply::status(503));
    let unknown = Key::es256("second").token(&test_bed.issuer.claims("read"));
    assert_eq!(test_bed.get("/things/7", Some(&unknown)).status, 200);
    assert_eq!(
        series(&test_bed, "2xx", "shadowed", "issuer_unavailable"),
        Some(1.0)
    );
}

#[test]
fn malformed_requests_are_refused_in_shadow_mode_too() {
    let test_bed = shadow_mode("");
    for (request, status) in [
        (
            "GET /things/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer\r\n\r\n",
            400,
        ),
        (
            "GET /things/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer a\r\n\r\n",
            400,
        ),
        ("GET /things/../things/7 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (
            "POST /things/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            405,
        ),
    ] {
        assert_eq!(
            send(test_bed.gateway.address, request).status,
            status,
            "{request}"
        );
    }
    // So is a path parameter that cannot be part of a scope.
    let response = test_bed.get("/things/*", Some(&test_bed.token("read thing.*")));
    assert_eq!(response.status, 400);
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn enforce_of_a_route_overrides_that_of_the_server() {
    let routes =
        format!("{ROUTE}[[routes]]\npath = \"/strict\"\nupstream = \"up\"\nenforce = true\n");
    let test_bed = TestBed::toml("[server]\nenforce = false\n", "", "", &routes);
    assert_eq!(test_bed.get("/things/7", None).status, 200);
    assert_eq!(test_bed.get("/strict", None).status, 401);
    let report = test_bed.get_admin("/readyz").text();
    assert!(
        report.contains("[!] shadow mode")
            && report.contains("/things/{id}")
            && !report.contains("/strict"),
        "{report}"
    );
    // That route, and the one that the test bed adds.
    assert_eq!(test_bed.metric("scopegate_shadow_routes{}"), Some(2.0));
}

#[test]
fn lookalike_of_an_enforced_path_is_refused_in_shadow_mode() {
    let routes = "[[routes]]\npath = \"/admin\"\nscope = \"api\"\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/{*rest}\"\nscope = \"api\"\nupstream = \"up\"\nenforce = false\n";
    let test_bed = TestBed::routes(routes);
    assert_eq!(test_bed.get("/admin", None).status, 401);
    for path in ["/Admin", "/admin.", "/admin%20", "/ADMIN%3Fx"] {
        assert_eq!(test_bed.get(path, None).status, 400, "{path}");
    }
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(test_bed.get("/other", None).status, 200);
}
