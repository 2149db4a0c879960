//! The admin listener of a running process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::process::{Process, command, own_address, round_trip, run, run_in, wait_for};

/// A configuration with an admin listener and further keys of `[server]`.
fn file(address: Ipv4Addr, keys: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n{keys}\n[admin]\nlisten = \"{address}:9090\"\n\
         [upstreams.up]\ntargets = \"http://{address}:1\"\n\
         [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// The response to `GET path`.
fn get(address: Ipv4Addr, port: u16, path: &str) -> String {
    round_trip(
        address,
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
}

#[test]
fn draining_process_is_not_ready_and_serves_during_drain_delay() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &file(address, "drain_delay = \"2s\"\ndrain_timeout = \"1s\""),
    );
    wait_for("the gateway is ready", || {
        get(address, 9090, "/readyz").starts_with("HTTP/1.1 200")
    });
    process.signal("TERM");
    wait_for("the gateway is not ready", || {
        get(address, 9090, "/readyz").starts_with("HTTP/1.1 503")
    });
    assert!(get(address, 9090, "/readyz").ends_with("\r\n\r\nnot ready\n[-] stopping\n"));
    // Load balancers notice after a while; clients that they send meanwhile are served.
    assert!(get(address, 8080, "/").starts_with("HTTP/1.1 404"));
    assert!(
        get(address, 9090, "/livez").ends_with("ok\n"),
        "draining is no reason for a restart by the orchestrator"
    );
    assert!(process.wait_for_exit().success());
    assert!(TcpStream::connect((address, 9090)).is_err());
}

#[test]
fn admin_address_in_use_is_an_error_and_changing_it_needs_a_restart() {
    let address = own_address();
    let taken = TcpListener::bind((address, 9090)).expect("an unused address");
    let toml = file(address, "");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), &toml).expect("a file");
    let output = run_in(command(), folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!(
            "admin.listen: cannot listen on {address}:9090: the port is in use"
        )),
        "{stderr}"
    );
    drop(taken);

    let process = Process::start(address, &toml);
    std::fs::write(
        process.folder().join("gateway.toml"),
        toml.replace("9090", "9091"),
    )
    .expect("a file");
    let refused = "scopegate_reloads_total{outcome=\"refused\"} 1";
    wait_for("the configuration is rejected", || {
        get(address, 9090, "/metrics").contains(refused)
    });
    wait_for("the event is logged", || {
        process
            .printed()
            .1
            .contains("admin.listen changed, which needs a restart")
    });
}

#[test]
fn request_for_another_host_is_logged_once_with_the_key() {
    let address = own_address();
    let process = Process::start(address, &file(address, ""));
    for _ in 0..3 {
        let response = round_trip(
            address,
            9090,
            "GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        );
        assert!(response.starts_with("HTTP/1.1 421 "), "{response}");
    }
    let message = "admin request rejected: Host is not in admin.hosts\",\"host\":\"evil.example\"";
    wait_for("the refusal is logged", || {
        process.printed().1.contains(message)
    });
    assert_eq!(process.printed().1.matches(message).count(), 1);
}

#[test]
fn check_warns_of_a_reachable_admin_listener_without_hosts() {
    let toml = |listen: &str, hosts: &str| {
        format!(
            "[admin]\nlisten = \"{listen}\"\n{hosts}\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
        )
    };
    let warned = |toml: String| {
        let output = run(Some(&toml), &["check"]);
        String::from_utf8_lossy(&output.stderr)
            .contains("gateway.toml:2: admin.listen: 10.0.0.2:9090 is not a loopback")
    };
    assert!(warned(toml("10.0.0.2:9090", "")));
    assert!(!warned(toml("10.0.0.2:9090", "hosts = []")));
    assert!(!warned(toml("127.0.0.1:9090", "")));
}

#[test]
fn admin_port_is_shared_with_share_port_and_closes_with_the_process() {
    let address = own_address();
    let toml = file(address, "share_port = true");
    let start = || {
        let process = Process::launch(command(), &toml);
        wait_for("the admin listener is open", || {
            process.printed().1.contains("admin listening")
        });
        process
    };
    let (mut first, mut second) = (start(), start());
    for process in [&mut first, &mut second] {
        assert!(get(address, 9090, "/livez").ends_with("ok\n"));
        process.signal("TERM");
        assert_eq!(process.wait_for_exit().code(), Some(0));
    }
    assert!(TcpStream::connect((address, 9090)).is_err());
}

#[test]
fn accepted_admin_request_is_served_while_the_process_drains() {
    let address = own_address();
    let mut process = Process::start(address, &file(address, ""));
    let mut early = TcpStream::connect((address, 9090)).expect("the gateway listens");
    assert!(
        get(address, 9090, "/livez").ends_with("ok\n"),
        "the earlier connection is accepted as well"
    );
    process.signal("TERM");
    wait_for("the admin listener is closed", || {
        TcpStream::connect((address, 9090)).is_err()
    });
    early
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("the gateway reads");
    let mut response = String::new();
    early.read_to_string(&mut response).expect("a response");
    assert!(
        response.ends_with("not ready\n[-] stopping\n"),
        "{response}"
    );
    assert_eq!(process.wait_for_exit().code(), Some(0));
}
