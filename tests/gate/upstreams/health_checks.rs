//! Active health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{GET, POST, deserted, gateway};
use harness::{HyperServer, Reply, Server, eventually, logged, send};

/// A health check's answer, and how often it was asked for.
struct Checked {
    server: Server,
    status: Arc<AtomicUsize>,
}

impl Checked {
    fn start() -> Self {
        let status = Arc::new(AtomicUsize::new(204));
        let told = Arc::clone(&status);
        let server = Server::start(move |received| match &*received.target {
            "/healthz?all" => {
                Reply::status(u16::try_from(told.load(Ordering::SeqCst)).expect("a status"))
            }
            _ => Reply::text("hello"),
        });
        Self { server, status }
    }

    fn says(&self, status: usize) {
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

const CHECKED: &str = "health = { path = \"/healthz?all\", interval = \"500ms\", unhealthy_after = 2, healthy_after = 2 }";

#[test]
fn active_checks_take_a_target_out_and_back_in() {
    let (first, second) = (Checked::start(), Checked::start());
    let gateway = gateway(
        &[first.server.address, second.server.address],
        &format!("{CHECKED}\nhost = \"target\""),
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

    // 3xx is as good as 2xx; a failure alone changes nothing.
    first.says(302);
    let checks = first.checks();
    eventually("it is checked", || first.checks() > checks + 2);
    first.says(503);
    eventually("it is found unwell", || {
        logged(&format!(
            "upstream endpoint unhealthy upstream=up target={}",
            first.server.address
        ))
    });
    let requests = first.requests();
    (0..50).for_each(|_| ask());
    assert_eq!(first.requests(), requests);

    first.says(200);
    eventually("it gets requests again", || {
        ask();
        first.requests() > requests
    });

    // Nobody is well: nothing is sent to anybody.
    first.says(500);
    second.says(404);
    eventually("there is nobody to ask", || {
        send(gateway.address, GET).status == 503
    });
    let requests = [first.requests(), second.requests()];
    assert_eq!(send(gateway.address, GET).status, 503);
    assert_eq!([first.requests(), second.requests()], requests);
    second.says(200);
    eventually("one is back", || send(gateway.address, GET).status == 200);
}

#[test]
fn active_checks_know_a_target_that_is_gone_or_hangs() {
    let (hanging, well) = (
        Server::start(|_| Reply::RawThenHang(Vec::new())),
        Checked::start(),
    );
    let gone = deserted();
    let gateway = gateway(&[gone, hanging.address, well.server.address], CHECKED);
    for target in [gone, hanging.address] {
        eventually("it is found unwell", || {
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
fn active_checks_are_made_over_what_the_upstream_speaks() {
    let server = HyperServer::start(true, None);
    let _gateway = gateway(
        &[server.address],
        "protocol = \"http2\"\nhealth = { path = \"/\", interval = \"100ms\" }",
    );
    eventually("it is checked twice", || server.seen().len() >= 2);
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
