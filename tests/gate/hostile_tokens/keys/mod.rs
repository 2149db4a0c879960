//! Hostile JWKS (R18, R23, R26): only a suitable public key verifies a signature, and unsuitable
//! entries do not affect the suitable ones.

mod unsuitable;

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use scopegate::config;
use scopegate::gateway::compile;

use super::*;
use harness::{Gateway, Reply, Server, eventually, get};

const ISSUER: &str = "https://id.test";

/// A gateway with the JWKS of [`ISSUER`], and its upstream.
struct Published {
    upstream: Server,
    gateway: Gateway,
    _keys: Server,
}

impl Published {
    /// Waits until `valid` is accepted: the JWKS is fetched then.
    fn new(keys: &[Value], valid: &str) -> Self {
        let set = json!({ "keys": keys });
        let keys = Server::start(move |_| Reply::json(&set));
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{ISSUER}\"\naudience = \"https://api.test\"\n\
             jwks_uri = \"http://{}/jwks\"\n[upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
            keys.address, upstream.address
        ));
        let published = Self {
            upstream,
            gateway,
            _keys: keys,
        };
        eventually("the JWKS is fetched", || published.status(valid) == 200);
        published
    }

    fn status(&self, token: &str) -> u16 {
        get(self.gateway.address, "/things", Some(token)).status
    }

    /// Sends each hostile token, then a valid one.
    fn assert_refused(&self, tokens: &[(String, String)], valid: &str) {
        let hits = self.upstream.hits();
        for (name, token) in tokens {
            let response = get(self.gateway.address, "/things", Some(token));
            assert_eq!(
                (response.status, response.challenge()),
                INVALID_TOKEN,
                "{name}"
            );
        }
        assert_eq!(self.upstream.hits(), hits);
        assert_eq!(self.status(valid), 200, "the suitable key of the set");
    }
}

fn claims() -> Value {
    harness::claims(ISSUER, "")
}

/// `key` with other members; `null` removes one.
fn with(mut key: Value, members: Value) -> Value {
    let key_members = key.as_object_mut().expect("an object");
    for (name, value) in members.as_object().expect("an object") {
        if value.is_null() {
            key_members.remove(name);
        } else {
            key_members.insert(name.clone(), value.clone());
        }
    }
    key
}

#[test]
fn r26_keys_that_share_a_kid_verify_independently() {
    let [right, wrong, other] = [Key::es256("same"), Key::es256("same"), Key::ed25519("same")];
    let rsa = Key::rsa(Some("same"), Algorithm::RS256);
    let enc = with(Key::es256("same").jwk(), json!({ "use": "enc" }));
    let broken = json!({ "kty": "EC", "crv": "P-256", "kid": "same", "x": "AA", "y": "AA" });
    let keys = [
        wrong.jwk(),
        broken,
        enc,
        right.jwk(),
        other.jwk(),
        rsa.jwk(),
        right.jwk(),
    ];
    let valid = right.token(&claims());
    let published = Published::new(&keys, &valid);
    for key in [&wrong, &other, &rsa] {
        assert_eq!(
            published.status(&key.token(&claims())),
            200,
            "{}",
            key.jwk()
        );
    }
    let unknown = Key::es256("same");
    let without_kid = json!({ "alg": "ES256", "typ": "at+jwt" });
    published.assert_refused(
        &[
            (
                "an unknown key with that kid".to_owned(),
                unknown.token(&claims()),
            ),
            (
                "an unknown key without kid".to_owned(),
                unknown.token_with(&without_kid, &claims()),
            ),
            ("the Ed25519 key as ES256".to_owned(), {
                other.token_with(
                    &json!({ "alg": "ES256", "typ": "at+jwt", "kid": "same" }),
                    &claims(),
                )
            }),
        ],
        &valid,
    );
}

