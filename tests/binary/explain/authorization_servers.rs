//! Authorization servers: introspection, `--offline`, and the development server.

use std::fs;

use harness::{Key, Received, Reply, Server};
use serde_json::{Value, json};

use super::{TestBed, explain_json, now, text};
use crate::process::own_address;

#[test]
fn offline_sends_no_request_and_reports_unknown_verdicts() {
    let test_bed = TestBed::start();
    let fetched = test_bed.issuer.server.received().len();
    let token = test_bed.token(|_| ());
    let offline = |arguments: &[&str]| {
        test_bed.explain(&[&["GET", "/things", "--offline"], arguments].concat())
    };

    let unknown = offline(&["--token", &token]);
    let plain = text(&unknown.stdout);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        plain.contains("Unknown: no request was sent to the issuer (--offline)\n"),
        "{plain}"
    );
    assert!(
        plain.contains("give the keys of \"corp\" with --jwks FILE") && !plain.contains("HTTP/1.1"),
        "{plain}"
    );
    let document: Value =
        serde_json::from_slice(&offline(&["--token", &token, "--json"]).stdout).expect("JSON");
    assert_eq!(
        (&document["verdict"], &document["answer"]),
        (&json!("unknown"), &Value::Null)
    );
    let expired = offline(&[
        "--token",
        &test_bed.token(|claims| claims["exp"] = json!(now() - 7300)),
    ]);
    let plain = text(&expired.stdout);
    assert!(
        plain.contains("Unknown: ")
            && plain.contains("whatever its signature, the token would be refused: expired\n")
    );
    // A verdict that needs no keys is known.
    assert!(text(&offline(&[]).stdout).contains("Refused: no_token"));

    fs::write(
        test_bed.folder().join("keys.json"),
        json!({ "keys": [test_bed.key.jwk()] }).to_string(),
    )
    .expect("a file");
    let passes = offline(&["--token", &token, "--jwks", "keys.json"]);
    assert_eq!(passes.status.code(), Some(0), "{}", text(&passes.stdout));
    let forged = Key::es256("first").token(&test_bed.claims(|_| ()));
    let refused = offline(&["--token", &forged, "--jwks", "keys.json"]);
    assert!(text(&refused.stdout).contains("Refused: bad_signature"));
    assert_eq!(
        test_bed.issuer.server.received().len(),
        fetched,
        "no request was sent"
    );

    // Keys that gateway.toml names need no argument.
    let toml = fs::read_to_string(test_bed.folder().join("gateway.toml")).expect("the file");
    let toml = toml.replacen("audience =", "jwks_file = \"keys.json\"\naudience =", 1);
    fs::write(test_bed.folder().join("fixed.toml"), toml).expect("a file");
    let passes = offline(&["--token", &token, "--config", "fixed.toml"]);
    assert_eq!(passes.status.code(), Some(0), "{}", text(&passes.stdout));
    assert_eq!(
        test_bed.issuer.server.received().len(),
        fetched,
        "no request was sent"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn introspection_responses_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(|request: &Received| {
        match &*String::from_utf8_lossy(&request.body) {
            "token=good&token_type_hint=access_token" => Reply::json(json!({
                "active": true, "iss": "https://as.test", "aud": "https://api.test", "scope": "things.read", "exp": now() + 60,
            })),
            "token=narrow&token_type_hint=access_token" => {
                Reply::json(json!({ "active": true, "aud": "https://api.test" }))
            }
            "token=foreign&token_type_hint=access_token" => {
                Reply::json(json!({ "active": true, "aud": "https://b.test" }))
            }
            "token=broken&token_type_hint=access_token" => Reply::status(500),
            _ => Reply::json(json!({ "active": false })),
        }
    });
    let toml = format!(
        "[issuers.asked]\nissuer = \"https://as.test\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.asked.introspection]\nendpoint = \"http://{0}/introspect\"\nclient_id = \"gate\"\n\
         client_secret = \"secret\"\n[upstreams.up]\ntargets = \"http://{0}\"\n\
         [[routes]]\npath = \"/things\"\nscope = \"things.read\"\nupstream = \"up\"\n",
        server.address
    );
    for (token, verdict, reason) in [
        ("good", "passes", None),
        ("narrow", "refused", Some("insufficient_scope")),
        ("foreign", "refused", Some("wrong_audience")),
        ("revoked", "refused", Some("inactive")),
        ("broken", "refused", Some("issuer_unavailable")),
    ] {
        let report = explain_json(
            &folder,
            &toml,
            &["GET", "/things", "--token", token, "--json"],
        );
        assert_eq!(
            (report["verdict"].as_str(), report["reason"].as_str()),
            (Some(verdict), reason),
            "{token}: {report}"
        );
        assert_eq!(report["issuer"]["name"], "asked", "{token}");
        let is_valid = token == "good" || token == "narrow";
        let aud = report["claims_of_answer"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|check| check["claim"] == "aud");
        assert_eq!(
            aud.map(|aud| aud["ok"] == true),
            is_valid.then_some(true),
            "{token}: {report}"
        );
    }
    let sent = server.received().len();
    let report = explain_json(
        &folder,
        &toml,
        &["GET", "/things", "--token", "good", "--json", "--offline"],
    );
    assert_eq!(report["verdict"], "unknown");
    assert_eq!(
        report["cause"],
        "no introspection request was sent (--offline)"
    );
    assert!(
        report["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("leave out --offline")),
        "{report}"
    );
    assert_eq!(server.received().len(), sent);
}

#[test]
fn remedy_is_to_start_the_development_server_only_if_nothing_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(|_| Reply::status(401));
    let free = own_address();
    let toml = |listen: &str, issuer: &str| {
        format!(
            "[development]\nlisten = \"{listen}\"\necho = \"{free}:8081\"\n\
             [issuers.other]\nissuer = \"https://as.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
             [issuers.other.introspection]\nendpoint = \"http://{issuer}/introspect\"\nclient_id = \"gate\"\n\
             client_secret = \"secret\"\n[upstreams.up]\ntargets = \"http://{free}:8081\"\n\
             [[routes]]\npath = \"/things\"\nissuers = \"other\"\nupstream = \"up\"\n"
        )
    };
    let (unused, other, in_use) = (
        format!("{free}:9080"),
        format!("{free}:9"),
        server.address.to_string(),
    );
    for (listen, issuer, is_suggested) in [
        (&unused, &unused, true),
        (&unused, &other, false),
        (&in_use, &in_use, false),
    ] {
        let report = explain_json(
            &folder,
            &toml(listen, issuer),
            &["GET", "/things", "--token", "opaque", "--json"],
        );
        assert_eq!(report["reason"], "issuer_unavailable", "{report}");
        let remedy = report["remedy"].as_str();
        assert_eq!(
            remedy
                .is_some_and(|remedy| remedy.contains("start `scopegate run` in another terminal")),
            is_suggested,
            "{report}"
        );
    }
}
