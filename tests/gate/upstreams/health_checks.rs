//! Active health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{GET, POST, gateway, unused_address};
use harness::{HyperServer, Reply, Server, eventually, logged, send};

/// A server with a health check endpoint, whose status the test sets.
struct CheckedServer {
    server: Server,
    status: Arc<AtomicUsize>,
}

impl CheckedServer {
    fn start() -> Self {
        let status = Arc::new(AtomicUsize::new(204));
        let current = Arc::clone(&status);
        let server = Server::start(move |received| match &*received.target {
            "/healthz?all" => {
                Reply::status(u16::try_from(current.load(Ordering::SeqCst)).expect("a status"))
            }
            _ => Reply::text("hello"),
        });
        Self { server, status }
    }

    fn set_status(&self, status: usize) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn checks(&self) -> usize {
        self.server
            .received()
            .iter()
            .filter(|received| received.target == "/healthz?all")
            .count()
    }

    fn requests(&self) -> usize {
        self.server.hits() - self.checks()
    }
}

const HEALTH: &str = "health = { path = \"/healthz?all\", interval = \"500ms\", unhealthy_after = 2, healthy_after = 2 }";

#[test]
fn failing_health_checks_remove_a_target_until_they_succeed_again() {
    let (first, second) = (CheckedServer::start(), CheckedServer::start());
    let gateway = gateway(
        &[first.server.address, second.server.address],
        &format!("{HEALTH}\nhost = \"target\""),
    );
    eventually("both are checked", || {
        first.checks() > 0 && second.checks() > 0
    });
    let request = &first.server.received()[0];
    assert_eq!(
        (&*request.method, request.header("host")),
        ("GET", vec![&*first.server.address.to_string()])
    );
    let ask = || assert_eq!(send(gateway.address, POST).status, 200);
    eventually("both get requests", || {
        ask();
        first.requests() > 0 && second.requests() > 0
    });

    // 3xx is healthy like 2xx.
    first.set_status(302);
    let checks = first.checks();
    eventually("the target is checked", || first.checks() > checks + 2);
    first.set_status(503);
    eventually("the target is found unhealthy", || {
        logged(&format!(
            "upstream endpoint unhealthy upstream=up target={}",
            first.server.address
        ))
    });
    let requests = first.requests();
    (0..50).for_each(|_| ask());
    assert_eq!(first.requests(), requests);

    first.set_status(200);
    eventually("the target gets requests again", || {
        ask();
        first.requests() > requests
    });

    // Without a healthy target, no request is forwarded.
    first.set_status(500);
    second.set_status(404);
    eventually("no target is healthy", || {
        send(gateway.address, GET).status == 503
    });
    let requests = [first.requests(), second.requests()];
    assert_eq!(send(gateway.address, GET).status, 503);
    assert_eq!([first.requests(), second.requests()], requests);
    let ready = gateway.get_admin("/readyz");
    assert_eq!(
        (ready.status, ready.text()),
        (
            200,
            "ready\n[!] upstream up: 0 of 2 endpoints up\n".to_owned()
        )
    );
    second.set_status(200);
    eventually("a target is healthy again", || {
        send(gateway.address, GET).status == 200
    });
}

#[test]
fn target_that_refuses_or_hangs_is_unhealthy() {
    let (hanging, healthy) = (
        Server::start(|_| Reply::RawThenHang(Vec::new())),
        CheckedServer::start(),
    );
    let refusing = unused_address();
    let gateway = gateway(&[refusing, hanging.address, healthy.server.address], HEALTH);
    for target in [refusing, hanging.address] {
        eventually("the target is found unhealthy", || {
            logged(&format!(
                "upstream endpoint unhealthy upstream=up target={target}"
            ))
        });
    }
    let hits = |server: &Server| {
        server
            .received()
            .iter()
            .filter(|received| received.target == "/x")
            .count()
    };
    let before = hits(&hanging);
    for _ in 0..50 {
        assert_eq!(send(gateway.address, POST).status, 200);
    }
    assert_eq!(hits(&hanging), before);
}

#[test]
fn health_checks_use_the_protocol_of_the_upstream() {
    let server = HyperServer::start(true, None);
    let _gateway = gateway(
        &[server.address],
        "protocol = \"http2\"\nhealth = { path = \"/\", interval = \"100ms\" }",
    );
    eventually("the target is checked twice", || server.seen().len() >= 2);
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.version == http::Version::HTTP_2)
    );
    assert!(!logged(&format!(
        "upstream endpoint unhealthy upstream=up target={}",
        server.address
    )));
}
