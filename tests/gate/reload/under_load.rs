//! Reloads while requests are served: each request is judged by one configuration.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use scopegate::reload::Reloaded;

use super::{Servers, route};
use harness::{Connection, Gateway, Server};

#[test]
fn thousand_reloads_under_load_lose_no_request_and_judge_each_by_one_file() {
    const RELOADS: usize = 1000;
    let servers = Servers::start();
    // The first file forwards scope `a` to the first upstream, the second file scope `b` to the
    // second.
    let files = [("a", "one"), ("b", "two")].map(|(scope, upstream)| {
        servers.file(
            "",
            "",
            &route("/one", &format!("scope = \"{scope}\""), upstream),
        )
    });
    let gateway = servers.gateway(&files[0]);
    servers.upstreams.iter().for_each(Server::clear_received);
    let ended = AtomicBool::new(false);
    let ledgers: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (servers, gateway, ended) = (&servers, &gateway, &ended);
                scope.spawn(move || ask_until(ended, servers, gateway, client))
            })
            .collect();
        for reload in 1..=RELOADS {
            assert_eq!(gateway.reload(&files[reload % 2]), Ok(Reloaded::Changed));
        }
        ended.store(true, Ordering::SeqCst);
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("no panic"))
            .collect()
    });
    let seen = servers.upstreams.iter().map(|upstream| {
        let ids: Vec<_> = upstream
            .received()
            .iter()
            .map(|request| request.header("x-id")[0].to_owned())
            .collect();
        let distinct: HashSet<_> = ids.iter().cloned().collect();
        assert_eq!(distinct.len(), ids.len(), "a request arrived twice");
        distinct
    });
    let seen: Vec<_> = seen.collect();
    for (file, seen) in seen.iter().enumerate() {
        let expected: HashSet<_> = ledgers
            .iter()
            .filter(|(_, upstream)| *upstream == Some(file))
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(
            expected, *seen,
            "the requests that succeeded are those that arrived"
        );
        assert!(
            expected.len() > 10,
            "each file was active for some requests: {}",
            expected.len()
        );
    }
    assert!(
        ledgers.iter().any(|(_, upstream)| upstream.is_none()),
        "some were refused"
    );
}

// Returns the id of each request, and the upstream that responded unless it was refused.
fn ask_until(
    ended: &AtomicBool,
    servers: &Servers,
    gateway: &Gateway,
    client: usize,
) -> Vec<(String, Option<usize>)> {
    let tokens = ["a", "b"].map(|scope| servers.token(scope));
    let refusals =
        ["a", "b"].map(|scope| format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""));
    let mut connection = Connection::open(gateway.address);
    let mut ledger = Vec::new();
    for index in 0.. {
        if ended.load(Ordering::SeqCst) {
            break;
        }
        let (id, scope) = (format!("{client}-{index}"), index % 2);
        let response = connection.ask(format!(
            "GET /one HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nAuthorization: Bearer {}\r\n\r\n",
            tokens[scope]
        ));
        match response.status {
            // Judged by the file that requires this scope.
            200 => assert_eq!(response.text(), ["one", "two"][scope], "{id}"),
            // Judged by the other file.
            403 => assert_eq!(response.challenge(), Some(&*refusals[1 - scope]), "{id}"),
            status => panic!("{id}: {status}"),
        }
        ledger.push((id, (response.status == 200).then_some(scope)));
    }
    ledger
}
