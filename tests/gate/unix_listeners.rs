//! Listeners on Unix sockets.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::{Authority, Gateway, Reply, Server, TIMEOUT, UnixRelay, eventually};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";

struct Bed {
    gateway: Option<Gateway>,
    upstream: Server,
    folder: TempDir,
}

impl Bed {
    fn start(server: &str, listener: &str, route: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let upstream = Server::start(|_| Reply::text("hello"));
        let text = toml(&folder.path().join("s"), server, listener, route, &upstream);
        Self {
            gateway: Some(Gateway::start(&text)),
            upstream,
            folder,
        }
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it runs")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn ask(&self, lines: &str) -> String {
        ask(&self.path(), lines)
    }

    /// The last line of the access log.
    fn line(&self) -> Value {
        let mut last = None;
        eventually("the request is logged", || {
            last = self.gateway().requests.lines().pop();
            last.is_some()
        });
        last.expect("a line")
    }
}

fn toml(path: &Path, server: &str, listener: &str, route: &str, upstream: &Server) -> String {
    format!(
        "[server]\n{server}\n[[listeners]]\naddress = \"unix:{}\"\n{listener}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n{route}\n",
        path.display(),
        upstream.address
    )
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).expect("it listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket
}

/// The response to a GET with these lines, up to the end of the connection.
fn ask(path: &Path, lines: &str) -> String {
    let mut socket = connect(path);
    socket
        .write_all(format!("{GET}{lines}\r\n").as_bytes())
        .expect("it reads");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    response
}

fn is_ok(response: &str) -> bool {
    response.starts_with("HTTP/1.1 200 ") && response.ends_with("hello")
}

#[test]
fn peer_of_a_unix_socket_is_logged_as_unix_with_its_credentials() {
    let bed = Bed::start("", "", "");
    assert!(is_ok(&bed.ask("X-Forwarded-For: 192.0.2.1\r\n")));
    let line = bed.line();
    assert_eq!(line["client"], "unix");
    assert_eq!(line["peer_pid"], std::process::id());
    let owner = fs::metadata(bed.folder.path()).expect("a folder");
    assert_eq!(line["peer_uid"], owner.uid());
    assert_eq!(line["peer_gid"], owner.gid());
    // Who connects over TCP has none.
    let tcp = harness::get(bed.gateway().address, "/x", None);
    assert_eq!(tcp.status, 200);
    eventually("the second request is logged", || {
        let lines = bed.gateway().requests.lines();
        lines.len() == 2 && lines[1]["client"] == "127.0.0.1" && lines[1]["peer_uid"].is_null()
    });
    let path = bed.path();
    let accepted = format!(
        "scopegate_connections_accepted_total{{listener=\"unix:{}\"}}",
        path.display()
    );
    assert_eq!(bed.gateway().metric(&accepted), Some(1.0));
}

#[test]
fn peer_is_unknown_to_the_upstream_and_believed_only_as_a_trusted_proxy() {
    let claimed = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n";
    for (trusted, client, forwarded_for, forwarded) in [
        ("", "unix", "unknown", "for=unknown;host=\"a\";proto=http"),
        (
            "trusted_proxies = [\"0.0.0.0/0\", \"::/0\"]",
            "unix",
            "unknown",
            "for=unknown;host=\"a\";proto=http",
        ),
        (
            "trusted_proxies = \"unix\"",
            "192.0.2.1",
            "192.0.2.1, unknown",
            "for=192.0.2.1, for=unknown;host=\"a\";proto=http",
        ),
    ] {
        let bed = Bed::start(trusted, "", "");
        assert!(is_ok(&bed.ask(claimed)), "{trusted}");
        let received = bed.upstream.received();
        assert_eq!(received[0].header("x-forwarded-for"), [forwarded_for]);
        assert_eq!(received[0].header("forwarded"), [forwarded]);
        let line = bed.line();
        assert_eq!(line["client"], client);
        assert_eq!(line["peer_pid"], std::process::id());
    }
}

#[test]
fn allow_from_names_peers_of_unix_sockets_as_unix() {
    for (allowed, is_allowed) in [
        ("\"unix\"", true),
        ("[\"10.0.0.0/8\", \"unix\"]", true),
        ("[\"0.0.0.0/0\", \"::/0\"]", false),
    ] {
        let bed = Bed::start("", "", &format!("allow_from = {allowed}"));
        let response = bed.ask("X-Forwarded-For: 10.0.0.1\r\n");
        assert_eq!(is_ok(&response), is_allowed, "{allowed}: {response}");
        assert_eq!(bed.upstream.hits(), usize::from(is_allowed));
    }
    // Nor is a client over TCP one of a Unix socket.
    let bed = Bed::start("", "", "allow_from = \"unix\"");
    assert_eq!(harness::get(bed.gateway().address, "/x", None).status, 403);
}

#[test]
fn limit_of_connections_per_client_does_not_count_unix_peers() {
    let bed = Bed::start("max_connections_per_client = 1", "", "");
    let open: Vec<_> = (0..5).map(|_| connect(&bed.path())).collect();
    assert!(is_ok(&bed.ask("")));
    drop(open);
}

