//! What a request is called by everybody on its way: `X-Request-Id`.

use harness::{Connection, Reply, Response, Server, TestBed, eventually, send};

const ROUTES: &str = "
[[routes]]
path = \"/open\"
public = true
upstream = \"up\"

[[routes]]
path = \"/closed\"
issuers = \"corp\"
upstream = \"up\"

[[routes]]
path = \"/gone\"
public = true
upstream = \"gone\"

[upstreams.gone]
targets = \"http://127.0.0.1:1\"
retries = 0
";

fn ask(test_bed: &TestBed, target: &str, fields: &str) -> Response {
    send(
        test_bed.address,
        format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n"),
    )
}

fn is_made(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[test]
fn client_upstream_and_log_know_a_request_by_one_name() {
    let test_bed = TestBed::routes(ROUTES);
    let mut names = Vec::new();
    for _ in 0..3 {
        let answer = ask(&test_bed, "/open", "");
        let name = answer.header("x-request-id").expect("a name").to_owned();
        assert!(is_made(&name), "{name}");
        assert_eq!(test_bed.last().header("x-request-id"), [&name]);
        eventually("it is logged", || {
            test_bed
                .requests
                .lines()
                .iter()
                .any(|line| line["request_id"] == *name)
        });
        names.push(name);
    }
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn refusals_have_names_too() {
    let test_bed = TestBed::routes(ROUTES);
    for (target, fields, status) in [
        ("/closed", "", 401),
        ("/closed", "Authorization: Bearer no.good.token\r\n", 401),
        ("/closed", "Authorization: Bearer a b\r\n", 400),
        ("/nowhere", "", 404),
        ("//", "", 400),
        ("/open", "Host: another.test\r\n", 400),
        ("/gone", "", 502),
        ("/closed", "Content-Type: application/grpc\r\n", 401),
    ] {
        let answer = ask(&test_bed, target, fields);
        assert_eq!(answer.status, status, "{target}");
        let name = answer.header("x-request-id").expect("a name").to_owned();
        assert!(is_made(&name), "{name}");
        eventually("it is logged", || {
            test_bed
                .requests
                .lines()
                .iter()
                .any(|line| line["request_id"] == *name)
        });
    }
}

#[test]
fn name_is_kept_from_trusted_proxies_only() {
    let proxied = TestBed::toml("[server]\ntrusted_proxies = \"127.0.0.1\"", "", "", ROUTES);
    let direct = TestBed::routes(ROUTES);
    for (test_bed, fields, is_kept) in [
        (&proxied, "X-Request-Id: from-the-proxy/1\r\n", true),
        (&direct, "X-Request-Id: from-the-proxy/1\r\n", false),
        (&proxied, "X-Request-Id: two words\r\n", false),
        (&proxied, "X-Request-Id: a\"b\r\n", false),
        (
            &proxied,
            "X-Request-Id: one\r\nX-Request-Id: another\r\n",
            false,
        ),
        (&proxied, "X_Request_Id: from-the-proxy/1\r\n", false),
        (&direct, "X.Request-Id: from-the-proxy/1\r\n", false),
    ] {
        let answer = ask(test_bed, "/open", fields);
        let name = answer.header("x-request-id").expect("a name");
        assert_eq!(
            (name == "from-the-proxy/1", is_made(name)),
            (is_kept, !is_kept),
            "{fields:?}: {name}"
        );
        let sent = test_bed.last();
        let spellings = sent.headers.iter().filter(|(known, _)| {
            known.to_ascii_lowercase().replace(['_', '.'], "-") == "x-request-id"
        });
        assert_eq!(
            spellings.map(|(_, value)| &**value).collect::<Vec<_>>(),
            [name],
            "{fields:?}"
        );
    }
    let answer = ask(&direct, "/open", "Connection: X-Request-Id\r\n");
    assert_eq!(answer.status, 400, "it is not the client's to take off");
}

#[test]
fn name_is_the_gateways_whatever_the_upstream_calls_it() {
    let test_bed = TestBed::routes(ROUTES);
    let named = Server::start(|_| Reply::new(200, &[("X-Request-Id", "of the upstream")], "hello"));
    let toml = |front: &str| {
        format!(
            "{front}\n[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/open\"\npublic = true\nupstream = \"up\"\n",
            named.address
        )
    };
    let gateway = harness::Gateway::start(&toml(""));
    let answer = send(gateway.address, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.header("x-request-id").is_some_and(is_made));
    drop(test_bed);

    // Where names are not wanted, they are nobody's business here.
    let gateway = harness::Gateway::start(&toml("[server]\nrequest_id = false"));
    let answer = send(
        gateway.address,
        "GET /open HTTP/1.1\r\nHost: a\r\nX-Request-Id: the client's\r\n\r\n",
    );
    assert_eq!(answer.header("x-request-id"), Some("of the upstream"));
    assert_eq!(
        named
            .received()
            .pop()
            .expect("a request")
            .header("x-request-id"),
        ["the client's"]
    );
    let answer = send(gateway.address, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.header("x-request-id")), (404, None));
    eventually("both are logged", || gateway.requests.lines().len() == 2);
    assert!(!gateway.requests.text().contains("request_id"));
}

#[test]
fn each_request_of_a_connection_has_a_name_of_its_own() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = Connection::open(test_bed.address);
    let mut ask = || {
        let answer = connection.ask("GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
        answer.header("x-request-id").expect("a name").to_owned()
    };
    assert_ne!(ask(), ask());
}
