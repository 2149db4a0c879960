//! Preflights: the route and the `cors` that respond.

use std::fs;

use serde_json::{Value, json};

use super::{explain_json, text};
use crate::process::{command, run_in};

const TOML: &str = r#"
[issuers.corp]
issuer = "https://id.test"
audience = "https://api.test"
jwks_uri = "https://id.test/keys"
[upstreams.up]
targets = "http://127.0.0.1:9"
[cors]
origins = ["https://app.test"]
[[routes]]
path = "/things/{id}"
methods = "GET"
scope = "read"
upstream = "up"
[[routes]]
path = "/own"
scope = "read"
upstream = "up"
cors = { origins = "*", headers = "*" }
[[routes]]
path = "/off"
public = true
upstream = "up"
cors = false
"#;

fn preflight<'a>(path: &'a str, headers: &[&'a str]) -> Vec<&'a str> {
    let headers = headers.iter().flat_map(|header| ["-H", header]);
    ["OPTIONS", path, "--offline"]
        .into_iter()
        .chain(headers)
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn preflight_is_explained_with_its_route_and_its_cors() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), TOML).expect("a file");
    let explain = |path: &str, headers: &[&str]| {
        let mut explain = command();
        explain.arg("explain").args(preflight(path, headers));
        let output = run_in(explain, folder.path());
        (output.status.code(), text(&output.stdout))
    };
    let (app, evil) = ("Origin: https://app.test", "Origin: https://evil.test");
    let (get, put) = (
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Method: PUT",
    );
    let asked = "Access-Control-Request-Headers: authorization, x-tenant";
    let global = "[cors] (gateway.toml:9)";
    for (path, headers, code, lines) in [
        (
            "/things/7",
            vec![app, get, asked],
            0,
            vec![
                "route    /things/{id} for GET, HEAD (gateway.toml:11), requires read\n".to_owned(),
                "cors     a preflight for GET, which needs no token\n".to_owned(),
                format!("         ok  {global} allows the origin \"https://app.test\"\n"),
                "         NO  the header x-tenant is not in headers of [cors]\n".to_owned(),
                "\nAnswered by the gateway\n".to_owned(),
            ],
        ),
        (
            "/things/7",
            vec![evil, get],
            1,
            vec![
                "route    /things/{id} for GET, HEAD (gateway.toml:11), requires read\n".to_owned(),
                format!("         NO  {global} does not allow the origin \"https://evil.test\"\n"),
                "\nRefused: origin_not_allowed\n  expected an origin that cors allows, but found \"https://evil.test\"\n"
                    .to_owned(),
            ],
        ),
        (
            "/things/7",
            vec![app, put],
            0,
            vec![
                "route    none\n         not /things/{id} for GET, HEAD (gateway.toml:11): its methods are GET, HEAD\n"
                    .to_owned(),
                "cors     a preflight for PUT, which needs no token\n".to_owned(),
                format!("         ok  {global} allows"),
            ],
        ),
        (
            "/nowhere",
            vec![app, get],
            0,
            vec!["route    none\n".to_owned(), format!("ok  {global} allows")],
        ),
        (
            "/own",
            vec![evil, get, asked],
            0,
            vec![
                "route    /own (gateway.toml:16), requires read\n".to_owned(),
                "         ok  cors of the route (gateway.toml:19) allows the origin \"https://evil.test\"\n".to_owned(),
            ],
        ),
        (
            "/off",
            vec![app, get],
            0,
            vec!["cors     no cors applies: this OPTIONS is judged as any other request\n".to_owned()],
        ),
    ] {
        let (found, plain) = explain(path, &headers);
        assert_eq!(found, Some(code), "{path} {headers:?}: {plain}");
        for line in lines {
            assert!(plain.contains(&line), "{line:?} in {plain}");
        }
    }
    let (_, plain) = explain("/own", &[evil, get, asked]);
    assert!(!plain.contains("NO  "), "{plain}");
    // No preflight: the route of OPTIONS counts, and there is nothing to say about cors.
    let (_, plain) = explain("/own", &[app]);
    assert!(!plain.contains("\ncors "), "{plain}");
}

#[test]
fn document_names_the_cors_of_a_preflight() {
    let folder = tempfile::tempdir().expect("a folder");
    let explain = |path: &str, headers: &[&str]| {
        let arguments = [preflight(path, headers), vec!["--json"]].concat();
        explain_json(&folder, TOML, &arguments)
    };
    let headers = [
        "Origin: https://app.test",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: content-type,x-tenant",
    ];
    let report = explain("/things/7", &headers);
    assert_eq!(
        report["cors"],
        json!({
            "applies": true, "method": "GET", "place": "gateway.toml:9", "origin_ok": true,
            "headers_not_allowed": ["x-tenant"],
        })
    );
    assert_eq!(report["route"]["path"], "/things/{id}");
    assert_eq!(report["token"]["kind"], "not_looked_at");
    assert_eq!(report["required_scopes"], json!([]));
    assert_eq!(
        explain("/off", &headers)["cors"],
        json!({ "applies": false })
    );
    assert_eq!(explain("/things/7", &[])["cors"], Value::Null);
}
