//! What becomes of a connection in another protocol when the process is to stop.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, own_address};

#[test]
fn tunnel_goes_on_while_the_process_drains_and_is_cut_off_at_the_deadline() {
    let address = own_address();
    let upstream = TcpListener::bind((address, 0)).expect("a port");
    let port = upstream.local_addr().expect("a bound socket").port();
    // Agrees to the other protocol, and sends everything back.
    thread::spawn(move || {
        let (mut socket, _) = upstream.accept().expect("the gateway");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        socket
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            .expect("the gateway reads");
        let mut chunk = [0; 64];
        while let Ok(read @ 1..) = socket.read(&mut chunk) {
            socket.write_all(&chunk[..read]).expect("the gateway reads");
        }
    });
    let mut process = Process::start(
        address,
        &format!(
            "[server]\nlisten = \"{address}:8080\"\nworkers = 1\ndrain_timeout = \"1s\"\n\
             [upstreams.up]\ntargets = \"http://{address}:{port}\"\n\
             [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
        ),
    );
    let mut socket = TcpStream::connect((address, 8080)).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").expect("it reads");
    let mut head = [0; 12];
    socket.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        rest.push(byte[0]);
    }

    process.signal("TERM");
    let began = Instant::now();
    let mut echoed = 0;
    // Until it is cut off.
    while socket.write_all(b"x").is_ok() && matches!(socket.read(&mut [0]), Ok(1)) {
        echoed += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let lasted = began.elapsed();
    assert!(echoed > 5, "{echoed} bytes went through after the signal");
    assert!(lasted > Duration::from_millis(900) && lasted < Duration::from_secs(5), "it lasted {lasted:?}");
    assert!(process.stopped().success());
}
