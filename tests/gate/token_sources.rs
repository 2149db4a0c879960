//! `token_from`: tokens in the protocols of a WebSocket handshake, and in a cookie.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use harness::{Authority, Connection, Response, TIMEOUT, TestBed, send};

const APP: &str = "Origin: https://app.example.com\r\n";
const EVIL: &str = "Origin: https://evil.test\r\n";
const SAME_ORIGIN: &str = "Sec-Fetch-Site: same-origin\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";

const ALL: &str = "token_from = [\"header\", \"websocket_protocol\", { cookie = \"at\", origins = [\"https://app.example.com\"] }]\n";

fn routes() -> String {
    let route = |path: &str, keys: &str| {
        format!("[[routes]]\npath = \"{path}\"\nscope = \"read\"\nupstream = \"up\"\n{keys}")
    };
    [
        route("/all", ALL),
        route("/strip", &format!("{ALL}forward_token = \"strip\"\n")),
        route("/shadow", &format!("{ALL}enforce = false\n")),
        route("/cookie", "token_from = { cookie = \"at\" }\n"),
        route("/header", ""),
        route("/ws", ALL).replace("\"up\"", "\"sockets\""),
    ]
    .concat()
}

/// An upstream that accepts every WebSocket, and selects the protocol that `/ws?PROTOCOL` names.
fn sockets() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, (sender, heads)) = (listener.local_addr().expect("bound"), channel());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let Some(head) = read_head(&mut socket) else {
                continue;
            };
            let query = head
                .split(' ')
                .nth(1)
                .and_then(|target| target.split('?').nth(1));
            let selected = query
                .map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"))
                .unwrap_or_default();
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{selected}\r\n"
            );
            let _ = socket.write_all(response.as_bytes());
            if sender.send(head).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

fn read_head(socket: &mut TcpStream) -> Option<String> {
    use std::io::Read;
    socket.set_read_timeout(Some(TIMEOUT)).ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn test_bed() -> (TestBed, Receiver<String>) {
    let (address, heads) = sockets();
    let routes = format!(
        "{}[upstreams.sockets]\ntargets = \"http://{address}\"\n",
        routes()
    );
    (TestBed::routes(&routes), heads)
}

fn ask(test_bed: &TestBed, path: &str, lines: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    send(test_bed.address, request)
}

/// A handshake with these protocols, and the response to it.
fn handshake(test_bed: &TestBed, path: &str, lines: &str) -> Response {
    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\n{UPGRADE}{lines}\r\n"
    ));
    connection.try_read(false).expect("a response")
}

fn kubernetes(token: &str) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    format!("{KUBERNETES}{}", engine.encode(token))
}

