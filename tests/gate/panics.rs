//! A panic ends only the request that causes it.
//!
//! Nothing in the gateway panics on purpose. These tests use a snapshot that no file compiles to:
//! one route names an upstream that does not exist, and one has no forwarding entry.

use bytes::Bytes;
use http::Request;
use scopegate::gateway::Snapshot;
use scopegate::telemetry::panicked_requests;

use harness::{Connection, Gateway, Reply, Server, TIMEOUT, logged};

const PROBLEM: &str = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,\
                       \"detail\":\"The gateway failed at this request.\"}\n";

fn gateway_with_faulty_routes(upstream: &Server) -> Gateway {
    let route =
        |path: &str| format!("[[routes]]\npath = \"{path}\"\npublic = true\nupstream = \"up\"\n");
    let toml = format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n{}{}{}",
        upstream.address,
        route("/good"),
        route("/nowhere/{id}"),
        route("/unconfigured")
    );
    Gateway::start_altered(&toml, |snapshot: &mut Snapshot| {
        snapshot.forwarding[1].upstream = usize::MAX;
        snapshot.forwarding.truncate(2);
    })
}

fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")
}

#[test]
fn panic_is_a_500_and_the_worker_survives() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = gateway_with_faulty_routes(&upstream);
    let mut other = Connection::open(gateway.address);
    assert_eq!(other.ask(request("GET", "/good", "")).status, 200);
    for (path, times) in [("/nowhere/secret-segment-panic", 3), ("/unconfigured", 3)] {
        for _ in 0..times {
            let before = panicked_requests();
            let token = "Authorization: Bearer secret-token-panic\r\n";
            let mut connection = Connection::open(gateway.address);
            let response = connection.ask(request(
                "POST",
                path,
                &format!("{token}Content-Length: 0\r\n"),
            ));
            assert_eq!(
                (response.status, &*response.text()),
                (500, PROBLEM),
                "{path}"
            );
            assert_eq!(
                response.header("content-type"),
                Some("application/problem+json")
            );
            assert_eq!(response.header("connection"), Some("close"));
            assert!(connection.is_closed());
            assert!(panicked_requests() > before);
            assert_eq!(
                other.ask(request("GET", "/good", "")).status,
                200,
                "the same worker, on a persistent connection"
            );
        }
    }
    assert!(logged(
        "ERROR scopegate::telemetry::record: request panicked method=POST route=\"/nowhere/{id}\"\n"
    ));
    assert!(logged("\"decision\":\"refused\",\"reason\":\"panicked\""));
    assert!(!logged("secret-token-panic") && !logged("secret-segment-panic"));
    assert_eq!(upstream.hits(), 7, "only requests to the intact route");
}

#[test]
fn panic_is_status_internal_for_a_grpc_client() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = gateway_with_faulty_routes(&upstream);
    let fields = "Content-Type: application/grpc\r\nContent-Length: 0\r\n";
    let response = Connection::open(gateway.address).ask(request("POST", "/nowhere/a", fields));
    assert_eq!(
        (response.status, response.header("grpc-status")),
        (500, Some("13"))
    );
    assert_eq!(
        response.header("grpc-message"),
        Some("The gateway failed at this request.")
    );
    assert!(response.body.is_empty());
}

#[test]
fn panic_does_not_affect_other_streams_of_its_connection() {
    let upstream = Server::start(|received| Reply::text(&String::from_utf8_lossy(&received.body)));
    let gateway = gateway_with_faulty_routes(&upstream);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let exchanges = async {
        let socket = tokio::net::TcpStream::connect(gateway.address)
            .await
            .expect("a listening gateway");
        let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let url = |path: &str| format!("http://{}{path}", gateway.address);
        sender = sender.ready().await.expect("a free stream");
        let upload = Request::post(url("/good")).body(()).expect("a request");
        let (response, mut body) = sender.send_request(upload, false).expect("a stream");
        for path in ["/nowhere/a", "/unconfigured", "/nowhere/b"] {
            sender = sender.ready().await.expect("a free stream");
            let request = Request::get(url(path)).body(()).expect("a request");
            let (response, _) = sender.send_request(request, true).expect("a stream");
            let response = response.await.expect("a response");
            assert_eq!(response.status(), 500, "{path}");
            let mut body = response.into_body();
            let text = body.data().await.expect("a body").expect("a body");
            assert_eq!(text, PROBLEM);
        }
        body.send_data(Bytes::from_static(b"in flight during the panics"), true)
            .expect("an open stream");
        let response = response.await.expect("a response");
        assert_eq!(response.status(), 200);
        let text = response
            .into_body()
            .data()
            .await
            .expect("a body")
            .expect("a body");
        assert_eq!(text, "in flight during the panics");
    };
    runtime
        .block_on(async { tokio::time::timeout(TIMEOUT, exchanges).await })
        .expect("the test ends within the timeout");
}