#[test]
fn ten_thousand_keys_are_read_and_searched_in_bounded_time() {
    let suitable = Key::ed25519("suitable");
    let mut keys: Vec<_> = (0..9_999_u32)
        .map(|number| {
            let x = base64url(
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes())
                    .as_ref(),
            );
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": format!("k{number}"), "x": x })
        })
        .collect();
    keys.push(suitable.jwk());
    let valid = suitable.token(&claims());
    let began = Instant::now();
    let published = Published::new(&keys, &valid);
    let unknown = Key::ed25519("k5000");
    let mut tokens = Vec::new();
    for number in 0..100 {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": format!("k{}", 99 * number) });
        tokens.push((header.to_string(), unknown.token_with(&header, &claims())));
    }
    for kid in ["suitable", "k10000", "k"] {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid });
        tokens.push((header.to_string(), unknown.token_with(&header, &claims())));
    }
    // Without a kid, at most sixteen keys are tried.
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt" });
    tokens.push(("no kid".to_owned(), unknown.token_with(&header, &claims())));
    published.assert_refused(&tokens, &valid);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r18_key_of_one_issuer_verifies_no_token_of_another() {
    let keys = [Key::es256("k"), Key::es256("k")];
    let sets = keys.each_ref().map(|key| {
        let set = json!({ "keys": [key.jwk()] });
        Server::start(move |_| Reply::json(&set))
    });
    let secret = "the secret of a third issuer, long enough";
    let upstream = Server::start(|_| Reply::text("hello"));
    let issuer = |number: usize| {
        format!(
            "[issuers.i{number}]\nissuer = \"https://{number}.test\"\naudience = \"https://api.test\"\n\
             jwks_uri = \"http://{}/jwks\"\n",
            sets[number].address
        )
    };
    let gateway = Gateway::start(&format!(
        "{}{}[issuers.i2]\nissuer = \"https://2.test\"\naudience = \"https://api.test\"\nshared_secret = \"{secret}\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
        issuer(0),
        issuer(1),
        upstream.address
    ));
    let token = |key: &Key, algorithm: &str, issuer: &Value, named: bool| {
        let mut claims = claims();
        claims["iss"] = issuer.clone();
        let mut header = json!({ "alg": algorithm, "typ": "at+jwt" });
        if named {
            header["kid"] = json!("k");
        }
        key.token_with(&header, &claims)
    };
    let [zero, one, two] =
        ["https://0.test", "https://1.test", "https://2.test"].map(|issuer| json!(issuer));
    let shared = Key::hs256(secret.as_bytes());
    for (key, algorithm, issuer) in [
        (&keys[0], "ES256", &zero),
        (&keys[1], "ES256", &one),
        (&shared, "HS256", &two),
    ] {
        let valid = token(key, algorithm, issuer, true);
        eventually("the JWKS is fetched", || {
            get(gateway.address, "/things", Some(&valid)).status == 200
        });
    }
    let hits = upstream.hits();
    for named in [true, false] {
        for (name, key, algorithm, issuer) in [
            ("the first's key for the second", &keys[0], "ES256", &one),
            ("the second's key for the first", &keys[1], "ES256", &zero),
            ("the first's key for the third", &keys[0], "ES256", &two),
            ("the third's secret for the first", &shared, "HS256", &zero),
            ("the third's secret for the second", &shared, "HS256", &one),
            (
                "the first's key for both",
                &keys[0],
                "ES256",
                &json!(["https://0.test", "https://1.test"]),
            ),
            (
                "the first's key for neither",
                &keys[0],
                "ES256",
                &json!("https://3.test"),
            ),
            (
                "the first's key for a name in capitals",
                &keys[0],
                "ES256",
                &json!("https://0.TEST"),
            ),
            (
                "the first's key for a name with a slash",
                &keys[0],
                "ES256",
                &json!("https://0.test/"),
            ),
        ] {
            let response = get(
                gateway.address,
                "/things",
                Some(&token(key, algorithm, issuer, named)),
            );
            assert_eq!(
                (response.status, response.challenge()),
                INVALID_TOKEN,
                "{name}, kid: {named}"
            );
        }
    }
    assert_eq!(upstream.hits(), hits);
}

#[test]
fn blank_or_short_shared_secret_is_refused_at_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        format!("{{ file = \"{}\" }}", path.display())
    };
    let spaces = format!("\"{}\"", " ".repeat(64));
    for (name, secret, loads) in [
        ("nothing", "\"\"", false),
        ("a space", "\" \"", false),
        ("64 spaces", &*spaces, false),
        ("tabs and line ends", "\"\\t\\n\\r\\n\"", false),
        ("no-break spaces", "\"\u{a0}\u{3000}\"", false),
        ("31 bytes", "\"0123456789012345678901234567890\"", false),
        ("an empty file", &*file("empty", ""), false),
        ("a file of line ends", &*file("ends", "\n\r\n\n"), false),
        (
            "a file of 64 spaces",
            &*file("spaces", &" ".repeat(64)),
            false,
        ),
        (
            "a file of 31 bytes and a line end",
            &*file("short", "0123456789012345678901234567890\n"),
            false,
        ),
        ("32 bytes", "\"01234567890123456789012345678901\"", true),
    ] {
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[issuers.corp]\nissuer = \"{ISSUER}\"\n\
             audience = \"https://api.test\"\nshared_secret = {secret}\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{ROUTES}"
        );
        let loaded =
            config::parse("gateway.toml", &toml).is_ok_and(|(config, _)| compile(&config).is_ok());
        assert_eq!(loaded, loads, "{name}");
    }
}