#[test]
fn socket_is_for_owner_and_group_and_is_removed_at_the_end() {
    let mut bed = Bed::start("", "", "");
    let found = fs::symlink_metadata(bed.path()).expect("a socket");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    bed.gateway = None;
    let left = fs::read_dir(bed.folder.path()).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn gateway_replaces_the_socket_of_one_that_was_killed() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    // Its file stays, without a listener.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a new socket"));
    let upstream = Server::start(|_| Reply::text("hello"));
    let _gateway = Gateway::start(&toml(&path, "", "", "", &upstream));
    assert!(is_ok(&ask(&path, "")));
}

#[test]
fn reload_keeps_the_socket_and_a_new_path_needs_a_restart() {
    let bed = Bed::start("", "", "");
    let inode = || fs::symlink_metadata(bed.path()).expect("a socket").ino();
    let before = inode();
    let mut kept = connect(&bed.path());
    let text = |path: &Path, route: &str| toml(path, "", "", route, &bed.upstream);
    let denied = text(&bed.path(), "allow_from = \"10.0.0.0/8\"");
    bed.gateway().reload(&denied).expect("a good file");
    assert_eq!(inode(), before);
    assert!(bed.ask("").starts_with("HTTP/1.1 403 "));
    kept.write_all(format!("{GET}\r\n").as_bytes())
        .expect("an open connection");
    let mut response = String::new();
    kept.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    let moved = text(&bed.folder.path().join("other"), "");
    let refused = bed.gateway().reload(&moved).expect_err("another address");
    assert!(refused.contains("needs a restart"), "{refused}");
}

#[test]
fn tls_and_http2_are_spoken_on_a_unix_socket() {
    let authority = Authority::generate();
    let (certificate, key) = authority.server_files("a", "a.test");
    let tls = format!(
        "tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}",
        certificate.display(),
        key.display()
    );
    let bed = Bed::start("", &tls, "");
    let config = Arc::new(authority.client_config(None));
    let name = "a.test".try_into().expect("a name");
    let session = ClientConnection::new(config, name).expect("a session");
    let mut session = StreamOwned::new(session, connect(&bed.path()));
    session
        .write_all(format!("{GET}\r\n").as_bytes())
        .expect("it reads");
    let mut response = String::new();
    session.read_to_string(&mut response).expect("a response");
    assert!(is_ok(&response), "{response}");
    let received = bed.upstream.received();
    assert_eq!(received[0].header("x-forwarded-proto"), ["https"]);

    let plain = Bed::start("", "", "");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let status = runtime.block_on(async {
        let socket = tokio::net::UnixStream::connect(plain.path());
        let socket = socket.await.expect("it listens");
        let (sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = http::Request::get("http://a/x").body(());
        let mut sender = sender.ready().await.expect("room for a stream");
        let (response, _) = sender
            .send_request(request.expect("a request"), true)
            .expect("a stream");
        response.await.expect("a response").status()
    });
    assert_eq!(status, 200);
    assert_eq!(plain.line()["http_version"], "2");
}

#[test]
fn proxy_header_on_a_unix_socket_names_the_client() {
    let bed = Bed::start("trusted_proxies = \"unix\"", "proxy_protocol = true", "");
    let ask = |header: &str| {
        let mut socket = connect(&bed.path());
        socket
            .write_all(format!("{header}{GET}\r\n").as_bytes())
            .expect("it reads");
        let mut response = String::new();
        // A connection without a header may be reset.
        let _ = socket.read_to_string(&mut response);
        response
    };
    assert_eq!(ask(""), "");
    assert_eq!(bed.upstream.hits(), 0);
    assert!(is_ok(&ask("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n")));
    let line = bed.line();
    assert_eq!(line["client"], "192.0.2.7");
    assert_eq!(line["peer_pid"], std::process::id());
}

#[test]
fn tunnel_runs_from_a_unix_socket_to_a_unix_socket() {
    let folder = TempDir::new().expect("a folder");
    let (path, up) = (folder.path().join("s"), folder.path().join("up"));
    let upstream = Server::start(|_| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        Reply::RawThenHang(format!("{head}hello").into_bytes())
    });
    let _relay = UnixRelay::start(&up, upstream.address);
    let text = toml(&path, "", "", "", &upstream);
    let target = format!("http://{}", upstream.address);
    let target_path = format!("unix:{}", up.display());
    let gateway = Gateway::start(&text.replace(&target, &target_path));
    let mut socket = connect(&path);
    let upgrade = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).expect("it reads");
    let mut response = Vec::new();
    while !response.ends_with(b"hello") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("more of the response");
        response.push(byte[0]);
    }
    let response = String::from_utf8_lossy(&response);
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    drop(socket);
    eventually("the tunnel ends", || {
        let lines = gateway.requests.lines();
        lines.last().is_some_and(|line| line["status"] == 101)
    });
}
