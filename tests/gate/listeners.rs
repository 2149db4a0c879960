//! TLS towards clients: which certificate, how long a handshake may take, what changes while it is served.

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
fn gateway(front: &str, tls: &str, upstream: &Server) -> Gateway {
    Gateway::start(&format!(
        "[server]\n{front}\n[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ {tls} }}\n\
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

/// One request on a connection that ends with its answer.
fn ask(session: &mut Session, lines: &str) -> String {
    session
        .write_all(
            format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n").as_bytes(),
        )
        .expect("sent");
    let mut answer = String::new();
    session
        .read_to_string(&mut answer)
        .expect("an answer, and an orderly end");
    answer
}

fn upstream() -> Server {
    Server::start(|_| Reply::text("hello"))
}

#[test]
fn requests_over_tls_are_served_and_told_to_be_https() {
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
    // What is not TLS gets nowhere on that port.
    let mut connection = Connection::open(gateway.addresses[1]);
    connection.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!connection.reads_until("HTTP/1.1"));
    assert_eq!(upstream.hits(), 2);
}

#[test]
fn certificate_is_chosen_by_the_name_that_is_asked_for() {
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
    let shakes = |name, config| connect(gateway.addresses[1], name, config).is_ok();
    assert!(shakes("a.test", &one) && shakes("x.b.test", &other));
    assert!(!shakes("a.test", &other) && !shakes("x.b.test", &one));
    // The first one for whoever asks for another name; the client sees that it is not the one.
    assert!(!shakes("c.test", &one) && !shakes("c.test", &other));
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
fn client_certificate_is_asked_for_and_must_be_good_where_one_is_shown() {
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
    let answer = |shown: Option<&(PathBuf, PathBuf)>| {
        let mut session = connect(
            gateway.addresses[1],
            "a.test",
            &Arc::new(authority.client_config(shown)),
        )
        .ok()?;
        session
            .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        session.read_to_string(&mut answer).ok()?;
        Some(answer.starts_with("HTTP/1.1 200"))
    };
    assert_eq!(answer(None), Some(true));
    assert_eq!(answer(Some(&clients.client_files())), Some(true));
    assert_eq!(
        answer(Some(&strangers.client_files())),
        None,
        "the connection is refused"
    );
}

#[test]
fn handshake_that_never_ends_is_ended() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let certificates = format!(
        "certificates = [{}]",
        pair(&authority.server_files("a", "a.test"))
    );
    let gateway = gateway("header_timeout = \"300ms\"", &certificates, &upstream);
    // A hello that says it is longer than it is, and nothing at all.
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
fn renewed_certificate_is_shown_and_a_bad_one_is_not() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let files = authority.server_files("a", "a.test");
    let gateway = gateway("", &format!("certificates = [{}]", pair(&files)), &upstream);
    let config = Arc::new(authority.client_config(None));
    let shown = || {
        let session = connect(
            gateway.addresses[1],
            "a.test",
            &Arc::new(authority.client_config(None)),
        )
        .expect("a handshake");
        session.conn.peer_certificates().expect("a certificate")[0].to_vec()
    };
    let first = shown();
    let mut kept = connect(gateway.addresses[1], "a.test", &config).expect("a handshake");
    authority.server_files("a", "a.test");
    eventually("the new one is shown", || shown() != first);
    let second = shown();
    assert!(
        ask(&mut kept, "").starts_with("HTTP/1.1 200"),
        "who is connected stays"
    );
    // A key of another certificate, and no certificate at all.
    let other = authority.server_files("b", "a.test");
    for (file, content) in [
        (&files.1, std::fs::read(&other.1).expect("a file")),
        (&files.0, b"none".to_vec()),
    ] {
        std::fs::write(file, content).expect("a file");
        eventually("it is looked at", || {
            harness::logged("certificates rejected; the previous ones stay active")
        });
        assert_eq!(shown(), second);
    }
}
