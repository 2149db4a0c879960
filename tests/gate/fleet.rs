//! A gateway that has not heard its fleet (`[fleet]`). No server is needed: nothing answers.

use harness::{Gateway, Issuer, Key, Reply, Server, TestBed, get};

const FLEET: &str = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"let me\"\n[revocations]\n[fleet]\nredis = \"redis://127.0.0.1:9\"\n\
                     key = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n";
const ROUTES: &str = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n\
                      [[routes]]\npath = \"/public\"\npublic = true\nupstream = \"up\"\n";

fn bed(policy: &str) -> TestBed {
    let file = format!("{FLEET}stale_revocations = \"{policy}\"\n");
    TestBed::toml(&file, "", "", ROUTES)
}

#[test]
fn closed_refuses_requests_with_tokens_and_no_other_and_is_not_ready() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let key = Key::es256("first");
    let issuer = Issuer::start(&[&key]);
    let token = key.token(&issuer.claims(""));
    // Not the usual test bed, which waits until it serves requests with tokens.
    let gateway = Gateway::start(&format!(
        "{FLEET}stale_revocations = \"closed\"\n[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
        issuer.url, upstream.address
    ));
    let response = get(gateway.address, "/a", Some(&token));
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("5"));
    assert_eq!(response.challenge(), None, "the client is not to blame");
    let line = gateway.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "revocations_stale");
    assert_eq!(get(gateway.address, "/a", None).status, 401);
    assert_eq!(get(gateway.address, "/public", None).status, 200);
    let ready = gateway.get_admin("/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready
            .text()
            .contains("[-] fleet: revocations were never read"),
        "{}",
        ready.text()
    );
}

#[test]
fn open_serves_and_says_so() {
    let bed = bed("open");
    let token = bed.token("");
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    let ready = bed.gateway.get_admin("/readyz?verbose");
    assert_eq!(ready.status, 200);
    assert!(
        ready
            .text()
            .contains("[!] fleet: revocations were never read"),
        "{}",
        ready.text()
    );
    let metrics = bed.gateway.get_admin("/metrics").text();
    assert!(metrics.contains("scopegate_fleet_revocations_stale{} 1\n"));
    for what in [
        "connected",
        "limits_shared",
        "introspection_responses_shared",
    ] {
        assert!(metrics.contains(&format!("scopegate_fleet_{what}{{}} 0\n")));
    }
}
