//! What `provider` fills in, and that keys are fetched with a token.

use harness::{Key, Reply, Server};
use serde_json::{Value, json};

use super::{explain_json, now, text};
use crate::process::{command, run_in};

const SECRET: &str = "the-token-that-fetches-keys";

/// A gateway for an issuer with these keys, and a token of it.
fn test_bed(keys: &str) -> (Server, String, String) {
    let key = Key::es256("first");
    let jwks = json!({ "keys": [key.jwk()] }).to_string();
    let server = Server::start(move |request| {
        match request.header("authorization") == [format!("Bearer {SECRET}")] {
            true => Reply::json(&jwks),
            false => Reply::status(401),
        }
    });
    let token = key.token(&json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "client-1", "exp": now() + 600, "scope": "things.read",
    }));
    let toml = format!(
        "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"https://api.test\"\n\
         jwks_uri = \"http://{}/keys\"\n{keys}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/things\"\nscope = \"things.read\"\nupstream = \"up\"\n",
        server.address, server.address
    );
    (server, toml, token)
}

#[test]
fn keys_that_a_provider_fills_in_are_shown_with_those_that_the_file_replaces() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = format!(
        "provider = \"keycloak\"\nalgorithms = \"ES256\"\ntoken_types = \"at+jwt\"\njwks_token = {SECRET:?}"
    );
    let (_server, toml, token) = test_bed(&keys);
    let arguments = ["GET", "/things", "--token", &token];
    let report = explain_json(&folder, &toml, &[&arguments[..], &["--json"]].concat());
    assert_eq!(report["verdict"], "passes", "{report}");
    let issuer = &report["issuer"];
    assert_eq!(issuer["jwks_token"], true);
    assert_eq!(issuer["provider"]["name"], "keycloak");
    let filled_in: Vec<_> = issuer["provider"]["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| {
            (
                key["key"].as_str(),
                key["value"].as_str(),
                key["replaced"] == true,
            )
        })
        .collect();
    assert!(filled_in.contains(&(Some("scope_claims"), Some("[\"scope\"]"), false)));
    assert!(filled_in.contains(&(Some("algorithms"), Some("[\"RS256\"]"), true)));

    let mut command = command();
    command.arg("explain").args(arguments);
    let output = run_in(command, folder.path());
    let plain = text(&output.stdout);
    for line in [
        "\n         provider \"keycloak\" fills in scope_claims = [\"scope\"]\n",
        "\n         the file replaces algorithms, token_types\n",
        "\n         its keys and metadata are fetched with a bearer token (jwks_token)\n",
    ] {
        assert!(plain.contains(line), "{plain}");
    }
    let printed = [plain, text(&output.stderr), report.to_string()].concat();
    assert!(!printed.contains(SECRET), "{printed}");
}

#[test]
fn issuer_without_provider_and_without_jwks_token_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, toml, token) = test_bed("");
    let arguments = ["GET", "/things", "--token", &token, "--json"];
    let report = explain_json(&folder, &toml, &arguments);
    // The server gives its keys to nobody without that token.
    assert_eq!(report["reason"], "issuer_unavailable", "{report}");
    assert_eq!(
        (
            &report["issuer"]["provider"],
            &report["issuer"]["jwks_token"]
        ),
        (&Value::Null, &json!(false))
    );
    let report = explain_json(&folder, &toml, &["GET", "/things", "--json"]);
    assert_eq!(report["issuer"], Value::Null);
}
