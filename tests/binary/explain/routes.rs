//! What `explain` prints of `allow_from` and `token_from` of a route.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{explain_json, text};
use crate::process::{command, run_in};

const FILE: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\
     [issuers.corp]\nissuer = \"https://id.example.com\"\naudience = \"any\"\n\
     [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
     [[routes]]\npath = \"/inside\"\npublic = true\nallow_from = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nupstream = \"up\"\n\
     [[routes]]\npath = \"/cookie\"\nupstream = \"up\"\n\
     token_from = [\"header\", \"websocket_protocol\", { cookie = \"at\", origins = [\"https://app.example.com\"] }]\n";

fn explain(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a writable folder");
    let mut command = command();
    command.args(["explain", "GET"]).args(arguments);
    let output = run_in(command, folder.path());
    (output.status.code(), text(&output.stdout))
}

#[test]
fn networks_of_a_route_are_shown_and_judged_by_the_address_of_from() {
    let folder = tempfile::tempdir().expect("a folder");
    for (from, code) in [
        (&["--from", "10.1.2.3"][..], 0),
        (&["--from", "2001:db8::7"], 0),
        (&["--from", "192.0.2.1"], 1),
        (&["--from", "2001:db9::7"], 1),
        // Without it, the client is on this machine.
        (&[], 1),
    ] {
        let arguments = [&["/inside", "--offline"][..], from].concat();
        let (found, plain) = explain(&folder, &arguments);
        assert_eq!(found, Some(code), "{from:?}: {plain}");
        let networks = "         for clients of 10.0.0.0/8, 2001:db8::/32\n";
        assert!(plain.contains(networks), "{from:?}: {plain}");
        let refusal = "Refused: address_not_allowed\n";
        assert_eq!(plain.contains(refusal), code == 1, "{from:?}: {plain}");
        let mut arguments = vec!["GET"];
        arguments.extend(["/inside", "--offline", "--json"]);
        arguments.extend(from);
        let report = explain_json(&folder, FILE, &arguments);
        let networks = json!(["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(report["route"]["allow_from"], networks);
    }
}

#[test]
fn limits_of_a_route_are_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "[server]\nlisten = \"127.0.0.1:0\"\n\
         [limits.open]\nrequests = 10\nper = \"1m\"\nburst = 5\nkey = [\"address\", \"route\"]\n\
         [[routes]]\npath = \"/open\"\npublic = true\nlimit = \"open\"\nrespond = { status = 204 }\n";
    let report = explain_json(&folder, file, &["GET", "/open", "--offline", "--json"]);
    let limit = &report["route"]["limits"][0];
    assert!(
        limit["place"]
            .as_str()
            .is_some_and(|place| place.ends_with("gateway.toml:3"))
    );
    assert_eq!(limit["name"], "open");
    assert_eq!(limit["key"], json!(["address", "route"]));
    assert_eq!(
        (&limit["requests"], &limit["per_seconds"], &limit["burst"]),
        (&json!(10), &json!(60), &json!(5))
    );
    assert_eq!(limit["missing"], json!([]));
    let head = report["answer"]["head"].as_str().expect("a head");
    assert!(
        head.to_lowercase()
            .contains("ratelimit: \"open\";r=4;t=6\r\n"),
        "{head}"
    );
    let mut command = command();
    command.args(["explain", "GET", "/open", "--offline"]);
    let plain = text(&run_in(command, folder.path()).stdout);
    let line =
        "limits   open: 10 requests in 60 s, burst 5, by address and route (gateway.toml:3)\n";
    assert!(plain.contains(line), "{plain}");
}

#[test]
fn parameters_of_a_path_stand_with_the_route_and_not_with_its_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "[server]\nlisten = \"127.0.0.1:0\"\n\
         [limits.open]\nrequests = 10\nper = \"1m\"\nkey = \"route\"\n\
         [[routes]]\npath = \"/open/{id}\"\npublic = true\nlimit = \"open\"\nrespond = { status = 204 }\n";
    fs::write(folder.path().join("gateway.toml"), file).expect("a file");
    let mut command = command();
    command.args(["explain", "GET", "/open/7", "--offline"]);
    let plain = text(&run_in(command, folder.path()).stdout);
    let lines = "\n         {id} is \"7\"\nlimits   open: ";
    assert!(plain.contains(lines), "{plain}");
}

#[test]
fn places_of_a_token_are_shown_unless_it_is_the_header_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, plain) = explain(&folder, &["/cookie", "--offline"]);
    let places = "         token from header, websocket_protocol, cookie at\n";
    assert!(plain.contains(places), "{plain}");
    let arguments = ["GET", "/cookie", "--offline", "--json"];
    let report = explain_json(&folder, FILE, &arguments);
    let places = json!(["header", "websocket_protocol", "cookie at"]);
    assert_eq!(report["route"]["token_from"], places);
    let (_, plain) = explain(&folder, &["/inside", "--offline"]);
    assert!(!plain.contains("token from"), "{plain}");
}
