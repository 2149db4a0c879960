//! Targets on Unix sockets.

use std::path::Path;

use harness::{Gateway, HyperServer, Reply, Server, UnixRelay, eventually, get};
use tempfile::TempDir;

fn gateway(targets: &str, keys: &str) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.up]\ntargets = {targets}\n{keys}\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    ))
}

fn unix(path: &Path) -> String {
    format!("\"unix:{}\"", path.display())
}

fn status(gateway: &Gateway) -> u16 {
    get(gateway.address, "/x", None).status
}

#[test]
fn requests_reach_a_unix_socket_and_share_its_connections() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("up.sock");
    let server = Server::start(|_| Reply::text("hello"));
    let relay = UnixRelay::start(&path, server.address);
    let gateway = gateway(&unix(&path), "");
    for _ in 0..3 {
        let response = get(gateway.address, "/a?b", None);
        assert_eq!((response.status, &*response.text()), (200, "hello"));
    }
    assert_eq!(relay.connections(), 1);
    let received = server.received();
    assert_eq!(received[0].target, "/a?b");
    // The client's own, as for every target.
    assert_ne!(received[0].header("host"), ["localhost"]);
    let label = format!(
        "scopegate_upstream_target_up{{upstream=\"up\",target=\"unix:{}\"}}",
        path.display()
    );
    assert_eq!(gateway.metric(&label), Some(1.0));
}

#[test]
fn host_of_a_unix_target_is_localhost() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("up.sock");
    let server = Server::start(|_| Reply::text("hello"));
    let _relay = UnixRelay::start(&path, server.address);
    let gateway = gateway(&unix(&path), "host = \"target\"");
    assert_eq!(status(&gateway), 200);
    assert_eq!(server.received()[0].header("host"), ["localhost"]);
}

#[test]
fn http2_is_spoken_over_a_unix_socket_with_prior_knowledge() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("up.sock");
    let server = HyperServer::start(true, None);
    let relay = UnixRelay::start(&path, server.address);
    let gateway = gateway(&unix(&path), "protocol = \"http2\"");
    for _ in 0..3 {
        assert_eq!(status(&gateway), 200);
    }
    assert_eq!(relay.connections(), 1);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn missing_socket_is_a_502_until_a_server_creates_it() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("up.sock");
    let gateway = gateway(&unix(&path), "");
    assert_eq!(status(&gateway), 502);
    eventually("the cause is logged", || {
        let log = gateway.requests.text();
        log.contains("No such file or directory")
    });
    std::fs::write(&path, "").expect("a writable folder");
    // Ejected by now: 503 until its time is over.
    let refused = status(&gateway);
    assert!(refused == 502 || refused == 503, "{refused}");
    std::fs::remove_file(&path).expect("a file");
    let server = Server::start(|_| Reply::text("hello"));
    let _relay = UnixRelay::start(&path, server.address);
    eventually("the ejection ends", || status(&gateway) == 200);
}

#[test]
fn other_targets_replace_a_socket_without_a_listener() {
    let folder = TempDir::new().expect("a folder");
    let (gone, here) = (folder.path().join("gone"), folder.path().join("here"));
    // The file stays, without a listener.
    drop(std::os::unix::net::UnixListener::bind(&gone).expect("a new socket"));
    let server = Server::start(|_| Reply::text("hello"));
    let _relay = UnixRelay::start(&here, server.address);
    let targets = format!(
        "[{}, {{ url = {}, weight = 3 }}, \"http://{}\"]",
        unix(&gone),
        unix(&here),
        server.address
    );
    let gateway = gateway(&targets, "balance = \"round_robin\"");
    for _ in 0..12 {
        assert_eq!(status(&gateway), 200);
    }
}

#[test]
fn health_checks_reach_a_unix_socket() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("up.sock");
    let server = Server::start(|received| match &*received.target {
        "/healthz" => Reply::status(503),
        _ => Reply::text("hello"),
    });
    let _relay = UnixRelay::start(&path, server.address);
    let check = "health = { path = \"/healthz\", interval = \"100ms\", unhealthy_after = 2 }";
    let gateway = gateway(&unix(&path), check);
    eventually("it is unhealthy", || status(&gateway) == 503);
    let checks = server.received();
    let check = checks.iter().find(|check| check.target == "/healthz");
    assert_eq!(check.expect("a check").header("host"), ["localhost"]);
    server.script(|_| Reply::text("hello"));
    eventually("it is healthy again", || status(&gateway) == 200);
}

#[test]
fn response_that_breaks_off_over_a_unix_socket_breaks_off_for_the_client() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("up.sock");
    let server = Server::start(|_| {
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal".to_vec())
    });
    let _relay = UnixRelay::start(&path, server.address);
    let gateway = gateway(&unix(&path), "");
    let response = get(gateway.address, "/x", None);
    assert!(!response.complete);
}

#[test]
fn socket_whose_responses_fail_is_ejected() {
    let folder = TempDir::new().expect("a folder");
    let (failing, working) = (folder.path().join("a"), folder.path().join("b"));
    let (bad, good) = (
        Server::start(|_| Reply::status(503)),
        Server::start(|_| Reply::text("hello")),
    );
    let _relays = [
        UnixRelay::start(&failing, bad.address),
        UnixRelay::start(&working, good.address),
    ];
    let targets = format!("[{}, {}]", unix(&failing), unix(&working));
    let keys = "balance = \"round_robin\"\noutlier = { consecutive = 2, ejection_time = \"1h\" }";
    let gateway = gateway(&targets, keys);
    let statuses: Vec<_> = (0..20).map(|_| status(&gateway)).collect();
    assert_eq!(bad.hits(), 2, "{statuses:?}");
    assert!(statuses[10..].iter().all(|status| *status == 200));
    let ejections = format!(
        "scopegate_upstream_target_ejections_total{{upstream=\"up\",target=\"unix:{}\"}}",
        failing.display()
    );
    assert_eq!(gateway.metric(&ejections), Some(1.0));
}
