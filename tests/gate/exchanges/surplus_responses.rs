//! Upstreams that answer a request twice: the second response is nobody's.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{gateway, read_head, upstream};
use harness::{Connection, Gateway, eventually, logged, send};

/// When a second response comes, at the latest.
const LATE: Duration = Duration::from_millis(20);

fn response(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Answers each request with its target, and twice what asks for `/?twice` (at once) or `/?late`: where the next request on
/// its connection comes within [`LATE`], a stray response goes before that one's own.
fn strays() -> SocketAddr {
    upstream(|mut socket| {
        socket.set_nodelay(true).expect("an open socket");
        let mut late = None::<Instant>;
        while let Some(target) = next_target(&mut socket) {
            let is_late = late.is_some_and(|since| since.elapsed() < LATE);
            late = (target == "/?late").then(Instant::now);
            let own = response(&target);
            let written = match &*target {
                _ if is_late => response("stray") + &own,
                "/?twice" => own + &response("stray"),
                _ => own,
            };
            if socket.write_all(written.as_bytes()).is_err() {
                return;
            }
        }
    })
}

// None where the connection is closed instead.
fn next_target(socket: &mut TcpStream) -> Option<String> {
    if !matches!(socket.peek(&mut [0]), Ok(1)) {
        return None;
    }
    let head = String::from_utf8(read_head(socket)).expect("ASCII");
    head.split(' ').nth(1).map(str::to_owned)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A gateway that has found its upstream out.
fn gateway_before_double_responder() -> Gateway {
    let gateway = gateway(strays());
    assert_eq!(send(gateway.address, get("/?twice")).text(), "/?twice");
    eventually("it is logged", || {
        logged("upstream sent an unsolicited response")
    });
    gateway
}

#[test]
fn second_response_of_a_known_offender_reaches_no_other_client() {
    let gateway = gateway_before_double_responder();
    for turn in 0..10 {
        assert_eq!(send(gateway.address, get("/?late")).text(), "/?late");
        let target = format!("/?{turn}");
        assert_eq!(send(gateway.address, get(&target)).text(), target);
    }
}

#[test]
fn clients_that_cause_second_responses_do_not_affect_others() {
    let (gateway, clients) = (gateway_before_double_responder(), 8);
    thread::scope(|scope| {
        for client in 0..clients {
            let address = gateway.address;
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut connection = Connection::open(address);
                    connection.write(get("/?late").repeat(4));
                    for _ in 0..4 {
                        assert_eq!(connection.read(false).text(), "/?late");
                    }
                }
            });
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for turn in 0..100 {
                    let target = format!("/?{client}-{turn}");
                    assert_eq!(connection.ask(get(&target)).text(), target);
                }
            });
        }
    });
}
