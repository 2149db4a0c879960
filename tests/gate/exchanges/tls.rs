//! Exchanges over TLS, where written bytes may still wait in the TLS library.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{GET, gateway_with, read_head, upload_until_stuck, upstream, upstream_once};
use harness::{Authority, Connection, Gateway, TIMEOUT, send};

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn accept(config: &Arc<ServerConfig>, socket: TcpStream) -> Tls {
    StreamOwned::new(
        ServerConnection::new(Arc::clone(config)).expect("a session"),
        socket,
    )
}

fn gateway(server: &str, authority: &Authority, upstream: SocketAddr) -> Gateway {
    let trust = format!(
        "tls_ca = \"{}\"\ntls_server_name = \"up.test\"",
        authority.ca_file().display()
    );
    gateway_with(server, "https", upstream, &trust)
}

#[test]
fn upload_to_a_pausing_upstream_is_complete() {
    // For some of these sizes, the last piece waits in the TLS library and not in the kernel while
    // the upstream pauses.
    let authority = Authority::generate();
    let config = authority.server_config("up.test", false);
    let address = upstream(move |socket| {
        let mut socket = accept(&config, socket);
        let head = String::from_utf8(read_head(&mut socket)).expect("ASCII");
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        // The end of the upload has to stay in the TLS library; nothing shows from outside that it
        // does.
        thread::sleep(Duration::from_millis(300));
        let mut body = vec![0; length.expect("a length")];
        // If the body is incomplete, the client gets no 200.
        let _ = socket.read_exact(&mut body).and_then(|()| {
            socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        });
    });
    let gateway = gateway("", &authority, address);
    let sizes: Vec<usize> = (60..100).map(|step| step * 50_000).collect();
    for batch in sizes.chunks(10) {
        thread::scope(|scope| {
            for &size in batch {
                let address = gateway.address;
                scope.spawn(move || {
                    let mut connection = Connection::open(address);
                    connection.write(format!(
                        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
                    ));
                    connection.write(vec![b'x'; size]);
                    assert_eq!(connection.read(false).status, 200, "{size}");
                });
            }
        });
    }
}

#[test]
fn simultaneous_upload_and_response_are_complete() {
    let (authority, size) = (Authority::generate(), 24 * 1024 * 1024);
    let acceptor = tokio_rustls::TlsAcceptor::from(authority.server_config("up.test", false));
    let (address, serving) = upstream_once(move |socket| {
        socket.set_nonblocking(true).expect("an open socket");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let socket = tokio::net::TcpStream::from_std(socket).expect("an open socket");
            let (mut reader, mut writer) =
                tokio::io::split(acceptor.accept(socket).await.expect("a handshake"));
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(reader.read_u8().await.expect("a head"));
            }
            let writing = async {
                writer
                    .write_all(
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes(),
                    )
                    .await?;
                writer.write_all(&vec![b'a'; size]).await?;
                writer.flush().await
            };
            let mut body = vec![0; size];
            let reading = async { reader.read_exact(&mut body).await.map(|_| ()) };
            let both = async { tokio::try_join!(reading, writing).map(|_| ()) };
            tokio::time::timeout(TIMEOUT, both).await.expect("in time")
        })
    });
    let gateway = gateway("", &authority, address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    ));
    connection.write(vec![b'x'; size]);
    let response = connection.read(false);
    assert_eq!(
        (response.status, response.body.len(), response.complete),
        (200, size, true)
    );
    serving
        .join()
        .expect("no panic")
        .expect("the complete upload");
}

#[test]
fn stuck_upload_after_the_response_is_abandoned() {
    let authority = Authority::generate();
    let config = authority.server_config("up.test", false);
    let address = upstream(move |socket| {
        let mut socket = accept(&config, socket);
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .expect("the gateway reads");
        // Keeps the connection open, unread, for longer than the test takes.
        thread::sleep(2 * TIMEOUT);
    });
    upload_until_stuck(
        &gateway(
            "[server]\nbody_idle_timeout = \"500ms\"\n",
            &authority,
            address,
        ),
        address,
    );
}

#[test]
fn closed_tls_connection_sends_a_close_notify() {
    let authority = Authority::generate();
    let config = authority.server_config("up.test", false);
    let (address, serving) = upstream_once(move |socket| {
        let mut socket = accept(&config, socket);
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .expect("the gateway reads");
        socket.read_to_end(&mut Vec::new())
    });
    let gateway = gateway("", &authority, address);
    assert_eq!(send(gateway.address, GET).status, 200);
    // Without a close_notify, rustls returns an error: the data may be truncated (RFC 8446 §6.1).
    assert_eq!(
        serving.join().expect("no panic").expect("a close_notify"),
        0
    );
}
