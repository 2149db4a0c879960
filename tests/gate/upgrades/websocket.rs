//! WebSocket connections of another implementation, plain and over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use super::test_bed;
use harness::{Authority, TIMEOUT};

/// A WebSocket server that echoes every message.
fn websocket_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(socket) = socket else { return };
            thread::spawn(move || {
                let Ok(mut session) = tungstenite::accept(socket) else {
                    return;
                };
                while let Ok(message) = session.read() {
                    if (message.is_binary() || message.is_text()) && session.send(message).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn assert_websocket_works<S: Read + Write>(stream: S, token: &str) {
    let mut request = "ws://a.test/ws".into_client_request().expect("a request");
    let value = format!("Bearer {token}").parse().expect("a header value");
    request.headers_mut().insert("authorization", value);
    let (mut session, response) = tungstenite::client(request, stream).expect("a handshake");
    assert_eq!(response.status(), 101);
    for length in [1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
        let message = Message::binary(vec![7; length]);
        session.send(message.clone()).expect("an open connection");
        assert!(
            session.read().expect("a message") == message,
            "{length} bytes"
        );
    }
    session
        .send(Message::Ping(vec![1].into()))
        .expect("an open connection");
    assert_eq!(
        session.read().expect("a message"),
        Message::Pong(vec![1].into())
    );
    session.close(None).expect("an open connection");
    assert!(session.read().is_ok_and(|message| message.is_close()));
    assert!(session.read().is_err(), "both have closed");
}

#[test]
fn tungstenite_websocket_works_plain_and_over_tls() {
    let authority = Authority::generate();
    let (certificate, key) = authority.server_files("a", "a.test");
    let listener = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n",
        certificate.display(),
        key.display()
    );
    let test_bed = test_bed(websocket_upstream(), &format!("[server]\n{listener}"));
    let token = test_bed.token("read");
    let connect = |address: SocketAddr| {
        let socket = TcpStream::connect(address).expect("a listening gateway");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        socket
    };
    assert_websocket_works(connect(test_bed.address), &token);
    let name = ServerName::try_from("a.test").expect("a name");
    let session =
        ClientConnection::new(Arc::new(authority.client_config(None)), name).expect("a session");
    assert_websocket_works(
        StreamOwned::new(session, connect(test_bed.gateway.addresses[1])),
        &token,
    );
}
