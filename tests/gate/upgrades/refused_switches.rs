//! Upgrades that the gateway does not forward, and 101 responses that it does not accept.

use super::{ACCEPTED, ROUTES, request};
use harness::{Reply, TestBed, eventually, send};

#[test]
fn upgrade_to_other_http_versions_is_not_forwarded() {
    let test_bed = TestBed::routes(ROUTES);
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: Upgrade\r\nUpgrade: \"h2c\"\r\n",
        "Connection: Upgrade\r\nUpgrade: x/h2c\r\n",
        "Connection: Upgrade\r\nUpgrade:\r\n",
        "Connection: Upgrade\r\nUpgrade: ,\r\n",
        "Connection: Upgrade\r\nUpgrade: \"websocket\"\r\n",
        "Connection: Upgrade\r\nUpgrade: web socket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket/13/h2c\r\n",
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: echo\r\n",
    ] {
        assert_eq!(
            send(test_bed.address, request(&test_bed.token("read"), lines)).status,
            200,
            "{lines}"
        );
        let received = test_bed.last();
        assert!(
            received.header("upgrade").is_empty() && received.header("connection").is_empty(),
            "{received:?}"
        );
        assert!(received.header("http2-settings").is_empty(), "{received:?}");
    }
    // The rest of a list is forwarded.
    let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, WebSocket\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(
        send(test_bed.address, request(&test_bed.token("read"), lines)).status,
        200
    );
    let received = test_bed.last();
    assert_eq!(
        (received.header("upgrade"), received.header("connection")),
        (vec!["WebSocket"], vec!["upgrade"])
    );
    assert!(received.header("http2-settings").is_empty(), "{received:?}");
}

#[test]
fn unrequested_101_is_a_502() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed
        .upstream
        .script(|_| Reply::RawThenHang(ACCEPTED.as_bytes().to_vec()));
    let response = send(test_bed.address, request(&test_bed.token("read"), ""));
    assert_eq!((response.status, response.challenge()), (502, None));
}

#[test]
fn switch_to_another_protocol_than_requested_is_a_502_and_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    for (requested, head) in [
        (
            "websocket",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
        ("websocket", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n"),
        (
            "websocket",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n",
        ),
        ("websocket", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"),
        (
            "websocket",
            "HTTP/1.0 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            "websocket",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket/13\r\n\r\n",
        ),
        (
            "websocket, echo",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket, echo\r\n\r\n",
        ),
        (
            "websocket, h2c",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
    ] {
        test_bed.upstream.script(move |_| {
            Reply::RawThenHang(format!("{head}HTTP/1.1 200 OK\r\n\r\nstray").into_bytes())
        });
        let lines = format!("Connection: Upgrade\r\nUpgrade: {requested}\r\n");
        let response = send(test_bed.address, request(&test_bed.token("read"), &lines));
        assert_eq!(
            (response.status, response.text().contains("stray")),
            (502, false),
            "{head:?} for {requested}"
        );
    }
    test_bed.upstream.script(|_| Reply::text("hello"));
    assert_eq!(
        send(test_bed.address, request(&test_bed.token("read"), "")).text(),
        "hello"
    );
    // At most the connection that served the last request stays open.
    eventually("their connections are closed", || {
        test_bed.upstream.closed() + 2 >= test_bed.upstream.connections()
    });
    eventually("the failure is logged", || {
        harness::logged("to switch to a requested protocol")
    });
}
