//! Only the URL of its resource, and `audiences`, are accepted on a route; cached tokens included.

use harness::{Connection, Gateway, Reply, Server, TestBed, eventually};
use serde_json::{Value, json};

use super::{TWO, token_for};

const ONE: &str = "https://api.test/one";
const TWO_URL: &str = "https://api.test/two";

fn statuses(test_bed: &TestBed, token: &str) -> [u16; 3] {
    ["/one", "/two/x", "/neither"].map(|path| test_bed.get(path, Some(token)).status)
}

#[test]
fn token_for_another_audience_is_refused_on_every_route() {
    let test_bed = TestBed::routes(TWO);
    for audience in [
        json!("https://other.test"),
        json!("https://api.test/"),
        json!("https://api.test/on"),
        json!("https://api.test/one/"),
        json!("https://api.test/one/more"),
        json!("https://api.test/ONE"),
        json!("HTTPS://api.test/one"),
        json!("https://api.test/one "),
        json!("https://api.test:443/one"),
        json!("https://api.test/one?x"),
        json!(""),
        json!([]),
        json!(["https://api.test/one", 1]),
        json!({ "https://api.test/one": true }),
        json!(1),
        Value::Null,
    ] {
        let token = token_for(&test_bed, audience.clone());
        for path in ["/one", "/one/more", "/two/x"] {
            let response = test_bed.get(path, Some(&token));
            assert_eq!(response.status, 401, "{audience} {path}");
            let challenge = response.challenge().unwrap_or_default();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        }
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn each_route_accepts_its_own_audience_alone() {
    let test_bed = TestBed::routes(TWO);
    for (audience, expected) in [
        (json!(ONE), [200, 401, 401]),
        (json!([ONE]), [200, 401, 401]),
        (json!(TWO_URL), [401, 200, 401]),
        (json!("urn:two"), [401, 200, 401]),
        (json!("https://api.test"), [401, 401, 200]),
        (json!([ONE, TWO_URL]), [200, 200, 401]),
        (json!(["https://api.test", TWO_URL, "x"]), [401, 200, 200]),
    ] {
        let token = token_for(&test_bed, audience.clone());
        // Twice: the second time, the token is cached.
        assert_eq!(statuses(&test_bed, &token), expected, "{audience}");
        assert_eq!(statuses(&test_bed, &token), expected, "{audience}");
    }
}

#[test]
fn cached_token_of_one_resource_does_not_pass_for_the_other() {
    let test_bed = TestBed::routes(TWO);
    let token = token_for(&test_bed, json!(ONE));
    let mut connection = Connection::open(test_bed.address);
    let mut status = |path: &str| {
        connection
            .ask(format!(
                "GET {path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .status
    };
    for _ in 0..3 {
        assert_eq!(status("/one"), 200);
        assert_eq!(status("/two/x"), 401);
        assert_eq!(status("/neither"), 401);
    }
}

#[test]
fn reload_that_moves_a_resource_judges_cached_tokens_anew() {
    let test_bed = TestBed::routes(TWO);
    let token = token_for(&test_bed, json!(ONE));
    assert_eq!(test_bed.get("/one", Some(&token)).status, 200);
    let toml = format!(
        "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n[upstreams.up]\ntargets = \"http://{}\"\n{}",
        test_bed.issuer.url,
        test_bed.upstream.address,
        TWO.replace("https://api.test/one", "https://new.test/one")
    );
    test_bed.reload(&toml).expect("a valid file");
    assert_eq!(test_bed.get("/one", Some(&token)).status, 401);
    let token = token_for(&test_bed, json!("https://new.test/one"));
    assert_eq!(test_bed.get("/one", Some(&token)).status, 200);
}

#[test]
fn empty_path_makes_a_trailing_slash_optional() {
    for url in ["https://api.test", "https://api.test/"] {
        let test_bed = TestBed::toml(
            &format!("[[resources]]\nurl = \"{url}\"\n"),
            "",
            "",
            "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n",
        );
        for (audience, status) in [
            ("https://api.test", 200),
            ("https://api.test/", 200),
            ("https://api.test//", 401),
            ("http://api.test/", 401),
        ] {
            let token = token_for(&test_bed, json!(audience));
            let found = test_bed.get("/a", Some(&token)).status;
            assert_eq!(found, status, "{url} {audience}");
        }
    }
}

#[test]
fn longest_url_applies_and_segments_are_whole() {
    let routes = "
[[resources]]
url = \"https://api.test/a\"
[[resources]]
url = \"https://api.test/a/b\"
[[routes]]
path = [\"/a\", \"/a/b\", \"/a/b/c\", \"/ab\", \"/a/bc\"]
upstream = \"up\"
";
    let test_bed = TestBed::routes(routes);
    let passes = |audience: &str| {
        let token = token_for(&test_bed, json!(audience));
        ["/a", "/a/b", "/a/b/c", "/ab", "/a/bc"]
            .map(|path| test_bed.get(path, Some(&token)).status == 200)
    };
    assert_eq!(
        passes("https://api.test/a"),
        [true, false, false, false, true]
    );
    assert_eq!(
        passes("https://api.test/a/b"),
        [false, true, true, false, false]
    );
    assert_eq!(
        passes("https://api.test"),
        [false, false, false, true, false]
    );
}

#[test]
fn host_of_a_request_does_not_select_the_audience() {
    let test_bed = TestBed::routes(TWO);
    let one = token_for(&test_bed, json!(ONE));
    let spoofed = token_for(&test_bed, json!("https://evil.test/one"));
    for (token, expected) in [(&one, 200), (&spoofed, 401)] {
        for host in ["evil.test", "api.test:8443", "two.test"] {
            let lines = format!(
                "Host: {host}\r\nAuthorization: Bearer {token}\r\nX-Forwarded-Host: evil.test\r\n"
            );
            let response = super::request(&test_bed, "GET", "/one", &lines);
            assert_eq!(response.status, expected, "{host}");
            let challenge = response.challenge().unwrap_or_default();
            assert!(!challenge.contains("evil"), "{challenge}");
        }
    }
}

#[test]
fn introspected_token_is_judged_by_the_audience_of_its_response() {
    let test_bed = TestBed::routes("");
    let server = Server::start(|received| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let audience = if body.contains("token=one") {
            json!(ONE)
        } else if body.contains("token=both") {
            json!([ONE, TWO_URL])
        } else {
            Value::Null
        };
        let mut response = json!({ "active": true, "scope": "one.read two.read" });
        if !audience.is_null() {
            response["aud"] = audience;
        }
        Reply::json(response)
    });
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"https://issuer.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
         [issuers.corp.introspection]\nendpoint = \"http://{}/ask\"\nauthentication = \"none\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{TWO}",
        server.address, test_bed.upstream.address
    ));
    for (token, expected) in [
        ("one", [200, 401, 200]),
        ("both", [200, 200, 200]),
        ("neither", [401, 401, 200]),
    ] {
        for _ in 0..2 {
            let found = ["/one", "/two/x", "/neither"]
                .map(|path| harness::get(gateway.address, path, Some(token)).status);
            assert_eq!(found, expected, "{token}");
        }
    }
}

#[test]
fn introspected_jwt_must_not_name_another_audience_either() {
    let test_bed = TestBed::routes("");
    let server = Server::start(|_| {
        Reply::json(json!({
            "active": true, "aud": [ONE, "https://api.test"], "scope": "one.read two.read",
        }))
    });
    for validation in ["introspection", "jwks+introspection"] {
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\naudience_required = false\n\
         validation = \"{validation}\"\n\
         [issuers.corp.introspection]\nendpoint = \"http://{}/ask\"\nauthentication = \"none\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{TWO}",
            test_bed.issuer.url, server.address, test_bed.upstream.address
        ));
        let token = token_for(&test_bed, Value::Null);
        harness::eventually("the JWKS is fetched", || {
            harness::get(gateway.address, "/one", Some(&token)).status == 200
        });
        for (audience, expected) in [
            (Value::Null, [200, 401, 200]),
            (json!([ONE, "https://api.test"]), [200, 401, 200]),
            (json!(ONE), [200, 401, 401]),
            (json!("https://api.test"), [401, 401, 200]),
            (json!("https://other.test"), [401, 401, 401]),
        ] {
            let token = token_for(&test_bed, audience.clone());
            for _ in 0..2 {
                let found = ["/one", "/two/x", "/neither"]
                    .map(|path| harness::get(gateway.address, path, Some(&token)).status);
                assert_eq!(found, expected, "{validation} {audience}");
            }
        }
    }
}

