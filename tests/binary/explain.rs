//! `scopegate explain` beside a running gateway: for the same request both say the same, byte for byte.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, TIMEOUT, ask, command, finished, own_address, wait};
use harness::{Issuer, Key};
use harness::{Received, Reply, Server};

/// A gateway that runs, the issuer whose tokens it takes, and a folder with its file.
struct TestBed {
    address: Ipv4Addr,
    key: Key,
    issuer: Issuer,
    upstream: Server,
    gateway: Process,
}

impl TestBed {
    fn start() -> Self {
        let (address, key) = (own_address(), Key::es256("first"));
        let issuer = Issuer::start(&[&key]);
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Process::start(address, &file(address, &issuer.url, &upstream));
        let test_bed = Self {
            address,
            key,
            issuer,
            upstream,
            gateway,
        };
        wait("the keys are here", || {
            test_bed.gateway.printed().1.contains("JWKS fetched")
        });
        test_bed
    }

    fn folder(&self) -> &Path {
        self.gateway.folder()
    }

    fn claims(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({
            "iss": self.issuer.url, "aud": "https://api.test", "sub": "client-1", "client_id": "client-1",
            "exp": now() + 600, "iat": now() - 5, "scope": "things.read",
        });
        change(&mut claims);
        claims
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        self.key.token(&self.claims(change))
    }

    /// A token with the usual claims and another header.
    fn token_of(&self, key: &Key, header: Value) -> String {
        key.token_with(&header, &self.claims(|_| ()))
    }

    fn explain(&self, arguments: &[&str]) -> Output {
        let mut command = command();
        command.arg("explain").args(arguments);
        finished(command, self.folder())
    }

