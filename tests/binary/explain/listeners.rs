//! Which listener a request reaches, and what that means for it.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::text;
use crate::process::{command, run_in};

const FILE: &str = "\
[[listeners]]
address = \"0.0.0.0:80\"
redirect_to_https = true
[[listeners]]
address = \"0.0.0.0:8443\"
tls = { certificates = [{ certificate = \"a.crt\", key = \"a.key\" }] }
[[listeners]]
address = \"127.0.0.1:8080\"
[upstreams.up]
targets = \"http://127.0.0.1:9\"
[[routes]]
path = \"/a\"
public = true
upstream = \"up\"
";

#[test]
fn client_of_a_unix_socket_is_explained_only_where_there_is_one() {
    let folder = TempDir::new().expect("a folder");
    let with_networks = FILE.replace("public = true", "public = true\nallow_from = \"unix\"");
    let with_socket = format!("[[listeners]]\naddress = \"unix:gate.sock\"\n{with_networks}");
    let explain = |file: &str, url: &str| {
        fs::write(folder.path().join("gateway.toml"), file).expect("a writable folder");
        let mut command = command();
        command.args(["explain", "GET", url, "--from", "unix"]);
        run_in(command, folder.path())
    };
    assert!(explain(&with_socket, "/a").status.success());
    for (file, url, found) in [
        (&with_networks, "/a", "no listener is a Unix socket"),
        (
            &with_socket,
            "https://api.test:8443/a",
            "the URL is that of listeners[2].address",
        ),
        (
            &with_socket,
            "http://api.test:8080/a",
            "the URL is that of listeners[3].address",
        ),
    ] {
        let refused = explain(file, url);
        assert_eq!(refused.status.code(), Some(2), "{url}");
        let message = format!("--from: expected an address, because {found}, but found \"unix\"");
        let printed = text(&refused.stderr);
        assert!(printed.contains(&message), "{url}: {printed}");
    }
}

#[test]
fn request_to_a_listener_that_redirects_is_explained_without_a_route() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a writable folder");
    let explain = |arguments: &[&str]| {
        let mut command = command();
        command.arg("explain").args(arguments);
        run_in(command, folder.path())
    };
    let redirected = explain(&["GET", "http://api.test/a?b=c"]);
    let plain = text(&redirected.stdout);
    for line in [
        "route    none is served here: the listener redirects to https (redirect_to_https)\n",
        "HTTP/1.1 308 Permanent Redirect\n",
        "location: https://api.test:8443/a?b=c\n",
    ] {
        assert!(plain.contains(line), "{line:?} in {plain}");
    }
    let with_networks = FILE.replace("public = true", "public = true\nallow_from = \"unix\"");
    fs::write(folder.path().join("gateway.toml"), with_networks).expect("a writable folder");
    let url = "http://api.test:8080/a";
    let refused = text(&explain(&["GET", url]).stdout);
    assert!(
        refused.contains("expected a client address in allow_from, but found 127.0.0.1"),
        "{refused}"
    );
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a writable folder");
    let json = |url: &str| -> Value {
        let printed = explain(&["GET", url, "--json"]).stdout;
        serde_json::from_slice(&printed).expect("JSON")
    };
    for (url, verdict, is_redirected) in [
        ("http://api.test/a", "replied", true),
        ("http://api.test:80/none", "replied", true),
        ("https://api.test/a", "passes", false),
        ("http://api.test:8080/a", "passes", false),
        // A load balancer may forward this port to the listener that serves routes.
        ("http://api.test:1234/a", "passes", false),
        ("/a", "passes", false),
    ] {
        let explained = json(url);
        assert_eq!(explained["verdict"], verdict, "{url}");
        assert_eq!(explained["redirected_to_https"], is_redirected, "{url}");
        assert_eq!(explained["route"].is_null(), is_redirected, "{url}");
    }
}
