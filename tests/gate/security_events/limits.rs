//! Sizes, times and rates.

use std::net::SocketAddr;

use harness::Authority;

use super::*;

#[test]
fn larger_token_than_64_kib_is_a_413() {
    let bed = bed();
    let head = "POST /events HTTP/1.1\r\nHost: a\r\nContent-Type: application/secevent+jwt\r\n";
    let announced = send(bed.address, format!("{head}Content-Length: 65537\r\n\r\n"));
    assert_eq!(announced.status, 413);
    let mut connection = Connection::open(bed.address);
    connection.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    for _ in 0..17 {
        connection.try_write(format!("1000\r\n{}\r\n", "a".repeat(4096)));
    }
    assert_eq!(connection.read(false).status, 413);
    // As large as allowed, and no token.
    let body = "a".repeat(65_536);
    assert_eq!(
        outcome(&push(&bed, &body)),
        (400, "invalid_request".to_owned())
    );
}

#[test]
fn slow_token_is_a_408() {
    let bed = TestBed::toml(
        &format!("[server]\nbody_idle_timeout = \"1s\"\n{PUSH}"),
        "",
        "",
        ROUTE,
    );
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    let mut connection = Connection::open(bed.address);
    let request = request(&token);
    connection.write(&request[..request.len() - 10]);
    assert_eq!(connection.read(false).status, 408);
}

#[test]
fn client_that_sends_too_many_is_a_429() {
    let bed = bed();
    let mut connection = Connection::open(bed.address);
    let mut statuses = (0..1000).map(|_| connection.ask(request("x")));
    let limited = statuses
        .find(|response| response.status == 429)
        .expect("a refusal within a thousand requests");
    assert_eq!(limited.header("retry-after"), Some("1"));
    let metrics = bed.get_admin("/metrics").text();
    assert!(
        metrics.contains("reason=\"too_many_security_events\""),
        "{metrics}"
    );
    // Requests to routes are not concerned.
    let token = access_token(&bed.key, &bed.issuer, "alice", NOW);
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
}

#[test]
fn full_store_is_a_507_and_known_revocations_are_still_accepted() {
    let bed = TestBed::toml(&format!("{PUSH}max_entries = 1\n"), "", "", ROUTE);
    let first = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    assert_eq!(push(&bed, &first).status, 202);
    let second = push(&bed, &event(&bed.key, &claims(&bed.issuer.url, "bob")));
    assert_eq!(second.status, 507);
    assert!(second.header("retry-after").is_some());
    assert_eq!(push(&bed, &first).status, 202);
    let line = line_of(&bed, "revocations_full");
    assert_eq!(line["issuer"], "corp");
    let bob = access_token(&bed.key, &bed.issuer, "bob", NOW);
    assert_eq!(bed.get("/a", Some(&bob)).status, 200);
}

#[test]
fn listener_that_redirects_to_https_redirects_events() {
    let (authority, key) = (Authority::generate(), Key::es256("first"));
    let issuer = Issuer::start(&[&key]);
    let (certificate, private) = authority.server_files("a", "a.test");
    let gateway = Gateway::start(&format!(
        "{PUSH}[[listeners]]\naddress = \"127.0.0.1:0\"\nredirect_to_https = true\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n\
         [issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{ROUTE}",
        certificate.display(),
        private.display(),
        issuer.url
    ));
    let token = event(&key, &claims(&issuer.url, "alice"));
    let redirecting: SocketAddr = gateway.addresses[1];
    let response = send(redirecting, request(&token));
    assert_eq!(response.status, 308);
    let port = gateway.addresses[2].port();
    let location = format!("https://api.test:{port}/events");
    assert_eq!(response.header("location"), Some(&*location));
}
