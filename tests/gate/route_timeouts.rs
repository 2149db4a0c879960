//! `response_timeout` of a route replaces that of its upstream.

use std::time::Duration;

use harness::{Gateway, Reply, Server, send};

const ROUTES: &str = "[[routes]]\npath = \"/short\"\npublic = true\nupstream = \"up\"\nresponse_timeout = \"100ms\"\n\
                      [[routes]]\npath = \"/long\"\npublic = true\nupstream = \"up\"\nresponse_timeout = \"1m\"\n\
                      [[routes]]\npath = \"/default\"\npublic = true\nupstream = \"up\"\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn gateway(upstream: &Server, timeout: &str) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\nresponse_timeout = \"{timeout}\"\nretries = 0\n{ROUTES}",
        upstream.address
    ))
}

#[test]
fn route_waits_shorter_or_longer_than_its_upstream_says() {
    // 38 bytes, each after 10 ms: the head takes longer than the short timeouts.
    let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let upstream = Server::start(move |_| Reply::Trickle(slow.clone(), Duration::from_millis(10)));
    let short = gateway(&upstream, "100ms");
    assert_eq!(send(short.address, get("/default")).status, 504);
    assert_eq!(send(short.address, get("/long")).status, 200);
    let long = gateway(&upstream, "1m");
    assert_eq!(send(long.address, get("/default")).status, 200);
    let response = send(long.address, get("/short"));
    assert_eq!((response.status, response.challenge()), (504, None));
    let line = long.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "upstream_timed_out");
}
