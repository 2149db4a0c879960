//! The four steps of the story, byte for byte.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Process, ask, own_address, shipped, wait};

const SCOPE: &str = "messages.write push.application.com.acme";

fn token(address: Ipv4Addr, path: &str, scope: &str) -> String {
    let body = format!(
        "grant_type=client_credentials&scope={}",
        scope.replace(' ', "+")
    );
    let answer = ask(
        address,
        9080,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}:9080\r\nConnection: close\r\nAuthorization: Basic \
             dGVzdDp0ZXN0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let (_, rest) = answer
        .split_once("\"access_token\":\"")
        .unwrap_or_else(|| panic!("no token: {answer}"));
    rest.split('"').next().expect("a token").to_owned()
}

fn post(address: Ipv4Addr, token: Option<&str>) -> (String, Option<String>, String) {
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let answer = ask(
        address,
        8080,
        &format!(
            "POST /push/apps/com.acme/messages HTTP/1.1\r\nHost: {address}:8080\r\nConnection: close\r\n\
             {authorization}Content-Length: 5\r\n\r\nhello"
        ),
    );
    let challenge = answer
        .lines()
        .find_map(|line| line.strip_prefix("www-authenticate: "))
        .map(str::to_owned);
    (
        answer.lines().next().expect("a status line").to_owned(),
        challenge,
        answer,
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn story_of_the_readme_is_true() {
    let address = own_address();
    let mut process = Process::start(address, &shipped(address));
    wait("the keys are here", || {
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

    let good = token(address, "/token", SCOPE);
    let (status, challenge, answer) = post(address, Some(&good));
    assert_eq!((&*status, challenge), ("HTTP/1.1 200 OK", None));
    assert!(
        answer.contains(r#""path":"/push/apps/com.acme/messages""#)
            && answer.contains(r#""body":"hello""#)
    );

    let tampered = format!("{}AAAAAAAAAAAAAAAAAAAA", &good[..good.len() - 20]);
    let (status, challenge, _) = post(address, Some(&tampered));
    assert_eq!(
        (&*status, challenge.as_deref()),
        (
            "HTTP/1.1 401 Unauthorized",
            Some("Bearer error=\"invalid_token\"")
        )
    );

    wait("every request is logged", || {
        process
            .printed()
            .1
            .matches("\"message\":\"request\"")
            .count()
            == 4
    });
    process.signal("TERM");
    assert_eq!(process.stopped().code(), Some(0));
    let (told, log) = process.printed();
    assert_eq!(told.matches("curl -i -X POST").count(), 4, "{told}");
    assert!(log.contains("for trying things out only"), "{log}");
    for secret in [&empty, &good, &tampered] {
        // Not even a piece of it.
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
fn example_client_discovers_the_scope_it_needs() {
    let address = own_address();
    let process = Process::start(address, &shipped(address));
    wait("the keys are here", || {
        process.printed().1.contains("JWKS fetched")
    });
    // Cargo builds the examples beside the tests.
    let example = PathBuf::from(env!("CARGO_BIN_EXE_scopegate"))
        .with_file_name("examples")
        .join("discover_scope");
    let output = Command::new(example)
        .args([
            format!("http://{address}:8080/push/apps/com.acme/messages"),
            format!("http://{address}:9080/token"),
        ])
        .output()
        .expect("the example");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        told.contains("403") && told.contains(SCOPE) && told.contains("200"),
        "{told}"
    );
}

#[test]
fn request_under_way_is_finished_after_sigterm() {
    use std::io::{Read, Write};
    let address = own_address();
    let mut process = Process::start(address, &shipped(address));
    let mut idle = std::net::TcpStream::connect((address, 8080)).expect("it listens");
    // Until it was answered once, nobody knows whether the gateway has it.
    idle.write_all(format!("HEAD /nowhere HTTP/1.1\r\nHost: {address}:8080\r\n\r\n").as_bytes())
        .expect("it reads");
    assert!(idle.read(&mut [0; 1024]).expect("an answer") > 0);
    let mut busy = std::net::TcpStream::connect((address, 8080)).expect("it listens");
    busy.write_all(
        format!("GET /health HTTP/1.1\r\nHost: {address}:8080\r\nContent-Length: 5\r\n\r\nhe")
            .as_bytes(),
    )
    .expect("it reads");
    wait("the upstream has it", || {
        // The body is awaited: nothing but the head has gone through so far, so wait for that to be read.
        std::thread::sleep(std::time::Duration::from_millis(200));
        true
    });
    process.signal("TERM");
    assert_eq!(
        idle.read(&mut [0; 16]).expect("an end"),
        0,
        "an idle connection is closed"
    );
    wait("nobody is let in any more", || {
        std::net::TcpStream::connect((address, 8080)).is_err()
    });
    busy.write_all(b"llo").expect("it reads");
    let mut answer = String::new();
    busy.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("connection: close"),
        "{answer}"
    );
    assert_eq!(process.stopped().code(), Some(0));
}

#[test]
fn stragglers_are_cut_off_at_the_deadline_and_by_a_second_signal() {
    use std::io::Write;
    for (timeout, second_signal) in [("300ms", false), ("1h", true)] {
        let address = own_address();
        let toml = shipped(address).replace(
            "[server]",
            &format!("[server]\ndrain_timeout = \"{timeout}\""),
        );
        let mut process = Process::start(address, &toml);
        let mut busy = std::net::TcpStream::connect((address, 8080)).expect("it listens");
        let head =
            format!("GET /health HTTP/1.1\r\nHost: {address}:8080\r\nContent-Length: 5\r\n\r\nhe");
        busy.write_all(head.as_bytes()).expect("it reads");
        // No condition shows from outside that the gateway has read a head whose body is incomplete.
        std::thread::sleep(std::time::Duration::from_millis(200));
        process.signal("TERM");
        wait("it is stopping", || {
            process.printed().1.contains("shutting down")
        });
        if second_signal {
            process.signal("INT");
        }
        let began = std::time::Instant::now();
        // A second signal is the will of the operator.
        assert_eq!(
            process.stopped().code(),
            Some(if second_signal { 0 } else { 1 })
        );
        assert!(
            began.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}
