//! `http_proxy` in the real environment of the process.

use std::net::TcpListener;

use crate::process::{command, run_in};

const FILE: &str = "[server]\nhttp_proxy = \"environment\"\n\
                    [issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\n\
                    [issuers.local]\nissuer = \"http://127.0.0.1:9080\"\naudience = \"api\"\n\
                    [issuers.inner]\nissuer = \"https://inner.test\"\naudience = \"api\"\n\
                    jwks_uri = \"https://keys.inner.test/jwks\"\n\
                    [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                    [[routes]]\npath = \"/\"\nupstream = \"up\"\n";

#[test]
fn check_prints_which_servers_are_reached_through_the_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    let printed = |variables: &[(&str, &str)]| {
        let mut command = command();
        command
            .arg("check")
            .env_clear()
            .envs(variables.iter().copied());
        let output = run_in(command, folder.path());
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = printed(&[
        ("https_proxy", "http://gateway:s3cret@proxy.test:3128"),
        ("NO_PROXY", "inner.test"),
    ]);
    for line in [
        "requests for issuer \"corp\" go to https://id.test through the proxy http://proxy.test:3128\n",
        "requests for issuer \"inner\" go to https://keys.inner.test without a proxy\n",
        "requests for issuer \"local\" go to http://127.0.0.1:9080 without a proxy\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("s3cret"));
    let text = printed(&[("HTTP_PROXY", "http://proxy.test:3128")]);
    assert!(text.contains("no variable names a proxy here"), "{text}");
    assert!(!text.contains("proxy.test"));
}

#[test]
fn discover_uses_no_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    proxy.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}", proxy.local_addr().expect("a bound socket"));
    let mut command = command();
    command.args([
        "discover",
        "GET",
        "http://api.test/",
        "--token-endpoint",
        "http://id.test/token",
    ]);
    command.args(["--client-id", "a", "--client-secret", "b"]);
    command.env("http_proxy", &url).env("all_proxy", &url);
    let output = run_in(command, folder.path());
    assert!(!output.status.success());
    assert!(proxy.accept().is_err(), "no connection");
}
