//! Endless heads, interim responses, chunk extensions and trailers.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{GET, read_head, target_metric, upstream};
use harness::{Connection, Gateway, Reply, Server, eventually, send};

#[test]
fn endless_response_is_ended_and_delays_no_other_client() {
    for (what, start, repeated, status) in [
        (
            "hints",
            "",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            504,
        ),
        ("continue", "", "HTTP/1.1 100 Continue\r\n\r\n", 504),
        ("fields", "HTTP/1.1 200 OK\r\n", "a:b\r\n", 502),
        ("reason", "HTTP/1.1 200 O", "O", 502),
        (
            "extensions",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
            "a",
            200,
        ),
        (
            "trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "a:b\r\n",
            200,
        ),
    ] {
        let address = upstream(move |mut socket| {
            read_head(&mut socket);
            let _ = socket.write_all(start.as_bytes());
            let pieces = repeated.repeat(200);
            while socket.write_all(pieces.as_bytes()).is_ok() {}
        });
        let quick = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "[upstreams.up]\ntargets = \"http://{address}\"\nresponse_timeout = \"4s\"\n\
             [upstreams.quick]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n\
             [[routes]]\npath = \"/quick\"\npublic = true\nupstream = \"quick\"\n",
            quick.address
        ));
        let mut connection = Connection::open(gateway.address);
        connection.write(GET);
        // A client that has to wait for the endless response waits for its timeout, which is longer.
        let began = Instant::now();
        for _ in 0..5 {
            assert_eq!(
                send(gateway.address, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").status,
                200
            );
        }
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(3), "{what}: {waited:?}");
        let response = connection.read(false);
        assert_eq!(response.status, status, "{what}");
        assert!(status != 200 || !response.complete, "{what}");
        drop(connection);
        eventually("the upstream connection is closed", || {
            target_metric(&gateway, "connections", address) == Some(0.0)
        });
    }
}
