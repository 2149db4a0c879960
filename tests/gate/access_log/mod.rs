//! The access log: one line per request.

mod hostile_clients;

use serde_json::{Value, json};

use harness::{Connection, Gateway, Key, Reply, Server, TestBed, eventually, send};

const ROUTES: &str = "
[[routes]]
path = \"/apps/{id}\"
scope = \"write app.{id} *.audit\"
issuers = \"corp\"
upstream = \"up\"

[[routes]]
host = [\"open.test\", \"*.open.test\"]
path = \"/{*rest}\"
public = true
upstream = \"up\"
";

/// Waits for at least `min` lines; those of the test bed's own readiness requests are left out.
fn lines(test_bed: &TestBed, min: usize) -> Vec<Value> {
    let lines = || {
        test_bed
            .requests
            .lines()
            .into_iter()
            .filter(|line| line["route"] != "/_ready")
            .collect::<Vec<_>>()
    };
    eventually("every request has a line", || lines().len() >= min);
    lines()
}

#[test]
fn line_describes_the_request_and_its_outcome() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("write app.7 the.audit");
    let request = format!(
        "POST /apps/7 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\nContent-Length: 3\r\n\r\nabc"
    );
    let response = send(test_bed.address, request);
    assert_eq!(response.status, 200);
    let lines = lines(&test_bed, 1);
    let [line] = lines.as_slice() else {
        panic!("one line: {lines:?}")
    };
    let mut line = line.as_object().expect("an object").clone();
    let timestamp = line.remove("timestamp").expect("a time");
    assert!(
        timestamp
            .as_str()
            .is_some_and(|time| time.len() == 24 && time.ends_with('Z')),
        "{timestamp}"
    );
    assert!(
        line.remove("duration_us")
            .is_some_and(|duration| duration.as_u64().is_some_and(|micros| micros > 0))
    );
    let expected = json!({
        "level": "INFO", "message": "request", "method": "POST", "route": "/apps/{id}", "status": 200,
        "decision": "permitted", "issuer": "corp", "client_id": "client-1", "client": "127.0.0.1", "upstream": "up",
        "http_version": "1.1", "request_bytes": 3, "response_bytes": 5, "request_id": response.header("x-request-id"),
    });
    assert_eq!(Value::Object(line), expected);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn line_of_a_denial_names_the_claim_key_or_scope() {
    let test_bed = TestBed::routes(ROUTES);
    let claims = |name: &str, value: Value| {
        let mut claims = test_bed.issuer.claims("write app.7 the.audit");
        claims[name] = value;
        test_bed.key.token(&claims)
    };
    let header = json!({ "alg": "ES256", "typ": "dpop+jwt", "kid": "first" });
    let other_type = test_bed
        .key
        .token_with(&header, &test_bed.issuer.claims(""));
    let unknown_key = Key::es256("unknown").token(&test_bed.issuer.claims(""));
    let forged = Key::es256("first").token(&test_bed.issuer.claims(""));
    for (token, status, reason, cause) in [
        (
            claims("aud", json!("https://other.test")),
            401,
            "wrong_audience",
            "expected \"https://api.test\" as aud",
        ),
        (
            claims("exp", json!(7)),
            401,
            "expired",
            "but found Thu, 01 Jan 1970 00:00:07 GMT",
        ),
        (other_type, 401, "wrong_type", "expected \"at+jwt\""),
        (
            claims("nbf", json!(9_000_000_000_u64)),
            401,
            "not_yet_valid",
            "nbf",
        ),
        (
            claims("iss", json!("https://other.test")),
            401,
            "unknown_issuer",
            "https://other.test",
        ),
        (unknown_key, 401, "unknown_key", "\"unknown\""),
        (forged, 401, "bad_signature", "signature"),
        (
            test_bed.token("write the.audit"),
            403,
            "insufficient_scope",
            "but found \"write the.audit\"",
        ),
        (
            test_bed.token(""),
            403,
            "insufficient_scope",
            "but found no scope",
        ),
    ] {
        let before = lines(&test_bed, 0).len();
        assert_eq!(test_bed.get("/apps/7", Some(&token)).status, status);
        let line = lines(&test_bed, before + 1).pop().expect("a line");
        assert_eq!(
            (line["decision"].as_str(), line["reason"].as_str()),
            (Some("refused"), Some(reason)),
            "{line}"
        );
        assert!(
            line["cause"]
                .as_str()
                .is_some_and(|text| text.contains(cause)),
            "expected {cause:?} in {line}"
        );
        let missing = match (reason, cause) {
            ("insufficient_scope", "but found no scope") => Some("write app.7 *.audit"),
            ("insufficient_scope", _) => Some("app.7"),
            _ => None,
        };
        assert_eq!(line["missing_scope"].as_str(), missing, "{line}");
        assert_eq!(
            line.get("upstream"),
            None,
            "a refused request has no upstream"
        );
    }
}

#[test]
fn wrong_method_or_authentication_scheme_is_logged() {
    let routes = ROUTES.replacen("scope =", "methods = [\"GET\", \"PUT\"]\nscope =", 1);
    let test_bed = TestBed::routes(&routes);
    for (method, headers, reason, cause) in [
        (
            "POST",
            "",
            "method_not_allowed",
            Some("expected GET, HEAD or PUT, but found POST"),
        ),
        (
            "GET",
            "Authorization: Basic dGVzdDp0ZXN0\r\n",
            "no_token",
            Some("expected the scheme Bearer, but found another one"),
        ),
        ("GET", "", "no_token", None),
    ] {
        let before = lines(&test_bed, 0).len();
        send(
            test_bed.address,
            format!("{method} /apps/7 HTTP/1.1\r\nHost: api.test\r\n{headers}\r\n"),
        );
        let line = lines(&test_bed, before + 1).pop().expect("a line");
        assert_eq!(
            (line["reason"].as_str(), line["cause"].as_str()),
            (Some(reason), cause),
            "{line}"
        );
    }
}

#[test]
fn unmatched_request_is_logged_with_its_host_and_a_wrong_method_with_its_route() {
    let any_host =
        "[[routes]]\npath = \"/apps/{id}\"\nmethods = \"GET\"\npublic = true\nupstream = \"up\"\n";
    let one_host = "[[routes]]\nhost = \"*.open.test\"\npath = \"/a\"\nmethods = \"GET\"\npublic = true\nupstream = \"up\"\n";
    let test_bed = TestBed::routes(&format!("{any_host}{one_host}"));
    for (method, host, path, route, cause) in [
        (
            "GET",
            "API.test",
            "/b",
            None,
            "expected the path of a route, but found another one (no route is for host \"api.test\" alone)",
        ),
        (
            "GET",
            "x.open.test",
            "/b",
            None,
            "expected the path of a route for host \"x.open.test\", but found another one",
        ),
        (
            "PUT",
            "api.test",
            "/apps/7?a=b",
            Some("/apps/{id}"),
            "expected GET or HEAD, but found PUT",
        ),
        (
            "PUT",
            "x.open.test",
            "/a",
            Some("/a"),
            "expected GET or HEAD, but found PUT",
        ),
    ] {
        let before = lines(&test_bed, 0).len();
        send(
            test_bed.address,
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        );
        let line = lines(&test_bed, before + 1).pop().expect("a line");
        assert_eq!(
            (line["route"].as_str(), line["cause"].as_str()),
            (route, Some(cause)),
            "{line}"
        );
        assert_eq!(line.get("path"), None, "log.path is off");
    }
}

#[test]
fn logged_path_is_the_normal_path_without_the_query() {
    let routes = "[[routes]]\npath = \"/v/{*rest}\"\nmethods = \"GET\"\npublic = true\nstrip_prefix = \"/v\"\nupstream = \"up\"\n";
    let test_bed = TestBed::toml("[log]\npath = true", "", "", routes);
    let long = format!("/v/{}", "a".repeat(600));
    for (target, status, path) in [
        ("/v/a%7eb%2b?secret=hush", 200, Some("/v/a~b%2B".to_owned())),
        ("/v/%22%0D", 400, None),
        ("/v/%22%E2%9C%93", 200, Some("/v/%22%E2%9C%93".to_owned())),
        ("/v/a/../b", 400, None),
        (&*long, 200, Some(format!("{}…", &long[..512]))),
    ] {
        let before = lines(&test_bed, 0).len();
        assert_eq!(test_bed.get(target, None).status, status, "{target}");
        let line = lines(&test_bed, before + 1).pop().expect("a line");
        assert_eq!(line["path"].as_str(), path.as_deref(), "{line}");
        assert!(!line.to_string().contains("hush"), "{line}");
    }
    send(
        test_bed.address,
        "PUT /v/b?hush HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let line = lines(&test_bed, 6).pop().expect("a line");
    assert_eq!(
        (line["path"].as_str(), line["route"].as_str()),
        (Some("/v/b"), Some("/v/{*rest}")),
        "{line}"
    );
}

#[test]
fn client_id_and_subject_are_logged_as_configured() {
    for (log, client_id, subject) in [
        ("", Some("client-1"), None),
        ("client_id = false", None, None),
        ("subject = true", Some("client-1"), Some("somebody")),
        ("client_id = false\nsubject = true", None, Some("somebody")),
    ] {
        let test_bed = TestBed::toml(&format!("[log]\n{log}"), "", "", ROUTES);
        let mut claims = test_bed.issuer.claims("write app.7 the.audit");
        claims["sub"] = json!("somebody");
        assert_eq!(
            test_bed
                .get("/apps/7", Some(&test_bed.key.token(&claims)))
                .status,
            200
        );
        let line = lines(&test_bed, 1).pop().expect("a line");
        assert_eq!(
            (line["client_id"].as_str(), line["subject"].as_str()),
            (client_id, subject),
            "{log}"
        );
    }
}

#[test]
fn route_pattern_is_logged_and_the_requested_path_is_not() {
    let test_bed = TestBed::routes(ROUTES);
    let request = "GET /secret-path?secret=query HTTP/1.1\r\nHost: secret-host.open.test\r\n\r\n";
    assert_eq!(send(test_bed.address, request).status, 200);
    let line = lines(&test_bed, 1).pop().expect("a line");
    assert_eq!(
        (&line["route"], &line["host"]),
        (&json!("/{*rest}"), &json!("open.test, *.open.test"))
    );
    assert_eq!(line["decision"], "public");
    assert!(!test_bed.requests.text().contains("secret"));
}

#[test]
fn request_without_a_response_is_logged() {
    let upstream = Server::start(|_| Reply::RawThenHang(Vec::new()));
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ));
    let mut connection = Connection::open(gateway.address);
    connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request is in flight", || upstream.hits() == 1);
    drop(connection);
    eventually("the disconnect is logged", || {
        gateway.requests.lines().len() == 1
    });
    let line = &gateway.requests.lines()[0];
    assert_eq!(
        (&line["status"], &line["upstream"]),
        (&Value::Null, &json!("up"))
    );
}

