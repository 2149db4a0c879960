//! Keys and metadata that a server shows only to callers with a bearer token, as Kubernetes does.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use harness::{Gateway, Key, Reply, Server, claims, eventually, get, logged};

const JWKS: &str = "/openid/v1/jwks";
const METADATA: &str = "/.well-known/openid-configuration";
const FIRST: &str = "eyJhbGciOiJSUzI1NiJ9.first-token.c2ln";
const SECOND: &str = "eyJhbGciOiJSUzI1NiJ9.second-token.c2ln";

/// The answer of an API server to somebody it does not know.
fn forbidden() -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "forbidden: User \"system:anonymous\" cannot get path \"/openid/v1/jwks\"",
    });
    Reply::new(403, &[("content-type", "application/json")], body)
}

/// An API server that shows `documents` to callers with the token `expected`.
fn api_server(expected: &'static str, documents: Vec<(&'static str, Value)>) -> Server {
    let server = Server::start(|_| forbidden());
    script(&server, expected, documents);
    server
}

fn script(server: &Server, expected: &'static str, documents: Vec<(&'static str, Value)>) {
    server.script(move |request| {
        if request.header("authorization") != [format!("Bearer {expected}")] {
            return forbidden();
        }
        let found = documents.iter().find(|(path, _)| *path == request.target);
        found.map_or(Reply::status(404), |(_, document)| Reply::json(document))
    });
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// The values of `Authorization` that a server received for a path.
fn sent(server: &Server, path: &str) -> Vec<String> {
    let received = server.received();
    let of_path = received.iter().filter(|request| request.target == path);
    of_path
        .map(|request| request.header("authorization").join("|"))
        .collect()
}

struct TokenFile {
    _folder: TempDir,
    path: PathBuf,
}

impl TokenFile {
    fn new(token: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, token).expect("a file");
        Self {
            _folder: folder,
            path,
        }
    }
}

/// A gateway and its upstream. `more` are further lines of the issuer.
fn gateway(issuer: &str, file: &TokenFile, more: &str) -> (Gateway, Server) {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.cluster]\nissuer = \"{issuer}\"\naudience = \"https://api.test\"\n\
         jwks_token = {{ file = {:?} }}\nunknown_key_cooldown = \"1s\"\n{more}\n\
         [[routes]]\npath = \"/things\"\nupstream = \"up\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n",
        file.path, upstream.address
    ));
    (gateway, upstream)
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    get(gateway.address, "/things", Some(token)).status
}

fn last_cause(gateway: &Gateway) -> String {
    let line = gateway.requests.lines().pop().expect("a line");
    line["cause"].as_str().unwrap_or_default().to_owned()
}

fn shows_no_token(gateway: &Gateway) {
    for secret in ["first-token", "second-token"] {
        assert!(!gateway.requests.text().contains(secret));
        assert!(!logged(secret));
    }
}

#[test]
fn token_fetches_metadata_and_keys_and_its_file_is_read_for_each_fetch() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let server = api_server(FIRST, vec![]);
    let issuer = url(&server);
    let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}{JWKS}") });
    let jwks = json!({ "keys": [old.jwk()] });
    script(
        &server,
        FIRST,
        vec![(METADATA, metadata.clone()), (JWKS, jwks)],
    );
    let file = TokenFile::new(&format!("{FIRST}\n"));
    let (gateway, _upstream) = gateway(&issuer, &file, "");
    let old = old.token(&claims(&issuer, ""));
    eventually("the key is fetched", || status(&gateway, &old) == 200);
    assert_eq!(sent(&server, METADATA), [format!("Bearer {FIRST}")]);
    assert_eq!(sent(&server, JWKS), [format!("Bearer {FIRST}")]);

    // The kubelet replaces the token, and later the cluster its keys.
    fs::write(&file.path, SECOND).expect("a file");
    let jwks = json!({ "keys": [new.jwk()] });
    script(&server, SECOND, vec![(METADATA, metadata), (JWKS, jwks)]);
    let found = status(&gateway, &new.token(&claims(&issuer, "")));
    assert_eq!(found, 200, "{}", last_cause(&gateway));
    assert_eq!(
        sent(&server, JWKS).last(),
        Some(&format!("Bearer {SECOND}"))
    );

    // Without the file nothing is fetched, and nothing is fetched without a token.
    fs::remove_file(&file.path).expect("a file");
    let hits = server.hits();
    let unknown = Key::es256("unknown").token(&claims(&issuer, ""));
    eventually("the missing file is named", || {
        status(&gateway, &unknown) == 503 && last_cause(&gateway).contains("bearer token in")
    });
    assert_eq!(server.hits(), hits);
    shows_no_token(&gateway);
}

#[test]
fn token_is_never_sent_to_an_origin_that_only_the_metadata_names() {
    let key = Key::es256("k");
    let jwks = json!({ "keys": [key.jwk()] });
    let other = api_server(FIRST, vec![(JWKS, jwks)]);
    let server = api_server(FIRST, vec![]);
    let issuer = url(&server);
    let elsewhere = format!("{}{JWKS}", url(&other));
    let metadata = json!({ "issuer": issuer, "jwks_uri": elsewhere });
    script(&server, FIRST, vec![(METADATA, metadata)]);
    let file = TokenFile::new(FIRST);
    let token = key.token(&claims(&issuer, ""));
    {
        let (gateway, _upstream) = gateway(&issuer, &file, "");
        eventually("the cause names the remedy", || {
            status(&gateway, &token) == 503
                && last_cause(&gateway).contains("found 403 (jwks_token is sent only to")
        });
        let sent = sent(&other, JWKS);
        assert!(
            !sent.is_empty() && sent.iter().all(String::is_empty),
            "{sent:?}"
        );
        shows_no_token(&gateway);
    }
    // An origin in the file gets it.
    let (gateway, _upstream) = gateway(&issuer, &file, &format!("jwks_uri = \"{elsewhere}\""));
    eventually("the key is fetched", || status(&gateway, &token) == 200);
}

#[test]
fn token_follows_no_redirect() {
    let key = Key::es256("k");
    let thief = Server::start(|_| Reply::status(404));
    let server = Server::start(|_| Reply::status(404));
    for status_code in [301, 302, 307, 308] {
        let target = format!("{}{JWKS}", url(&thief));
        server.script(move |_| Reply::new(status_code, &[("location", &target)], ""));
        let issuer = url(&server);
        let file = TokenFile::new(FIRST);
        let (gateway, _upstream) =
            gateway(&issuer, &file, &format!("jwks_uri = \"{issuer}{JWKS}\""));
        let token = key.token(&claims(&issuer, ""));
        eventually("the redirect is reported", || {
            status(&gateway, &token) == 503
                && last_cause(&gateway).contains(&format!("found {status_code} with Location"))
        });
        assert_eq!(
            sent(&server, JWKS).first(),
            Some(&format!("Bearer {FIRST}"))
        );
        shows_no_token(&gateway);
    }
    assert_eq!(thief.hits(), 0);
}

#[test]
fn only_a_bearer_token_is_accepted_in_the_file() {
    let server = Server::start(|_| Reply::status(404));
    for content in ["two words", "line\nbreak", "\u{fffd}", &"a".repeat(100_000)] {
        let file = TokenFile::new(content);
        let refused = catch_unwind(AssertUnwindSafe(|| gateway(&url(&server), &file, "")));
        assert!(refused.is_err(), "{}", content.len());
    }
    assert_eq!(server.hits(), 0);
}