#[test]
fn issuer_of_resource_routes_alone_needs_no_audience() {
    let test_bed = TestBed::routes("");
    let file = |routes: &str| {
        format!(
            "[issuers.corp]\nissuer = \"{}\"\n[upstreams.up]\ntargets = \"http://{}\"\n{routes}",
            test_bed.issuer.url, test_bed.upstream.address
        )
    };
    let (of_resources, _) = TWO.rsplit_once("[[routes]]").expect("routes");
    let gateway = Gateway::start(&file(of_resources));
    let token = token_for(&test_bed, json!(ONE));
    harness::eventually("the JWKS is fetched", || {
        harness::get(gateway.address, "/one", Some(&token)).status == 200
    });
    let other = token_for(&test_bed, json!("https://api.test"));
    for path in ["/one", "/two/x"] {
        assert_eq!(
            harness::get(gateway.address, path, Some(&other)).status,
            401
        );
    }
    let error = gateway.reload(&file(TWO)).expect_err("a missing audience");
    assert!(error.contains("expected the aud of tokens"), "{error}");
    assert!(error.contains("belongs to no resource"), "{error}");
}

#[test]
fn refusal_for_the_audience_has_the_usual_reason_and_the_issuer() {
    let test_bed = TestBed::routes(TWO);
    let wrong = token_for(&test_bed, json!("https://other.test"));
    let without = token_for(&test_bed, Value::Null);
    for (path, token) in [("/one", &wrong), ("/one", &without), ("/neither", &wrong)] {
        assert_eq!(test_bed.get(path, Some(token)).status, 401);
    }
    let lines = refusals(&test_bed, 3);
    for line in &lines {
        assert_eq!(line["issuer"], "corp", "{line}");
    }
    let lines = format!("{lines:?}");
    for expected in ["wrong_audience", "missing_audience", "https://other.test"] {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
    assert!(!lines.contains(&wrong), "a token is in the log");
}

/// The lines of the access log about refused requests: this many.
fn refusals(test_bed: &TestBed, count: usize) -> Vec<Value> {
    let refused = || {
        let mut lines = test_bed.requests.lines();
        lines.retain(|line| line["decision"] == "refused" && line["route"] != "/_ready");
        lines
    };
    eventually("the requests are logged", || refused().len() == count);
    refused()
}
