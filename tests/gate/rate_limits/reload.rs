//! What a reload does to limits.

use harness::{Connection, Gateway, TestBed, send};
use scopegate::reload::Reloaded;
use serde_json::json;

use super::{fields, token};

fn file(limits: &str, routes: &str) -> String {
    format!(
        "{limits}[[routes]]\npath = \"/a\"\npublic = true\nlimit = \"open\"\nrespond = {{ status = 204 }}\n{routes}"
    )
}

fn limit(name: &str, burst: u32) -> String {
    format!(
        "[limits.{name}]\nrequests = 100\nper = \"1h\"\nburst = {burst}\nkey = [\"address\", \"route\"]\n"
    )
}

#[test]
fn reload_keeps_an_unchanged_limit_and_drops_a_changed_one() {
    let gateway = Gateway::start(&file(&limit("open", 2), ""));
    let ask = || send(gateway.address, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n").status;
    assert_eq!([ask(), ask(), ask()], [204, 204, 429]);

    // Another limit before it, and another route after it.
    let other =
        "[[routes]]\npath = \"/b\"\npublic = true\nlimit = \"other\"\nrespond = { status = 204 }\n";
    let limits = limit("other", 1) + &limit("open", 2);
    let outcome = gateway.reload(&file(&limits, other)).expect("a good file");
    assert_eq!(outcome, Reloaded::Changed);
    assert_eq!(ask(), 429);
    let series = "scopegate_rate_limit_requests_total{limit=\"open\",outcome=\"admitted\"}";
    assert_eq!(gateway.metric(series), Some(2.0));

    gateway
        .reload(&file(&limit("open", 3), ""))
        .expect("a good file");
    assert_eq!([ask(), ask(), ask(), ask()], [204, 204, 204, 429]);

    // A rejected file changes nothing.
    gateway
        .reload(&file("", ""))
        .expect_err("an undeclared limit");
    assert_eq!(ask(), 429);
}

#[test]
fn reload_holds_for_a_client_that_keeps_its_connection_and_its_token() {
    let test_bed = TestBed::routes("");
    let reload = |limits: &str, limit: &str| {
        let outcome = test_bed.reload(&format!(
            "{limits}[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
             [[routes]]\npath = \"/a\"\n{limit}respond = {{ status = 204 }}\n",
            test_bed.issuer.url
        ));
        assert_eq!(outcome, Ok(Reloaded::Changed));
    };
    let limit = |name: &str, burst: u32| {
        format!("[limits.{name}]\nrequests = 100\nper = \"1h\"\nburst = {burst}\n")
    };
    let token = token(&test_bed, json!({ "client_id": "one" }));
    let head = format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut connection = Connection::open(test_bed.address);
    let mut statuses = |count: usize| {
        let asked = (0..count).map(|_| connection.ask(&head).status);
        asked.collect::<Vec<_>>()
    };

    reload(&limit("client", 2), "limit = \"client\"\n");
    assert_eq!(statuses(3), [204, 204, 429]);
    // A changed limit has other buckets.
    reload(&limit("client", 3), "limit = \"client\"\n");
    assert_eq!(statuses(4), [204, 204, 204, 429]);
    // An unchanged one has the same, in another place.
    let both = limit("another", 2) + &limit("client", 3);
    reload(&both, "limit = \"client\"\n");
    assert_eq!(statuses(1), [429]);
    reload(&both, "limit = \"another\"\n");
    assert_eq!(statuses(3), [204, 204, 429]);
    reload(&both, "");
    assert_eq!(statuses(1), [204]);
    assert_eq!(fields(&connection.ask(&head)), ("", ""));
}
