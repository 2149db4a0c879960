//! A fault of ours costs the request that meets it.
//!
//! Nothing in the gateway panics on purpose. Here it is given a snapshot that no file compiles to: a route to an upstream
//! that is not there, and one of which nobody says what becomes of it.

use bytes::Bytes;
use http::Request;
use scopegate::gateway::Snapshot;
use scopegate::telemetry::panicked_requests;

use harness::{Connection, Gateway, Reply, Server, TIMEOUT, logged};

const PROBLEM: &str = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,\
                       \"detail\":\"The gateway failed at this request.\"}\n";

fn faulty(upstream: &Server) -> Gateway {
    let route =
        |path: &str| format!("[[routes]]\npath = \"{path}\"\npublic = true\nupstream = \"up\"\n");
    let toml = format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n{}{}{}",
        upstream.address,
        route("/good"),
        route("/nowhere/{id}"),
        route("/unsaid")
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
fn panic_is_a_500_and_the_worker_lives() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = faulty(&upstream);
    let mut other = Connection::open(gateway.address);
    assert_eq!(other.ask(request("GET", "/good", "")).status, 200);
    for (path, times) in [("/nowhere/secret-segment-panic", 3), ("/unsaid", 3)] {
        for _ in 0..times {
            let counted = panicked_requests();
            let token = "Authorization: Bearer secret-token-panic\r\n";
            let mut connection = Connection::open(gateway.address);
            let answer = connection.ask(request(
                "POST",
                path,
                &format!("{token}Content-Length: 0\r\n"),
            ));
            assert_eq!((answer.status, &*answer.text()), (500, PROBLEM), "{path}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(connection.is_closed());
            assert!(panicked_requests() > counted);
            assert_eq!(
                other.ask(request("GET", "/good", "")).status,
                200,
                "the same worker, a connection that was kept"
            );
        }
    }
    assert!(logged(
        "ERROR scopegate::telemetry::record: request panicked method=POST route=\"/nowhere/{id}\"\n"
    ));
    assert!(logged("\"decision\":\"refused\",\"reason\":\"panicked\""));
    assert!(!logged("secret-token-panic") && !logged("secret-segment-panic"));
    assert_eq!(upstream.hits(), 7, "those that were good");
}

#[test]
fn panic_is_internal_to_a_client_of_grpc() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = faulty(&upstream);
    let fields = "Content-Type: application/grpc\r\nContent-Length: 0\r\n";
    let answer = Connection::open(gateway.address).ask(request("POST", "/nowhere/a", fields));
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (500, Some("13"))
    );
    assert_eq!(
        answer.header("grpc-message"),
        Some("The gateway failed at this request.")
    );
    assert!(answer.body.is_empty());
}

#[test]
fn panic_leaves_the_other_streams_of_its_connection_alone() {
    let upstream = Server::start(|received| Reply::text(&String::from_utf8_lossy(&received.body)));
    let gateway = faulty(&upstream);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let all = async {
        let socket = tokio::net::TcpStream::connect(gateway.address)
            .await
            .expect("it listens");
        let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let url = |path: &str| format!("http://{}{path}", gateway.address);
        sender = sender.ready().await.expect("room");
        let upload = Request::post(url("/good")).body(()).expect("a request");
        let (answer, mut body) = sender.send_request(upload, false).expect("a stream");
        for path in ["/nowhere/a", "/unsaid", "/nowhere/b"] {
            sender = sender.ready().await.expect("room");
            let request = Request::get(url(path)).body(()).expect("a request");
            let (answer, _) = sender.send_request(request, true).expect("a stream");
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.status(), 500, "{path}");
            let mut body = answer.into_body();
            let text = body.data().await.expect("a body").expect("a body");
            assert_eq!(text, PROBLEM);
        }
        body.send_data(Bytes::from_static(b"under way all the time"), true)
            .expect("an open stream");
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let text = answer
            .into_body()
            .data()
            .await
            .expect("a body")
            .expect("a body");
        assert_eq!(text, "under way all the time");
    };
    runtime
        .block_on(async { tokio::time::timeout(TIMEOUT, all).await })
        .expect("in time");
}
