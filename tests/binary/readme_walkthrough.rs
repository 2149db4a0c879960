//! The four steps of the README's walkthrough, byte for byte.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, own_address, round_trip, shipped_configuration, wait_for};

const SCOPE: &str = "messages.write push.application.com.acme";

fn token(address: Ipv4Addr, path: &str, scope: &str) -> String {
    let body = format!(
        "grant_type=client_credentials&scope={}",
        scope.replace(' ', "+")
    );
    let response = round_trip(
        address,
        9080,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}:9080\r\nConnection: close\r\nAuthorization: Basic \
             dGVzdDp0ZXN0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let (_, rest) = response
        .split_once("\"access_token\":\"")
        .unwrap_or_else(|| panic!("no token: {response}"));
    rest.split('"').next().expect("a token").to_owned()
}

fn post(address: Ipv4Addr, token: Option<&str>) -> (String, Option<String>, String) {
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let response = round_trip(
        address,
        8080,
        &format!(
            "POST /push/apps/com.acme/messages HTTP/1.1\r\nHost: {address}:8080\r\nConnection: close\r\n\
             {authorization}Content-Length: 5\r\n\r\nhello"
        ),
    );
    let challenge = response
        .lines()
        .find_map(|line| line.strip_prefix("www-authenticate: "))
        .map(str::to_owned);
    (
        response.lines().next().expect("a status line").to_owned(),
        challenge,
        response,
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn readme_walkthrough_works() {
    let address = own_address();
    let mut process = Process::start(address, &shipped_configuration(address));
    wait_for("the JWKS is fetched", || {
        process.printed().1.contains("JWKS fetched")
    });

    let (status, challenge, _) = post(address, None);
    assert_eq!(
        (&*status, challenge.as_deref()),
        ("HTTP/1.1 401 Unauthorized", Some("Bearer"))
    );

    let empty = token(address, "/mfp/api/az/v1/token", "");
    let (status, challenge, _) = post(address, Some(&empty));
    let expected = format!("Bearer error=\"insufficient_scope\", scope=\"{SCOPE}\"");
    assert_eq!(
        (&*status, challenge.as_deref()),
        ("HTTP/1.1 403 Forbidden", Some(&*expected))
    );

    let permitted = token(address, "/token", SCOPE);
    let (status, challenge, response) = post(address, Some(&permitted));
    assert_eq!((&*status, challenge), ("HTTP/1.1 200 OK", None));
    assert!(
        response.contains(r#""path":"/push/apps/com.acme/messages""#)
            && response.contains(r#""body":"hello""#)
    );

    let tampered = format!("{}AAAAAAAAAAAAAAAAAAAA", &permitted[..permitted.len() - 20]);
    let (status, challenge, _) = post(address, Some(&tampered));
    assert_eq!(
        (&*status, challenge.as_deref()),
        (
            "HTTP/1.1 401 Unauthorized",
            Some("Bearer error=\"invalid_token\"")
        )
    );

    wait_for("every request is logged", || {
        process
            .printed()
            .1
            .matches("\"message\":\"request\"")
            .count()
            == 4
    });
    process.signal("TERM");
    assert_eq!(process.wait_for_exit().code(), Some(0));
    let (stdout, log) = process.printed();
    assert_eq!(stdout.matches("curl -i -X POST").count(), 4, "{stdout}");
    assert!(log.contains("never use them in production"), "{log}");
    for secret in [&empty, &permitted, &tampered] {
        // Not even a part of it.
        for piece in secret.split('.').filter(|piece| piece.len() > 20) {
            assert!(!log.contains(&piece[..20]), "a token is in the log");
        }
    }
    for field in [
        r#""decision":"refused","reason":"no_token""#,
        r#""reason":"insufficient_scope""#,
        r#""reason":"bad_signature""#,
    ] {
        assert_eq!(log.matches(field).count(), 1, "{field}: {log}");
    }
    assert!(
        log.contains(r#""decision":"permitted","issuer":"development","client_id":"test""#),
        "{log}"
    );
}

#[test]
fn request_in_flight_completes_after_sigterm() {
    let address = own_address();
    let mut process = Process::start(address, &shipped_configuration(address));
    let mut idle = TcpStream::connect((address, 8080)).expect("the gateway listens");
    // A response proves that the gateway accepted the connection.
    idle.write_all(format!("HEAD /nowhere HTTP/1.1\r\nHost: {address}:8080\r\n\r\n").as_bytes())
        .expect("the gateway reads");
    assert!(idle.read(&mut [0; 1024]).expect("a response") > 0);
    let mut busy = TcpStream::connect((address, 8080)).expect("the gateway listens");
    busy.write_all(
        format!("GET /health HTTP/1.1\r\nHost: {address}:8080\r\nContent-Length: 5\r\n\r\nhe")
            .as_bytes(),
    )
    .expect("the gateway reads");
    // Nothing visible from outside shows that the gateway has read a head whose body is incomplete.
    thread::sleep(Duration::from_millis(200));
    process.signal("TERM");
    assert_eq!(
        idle.read(&mut [0; 16]).expect("an end"),
        0,
        "an idle connection is closed"
    );
    wait_for("the listener is closed", || {
        TcpStream::connect((address, 8080)).is_err()
    });
    busy.write_all(b"llo").expect("the gateway reads");
    let mut response = String::new();
    busy.read_to_string(&mut response).expect("a response");
    assert!(
        response.starts_with("HTTP/1.1 200 OK") && response.contains("connection: close"),
        "{response}"
    );
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

#[test]
fn slow_requests_are_cut_off_at_the_deadline_or_by_a_second_signal() {
    for (timeout, second_signal) in [("300ms", false), ("1h", true)] {
        let address = own_address();
        let toml = shipped_configuration(address).replace(
            "[server]",
            &format!("[server]\ndrain_timeout = \"{timeout}\""),
        );
        let mut process = Process::start(address, &toml);
        let mut busy = TcpStream::connect((address, 8080)).expect("the gateway listens");
        let head =
            format!("GET /health HTTP/1.1\r\nHost: {address}:8080\r\nContent-Length: 5\r\n\r\nhe");
        busy.write_all(head.as_bytes()).expect("the gateway reads");
        // Nothing visible from outside shows that the gateway has read a head whose body is
        // incomplete.
        thread::sleep(Duration::from_millis(200));
        process.signal("TERM");
        wait_for("the gateway drains", || {
            process.printed().1.contains("shutting down")
        });
        if second_signal {
            process.signal("INT");
        }
        let began = Instant::now();
        // A second signal cuts requests off on purpose, so the exit code is 0.
        assert_eq!(
            process.wait_for_exit().code(),
            Some(if second_signal { 0 } else { 1 })
        );
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}
