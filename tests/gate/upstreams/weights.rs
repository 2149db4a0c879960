//! Targets with weights.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::resolved_names::{gateway_to_targets, loopback};
use super::{GET, ROUTE, hello_server, hits};
use harness::{Connection, Gateway, Reply, Server, eventually, send};

fn weighted_gateway<const N: usize>(targets: [(SocketAddr, u32); N], keys: &str) -> Gateway {
    let targets = targets
        .map(|(address, weight)| format!("{{ url = \"http://{address}\", weight = {weight} }}"));
    Gateway::start(&format!(
        "[upstreams.up]\ntargets = [{}]\n{keys}\n{ROUTE}",
        targets.join(", ")
    ))
}

#[test]
fn weighted_round_robin_follows_the_weights_exactly() {
    let servers = [hello_server(), hello_server(), hello_server()];
    let [first, second, third] = servers.each_ref().map(|server| server.address);
    let gateway = weighted_gateway(
        [(first, 1), (second, 3), (third, 6)],
        "balance = \"round_robin\"",
    );
    let mut connection = Connection::open(gateway.address);
    for _ in 0..300 {
        assert_eq!(connection.ask(GET).status, 200);
    }
    assert_eq!(hits(&servers), [30, 90, 180]);
}

#[test]
fn idle_targets_get_requests_in_proportion_to_their_weights() {
    let servers = [hello_server(), hello_server()];
    let [light, heavy] = servers.each_ref().map(|server| server.address);
    let gateway = weighted_gateway([(light, 1), (heavy, 3)], "");
    let mut connection = Connection::open(gateway.address);
    for _ in 0..1200 {
        assert_eq!(connection.ask(GET).status, 200);
    }
    let [light, heavy] = hits(&servers);
    assert_eq!(light + heavy, 1200);
    // Eight standard deviations of 15.
    assert!((180..420).contains(&light), "{light} of 1200");
}

#[test]
fn requests_in_flight_divided_by_the_weight_select_the_target() {
    let servers = [
        Server::start(|_| Reply::RawThenHang(Vec::new())),
        Server::start(|_| Reply::RawThenHang(Vec::new())),
    ];
    let [light, heavy] = servers.each_ref().map(|server| server.address);
    let gateway = weighted_gateway([(light, 1), (heavy, 3)], "");
    let _waiting: Vec<_> = (1..=40)
        .map(|count| {
            let mut connection = Connection::open(gateway.address);
            connection.write(GET);
            eventually("a target receives it", || {
                hits(&servers).iter().sum::<usize>() == count
            });
            connection
        })
        .collect();
    // Both are always drawn, so the shares follow the weights.
    assert_eq!(hits(&servers), [10, 30]);
}

#[test]
fn each_address_of_a_name_has_the_weight_of_its_target() {
    let servers: [_; 3] = Server::start_on_one_port(|_| Reply::text("hello"));
    let port = servers[0].address.port();
    let addresses = Arc::new(Mutex::new(vec![loopback(2), loopback(3)]));
    let targets = format!(
        "[\"http://127.0.0.1:{port}\", {{ url = \"http://api.test:{port}\", weight = 4 }}]"
    );
    let gateway = gateway_to_targets(&targets, "balance = \"round_robin\"", &addresses);
    eventually("both addresses of the name are known", || {
        assert_eq!(send(gateway.address, GET).status, 200);
        servers.iter().all(|server| server.hits() > 0)
    });
    let before = hits(&servers);
    for _ in 0..90 {
        assert_eq!(send(gateway.address, GET).status, 200);
    }
    let after = hits(&servers);
    let since: Vec<_> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(since, [10, 40, 40]);
}
