//! Tenants in the report: which one the token names, and whether the path names it as well.

use super::*;

const ROUTES: &str = "[upstreams.up]
targets = \"http://127.0.0.1:1\"
[[routes]]
path = \"/{tenant}/things\"
upstream = \"up\"
";

fn file(url: &str, tenants: &str) -> String {
    format!(
        "[issuers.corp]\nissuer = \"{url}/{{tenant}}\"\ntenants = {tenants}\naudience = \"https://api.test\"\n\
         claims = [{{ claim = \"tid\", is = \"{{tenant}}\" }}]\n{ROUTES}"
    )
}

/// A server that has keys of the tenant `acme` only.
fn start_server(key: &Key) -> Server {
    let server = Server::start(|_| Reply::status(404));
    let (base, jwk) = (format!("http://{}/acme", server.address), key.jwk());
    server.script(move |request| match &*request.target {
        "/acme/.well-known/openid-configuration" => {
            Reply::json(json!({ "issuer": base, "jwks_uri": format!("{base}/keys") }))
        }
        "/acme/keys" => Reply::json(json!({ "keys": [jwk] })),
        _ => Reply::status(404),
    });
    server
}

fn token(key: &Key, url: &str, tenant: &str) -> String {
    key.token(&json!({
        "iss": format!("{url}/{tenant}"), "aud": "https://api.test", "sub": "client-1",
        "exp": now() + 600, "tid": tenant,
    }))
}

#[test]
fn report_shows_the_tenant_and_whether_the_path_names_it() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let server = start_server(&key);
    let url = format!("http://{}", server.address);
    let [acme, fake] = ["acme", "fake"].map(|tenant| token(&key, &url, tenant));
    for tenants in ["\"any\"", "[\"acme\", \"other\"]"] {
        server.clear_received();
        let file = file(&url, tenants);
        let report = |path: &str, token: &str, more: &[&str]| {
            let arguments = [&["GET", path, "--token", token, "--json"], more].concat();
            explain_json(&folder, &file, &arguments)
        };
        for (path, verdict, reason, is_met) in [
            ("/acme/things", "passes", json!(null), true),
            ("/other/things", "refused", json!("claim_not_met"), false),
        ] {
            let report = report(path, &acme, &[]);
            assert_eq!(
                (&report["verdict"], &report["reason"]),
                (&json!(verdict), &reason),
                "{report}"
            );
            let issuer = &report["issuer"];
            assert_eq!(
                (&issuer["name"], &issuer["tenant"]),
                (&json!("corp"), &json!("acme"))
            );
            assert_eq!(report["key"]["signature"], "good", "{report}");
            let rule = &report["required_claims"][0];
            assert_eq!(
                (&rule["claim"], &rule["operator"], &rule["met"]),
                (
                    &json!("{tenant} of the path"),
                    &json!("is the tenant"),
                    &json!(is_met)
                )
            );
        }
        // Only what this token needs is fetched.
        assert!(
            server
                .received()
                .iter()
                .all(|request| request.target.contains("/acme"))
        );
        let unknown = report("/fake/things", &fake, &[]);
        assert_eq!(unknown["reason"], "unknown_issuer", "{unknown}");
        server.clear_received();
        let offline = report("/acme/things", &acme, &["--offline"]);
        assert_eq!(offline["verdict"], "unknown", "{offline}");
        assert_eq!(offline["issuer"]["tenant"], "acme");
        assert_eq!(server.hits(), 0);
        let keys = folder.path().join("keys.json");
        fs::write(&keys, json!({ "keys": [key.jwk()] }).to_string()).expect("a file");
        let keys = keys.display().to_string();
        let with_keys = report("/acme/things", &acme, &["--offline", "--jwks", &keys]);
        assert_eq!(with_keys["key"]["signature"], "good", "{with_keys}");
        assert_eq!(server.hits(), 0);
    }
}

#[test]
fn text_names_the_tenant() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let server = start_server(&key);
    let url = format!("http://{}", server.address);
    fs::write(folder.path().join("gateway.toml"), file(&url, "\"any\"")).expect("a file");
    let token = token(&key, &url, "acme");
    let mut command = command();
    command.args(["explain", "GET", "/other/things", "--token", &token]);
    let report = text(&run_in(command, folder.path()).stdout);
    for line in [
        "requires any valid token, of the tenant {tenant}\n".to_owned(),
        format!("issuer   corp: iss is \"{url}/acme\", of the tenant \"acme\"\n"),
        "rules    NO  {tenant} of the path is the tenant: not met, found another tenant\n".to_owned(),
        "Refused: claim_not_met\n  expected the tenant of the token as {tenant} of the path (see tenants), but found another\n"
            .to_owned(),
    ] {
        assert!(report.contains(&line), "{line:?} in {report}");
    }
}
