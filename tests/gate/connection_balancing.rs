//! Connections are spread over the workers, however few they are.

use harness::{Connection, TestBed};

const ROUTE: &str = "[[routes]]\npath = \"/{*rest}\"\nupstream = \"up\"\n";

/// The token is in the cache of the worker that serves `connection`, or else of another.
fn ask(connection: &mut Connection, token: &str) {
    let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(connection.ask(request).status, 200);
}

fn hits(test_bed: &TestBed, tier: &str) -> f64 {
    let series = format!("scopegate_token_cache_hits_total{{tier=\"{tier}\"}}");
    test_bed.gateway.metric(&series).expect("it is counted")
}

/// Until then an earlier connection counts for its worker.
fn wait_until_none_is_open(test_bed: &TestBed) {
    let series = format!("scopegate_connections{{listener=\"{}\"}}", test_bed.address);
    harness::eventually("every connection is closed", || {
        test_bed.gateway.metric(&series) == Some(0.0)
    });
}

#[test]
fn two_connections_are_served_by_two_workers() {
    let test_bed = TestBed::toml("[server]\nworkers = 2\n", "", "", ROUTE);
    for trial in 0..20 {
        let token = test_bed.token(&format!("trial{trial}"));
        wait_until_none_is_open(&test_bed);
        let mut connections = [(); 2].map(|()| Connection::open(test_bed.address));
        for connection in &mut connections {
            ask(connection, &token);
        }
        assert_eq!(hits(&test_bed, "worker"), 0.0, "in trial {trial}");
        assert_eq!(hits(&test_bed, "shared"), f64::from(trial) + 1.0);
    }
}

#[test]
fn eight_connections_are_spread_evenly_over_four_workers() {
    let test_bed = TestBed::toml("[server]\nworkers = 4\n", "", "", ROUTE);
    let token = test_bed.token("read");
    wait_until_none_is_open(&test_bed);
    let mut connections: Vec<_> = (0..8).map(|_| Connection::open(test_bed.address)).collect();
    for connection in &mut connections {
        ask(connection, &token);
    }
    // The first connection of the first worker verifies the token, those of the others find it in
    // the shared cache, and the second of each worker in that of its worker.
    assert_eq!(
        (hits(&test_bed, "shared"), hits(&test_bed, "worker")),
        (3.0, 4.0)
    );
}
