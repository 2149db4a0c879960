//! A limit admits what it says, with any number of workers.

use std::thread;
use std::time::{Duration, Instant};

use harness::{Connection, Response, TestBed};
use serde_json::json;

const RATE: f64 = 200.0;
const BURST: f64 = 100.0;
const CONNECTIONS: usize = 8;
const SPAN: Duration = Duration::from_secs(3);

fn admits_its_rate_within_two_percent(workers: usize) {
    let test_bed = TestBed::toml(
        &format!("[server]\nworkers = {workers}\n"),
        "",
        "",
        &format!(
            "[limits.standard]\nrequests = {RATE}\nper = \"1s\"\nburst = {BURST}\n\
             [[routes]]\npath = \"/a\"\nlimit = \"standard\"\nrespond = {{ status = 204 }}\n"
        ),
    );
    let token = super::token(&test_bed, json!({ "client_id": "one" }));
    let head = format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let started = Instant::now();
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let client = || {
            let mut connection = Connection::open(test_bed.address);
            let (mut admitted, mut refused) = (0, 0);
            while started.elapsed() < SPAN {
                match connection.ask(&head).status {
                    204 => admitted += 1,
                    429 => refused += 1,
                    other => panic!("expected 204 or 429, but found {other}"),
                }
            }
            (admitted, refused)
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(client)).collect();
        let counts = clients.into_iter().map(|one| one.join().expect("counts"));
        counts.collect()
    });
    // What the clients left when they stopped, by one more request.
    let last = Connection::open(test_bed.address).ask(&head);
    let elapsed = started.elapsed().as_secs_f64();
    let admitted: usize = counts.iter().map(|(admitted, _)| admitted).sum();
    let admitted = (admitted + usize::from(last.status == 204)) as f64;
    let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
    // The clients asked for more than the limit, throughout.
    assert!(refused > 100, "{refused} refused");
    let expected = BURST + RATE * elapsed - remaining(&last);
    let error = (admitted - expected) / expected;
    println!("{workers} workers: {admitted} admitted, {refused} refused, error {error:+.4}");
    assert!(
        error.abs() <= 0.02,
        "{admitted} admitted, {expected} expected"
    );
}

fn remaining(response: &Response) -> f64 {
    let field = response.header("ratelimit").expect("a field");
    let number = field.split(';').find_map(|part| part.strip_prefix("r="));
    number.and_then(|number| number.parse().ok()).expect("r")
}

#[test]
fn one_worker_admits_the_rate_within_two_percent() {
    admits_its_rate_within_two_percent(1);
}

#[test]
fn four_workers_admit_the_rate_within_two_percent() {
    admits_its_rate_within_two_percent(4);
}
