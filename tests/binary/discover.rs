//! `scopegate discover` against the shipped gateway, and against servers that respond as scripted.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Output;
use std::thread;

use crate::process::{
    Process, command, own_address, round_trip, run, run_in, shipped_configuration, wait_for,
};

const SCOPE: &str = "messages.write push.application.com.acme";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn started(address: Ipv4Addr) -> Process {
    let process = Process::start(address, &shipped_configuration(address));
    wait_for("the keys are fetched", || {
        process.printed().1.contains("JWKS fetched")
    });
    process
}

/// Runs `discover` as the client `test` of the development authorization server.
fn discover(address: Ipv4Addr, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("secret"), "test\n").expect("a file");
    let mut command = command();
    command
        .arg("discover")
        .args(arguments)
        .args(["--client-secret", "@secret"])
        .env(
            "SCOPEGATE_TOKEN_ENDPOINT",
            format!("http://{address}:9080/token"),
        )
        .env("SCOPEGATE_CLIENT_ID", "test");
    run_in(command, folder.path())
}

#[test]
fn discover_requests_the_scope_that_the_403_names() {
    let address = own_address();
    let _process = started(address);
    let url = format!("http://{address}:8080/push/apps/com.acme/messages");
    let output = discover(address, &["POST", &url, "--body", "hello"]);
    let steps = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{steps}");
    let endpoint = format!("http://{address}:9080/token");
    assert_eq!(
        steps,
        format!(
            "POST {endpoint} with scope \"\"\n\
             200 OK, a token with scope \"\"\n\
             POST {url}\n\
             403 Forbidden\n\
             WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"{SCOPE}\"\n\
             POST {endpoint} with scope \"{SCOPE}\"\n\
             200 OK, a token with scope \"{SCOPE}\"\n\
             POST {url}\n\
             200 OK\n"
        )
    );
    let response = text(&output.stdout);
    assert!(response.contains(r#""body":"hello""#), "{response}");
}

#[test]
fn printed_token_passes() {
    let address = own_address();
    let _process = started(address);
    let url = format!("http://{address}:8080/push/apps/com.acme/messages");
    let output = discover(address, &["POST", &url, "--print-token"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let token = text(&output.stdout);
    let token = token.strip_suffix('\n').expect("a line");
    assert!(
        !text(&output.stderr).contains(token),
        "steps show the token"
    );
    let response = round_trip(
        address,
        8080,
        &format!(
            "POST /push/apps/com.acme/messages HTTP/1.1\r\nHost: {address}:8080\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        ),
    );
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
}

#[test]
fn refused_request_and_refused_client_exit_with_1() {
    let address = own_address();
    let _process = started(address);
    let unknown = format!("http://{address}:8080/unknown");
    let output = discover(address, &["GET", &unknown, "--print-token"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).ends_with("404 Not Found\n"));
    assert!(text(&output.stdout).contains("\"status\":404"));

    let output = discover(address, &["GET", &unknown, "--client-id", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    let error = format!(
        "scopegate: http://{address}:9080/token: expected a token, but found status 401 Unauthorized, \
         error \"invalid_client\""
    );
    let steps = text(&output.stderr);
    assert!(steps.contains(&error), "{steps}");

    let nowhere = discover(address, &["GET", "http://127.0.0.1:1/"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let steps = text(&nowhere.stderr);
    assert!(
        steps.contains("http://127.0.0.1:1/: no response"),
        "{steps}"
    );
}

#[test]
fn wrong_arguments_of_discover_exit_with_2() {
    let address = own_address();
    for (arguments, message) in [
        (
            &["G T", "http://127.0.0.1/"][..],
            "METHOD: expected the name of a method",
        ),
        (&["GET", "/path"], "URL: expected an http or https URL"),
        (
            &["GET", "ftp://127.0.0.1/"],
            "URL: expected an http or https URL",
        ),
        (
            &["GET", "http://user:pass@127.0.0.1/"],
            "URL: expected a URL without user name",
        ),
        (
            &["GET", "http://127.0.0.1/", "--header", "Authorization: x"],
            "expected no Authorization",
        ),
        (
            &["GET", "http://127.0.0.1/", "--header", "x"],
            "--header: expected NAME: VALUE",
        ),
        (
            &["GET", "http://127.0.0.1/", "--body", "@none"],
            "--body: expected a body in none",
        ),
    ] {
        let output = discover(address, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("pass"), "{error}");
    }
    let output = run(None, &["discover", "GET", "http://127.0.0.1/"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--token-endpoint <URL>"));
}

/// A server that gives these responses, one for each connection.
fn scripted(responses: Vec<String>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    thread::spawn(move || {
        for response in responses {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut bytes = [0; 1024];
                let length = socket.read(&mut bytes).expect("a request");
                request.extend_from_slice(&bytes[..length]);
            }
            let _ = socket.write_all(response.as_bytes());
        }
    });
    port
}

#[test]
fn scope_of_a_foreign_403_is_checked_before_it_is_used() {
    for (challenge, message) in [
        ("Basic realm=\"a\"", "the 403 names no scope"),
        (
            "Bearer scope=\"a  b\"",
            "expected a scope in the 403, but found \"a  b\"",
        ),
        (
            "Bearer scope=\"\"",
            "expected a scope in the 403, but found \"\"",
        ),
    ] {
        let token = r#"{"access_token":"abc","token_type":"Bearer"}"#;
        let endpoint = scripted(vec![format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{token}",
            token.len()
        )]);
        let api = scripted(vec![format!(
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\nWWW-Authenticate: {challenge}\r\n\r\n"
        )]);
        let output = discover(
            Ipv4Addr::LOCALHOST,
            &[
                "GET",
                &format!("http://127.0.0.1:{api}/"),
                "--token-endpoint",
                &format!("http://127.0.0.1:{endpoint}/token"),
            ],
        );
        assert_eq!(output.status.code(), Some(1), "{challenge}");
        let steps = text(&output.stderr);
        assert!(steps.contains(message), "{steps}");
    }
}
