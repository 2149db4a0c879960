//! TLS towards clients: the choice of certificate, its renewal, client certificates, handshake
//! timeouts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use harness::{Authority, Connection, Gateway, Reply, Server, TIMEOUT, eventually};

type Session = StreamOwned<ClientConnection, TcpStream>;

/// A gateway with one TLS listener beside the plain one.
fn gateway(server_keys: &str, tls: &str, upstream: &Server) -> Gateway {
    Gateway::start(&format!(
        "[server]\n{server_keys}\n[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ {tls} }}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ))
}

fn pair((certificate, key): &(PathBuf, PathBuf)) -> String {
    format!(
        "{{ certificate = \"{}\", key = \"{}\" }}",
        certificate.display(),
        key.display()
    )
}

fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<Session> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    let mut session = StreamOwned::new(session, socket);
    while session.conn.is_handshaking() {
        session.conn.complete_io(&mut session.sock)?;
    }
    Ok(session)
}

/// Sends one request with `Connection: close` and reads until the connection ends.
fn ask(session: &mut Session, lines: &str) -> String {
    session
        .write_all(
            format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n").as_bytes(),
        )
        .expect("the gateway reads the request");
    let mut response = String::new();
    session
        .read_to_string(&mut response)
        .expect("a response and a TLS close_notify");
    response
}

fn upstream() -> Server {
    Server::start(|_| Reply::text("hello"))
}

#[test]
fn requests_over_tls_are_forwarded_with_x_forwarded_proto_https() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let gateway = gateway(
        "",
        &format!(
            "certificates = [{}]",
            pair(&authority.server_files("a", "a.test"))
        ),
        &upstream,
    );
    let mut config = authority.client_config(None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut session =
        connect(gateway.addresses[1], "a.test", &Arc::new(config)).expect("a handshake");
    assert_eq!(session.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(ask(&mut session, "").starts_with("HTTP/1.1 200"));
    assert_eq!(
        upstream.received()[0].header("x-forwarded-proto"),
        ["https"]
    );
    let plain = harness::get(gateway.address, "/x", None);
    assert_eq!(
        (
            plain.status,
            upstream.received()[1].header("x-forwarded-proto")
        ),
        (200, vec!["http"])
    );
    // Plain HTTP gets no response on the TLS port.
    let mut connection = Connection::open(gateway.addresses[1]);
    connection.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!connection.reads_until("HTTP/1.1"));
    assert_eq!(upstream.hits(), 2);
}

#[test]
fn certificate_is_selected_by_sni() {
    let (one, other, upstream) = (Authority::generate(), Authority::generate(), upstream());
    let pairs = [
        one.server_files("a", "a.test"),
        other.server_files("b", "*.b.test"),
    ];
    let certificates = format!("certificates = [{}, {}]", pair(&pairs[0]), pair(&pairs[1]));
    let gateway = gateway("", &certificates, &upstream);
    let (one, other) = (
        Arc::new(one.client_config(None)),
        Arc::new(other.client_config(None)),
    );
    let connects = |name, config| connect(gateway.addresses[1], name, config).is_ok();
    assert!(connects("a.test", &one) && connects("x.b.test", &other));
    assert!(!connects("a.test", &other) && !connects("x.b.test", &one));
    // Another name gets the first certificate, which the client refuses.
    assert!(!connects("c.test", &one) && !connects("c.test", &other));
}

#[test]
fn sessions_are_resumed() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let gateway = gateway(
        "",
        &format!(
            "certificates = [{}]",
            pair(&authority.server_files("a", "a.test"))
        ),
        &upstream,
    );
    let config = Arc::new(authority.client_config(None));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut session = connect(gateway.addresses[1], "a.test", &config).expect("a handshake");
        assert!(ask(&mut session, "").starts_with("HTTP/1.1 200"));
        kinds.push(session.conn.handshake_kind());
    }
    assert!(
        matches!(
            kinds[0],
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
        ),
        "{kinds:?}"
    );
    assert_eq!(kinds[1], Some(HandshakeKind::Resumed));
}

#[test]
fn client_certificate_is_optional_but_must_be_valid() {
    let (authority, clients, strangers, upstream) = (
        Authority::generate(),
        Authority::generate(),
        Authority::generate(),
        upstream(),
    );
    let tls = format!(
        "certificates = [{}], client_ca = \"{}\"",
        pair(&authority.server_files("a", "a.test")),
        clients.ca_file().display()
    );
    let gateway = gateway("", &tls, &upstream);
    let is_served = |identity: Option<&(PathBuf, PathBuf)>| {
        let mut session = connect(
            gateway.addresses[1],
            "a.test",
            &Arc::new(authority.client_config(identity)),
        )
        .ok()?;
        session
            .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut response = String::new();
        session.read_to_string(&mut response).ok()?;
        Some(response.starts_with("HTTP/1.1 200"))
    };
    assert_eq!(is_served(None), Some(true));
    assert_eq!(is_served(Some(&clients.client_files())), Some(true));
    assert_eq!(
        is_served(Some(&strangers.client_files())),
        None,
        "the connection is refused"
    );
}

#[test]
fn handshake_without_progress_times_out() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let certificates = format!(
        "certificates = [{}]",
        pair(&authority.server_files("a", "a.test"))
    );
    let gateway = gateway("header_timeout = \"300ms\"", &certificates, &upstream);
    // A truncated ClientHello, and no byte at all.
    for bytes in [&[0x16, 0x03, 0x01, 0x01, 0x00, 0x01][..], &[]] {
        let mut connection = Connection::open(gateway.addresses[1]);
        connection.write(bytes);
        let began = std::time::Instant::now();
        assert!(connection.is_closed());
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "after {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn renewed_certificate_is_used_and_an_invalid_one_is_not() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let files = authority.server_files("a", "a.test");
    let gateway = gateway("", &format!("certificates = [{}]", pair(&files)), &upstream);
    let config = Arc::new(authority.client_config(None));
    let served_certificate = || {
        let session = connect(
            gateway.addresses[1],
            "a.test",
            &Arc::new(authority.client_config(None)),
        )
        .expect("a handshake");
        session.conn.peer_certificates().expect("a certificate")[0].to_vec()
    };
    let first = served_certificate();
    let mut open = connect(gateway.addresses[1], "a.test", &config).expect("a handshake");
    authority.server_files("a", "a.test");
    eventually("the new certificate is used", || {
        served_certificate() != first
    });
    let second = served_certificate();
    assert!(
        ask(&mut open, "").starts_with("HTTP/1.1 200"),
        "an open connection stays"
    );
    // The key of another certificate, and a file without a certificate.
    let other = authority.server_files("b", "a.test");
    for (file, content) in [
        (&files.1, std::fs::read(&other.1).expect("a file")),
        (&files.0, b"none".to_vec()),
    ] {
        std::fs::write(file, content).expect("a file");
        eventually("the rejection is logged", || {
            harness::logged("certificates rejected; the previous ones stay active")
        });
        assert_eq!(served_certificate(), second);
    }
}