fn lines_of<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn cookie_of_a_foreign_page_is_refused_without_a_challenge() {
    let (test_bed, _heads) = test_bed();
    let cookie = format!("Cookie: at={}\r\n", test_bed.token("read"));
    for lines in [
        "",
        EVIL,
        "Origin: null\r\n",
        "Origin: https://app.example.com.evil.test\r\n",
        "Origin: https://app.example.com\r\nOrigin: https://evil.test\r\n",
        "Referer: https://app.example.com/\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        for path in ["/all", "/strip", "/shadow", "/ws"] {
            let response = handshake(&test_bed, path, &format!("{cookie}{lines}"));
            assert_eq!(
                (response.status, response.challenge()),
                (403, None),
                "{path} {lines}"
            );
        }
        // Without a cookie, the same page is asked for a token.
        assert_eq!(ask(&test_bed, "/all", lines).status, 401, "{lines}");
    }
    assert_eq!(
        ask(&test_bed, "/cookie", &format!("{cookie}{APP}")).status,
        403
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn cookie_is_accepted_from_listed_pages_and_becomes_an_authorization_header() {
    let (test_bed, _heads) = test_bed();
    let token = test_bed.token("read");
    let cookies = format!("Cookie: a=\"1\"; at={token};b= 2\r\n");
    for lines in [APP, SAME_ORIGIN] {
        assert_eq!(
            ask(&test_bed, "/all", &format!("{cookies}{lines}")).status,
            200
        );
        let received = test_bed.last();
        assert_eq!(received.header("cookie"), ["a=\"1\";b= 2"]);
        assert_eq!(
            received.header("authorization"),
            [format!("Bearer {token}")]
        );
    }
    assert_eq!(
        ask(&test_bed, "/strip", &format!("{cookies}{APP}")).status,
        200
    );
    let received = test_bed.last();
    assert!(received.header("authorization").is_empty());
    assert_eq!(received.header("cookie"), ["a=\"1\";b= 2"]);
    let alone = format!("Cookie: at={token}\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n{SAME_ORIGIN}");
    assert_eq!(ask(&test_bed, "/cookie", &alone).status, 200);
    let received = test_bed.last();
    assert!(received.header("cookie").is_empty());
    assert_eq!(
        received.header("authorization"),
        [format!("Bearer {token}")]
    );
}

#[test]
fn two_tokens_or_malformed_ones_are_400() {
    let (test_bed, _heads) = test_bed();
    let token = test_bed.token("read");
    let (bearer, cookie) = (
        format!("Authorization: Bearer {token}\r\n"),
        format!("Cookie: at={token}\r\n"),
    );
    let protocols = format!("Sec-WebSocket-Protocol: bearer, {token}\r\n");
    let kubernetes = kubernetes(&token);
    for lines in [
        format!("{bearer}{cookie}"),
        format!("{bearer}{protocols}"),
        format!("{cookie}{protocols}"),
        format!("Authorization: Basic dGVzdDp0ZXN0\r\n{cookie}"),
        format!("Cookie: at={token}; at={token}\r\n"),
        format!("{cookie}{cookie}"),
        format!("Cookie: at={token}; at\r\n"),
        "Cookie: at=\r\n".to_owned(),
        format!("Sec-WebSocket-Protocol: bearer, {token}, bearer, {token}\r\n"),
        format!("{protocols}Sec-WebSocket-Protocol: bearer, {token}\r\n"),
        "Sec-WebSocket-Protocol: bearer\r\n".to_owned(),
        format!("Sec-WebSocket-Protocol: {kubernetes}\r\n"),
        format!("Sec-WebSocket-Protocol: {kubernetes}, {kubernetes}, chat\r\n"),
        format!("Sec-WebSocket-Protocol: {kubernetes}=, chat\r\n"),
        format!("Sec-WebSocket-Protocol: bearer, {token}, {kubernetes}\r\n"),
    ] {
        for path in ["/all", "/shadow", "/ws"] {
            let response = handshake(&test_bed, path, &format!("{lines}{APP}"));
            assert_eq!(response.status, 400, "{path} {lines}");
            assert_eq!(
                response.challenge(),
                Some("Bearer error=\"invalid_request\"")
            );
            assert!(
                !response.text().contains(&token)
                    && response.header("sec-websocket-protocol").is_none()
            );
        }
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn websocket_token_is_removed_and_a_protocol_is_selected() {
    let (test_bed, heads) = test_bed();
    let token = test_bed.token("read");
    let encoded = kubernetes(&token);
    let bearer = format!("bearer, {token}");
    for (path, protocols, forwarded, selected) in [
        ("/ws", bearer.clone(), None, Some("bearer")),
        (
            "/ws?chat",
            format!("{bearer}, chat, v2"),
            Some("chat, v2"),
            Some("chat"),
        ),
        (
            "/ws?chat",
            format!("chat,{encoded}"),
            Some("chat"),
            Some("chat"),
        ),
        (
            "/ws",
            format!("{bearer}, chat"),
            Some("chat"),
            Some("bearer"),
        ),
        ("/ws?other", bearer, None, Some("bearer")),
        ("/ws?other", format!("{encoded}, chat"), Some("chat"), None),
    ] {
        let lines = format!("Sec-WebSocket-Protocol: {protocols}\r\n");
        let response = handshake(&test_bed, path, &lines);
        assert_eq!(
            (response.status, response.header("sec-websocket-protocol")),
            (101, selected),
            "{path} {protocols}"
        );
        let head = heads.recv_timeout(TIMEOUT).expect("a forwarded handshake");
        let left: Vec<_> = forwarded.into_iter().collect();
        assert_eq!(
            lines_of(&head, "sec-websocket-protocol"),
            left,
            "{protocols}"
        );
        assert_eq!(
            lines_of(&head, "authorization"),
            [format!("Bearer {token}")]
        );
        assert!(!head.contains(KUBERNETES));
    }
    // A token of the header leaves the protocols alone.
    let lines = format!("Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: chat\r\n");
    let response = handshake(&test_bed, "/ws?chat", &lines);
    assert_eq!(response.header("sec-websocket-protocol"), Some("chat"));
    let head = heads.recv_timeout(TIMEOUT).expect("a forwarded handshake");
    assert_eq!(lines_of(&head, "sec-websocket-protocol"), ["chat"]);
}

#[test]
fn protocols_and_query_are_no_source_elsewhere() {
    let (test_bed, _heads) = test_bed();
    let token = test_bed.token("read");
    let protocols = format!("Sec-WebSocket-Protocol: bearer, {token}\r\n");
    assert_eq!(ask(&test_bed, "/all", &protocols).status, 401);
    assert_eq!(
        ask(&test_bed, &format!("/all?access_token={token}"), APP).status,
        401
    );
    for path in ["/header", "/cookie"] {
        assert_eq!(handshake(&test_bed, path, &protocols).status, 401, "{path}");
    }
    let cookie = format!("Cookie: at={token}\r\n{APP}{SAME_ORIGIN}");
    assert_eq!(ask(&test_bed, "/header", &cookie).status, 401);
    let posted = format!(
        "POST /all HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{protocols}\r\n"
    );
    assert_eq!(send(test_bed.address, posted).status, 401);
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn cached_token_of_a_connection_does_not_carry_over_to_another_source() {
    let (test_bed, _heads) = test_bed();
    let token = test_bed.token("read");
    let mut connection = Connection::open(test_bed.address);
    let mut ask = |lines: &str| {
        let request = format!("GET /all HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        connection.ask(request).status
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let cookie = format!("Cookie: at={token}\r\n");
    for _ in 0..2 {
        assert_eq!(ask(&bearer), 200);
        assert_eq!(ask(&cookie), 403);
        assert_eq!(ask(&format!("{cookie}{EVIL}")), 403);
        assert_eq!(ask(&format!("{cookie}{APP}")), 200);
        assert_eq!(ask(&cookie), 403);
        assert_eq!(ask(""), 401);
        assert_eq!(ask(&format!("{bearer}{cookie}{APP}")), 400);
    }
}

#[test]
fn shadow_mode_removes_the_cookie_and_the_protocol_too() {
    let (test_bed, _heads) = test_bed();
    let token = test_bed.token("other");
    let lines = format!("Cookie: at={token}; a=1\r\nSec-WebSocket-Protocol: chat\r\n{APP}");
    assert_eq!(ask(&test_bed, "/shadow", &lines).status, 200);
    let received = test_bed.last();
    assert_eq!(received.header("cookie"), ["a=1"]);
    let lines = format!("Sec-WebSocket-Protocol: chat, bearer, {token}\r\n");
    assert_eq!(ask(&test_bed, "/shadow", &lines).status, 200);
    assert_eq!(test_bed.last().header("sec-websocket-protocol"), ["chat"]);
}

#[test]
fn response_of_an_upstream_without_a_switch_is_forwarded() {
    let test_bed = TestBed::routes(&routes().replace("\"sockets\"", "\"up\""));
    let lines = format!(
        "Sec-WebSocket-Protocol: bearer, {}\r\n",
        test_bed.token("read")
    );
    let response = handshake(&test_bed, "/ws", &lines);
    assert_eq!(
        (response.status, response.text()),
        (200, "hello".to_owned())
    );
    assert_eq!(response.header("sec-websocket-protocol"), None);
}

#[test]
fn http2_request_has_its_token_in_a_cookie_and_never_in_a_protocol() {
    let (test_bed, _heads) = test_bed();
    let token = test_bed.token("read");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(Authority::generate().client_config(None))
            .http2_prior_knowledge()
            .no_proxy()
            .build()
            .expect("a client");
        let url = format!("http://{}/all", test_bed.address);
        let crumbs = |count: usize| {
            let at = format!("at={token}");
            let crumbs = ["a=1", &*at, "b=2", &*at];
            let crumbs = &crumbs[..count];
            crumbs.iter().fold(client.get(&url), |request, crumb| {
                request.header("cookie", *crumb)
            })
        };
        let origin = "https://app.example.com";
        for (request, status) in [
            (crumbs(3), 403),
            (crumbs(3).header("origin", "https://evil.test"), 403),
            (crumbs(4).header("origin", origin), 400),
            (crumbs(3).header("origin", origin), 200),
            (
                client
                    .get(&url)
                    .header("sec-websocket-protocol", format!("bearer, {token}")),
                401,
            ),
        ] {
            let response = request.send().await.expect("a response");
            assert_eq!(response.status().as_u16(), status);
        }
    });
    assert_eq!(test_bed.hits(), 1);
    let received = test_bed.last();
    assert_eq!(received.header("cookie"), ["a=1; b=2"]);
    assert_eq!(
        received.header("authorization"),
        [format!("Bearer {token}")]
    );
}
