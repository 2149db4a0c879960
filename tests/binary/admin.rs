//! What a running process says of itself to whoever watches over it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::process::{Process, ask, command, finished, own_address, wait};

fn asked(address: Ipv4Addr, port: u16, path: &str) -> String {
    ask(address, port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
}

#[test]
fn process_that_was_asked_to_stop_is_not_ready_and_serves_on_for_drain_delay() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &format!(
            "[server]\nlisten = \"{address}:8080\"\nworkers = 1\ndrain_delay = \"2s\"\ndrain_timeout = \"1s\"\n\
             [admin]\nlisten = \"{address}:9090\"\n"
        ),
    );
    wait("it is ready", || asked(address, 9090, "/readyz").starts_with("HTTP/1.1 200"));
    process.signal("TERM");
    wait("it is not", || asked(address, 9090, "/readyz").starts_with("HTTP/1.1 503"));
    assert!(asked(address, 9090, "/readyz").ends_with("\r\n\r\nnot ready\n[-] stopping\n"));
    // Load balancers need a while to notice: whoever comes meanwhile is served.
    assert!(asked(address, 8080, "/").starts_with("HTTP/1.1 404"));
    assert!(asked(address, 9090, "/livez").ends_with("ok\n"), "it is no reason to be killed");
    assert!(process.stopped().success());
    assert!(TcpStream::connect((address, 9090)).is_err());
}

#[test]
fn admin_address_that_is_in_use_is_an_error_and_a_change_of_it_takes_a_restart() {
    let address = own_address();
    let taken = TcpListener::bind((address, 9090)).expect("an address of our own");
    let toml = format!("[server]\nlisten = \"{address}:8080\"\nworkers = 1\n[admin]\nlisten = \"{address}:9090\"\n");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), &toml).expect("a file");
    let output = finished(command(), folder.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("admin.listen: cannot listen on {address}:9090: the port is in use")), "{told}");
    drop(taken);

    let process = Process::start(address, &toml);
    std::fs::write(process.folder().join("gateway.toml"), toml.replace("9090", "9091")).expect("a file");
    let refused = "scopegate_reloads_total{outcome=\"refused\"} 1";
    wait("it is refused", || asked(address, 9090, "/metrics").contains(refused));
    wait("it says so", || process.printed().1.contains("admin.listen changed, which takes a restart"));
}
