//! `X-Request-Id`: one id for client, upstream and access log.

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
path = \"/unreachable\"
public = true
upstream = \"unreachable\"

[upstreams.unreachable]
targets = \"http://127.0.0.1:1\"
retries = 0
";

fn ask(test_bed: &TestBed, target: &str, fields: &str) -> Response {
    send(
        test_bed.address,
        format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n"),
    )
}

fn is_generated(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[test]
fn client_upstream_and_log_see_the_same_id() {
    let test_bed = TestBed::routes(ROUTES);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = ask(&test_bed, "/open", "");
        let id = response.header("x-request-id").expect("an id").to_owned();
        assert!(is_generated(&id), "{id}");
        assert_eq!(test_bed.last().header("x-request-id"), [&id]);
        eventually("the request is logged", || {
            test_bed
                .requests
                .lines()
                .iter()
                .any(|line| line["request_id"] == *id)
        });
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn refusals_have_ids_too() {
    let test_bed = TestBed::routes(ROUTES);
    for (target, fields, status) in [
        ("/closed", "", 401),
        ("/closed", "Authorization: Bearer no.good.token\r\n", 401),
        ("/closed", "Authorization: Bearer a b\r\n", 400),
        ("/nowhere", "", 404),
        ("//", "", 400),
        ("/open", "Host: another.test\r\n", 400),
        ("/unreachable", "", 502),
        ("/closed", "Content-Type: application/grpc\r\n", 401),
    ] {
        let response = ask(&test_bed, target, fields);
        assert_eq!(response.status, status, "{target}");
        let id = response.header("x-request-id").expect("an id").to_owned();
        assert!(is_generated(&id), "{id}");
        eventually("the request is logged", || {
            test_bed
                .requests
                .lines()
                .iter()
                .any(|line| line["request_id"] == *id)
        });
    }
}

#[test]
fn id_is_accepted_from_trusted_proxies_only() {
    let proxied = TestBed::toml("[server]\ntrusted_proxies = \"127.0.0.1\"", "", "", ROUTES);
    let direct = TestBed::routes(ROUTES);
    for (test_bed, fields, is_accepted) in [
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
        let response = ask(test_bed, "/open", fields);
        let id = response.header("x-request-id").expect("an id");
        assert_eq!(
            (id == "from-the-proxy/1", is_generated(id)),
            (is_accepted, !is_accepted),
            "{fields:?}: {id}"
        );
        let sent = test_bed.last();
        let spellings = sent.headers.iter().filter(|(known, _)| {
            known.to_ascii_lowercase().replace(['_', '.'], "-") == "x-request-id"
        });
        assert_eq!(
            spellings.map(|(_, value)| &**value).collect::<Vec<_>>(),
            [id],
            "{fields:?}"
        );
    }
    let response = ask(&direct, "/open", "Connection: X-Request-Id\r\n");
    assert_eq!(response.status, 400, "a client cannot have it removed");
}

#[test]
fn id_of_the_gateway_replaces_that_of_the_upstream() {
    let test_bed = TestBed::routes(ROUTES);
    let labelling =
        Server::start(|_| Reply::new(200, &[("X-Request-Id", "of the upstream")], "hello"));
    let toml = |top: &str| {
        format!(
            "{top}\n[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/open\"\npublic = true\nupstream = \"up\"\n",
            labelling.address
        )
    };
    let gateway = harness::Gateway::start(&toml(""));
    let response = send(gateway.address, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(response.header("x-request-id").is_some_and(is_generated));
    drop(test_bed);

    // With `request_id = false`, ids of client and upstream pass unchanged.
    let gateway = harness::Gateway::start(&toml("[server]\nrequest_id = false"));
    let response = send(
        gateway.address,
        "GET /open HTTP/1.1\r\nHost: a\r\nX-Request-Id: the client's\r\n\r\n",
    );
    assert_eq!(response.header("x-request-id"), Some("of the upstream"));
    assert_eq!(
        labelling
            .received()
            .pop()
            .expect("a request")
            .header("x-request-id"),
        ["the client's"]
    );
    let response = send(gateway.address, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (response.status, response.header("x-request-id")),
        (404, None)
    );
    eventually("both requests are logged", || {
        gateway.requests.lines().len() == 2
    });
    assert!(!gateway.requests.text().contains("request_id"));
}

#[test]
fn each_request_of_a_connection_has_its_own_id() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = Connection::open(test_bed.address);
    let mut ask = || {
        let response = connection.ask("GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
        response.header("x-request-id").expect("an id").to_owned()
    };
    assert_ne!(ask(), ask());
}
