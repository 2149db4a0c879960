//! The printed walkthrough of `examples/mcp`: a token for the resource, and a message.

use std::fs;
use std::net::Ipv4Addr;

use crate::process::{Process, own_address, round_trip, wait_for};

/// The shipped file, with the echo server in place of the MCP server.
fn shipped(address: Ipv4Addr) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mcp/gateway.toml");
    fs::read_to_string(path)
        .expect("the shipped file")
        .replace("127.0.0.1:9000", "127.0.0.1:9081")
        .replace("127.0.0.1", &address.to_string())
}

/// What stands between these texts.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("{start:?} in {text}"));
    rest.split_once(end).expect("an end").0
}

fn token(address: Ipv4Addr, resource: &str, scope: &str) -> String {
    let body = format!("grant_type=client_credentials&resource={resource}&scope={scope}");
    let request = format!(
        "POST /token HTTP/1.1\r\nHost: {address}:9080\r\nConnection: close\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = round_trip(address, 9080, &request);
    between(&response, "\"access_token\":\"", "\"").to_owned()
}

fn status(address: Ipv4Addr, message: &str, token: Option<&str>) -> String {
    let authorization = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}:8080\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {authorization}Content-Length: {}\r\n\r\n{message}",
        message.len()
    );
    let response = round_trip(address, 8080, &request);
    between(&response, "HTTP/1.1 ", " ").to_owned()
}

#[test]
fn printed_commands_of_an_mcp_route_get_the_responses_that_they_announce() {
    let address = own_address();
    let process = Process::start(address, &shipped(address));
    wait_for("the JWKS is fetched", || {
        process.printed().1.contains("JWKS fetched")
    });
    wait_for("the commands are printed", || {
        let (printed, _) = process.printed();
        printed.contains("# 4.") && printed.ends_with("\n\n")
    });
    let (printed, _) = process.printed();
    let message = between(&printed, "message='", "'\n");
    let resource = between(&printed, "-d resource=", " ");
    assert_eq!(resource, format!("http://{address}:8080/mcp"));
    let sends = "curl -i -X POST -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
                 -d \"$message\"";
    assert_eq!(printed.matches(sends).count(), 4, "{printed}");
    assert_eq!(printed.matches("$(token 'notes'").count(), 2, "{printed}");

    let (empty, sufficient) = (
        token(address, resource, ""),
        token(address, resource, "notes"),
    );
    for (token, expected) in [
        (None, "401"),
        (Some(&*empty), "403"),
        (Some(&*sufficient), "200"),
        (Some(&sufficient[..sufficient.len() - 20]), "401"),
    ] {
        assert_eq!(status(address, message, token), expected);
    }
}
