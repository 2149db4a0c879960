//! Who may use the admin listener: connection limits, timeouts and accepted hosts.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::ROUTE;
use harness::{Connection, Gateway, TestBed, send};

/// Opens connections to the admin listener from a loopback address, and sends these bytes on each.
fn open_connections(admin: SocketAddr, from: [u8; 4], count: usize, bytes: &str) -> Vec<TcpStream> {
    let open = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SocketAddr::from((Ipv4Addr::from(from), 0)).into())
            .expect("all of 127/8 is this machine");
        socket.connect(&admin.into()).expect("it listens");
        let mut socket = TcpStream::from(socket);
        socket
            .write_all(bytes.as_bytes())
            .expect("the kernel takes it");
        socket
    };
    (0..count).map(open).collect()
}

#[test]
fn open_admin_connections_do_not_block_probes() {
    let test_bed = TestBed::routes(ROUTE);
    let admin = test_bed.gateway.admin;
    let clients: [(&str, Vec<[u8; 4]>, usize); 3] = [
        ("16 from the probe's own address", vec![[127, 0, 0, 1]], 16),
        (
            "17 from each of four others",
            (2..6).map(|last| [127, 0, 0, last]).collect(),
            17,
        ),
        (
            "300 from 60 addresses",
            (0..60).map(|last| [127, 0, 1, last]).collect(),
            5,
        ),
    ];
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (who, addresses, count) in clients {
        // Nothing, half a head, and a request whose response is not read.
        for bytes in ["", "GET /livez HTTP/1.1\r\nHo", metrics] {
            let _open: Vec<_> = addresses
                .iter()
                .flat_map(|&address| open_connections(admin, address, count, bytes))
                .collect();
            for _ in 0..50 {
                assert_eq!(
                    test_bed.get_admin("/livez").text(),
                    "ok\n",
                    "{who}, {bytes:?}"
                );
                assert_eq!(
                    test_bed.get_admin("/readyz").text(),
                    "ready\n",
                    "{who}, {bytes:?}"
                );
            }
        }
    }
}

#[test]
fn admin_client_without_a_complete_head_is_disconnected() {
    let test_bed = TestBed::routes(ROUTE);
    let admin = test_bed.gateway.admin;
    let is_disconnected = |bytes: &str| {
        let began = Instant::now();
        let mut connection = Connection::open(admin);
        connection.write(bytes);
        assert!(connection.is_closed(), "{bytes:?}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{bytes:?}: {:?}",
            began.elapsed()
        );
    };
    thread::scope(|scope| {
        for bytes in ["", "GET /livez HTTP/1.1\r\nHo"] {
            scope.spawn(move || is_disconnected(bytes));
        }
    });
}

/// Status and text of a GET of `/livez` with these header lines.
fn livez(test_bed: &TestBed, version: &str, lines: &str) -> (u16, String) {
    let response = send(
        test_bed.gateway.admin,
        format!("GET /livez HTTP/{version}\r\n{lines}\r\n"),
    );
    (response.status, response.text())
}

const MISDIRECTED: &str = "expected an IP address, localhost or a name of admin.hosts as Host\n";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn admin_listener_accepts_only_addresses_localhost_and_listed_hosts() {
    let test_bed = TestBed::routes(ROUTE);
    let with_host = |host: &str| {
        livez(
            &test_bed,
            "1.1",
            &format!("Host: {host}\r\nOrigin: http://{host}\r\n"),
        )
    };
    for host in [
        "127.0.0.1:9090",
        "10.0.0.7",
        "[::1]:9090",
        "localhost:9090",
        "LOCALHOST",
    ] {
        assert_eq!(with_host(host), (200, "ok\n".to_owned()), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:9090",
        "localhost.evil.example",
        "gateway.internal",
    ] {
        assert_eq!(with_host(host), (421, MISDIRECTED.to_owned()), "{host}");
    }
    // On every path.
    for request in ["POST /livez", "GET /metrics", "GET /"] {
        let response = send(
            test_bed.gateway.admin,
            format!("{request} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        );
        assert_eq!(response.status, 421, "{request}");
    }
    // The authority of an absolute target counts as a host.
    let response = send(
        test_bed.gateway.admin,
        "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(response.status, 400);
    // A reload changes the accepted names.
    let toml = |hosts: &str| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:1\"\nhosts = {hosts}\n[upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n",
            test_bed.upstream.address
        )
    };
    let gateway = Gateway::start(&toml("[]"));
    let status = |host: &str| {
        send(
            gateway.admin,
            format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .status
    };
    assert_eq!(
        (status("gateway.internal"), status("127.0.0.1")),
        (421, 200)
    );
    gateway
        .reload(&toml("[\"gateway.internal\", \"*.svc\"]"))
        .expect("a valid configuration");
    assert_eq!(
        (
            status("Gateway.internal:80"),
            status("a.b.svc"),
            status("svc"),
            status("127.0.0.1")
        ),
        (200, 200, 421, 200)
    );
    let error = gateway
        .reload(&toml("\"gateway.internal:80\""))
        .expect_err("a port");
    assert!(
        error.contains("admin.hosts[0]: expected a host without port")
            || error.contains("admin.hosts: "),
        "{error}"
    );
}

#[test]
fn admin_listener_requires_one_host_except_over_http_1_0() {
    let test_bed = TestBed::routes(ROUTE);
    let none = (400, "expected one Host header, but found none\n".to_owned());
    let several = (
        400,
        "expected one Host header, but found several\n".to_owned(),
    );
    assert_eq!(livez(&test_bed, "1.1", ""), none);
    for version in ["1.0", "1.1"] {
        assert_eq!(
            livez(&test_bed, version, "Host: localhost\r\nHost: localhost\r\n"),
            several,
            "{version}"
        );
        assert_eq!(
            livez(&test_bed, version, "Host: a b\r\n").0,
            400,
            "{version}"
        );
        assert_eq!(
            livez(&test_bed, version, "Host: evil.example\r\n").0,
            421,
            "{version}"
        );
    }
    // Load balancers still send such requests.
    assert_eq!(livez(&test_bed, "1.0", ""), (200, "ok\n".to_owned()));
}

#[test]
fn admin_listener_beyond_loopback_accepts_probes_for_any_host_unless_hosts_are_listed() {
    let test_bed = TestBed::toml("[admin]\nlisten = \"0.0.0.0:1\"", "", "", ROUTE);
    let ask = |path: &str| {
        send(
            test_bed.gateway.admin,
            format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        )
        .status
    };
    assert_eq!(
        (
            ask("/livez"),
            ask("/readyz?verbose"),
            ask("/metrics"),
            ask("/")
        ),
        (200, 200, 200, 421)
    );
    let test_bed = TestBed::toml(
        "[admin]\nlisten = \"0.0.0.0:1\"\nhosts = \"b.example\"",
        "",
        "",
        ROUTE,
    );
    let ask = |host: &str| {
        send(
            test_bed.gateway.admin,
            format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .status
    };
    assert_eq!((ask("a.example"), ask("b.example")), (421, 200));
}