    /// The head of the running gateway's answer.
    fn head(&self, method: &str, target: &str, headers: &[String]) -> String {
        let mut socket = TcpStream::connect((self.address, 8080)).expect("it listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        let host = format!("Host: {}:8080", self.address);
        let host = if headers.iter().any(|line| line.starts_with("Host:")) {
            None
        } else {
            Some(&host)
        };
        let lines: String = host
            .into_iter()
            .chain(headers)
            .map(|line| format!("{line}\r\n"))
            .collect();
        socket
            .write_all(format!("{method} {target} HTTP/1.1\r\n{lines}\r\n").as_bytes())
            .expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
        undated(&String::from_utf8(head).expect("text"))
    }

    /// How many requests the metrics tell of that were refused for this.
    fn refused(&self, reason: &str) -> u64 {
        let metrics = ask(
            self.address,
            9090,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        let reason = format!(",decision=\"refused\",reason=\"{reason}\"}} ");
        let series = metrics
            .lines()
            .filter(|line| line.starts_with("scopegate_requests_total{"));
        series
            .filter_map(|line| line.split_once(&reason)?.1.parse::<u64>().ok())
            .sum()
    }

    /// The reasons in the gateway's log so far, one for each request.
    fn reasons(&self) -> Vec<Option<String>> {
        let lines = self.gateway.printed().1;
        let requests = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let requests = requests.filter(|line| line["message"] == "request");
        requests
            .map(|line| line["reason"].as_str().map(str::to_owned))
            .collect()
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn file(address: Ipv4Addr, issuer: &str, upstream: &Server) -> String {
    format!(
        r#"
[server]
listen = "{address}:8080"
workers = 1
[admin]
listen = "{address}:9090"
[log]
format = "json"
[issuers.corp]
issuer = "{issuer}"
audience = "https://api.test"
[issuers.gone]
issuer = "http://{address}:9"
audience = "https://api.test"
[upstreams.up]
targets = "http://{}"
[[routes]]
path = "/things"
methods = "GET"
scope = "things.read"
issuers = "corp"
upstream = "up"
[[routes]]
path = "/things/{{id}}"
methods = "GET"
scope = "things.read thing.{{id}}"
issuers = "corp"
upstream = "up"
claim_headers = {{ "X-Client-Id" = "client_id" }}
strip_prefix = "/things"
[[routes]]
path = "/either"
any_scope = ["a b", "c.*"]
issuers = "corp"
forward_token = "strip"
upstream = "up"
[[routes]]
path = "/gone"
issuers = "gone"
upstream = "up"
[[routes]]
path = "/shadow"
scope = "admin"
enforce = false
upstream = "up"
[[routes]]
path = "/open"
public = true
upstream = "up"
[[routes]]
host = "look.test"
path = "/admin"
scope = "admin"
upstream = "up"
[[routes]]
host = "look.test"
path = "/{{*rest}}"
public = true
upstream = "up"
"#,
        upstream.address
    )
}

fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(now.as_secs()).expect("a small number")
}

// What two answers to the same request never have in common is shown to be there, and no more.
fn undated(head: &str) -> String {
    let of_this_answer = |line: &str| match line.split_once(": ") {
        Some((name @ ("date" | "x-request-id"), _)) => format!("{name}: …\n"),
        _ => format!("{line}\n"),
    };
    head.replace('\r', "").lines().map(of_this_answer).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Authorization: Bearer {token}")]
}

/// What a request is refused for.
struct Denial {
    reason: Option<&'static str>,
    method: &'static str,
    target: String,
    headers: Vec<String>,
}

fn denial(reason: &'static str, target: &str, headers: Vec<String>) -> Denial {
    Denial {
        reason: Some(reason),
        method: "GET",
        target: target.to_owned(),
        headers,
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn denials(test_bed: &TestBed) -> Vec<Denial> {
    let with = |change: fn(&mut Value)| bearer(&test_bed.token(change));
    let at = |claim: &'static str, seconds: i64| {
        bearer(&test_bed.token(|claims| claims[claim] = json!(now() + seconds)))
    };
    let without = |claim: &'static str| {
        bearer(&test_bed.token(|claims| _ = claims.as_object_mut().expect("claims").remove(claim)))
    };
    let of = |key: &Key, header: Value| bearer(&test_bed.token_of(key, header));
    let good = || with(|_| ());
    let gone = bearer(
        &test_bed.token(|claims| claims["iss"] = json!(format!("http://{}:9", test_bed.address))),
    );
    let stranger = Key::es256("first");
    let header = |alg: &str, typ: &str, kid: &str| json!({ "alg": alg, "typ": typ, "kid": kid });
    let host = |host: &str| format!("Host: {host}");
    vec![
        denial("no_token", "/things", Vec::new()),
        denial("no_token", "/things?access_token=x", Vec::new()),
        denial(
            "no_token",
            "/things",
            vec!["Authorization: Basic dGVzdDp0ZXN0".to_owned()],
        ),
        denial("bad_authorization", "/things", [good(), good()].concat()),
        denial(
            "bad_authorization",
            "/things",
            vec!["Authorization: Bearer a b".to_owned()],
        ),
        denial(
            "bad_authorization",
            "/things",
            vec!["Authorization: Bearer".to_owned()],
        ),
        denial("opaque", "/things", bearer("garbage")),
        denial(
            "unsigned",
            "/things",
            of(&test_bed.key, header("none", "at+jwt", "first")),
        ),
        denial("too_long", "/things", bearer(&"x".repeat(17 * 1024))),
        denial("expired", "/things", at("exp", -3600)),
        denial("not_yet_valid", "/things", at("nbf", 3600)),
        denial("issued_in_future", "/things", at("iat", 3600)),
        denial(
            "not_a_numeric_date",
            "/things",
            with(|claims| claims["exp"] = json!("soon")),
        ),
        denial(
            "unbounded_expiry",
            "/things",
            with(|claims| claims["exp"] = json!(i64::MAX)),
        ),
        denial("missing_claim", "/things", without("exp")),
        denial(
            "unknown_issuer",
            "/things",
            with(|claims| claims["iss"] = json!("https://other.test")),
        ),
        denial("unknown_issuer", "/things", gone.clone()),
        denial(
            "wrong_audience",
            "/things",
            with(|claims| claims["aud"] = json!(["https://other.test", "b"])),
        ),
        denial("missing_audience", "/things", without("aud")),
        denial(
            "unknown_key",
            "/things",
            of(&test_bed.key, header("ES256", "at+jwt", "second")),
        ),
        denial(
            "bad_signature",
            "/things",
            of(&stranger, header("ES256", "at+jwt", "first")),
        ),
        denial(
            "algorithm_not_allowed",
            "/things",
            of(&test_bed.key, header("RS256", "at+jwt", "first")),
        ),
        denial(
            "algorithm_not_allowed",
            "/things",
            of(&test_bed.key, header("HS256", "at+jwt", "first")),
        ),
        denial(
            "wrong_type",
            "/things",
            of(&test_bed.key, header("ES256", "dpop+jwt", "first")),
        ),
        denial(
            "other_kind_of_token",
            "/things",
            with(|claims| claims["nonce"] = json!("n")),
        ),
        denial(
            "other_kind_of_token",
            "/things",
            with(|claims| claims["token_use"] = json!("id")),
        ),
        denial(
            "sender_constrained",
            "/things",
            with(|claims| claims["cnf"] = json!({ "jkt": "x" })),
        ),
        denial(
            "insufficient_scope",
            "/things",
            with(|claims| claims["scope"] = json!("things.write")),
        ),
        denial("insufficient_scope", "/things/7", good()),
        denial(
            "insufficient_scope",
            "/either",
            with(|claims| claims["scope"] = json!("a c.")),
        ),
        denial("unusable_parameter", "/things/a*b", good()),
        denial("issuer_unavailable", "/gone", gone),
        denial("no_route", "/nowhere", good()),
        Denial {
            method: "POST",
            ..denial("method_not_allowed", "/things", good())
        },
        Denial {
            method: "TRACE",
            ..denial("method_not_allowed", "/things", good())
        },
        denial("ambiguous_path", "/things/../open", good()),
        denial("ambiguous_path", "/things%2Fa", good()),
        denial("lookalike_path", "/Admin", vec![host("look.test")]),
        denial("inadmissible", "/open", vec![host("a"), host("b")]),
        denial("inadmissible", "/open", vec![host("user@b")]),
        denial(
            "connection_nominates",
            "/open",
            vec!["Connection: Authorization".to_owned()],
        ),
        // Before it is judged at all.
        Denial {
            reason: None,
            ..denial(
                "",
                "/open",
                vec![format!("X-Long: {}", "x".repeat(40 * 1024))],
            )
        },
    ]
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refusals_are_explained_as_the_running_gateway_refuses() {
    let test_bed = TestBed::start();
    let mut judged = 0;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/command-line.md");
    let reference = fs::read_to_string(page).expect("the page of the command line");
    for Denial {
        reason,
        method,
        target,
        headers,
    } in denials(&test_bed)
    {
        let what = format!("{method} {target}: {reason:?}");
        let before = reason.map(|reason| test_bed.refused(reason));
        let answered = test_bed.head(method, &target, &headers);
        let mut arguments = vec![method, &target];
        headers
            .iter()
            .for_each(|header| arguments.extend(["--header", header.as_str()]));
        let story = test_bed.explain(&arguments);
        arguments.push("--json");
        let document = test_bed.explain(&arguments);
        assert_eq!(
            (story.status.code(), document.status.code()),
            (Some(1), Some(1)),
            "{what}"
        );

        let told: Value = serde_json::from_slice(&document.stdout).expect("one JSON object");
        assert_eq!(
            undated(told["answer"]["head"].as_str().expect("a head")),
            answered,
            "{what}"
        );
        assert_eq!(
            (told["verdict"].as_str(), told["reason"].as_str()),
            (Some("refused"), reason),
            "{what}"
        );
        for name in told.as_object().expect("an object").keys() {
            assert!(
                reference.contains(&format!("`{name}`")),
                "docs/command-line.md does not list {name}"
            );
        }
        let status: u16 = answered
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        assert_eq!(told["answer"]["status"], status, "{what}");
        assert!(told["upstream_request"].is_null(), "{what}");

        let story = undated(&text(&story.stdout));
        assert!(story.ends_with(&answered), "{what}: {story}");
        assert!(
            story.contains(&format!("\nRefused: {}\n", reason.unwrap_or("not read"))),
            "{what}: {story}"
        );
        if let Some(reason) = reason {
            judged += 1;
            wait("the request is logged", || {
                test_bed.reasons().len() == judged
            });
            assert_eq!(
                test_bed.reasons().last(),
                Some(&Some(reason.to_owned())),
                "{what}"
            );
            assert_eq!(Some(test_bed.refused(reason) - 1), before, "{what}");
        }
        // The first thing that the story tells to be wrong is what the gateway refuses for.
        if told["issuer"].is_object() {
            assert_eq!(first_trouble(&told), reason, "{what}: {told:#}");
        }
        for token in headers
            .iter()
            .filter_map(|header| header.strip_prefix("Authorization: Bearer "))
        {
            for piece in token.split('.').filter(|piece| piece.len() > 20) {
                assert!(
                    !story.contains(&piece[..20]) && !text(&document.stdout).contains(&piece[..20]),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(test_bed.upstream.received().len(), 0);
}

/// The first step of a story about a token that does not hold.
fn first_trouble(told: &Value) -> Option<&str> {
    let (token, key) = (&told["token"], &told["key"]);
    if let Some(reason) = token["reason"].as_str() {
        return Some(reason);
    }
    if told["issuer"]["name"].is_null() {
        return Some(if token["kind"] == "jwt" {
            "unknown_issuer"
        } else {
            "opaque"
        });
    }
    if token["typ_ok"] == false {
        return Some("wrong_type");
    }
    match key["signature"].as_str() {
        Some("no_keys") => return Some("issuer_unavailable"),
        Some("bad") => return key["reason"].as_str(),
        _ => {}
    }
    let list = |value: &'_ Value| value.as_array().expect("a list").clone();
    let reasons = told["claims"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|check| check["reason"].as_str());
    if let Some(reason) = reasons.flatten().next() {
        return Some(reason);
    }
    let sets = list(&told["required_scopes"]);
    if sets
        .iter()
        .flat_map(list)
        .any(|scope| !scope["unusable"].is_null())
    {
        return Some("unusable_parameter");
    }
    let is_met = |set: &Value| list(set).iter().all(|scope| !scope["met_by"].is_null());
    (!sets.is_empty() && !sets.iter().any(is_met)).then_some("insufficient_scope")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn stories_tell_what_was_found_and_what_was_expected() {
    let test_bed = TestBed::start();
    let told = |arguments: &[&str]| text(&test_bed.explain(arguments).stdout);
    let expired = test_bed.token(|claims| claims["exp"] = json!(now() - 7300));
    let story = told(&["GET", "/things", "--token", &expired]);
    for line in [
        "route    /things for GET, HEAD (gateway.toml:18), asks for things.read\n",
        "token    a JWT: alg ES256, kid \"first\", typ \"at+jwt\"\n",
        &format!("issuer   corp: iss is {:?}\n", test_bed.issuer.url),
        "key      ok  signed with the key \"first\"\n",
        "ok  aud: \"https://api.test\"\n",
        ", 2 h 1 min ago; expected a time to come",
        "ok  scope: \"things.read\"\n",
        "scopes   ok  things.read: granted\n",
    ] {
        assert!(story.contains(line), "{line:?} in {story}");
    }
    let story = told(&[
        "GET",
        "/things/7",
        "--token",
        &test_bed.token(|claims| claims["scope"] = json!("thing.*")),
    ]);
    assert!(
        story.contains("scopes   NO  things.read: missing\n"),
        "{story}"
    );
    assert!(
        story.contains("         ok  thing.7 (thing.{id}): met by thing.*\n"),
        "{story}"
    );
    assert!(
        story.contains("         {id} is \"7\"\n         not /{*rest} on look.test"),
        "{story}"
    );
    let story = told(&["POST", "/things"]);
    assert!(
        story.contains("not /things for GET, HEAD (gateway.toml:18): its methods are GET, HEAD\n"),
        "{story}"
    );
    let story = told(&["GET", "http://look.test/things"]);
    assert!(
        story.contains(
            "not /things for GET, HEAD (gateway.toml:18): it would fit, but the host look.test"
        ),
        "{story}"
    );
    let story = told(&["GET", "http://look.test/admin.json"]);
    for line in [
        "/{*rest} on look.test (gateway.toml:57): it would fit, but a server may read the path as another route's\n",
        "/admin on look.test (gateway.toml:52): a server may read the path as this one's, which asks for more\n",
        "but found one of \"/{*rest}\" that some take for \"/admin\" (declare the path itself if it is meant)\n",
    ] {
        assert!(story.contains(line), "{line:?} in {story}");
    }
    let gone =
        test_bed.token(|claims| claims["iss"] = json!(format!("http://{}:9", test_bed.address)));
    let story = told(&["GET", "/gone", "--token", &gone]);
    assert!(
        story.contains("key      NO  no keys of the issuer: no metadata at http://"),
        "{story}"
    );
    assert!(story.contains("Connection refused"), "{story}");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn requests_that_would_pass_are_told_with_what_the_upstream_would_get_and_not_sent() {
    let test_bed = TestBed::start();
    let good = test_bed.token(|claims| claims["scope"] = json!("things.read thing.7 c.d"));
    fs::write(test_bed.folder().join("token"), format!("{good}\n")).expect("a file");
    let told = |arguments: &[&str]| {
        let output = test_bed.explain(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        serde_json::from_slice::<Value>(&output.stdout).expect("one JSON object")
    };
    let thing = told(&[
        "GET",
        "/things/7?x=1",
        "--token",
        "@token",
        "-H",
        "X-Client-Id: forged",
    ]);
    assert_eq!(
        (&thing["verdict"], &thing["reason"], &thing["answer"]),
        (&json!("passes"), &Value::Null, &Value::Null)
    );
    let sent = &thing["upstream_request"];
    assert_eq!(
        (&sent["upstream"], &sent["method"], &sent["path"]),
        (&json!("up"), &json!("GET"), &json!("/7"))
    );
    let added = sent["headers_added"].as_array().expect("a list");
    assert!(
        added.contains(&json!(["x-client-id", "client-1"])),
        "{sent}"
    );
    assert!(
        added.contains(&json!(["x-forwarded-for", "127.0.0.1"])),
        "{sent}"
    );
    assert_eq!(thing["route"]["methods"], json!(["GET", "HEAD"]));
    assert_eq!(thing["route"]["parameters"], json!({ "id": "7" }));
    assert_eq!(thing["required_scopes"][0][1]["met_by"], "thing.7");

    let padded = test_bed.token(|claims| {
        (claims["client_id"], claims["scope"]) = (json!("client-1 "), json!("thing.7 things.read"));
    });
    let sent = &told(&["GET", "/things/7", "--token", &padded])["upstream_request"];
    let left_out = json!({
        "header": "x-client-id", "claim": "client_id", "found": "white space at its start or end",
    });
    assert_eq!(sent["claim_headers_left_out"], json!([left_out]), "{sent}");
    assert!(!sent.to_string().contains("client-1"), "{sent}");

    let either = told(&[
        "DELETE",
        &format!("http://{}:8080/either", test_bed.address),
        "--token",
        &good,
    ]);
    assert_eq!(
        either["upstream_request"]["headers_removed"],
        json!(["authorization"])
    );
    assert_eq!(either["required_scopes"][1][0]["met_by"], "c.d");
    let open = told(&["GET", "/open", "--token", "whatever"]);
    assert_eq!(open["token"]["kind"], "not_asked_for");
    let shadowed = told(&["GET", "/shadow"]);
    assert_eq!(
        (&shadowed["shadowed"], &shadowed["reason"]),
        (&json!(true), &json!("no_token"))
    );

    let mut child = command();
    child
        .args(["explain", "GET", "/things", "--token", "-"])
        .current_dir(test_bed.folder())
        .stdin(Stdio::piped());
    let mut child = child.stdout(Stdio::piped()).spawn().expect("the binary");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(format!("  {good}\n\n").as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("its output");
    let story = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{story}");
    let target = test_bed.upstream.address;
    assert!(
        story.contains(&format!(
            "It would pass to upstream up (http://{target}) as GET /things\n"
        )),
        "{story}"
    );
    assert_eq!(test_bed.upstream.received().len(), 0);
}

#[test]
fn protocol_that_would_be_switched_to_is_told_as_it_would_be_sent() {
    let test_bed = TestBed::start();
    let told = test_bed.explain(&[
        "GET",
        "/open",
        "-H",
        "Connection: keep-alive, Upgrade",
        "-H",
        "Upgrade: websocket",
    ]);
    let story = text(&told.stdout);
    assert!(
        story.contains("  connection: upgrade\n") && !story.contains("without"),
        "{story}"
    );
}

#[test]
fn head_that_is_too_long_is_explained_with_the_answer_that_it_gets() {
    let test_bed = TestBed::start();
    for bytes in [40_000, 120_000] {
        let told = test_bed.explain(&[
            "GET",
            "/open",
            "--json",
            "-H",
            &format!("X-Long: {}", "a".repeat(bytes)),
        ]);
        let told: Value = serde_json::from_slice(&told.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&told.stderr)));
        assert_eq!(
            (&told["verdict"], &told["answer"]["status"]),
            (&json!("refused"), &json!(431)),
            "{told}"
        );
    }
}

#[test]
fn offline_nobody_is_asked_and_what_cannot_be_known_is_told_as_such() {
    let test_bed = TestBed::start();
    let fetched = test_bed.issuer.server.received().len();
    let good = test_bed.token(|_| ());
    let offline = |arguments: &[&str]| {
        test_bed.explain(&[&["GET", "/things", "--offline"], arguments].concat())
    };

    let unknown = offline(&["--token", &good]);
    let story = text(&unknown.stdout);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        story.contains("Unknown: the issuer was not asked (--offline)\n"),
        "{story}"
    );
    assert!(
        story.contains("give the keys of \"corp\" with --jwks FILE") && !story.contains("HTTP/1.1"),
        "{story}"
    );
    let document: Value =
        serde_json::from_slice(&offline(&["--token", &good, "--json"]).stdout).expect("JSON");
    assert_eq!(
        (&document["verdict"], &document["answer"]),
        (&json!("unknown"), &Value::Null)
    );
    let expired = offline(&[
        "--token",
        &test_bed.token(|claims| claims["exp"] = json!(now() - 7300)),
    ]);
    let story = text(&expired.stdout);
    assert!(
        story.contains("Unknown: ")
            && story.contains("whatever its signature, the token would be refused: expired\n")
    );
    // What needs no keys is known all the same.
    assert!(text(&offline(&[]).stdout).contains("Refused: no_token"));

    fs::write(
        test_bed.folder().join("keys.json"),
        json!({ "keys": [test_bed.key.jwk()] }).to_string(),
    )
    .expect("a file");
    let passes = offline(&["--token", &good, "--jwks", "keys.json"]);
    assert_eq!(passes.status.code(), Some(0), "{}", text(&passes.stdout));
    let stranger = Key::es256("first").token(&test_bed.claims(|_| ()));
    let refused = offline(&["--token", &stranger, "--jwks", "keys.json"]);
    assert!(text(&refused.stdout).contains("Refused: bad_signature"));
    assert_eq!(
        test_bed.issuer.server.received().len(),
        fetched,
        "nobody was asked"
    );

    // Keys of the file need no argument.
    let toml = fs::read_to_string(test_bed.folder().join("gateway.toml")).expect("the file");
    let toml = toml.replacen("audience =", "jwks_file = \"keys.json\"\naudience =", 1);
    fs::write(test_bed.folder().join("fixed.toml"), toml).expect("a file");
    let passes = offline(&["--token", &good, "--config", "fixed.toml"]);
    assert_eq!(passes.status.code(), Some(0), "{}", text(&passes.stdout));
    assert_eq!(
        test_bed.issuer.server.received().len(),
        fetched,
        "nobody was asked"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn answers_of_an_authorization_server_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(|request: &Received| {
        match &*String::from_utf8_lossy(&request.body) {
            "token=good&token_type_hint=access_token" => Reply::json(json!({
                "active": true, "iss": "https://as.test", "aud": "https://api.test", "scope": "things.read", "exp": now() + 60,
            })),
            "token=narrow&token_type_hint=access_token" => {
                Reply::json(json!({ "active": true, "aud": "https://api.test" }))
            }
            "token=foreign&token_type_hint=access_token" => {
                Reply::json(json!({ "active": true, "aud": "https://b.test" }))
            }
            "token=broken&token_type_hint=access_token" => Reply::status(500),
            _ => Reply::json(json!({ "active": false })),
        }
    });
    let toml = format!(
        "[issuers.asked]\nissuer = \"https://as.test\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.asked.introspection]\nendpoint = \"http://{0}/introspect\"\nclient_id = \"gate\"\n\
         client_secret = \"secret\"\n[upstreams.up]\ntargets = \"http://{0}\"\n\
         [[routes]]\npath = \"/things\"\nscope = \"things.read\"\nupstream = \"up\"\n",
        server.address
    );
    for (token, verdict, reason) in [
        ("good", "passes", None),
        ("narrow", "refused", Some("insufficient_scope")),
        ("foreign", "refused", Some("wrong_audience")),
        ("revoked", "refused", Some("inactive")),
        ("broken", "refused", Some("issuer_unavailable")),
    ] {
        let told = explained(
            &folder,
            &toml,
            &["GET", "/things", "--token", token, "--json"],
        );
        assert_eq!(
            (told["verdict"].as_str(), told["reason"].as_str()),
            (Some(verdict), reason),
            "{token}: {told}"
        );
        assert_eq!(told["issuer"]["name"], "asked", "{token}");
        let is_good = token == "good" || token == "narrow";
        let aud = told["claims_of_answer"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|check| check["claim"] == "aud");
        assert_eq!(
            aud.map(|aud| aud["ok"] == true),
            is_good.then_some(true),
            "{token}: {told}"
        );
    }
    let asked = server.received().len();
    let told = explained(
        &folder,
        &toml,
        &["GET", "/things", "--token", "good", "--json", "--offline"],
    );
    assert_eq!(told["verdict"], "unknown");
    assert_eq!(told["cause"], "its server was not asked (--offline)");
    assert!(
        told["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("leave out --offline")),
        "{told}"
    );
    assert_eq!(server.received().len(), asked);
}

fn explained(folder: &TempDir, toml: &str, arguments: &[&str]) -> Value {
    fs::write(folder.path().join("gateway.toml"), toml).expect("a file");
    let mut command: Command = command();
    command.arg("explain").args(arguments);
    let output = finished(command, folder.path());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

#[test]
fn a_development_server_is_to_be_started_only_where_nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(|_| Reply::status(401));
    let free = own_address();
    let toml = |listen: &str, issuer: &str| {
        format!(
            "[development]\nlisten = \"{listen}\"\necho = \"{free}:8081\"\n\
             [issuers.other]\nissuer = \"https://as.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
             [issuers.other.introspection]\nendpoint = \"http://{issuer}/introspect\"\nclient_id = \"gate\"\n\
             client_secret = \"secret\"\n[upstreams.up]\ntargets = \"http://{free}:8081\"\n\
             [[routes]]\npath = \"/things\"\nissuers = \"other\"\nupstream = \"up\"\n"
        )
    };
    let (nobody, elsewhere, listens) = (
        format!("{free}:9080"),
        format!("{free}:9"),
        server.address.to_string(),
    );
    for (listen, issuer, is_told) in [
        (&nobody, &nobody, true),
        (&nobody, &elsewhere, false),
        (&listens, &listens, false),
    ] {
        let told = explained(
            &folder,
            &toml(listen, issuer),
            &["GET", "/things", "--token", "opaque", "--json"],
        );
        assert_eq!(told["reason"], "issuer_unavailable", "{told}");
        let remedy = told["remedy"].as_str();
        assert_eq!(
            remedy.is_some_and(|remedy| remedy.contains("start scopegate in another terminal")),
            is_told,
            "{told}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_cannot_be_asked_is_bad_input_and_shows_no_token() {
    let test_bed = TestBed::start();
    let good = test_bed.token(|_| ());
    fs::write(test_bed.folder().join("blank"), " \n").expect("a file");
    fs::write(test_bed.folder().join("no.json"), "{}").expect("a file");
    let schemed = format!("bearer {good}");
    let leaky = format!("Authorization Bearer {good}");
    let broken = format!("{good}\nb");
    let in_query = format!("/things?access_token={good} b");
    for (arguments, message) in [
        (vec!["GET"], "<URL>"),
        (
            vec!["G T", "/things"],
            "METHOD: expected the name of a method such as GET, but found \"G T\"",
        ),
        (
            vec!["GET", "things"],
            "URL: expected a path that starts with / or an http or https URL",
        ),
        (
            vec!["GET", "ftp://a/b"],
            "URL: expected a path that starts with / or an http or https URL",
        ),
        (
            vec!["GET", "/a b"],
            "URL: expected no spaces (a client writes %20)",
        ),
        (
            vec!["GET", &in_query],
            "URL: expected no spaces (a client writes %20), but found \"/things\"",
        ),
        (
            vec!["GET", "http:///a"],
            "URL: expected a host after the scheme",
        ),
        (
            vec!["GET", "/things", "--token", "@nowhere"],
            "--token: expected a token in nowhere, but found none: No such",
        ),
        (
            vec!["GET", "/things", "--token", "@blank"],
            "--token: expected a token in blank, but found nothing",
        ),
        (
            vec!["GET", "/things", "--token", &broken],
            "--token: expected a token on one line",
        ),
        (
            vec!["GET", "/things", "--token", ""],
            "--token: expected a token, but found an empty one",
        ),
        (
            vec!["GET", "/things", "--token", &schemed],
            "--token takes the token alone, without \"Bearer\"",
        ),
        (
            vec!["GET", "/things", "--header", &leaky],
            "--header: expected NAME: VALUE, but found no colon",
        ),
        (
            vec!["GET", "/things", "--jwks", "nowhere"],
            "nowhere: expected a JWK set, but found none: No such",
        ),
        (
            vec!["GET", "/things", "--jwks", "no.json"],
            "no.json: expected a JWK set, but found none",
        ),
        (
            vec!["GET", "/things", "--config", "no.toml"],
            "no.toml: expected a file to read, but found none",
        ),
    ] {
        let output = test_bed.explain(&arguments);
        let told = text(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{arguments:?}: {told}"
        );
        assert!(told.contains(message), "{message}: {told}");
        assert!(!told.contains(&good[..20]), "{message}: a token is shown");
    }
}
