//! What a running process says of itself to whoever watches over it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::process::{Process, ask, command, finished, own_address, run, wait};

/// A gateway with an admin listener, and more keys of `[server]`.
fn file(address: Ipv4Addr, keys: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n{keys}\n[admin]\nlisten = \"{address}:9090\"\n\
         [upstreams.up]\ntargets = \"http://{address}:1\"\n\
         [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
    )
}

fn asked(address: Ipv4Addr, port: u16, path: &str) -> String {
    ask(
        address,
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
}

#[test]
fn process_that_was_asked_to_stop_is_not_ready_and_serves_on_for_drain_delay() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &file(address, "drain_delay = \"2s\"\ndrain_timeout = \"1s\""),
    );
    wait("it is ready", || {
        asked(address, 9090, "/readyz").starts_with("HTTP/1.1 200")
    });
    process.signal("TERM");
    wait("it is not", || {
        asked(address, 9090, "/readyz").starts_with("HTTP/1.1 503")
    });
    assert!(asked(address, 9090, "/readyz").ends_with("\r\n\r\nnot ready\n[-] stopping\n"));
    // Load balancers need a while to notice: whoever comes meanwhile is served.
    assert!(asked(address, 8080, "/").starts_with("HTTP/1.1 404"));
    assert!(
        asked(address, 9090, "/livez").ends_with("ok\n"),
        "it is no reason to be killed"
    );
    assert!(process.stopped().success());
    assert!(TcpStream::connect((address, 9090)).is_err());
}

#[test]
fn admin_address_that_is_in_use_is_an_error_and_a_change_of_it_takes_a_restart() {
    let address = own_address();
    let taken = TcpListener::bind((address, 9090)).expect("an address of our own");
    let toml = file(address, "");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), &toml).expect("a file");
    let output = finished(command(), folder.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&format!(
            "admin.listen: cannot listen on {address}:9090: the port is in use"
        )),
        "{told}"
    );
    drop(taken);

    let process = Process::start(address, &toml);
    std::fs::write(
        process.folder().join("gateway.toml"),
        toml.replace("9090", "9091"),
    )
    .expect("a file");
    let refused = "scopegate_reloads_total{outcome=\"refused\"} 1";
    wait("it is refused", || {
        asked(address, 9090, "/metrics").contains(refused)
    });
    wait("it says so", || {
        process
            .printed()
            .1
            .contains("admin.listen changed, which takes a restart")
    });
}

#[test]
fn request_for_another_host_is_logged_with_the_key_and_not_each_time() {
    let address = own_address();
    let process = Process::start(address, &file(address, ""));
    for _ in 0..3 {
        let answer = ask(
            address,
            9090,
            "GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    }
    let message = "admin request rejected: Host is not in admin.hosts\",\"host\":\"evil.example\"";
    wait("it is logged", || process.printed().1.contains(message));
    assert_eq!(process.printed().1.matches(message).count(), 1);
}

#[test]
fn check_warns_of_an_admin_listener_that_others_reach_by_any_host() {
    let toml = |listen: &str, hosts: &str| {
        format!(
            "[admin]\nlisten = \"{listen}\"\n{hosts}\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
        )
    };
    let warned = |toml: String| {
        let output = run(Some(&toml), &["check"]);
        String::from_utf8_lossy(&output.stderr)
            .contains("gateway.toml:2: admin.listen: 10.0.0.2:9090 is no loopback")
    };
    assert!(warned(toml("10.0.0.2:9090", "")));
    assert!(!warned(toml("10.0.0.2:9090", "hosts = []")));
    assert!(!warned(toml("127.0.0.1:9090", "")));
}

#[test]
fn admin_port_is_shared_where_ports_are_and_is_refused_once_the_process_ends() {
    let address = own_address();
    let toml = file(address, "share_port = true");
    let start = || {
        let process = Process::launch(command(), &toml);
        wait("it is there", || {
            process.printed().1.contains("admin listening")
        });
        process
    };
    let (mut first, mut second) = (start(), start());
    for process in [&mut first, &mut second] {
        assert!(asked(address, 9090, "/livez").ends_with("ok\n"));
        process.signal("TERM");
        assert_eq!(process.stopped().code(), Some(0));
    }
    assert!(TcpStream::connect((address, 9090)).is_err());
}

#[test]
fn admin_request_that_was_accepted_is_answered_though_the_process_ends() {
    let address = own_address();
    let mut process = Process::start(address, &file(address, ""));
    let mut early = TcpStream::connect((address, 9090)).expect("it listens");
    assert!(
        asked(address, 9090, "/livez").ends_with("ok\n"),
        "so it has accepted the other one, too"
    );
    process.signal("TERM");
    wait("it accepts nobody", || {
        TcpStream::connect((address, 9090)).is_err()
    });
    early
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("not ready\n[-] stopping\n"), "{answer}");
    assert_eq!(process.stopped().code(), Some(0));
}