#[test]
fn response_that_the_client_did_not_get_whole_is_logged_as_incomplete() {
    const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let upstream = Server::start(|request| match request.target.as_str() {
        "/half" => Reply::RawThenHang("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()),
        "/events" => Reply::RawThenHang(EVENTS.into()),
        _ => Reply::text("whole"),
    });
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/{{name}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ));
    for (method, path, is_incomplete) in [
        ("GET", "/half", true),
        ("GET", "/events", false),
        ("GET", "/whole", false),
        ("HEAD", "/whole", false),
        ("HEAD", "/not/found", false),
    ] {
        let logged = gateway.requests.lines().len();
        let mut connection = Connection::open(gateway.address);
        connection.write(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        match path {
            "/half" | "/events" => assert!(connection.reads_until("half")),
            _ => _ = connection.read(method == "HEAD"),
        }
        drop(connection);
        eventually("the request is logged", || {
            gateway.requests.lines().len() > logged
        });
        let line = gateway.requests.lines().pop().expect("a line");
        let expected = is_incomplete.then_some("incomplete");
        assert_eq!(line["response"].as_str(), expected, "{line}");
        assert_eq!(line["status"], if path == "/not/found" { 404 } else { 200 });
    }
}

#[test]
fn client_address_behind_a_trusted_proxy_is_logged() {
    let test_bed = TestBed::toml("[server]\ntrusted_proxies = \"127.0.0.1\"", "", "", ROUTES);
    let ask = |field: &str| {
        let before = lines(&test_bed, 0).len();
        send(
            test_bed.address,
            format!("GET /apps/7 HTTP/1.1\r\nHost: a\r\n{field}\r\n"),
        );
        lines(&test_bed, before + 1).pop().expect("a line")["client"].clone()
    };
    assert_eq!(
        ask("X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n"),
        "198.51.100.7"
    );
    assert_eq!(ask("X-Forwarded-For: 2001:db8::7\r\n"), "2001:db8::7");
    assert_eq!(ask(""), "127.0.0.1");
    let test_bed = TestBed::routes(ROUTES);
    send(
        test_bed.address,
        "GET /apps/7 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
    );
    assert_eq!(
        lines(&test_bed, 1)[0]["client"],
        "127.0.0.1",
        "an untrusted peer cannot set the client address"
    );
}

#[test]
fn access_false_logs_no_request() {
    let test_bed = TestBed::toml("[log]\naccess = false", "", "", ROUTES);
    assert_eq!(test_bed.get("/apps/7", None).status, 401);
    assert_eq!(
        test_bed
            .get("/apps/7", Some(&test_bed.token("write app.7 the.audit")))
            .status,
        200
    );
    let log = test_bed.requests.text();
    assert!(log.is_empty(), "{log}");
}
