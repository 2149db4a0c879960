//! Upstreams that respond twice to one request: no client gets the second response.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{gateway, read_head, upstream};
use harness::{Connection, Gateway, eventually, logged, send};

/// Maximum delay between the two responses.
const MAX_DELAY: Duration = Duration::from_millis(20);

fn response(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Responds to each request with its target.
///
/// A request for `/?twice` gets a second response at once. After one for `/?late`, the next request
/// on the connection gets a surplus response before its own if it arrives within [`MAX_DELAY`].
fn double_responder() -> SocketAddr {
    upstream(|mut socket| {
        socket.set_nodelay(true).expect("an open socket");
        let mut late = None::<Instant>;
        while let Some(target) = next_target(&mut socket) {
            let is_late = late.is_some_and(|since| since.elapsed() < MAX_DELAY);
            late = (target == "/?late").then(Instant::now);
            let own = response(&target);
            let written = match &*target {
                _ if is_late => response("surplus") + &own,
                "/?twice" => own + &response("surplus"),
                _ => own,
            };
            if socket.write_all(written.as_bytes()).is_err() {
                return;
            }
        }
    })
}

// `None` if the connection closes instead.
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

/// A gateway that has already logged its upstream's second response.
fn gateway_before_known_offender() -> Gateway {
    let gateway = gateway(double_responder());
    assert_eq!(send(gateway.address, get("/?twice")).text(), "/?twice");
    eventually("the second response is logged", || {
        logged("upstream sent an unsolicited response")
    });
    gateway
}

#[test]
fn second_response_of_a_known_offender_reaches_no_other_client() {
    let gateway = gateway_before_known_offender();
    for turn in 0..10 {
        assert_eq!(send(gateway.address, get("/?late")).text(), "/?late");
        let target = format!("/?{turn}");
        assert_eq!(send(gateway.address, get(&target)).text(), target);
    }
}

#[test]
fn clients_that_cause_second_responses_do_not_affect_others() {
    let (gateway, clients) = (gateway_before_known_offender(), 8);
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
