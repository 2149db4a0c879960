//! Reloads while requests are served: each request is judged by one configuration.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use scopegate::reload::Reloaded;

use super::{Parts, route};
use harness::{Connection, Gateway, Server};

#[test]
fn a_thousand_reloads_under_load_lose_nothing_and_judge_each_request_by_one_file() {
    const RELOADS: usize = 1000;
    let parts = Parts::start();
    // Whoever has scope a gets to the one upstream by the one file, whoever has b to the other by the other.
    let files = [("a", "one"), ("b", "two")].map(|(scope, upstream)| {
        parts.file(
            "",
            "",
            &route("/one", &format!("scope = \"{scope}\""), upstream),
        )
    });
    let gateway = parts.gateway(&files[0]);
    parts.upstreams.iter().for_each(Server::clear_received);
    let ended = AtomicBool::new(false);
    let ledgers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|asker| {
                let (parts, gateway, ended) = (&parts, &gateway, &ended);
                scope.spawn(move || ask_until(ended, parts, gateway, asker))
            })
            .collect();
        for reload in 1..=RELOADS {
            assert_eq!(gateway.reload(&files[reload % 2]), Ok(Reloaded::Changed));
        }
        ended.store(true, Ordering::SeqCst);
        asking
            .into_iter()
            .flat_map(|asking| asking.join().expect("no panic"))
            .collect()
    });
    let seen = parts.upstreams.iter().map(|upstream| {
        let ids: Vec<_> = upstream
            .received()
            .iter()
            .map(|request| request.header("x-id")[0].to_owned())
            .collect();
        let distinct: HashSet<_> = ids.iter().cloned().collect();
        assert_eq!(distinct.len(), ids.len(), "a request came twice");
        distinct
    });
    let seen: Vec<_> = seen.collect();
    for (file, seen) in seen.iter().enumerate() {
        let expected: HashSet<_> = ledgers
            .iter()
            .filter(|(_, answered)| *answered == Some(file))
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(expected, *seen, "what was answered is what came");
        assert!(
            expected.len() > 10,
            "both files were in force for a while: {}",
            expected.len()
        );
    }
    assert!(
        ledgers.iter().any(|(_, answered)| answered.is_none()),
        "some were refused"
    );
}

// Each request by its id, and by which upstream it was answered if it was not refused.
fn ask_until(
    ended: &AtomicBool,
    parts: &Parts,
    gateway: &Gateway,
    asker: usize,
) -> Vec<(String, Option<usize>)> {
    let tokens = ["a", "b"].map(|scope| parts.token(scope));
    let refusals =
        ["a", "b"].map(|scope| format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""));
    let mut connection = Connection::open(gateway.address);
    let mut ledger = Vec::new();
    for index in 0.. {
        if ended.load(Ordering::SeqCst) {
            break;
        }
        let (id, has) = (format!("{asker}-{index}"), index % 2);
        let answer = connection.ask(format!(
            "GET /one HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nAuthorization: Bearer {}\r\n\r\n",
            tokens[has]
        ));
        match answer.status {
            // By the file that asks for what it has.
            200 => assert_eq!(answer.text(), ["one", "two"][has], "{id}"),
            // By the other one.
            403 => assert_eq!(answer.challenge(), Some(&*refusals[1 - has]), "{id}"),
            status => panic!("{id}: {status}"),
        }
        ledger.push((id, (answer.status == 200).then_some(has)));
    }
    ledger
}
