//! The report: what was found, what was expected, and the request that the upstream would receive.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{TestBed, now, text};
use crate::process::command;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn plain_report_names_what_was_found_and_what_was_expected() {
    let test_bed = TestBed::start();
    let explain = |arguments: &[&str]| text(&test_bed.explain(arguments).stdout);
    let expired = test_bed.token(|claims| claims["exp"] = json!(now() - 7300));
    let plain = explain(&["GET", "/things", "--token", &expired]);
    for line in [
        "route    /things for GET, HEAD (gateway.toml:18), requires things.read\n",
        "token    a JWT: alg ES256, kid \"first\", typ \"at+jwt\"\n",
        &format!("issuer   corp: iss is {:?}\n", test_bed.issuer.url),
        "key      ok  signed with the key \"first\"\n",
        "ok  aud: \"https://api.test\"\n",
        ", 2 h 1 min ago; expected a time in the future",
        "ok  scope: \"things.read\"\n",
        "scopes   ok  things.read: granted\n",
    ] {
        assert!(plain.contains(line), "{line:?} in {plain}");
    }
    let plain = explain(&[
        "GET",
        "/things/7",
        "--token",
        &test_bed.token(|claims| claims["scope"] = json!("thing.*")),
    ]);
    assert!(
        plain.contains("scopes   NO  things.read: missing\n"),
        "{plain}"
    );
    assert!(
        plain.contains("         ok  thing.7 (thing.{id}): met by thing.*\n"),
        "{plain}"
    );
    assert!(
        plain.contains("         {id} is \"7\"\n         not /{*rest} on look.test"),
        "{plain}"
    );
    let plain = explain(&["POST", "/things"]);
    assert!(
        plain.contains("not /things for GET, HEAD (gateway.toml:18): its methods are GET, HEAD\n"),
        "{plain}"
    );
    let plain = explain(&["GET", "http://look.test/things"]);
    assert!(
        plain.contains(
            "not /things for GET, HEAD (gateway.toml:18): it matches, but the host look.test"
        ),
        "{plain}"
    );
    let plain = explain(&["GET", "http://look.test/admin.json"]);
    for line in [
        "/{*rest} on look.test (gateway.toml:57): it matches, but a server may read the path as another route's\n",
        "/admin on look.test (gateway.toml:52): a server may read the path as this route's, which requires more\n",
        "but found one of \"/{*rest}\" that some take for \"/admin\" (declare the path itself if it is meant)\n",
    ] {
        assert!(plain.contains(line), "{line:?} in {plain}");
    }
    let token =
        test_bed.token(|claims| claims["iss"] = json!(format!("http://{}:9", test_bed.address)));
    let plain = explain(&["GET", "/gone", "--token", &token]);
    assert!(
        plain.contains("key      NO  no keys of the issuer: no metadata at http://"),
        "{plain}"
    );
    assert!(plain.contains("Connection refused"), "{plain}");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn permitted_request_is_shown_as_the_upstream_would_receive_it_and_is_not_sent() {
    let test_bed = TestBed::start();
    let token = test_bed.token(|claims| claims["scope"] = json!("things.read thing.7 c.d"));
    fs::write(test_bed.folder().join("token"), format!("{token}\n")).expect("a file");
    let explain = |arguments: &[&str]| {
        let output = test_bed.explain(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        serde_json::from_slice::<Value>(&output.stdout).expect("one JSON object")
    };
    let thing = explain(&[
        "GET",
        "/things/7?x=1",
        "--token",
        "@token",
        "-H",
        "X-Client-Id: forged",
    ]);
    assert_eq!(
        (&thing["verdict"], &thing["reason"], &thing["answer"]),
        (&json!("passes"), &Value::Null, &Value::Null)
    );
    let sent = &thing["upstream_request"];
    assert_eq!(
        (&sent["upstream"], &sent["method"], &sent["path"]),
        (&json!("up"), &json!("GET"), &json!("/7"))
    );
    let added = sent["headers_added"].as_array().expect("a list");
    assert!(
        added.contains(&json!(["x-client-id", "client-1"])),
        "{sent}"
    );
    assert!(
        added.contains(&json!(["x-forwarded-for", "127.0.0.1"])),
        "{sent}"
    );
    assert_eq!(thing["route"]["methods"], json!(["GET", "HEAD"]));
    assert_eq!(thing["route"]["parameters"], json!({ "id": "7" }));
    assert_eq!(thing["required_scopes"][0][1]["met_by"], "thing.7");

    let padded = test_bed.token(|claims| {
        (claims["client_id"], claims["scope"]) = (json!("client-1 "), json!("thing.7 things.read"));
    });
    let sent = &explain(&["GET", "/things/7", "--token", &padded])["upstream_request"];
    let omitted = json!({
        "header": "x-client-id", "claim": "client_id", "found": "white space at its start or end",
    });
    assert_eq!(sent["claim_headers_left_out"], json!([omitted]), "{sent}");
    assert!(!sent.to_string().contains("client-1"), "{sent}");

    let either = explain(&[
        "DELETE",
        &format!("http://{}:8080/either", test_bed.address),
        "--token",
        &token,
    ]);
    assert_eq!(
        either["upstream_request"]["headers_removed"],
        json!(["authorization"])
    );
    assert_eq!(either["required_scopes"][1][0]["met_by"], "c.d");
    let limits = |arguments: &[&str]| {
        let sent = explain(arguments)["upstream_request"].clone();
        (
            sent["response_timeout_seconds"].clone(),
            sent["max_body_size"].clone(),
        )
    };
    assert_eq!(
        limits(&["GET", "http://look.test/x"]),
        (json!(1.5), json!(2048))
    );
    assert_eq!(limits(&["GET", "/open"]), (Value::Null, Value::Null));
    let open = explain(&["GET", "/open", "--token", "whatever"]);
    assert_eq!(open["token"]["kind"], "not_asked_for");
    let shadowed = explain(&["GET", "/shadow"]);
    assert_eq!(
        (&shadowed["shadowed"], &shadowed["reason"]),
        (&json!(true), &json!("no_token"))
    );

    let mut child = command();
    child
        .args(["explain", "GET", "/things", "--token", "-"])
        .current_dir(test_bed.folder())
        .stdin(Stdio::piped());
    let mut child = child.stdout(Stdio::piped()).spawn().expect("the binary");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(format!("  {token}\n\n").as_bytes())
        .expect("the gateway reads");
    let output = child.wait_with_output().expect("its output");
    let plain = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{plain}");
    let target = test_bed.upstream.address;
    assert!(
        plain.contains(&format!(
            "It would pass to upstream up (http://{target}) as GET /things\n"
        )),
        "{plain}"
    );
    assert_eq!(test_bed.upstream.received().len(), 0);
}

#[test]
fn claims_that_nothing_reads_are_named_without_their_values() {
    let test_bed = TestBed::start();
    let with = |change: &dyn Fn(&mut Value)| {
        test_bed.token(|claims| {
            claims["scp"] = json!("secret-scope");
            claims["roles"] = json!(["secret-role"]);
            claims["e\nmail"] = json!("secret@example.com");
            change(claims);
        })
    };
    let explain = |token: &str| {
        let output = test_bed.explain(&["GET", "/things", "--token", token]);
        let document = test_bed.explain(&["GET", "/things", "--json", "--token", token]);
        let (plain, document) = (text(&output.stdout), text(&document.stdout));
        assert!(
            !format!("{plain}{document}").contains("secret"),
            "{plain}{document}"
        );
        let document: Value = serde_json::from_str(&document).expect("one JSON object");
        (plain, document)
    };
    let (plain, document) = explain(&with(&|_| ()));
    let lines = "         --  roles: not read; scope_claims does not list it\n         \
                 --  scp: not read; the token has scope, which precedes it in scope_claims\n         \
                 --  not checked: client_id, \"e\\nmail\", sub\n";
    assert!(plain.contains(lines), "{plain}");
    assert_eq!(
        document["claims_not_checked"],
        json!(["client_id", "e\nmail", "sub"])
    );
    assert_eq!(
        document["scope_claims_not_read"],
        json!([{ "claim": "roles", "read_instead": null }, { "claim": "scp", "read_instead": "scope" }])
    );

    let (plain, document) = explain(&with(&|claims| claims["iss"] = json!("https://other.test")));
    let line = "claims   --  not checked, because the issuer is unknown: aud, client_id, \"e\\nmail\", exp, iat, iss, \
                roles, scope, scp, sub\n";
    assert!(plain.contains(line), "{plain}");
    assert_eq!(
        document["claims_not_checked"].as_array().map(Vec::len),
        Some(10)
    );

    let in_leeway = |exp: i64| explain(&with(&|claims| claims["exp"] = json!(now() + exp))).0;
    let plain = in_leeway(-5);
    assert!(
        plain.contains(" s ago, within the leeway of 30 s\n"),
        "{plain}"
    );
    let plain = in_leeway(-3660);
    let excess = "with a leeway of 30 s, exceeded by 1 h [expired]\n";
    assert!(plain.contains(excess), "{plain}");
}

#[test]
fn upgrade_request_is_shown_with_its_connection_header() {
    let test_bed = TestBed::start();
    let output = test_bed.explain(&[
        "GET",
        "/open",
        "-H",
        "Connection: keep-alive, Upgrade",
        "-H",
        "Upgrade: websocket",
    ]);
    let plain = text(&output.stdout);
    assert!(
        plain.contains("  connection: upgrade\n") && !plain.contains("without"),
        "{plain}"
    );
}

#[test]
fn oversized_head_is_explained_as_431() {
    let test_bed = TestBed::start();
    for bytes in [40_000, 120_000] {
        let output = test_bed.explain(&[
            "GET",
            "/open",
            "--json",
            "-H",
            &format!("X-Long: {}", "a".repeat(bytes)),
        ]);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        assert_eq!(
            (&report["verdict"], &report["answer"]["status"]),
            (&json!("refused"), &json!(431)),
            "{report}"
        );
    }
}
