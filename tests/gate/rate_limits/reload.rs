//! What a reload does to limits.

use harness::{Gateway, send};
use scopegate::reload::Reloaded;

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
