//! Metadata and key sets as authorization servers in the field publish them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use harness::{Gateway, Key, Reply, Server, claims, eventually, get};

const JWKS: &str = "/keys";
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// An authorization server with these keys, a gateway that trusts it, and an upstream.
struct Bed {
    server: Server,
    issuer: String,
    gateway: Gateway,
    upstream: Server,
}

impl Bed {
    /// `more` are further lines of `[issuers.corp]`.
    fn start(keys: Value, more: &str) -> Self {
        let server = Server::start(|_| Reply::status(404));
        let issuer = format!("http://{}", server.address);
        let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}{JWKS}") });
        server.script(move |request| match &*request.target {
            METADATA => Reply::json(&metadata),
            JWKS => Reply::json(&keys),
            _ => Reply::status(404),
        });
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{issuer}\"\naudience = \"https://api.test\"\n{more}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/things\"\nupstream = \"up\"\n",
            upstream.address
        ));
        let bed = Self {
            server,
            issuer,
            gateway,
            upstream,
        };
        eventually("the JWKS is fetched", || {
            bed.server
                .received()
                .iter()
                .any(|request| request.target == JWKS)
        });
        bed
    }

    fn status(&self, token: &str) -> u16 {
        get(self.gateway.address, "/things", Some(token)).status
    }

    fn accepts(&self, token: &str) {
        eventually("the token is accepted", || self.status(token) == 200);
    }

    fn claims(&self) -> Value {
        claims(&self.issuer, "")
    }
}

fn with(mut object: Value, members: Value) -> Value {
    let members = members.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(members);
    object
}

#[test]
fn null_and_empty_members_of_keys_are_absent() {
    // What a .NET serializer writes of its type of keys.
    let unset = json!({
        "alg": null, "d": null, "dp": null, "dq": null, "k": null, "key_ops": [], "oth": [], "p": null,
        "q": null, "qi": null, "use": null, "x5c": [], "x5t": null, "x5t#S256": null, "x5u": null,
    });
    let ec = Key::es256("ec");
    let rsa = Key::rsa(None, jsonwebtoken::Algorithm::RS256);
    let rsa_members = json!({ "kid": null, "crv": null, "x": null, "y": null });
    let bed = Bed::start(
        json!({ "keys": [
            with(with(rsa.jwk(), unset.clone()), rsa_members),
            with(with(ec.jwk(), unset), json!({ "e": null, "n": null })),
        ] }),
        "",
    );
    bed.accepts(&ec.token(&bed.claims()));
    assert_eq!(bed.status(&rsa.token(&bed.claims())), 200);
    assert_eq!(bed.upstream.hits(), 2);
}

#[test]
fn ed25519_goes_by_its_name_of_rfc_9864_and_by_eddsa() {
    let key = Key::ed25519("k");
    for (in_key, more) in [
        (json!("Ed25519"), ""),
        (json!("EdDSA"), "algorithms = [\"Ed25519\"]"),
        (json!(null), "algorithms = [\"EdDSA\"]"),
    ] {
        let keys = json!({ "keys": [with(key.jwk(), json!({ "alg": in_key }))] });
        let bed = Bed::start(keys, more);
        for in_token in ["Ed25519", "EdDSA"] {
            let header = json!({ "alg": in_token, "typ": "at+jwt", "kid": "k" });
            bed.accepts(&key.token_with(&header, &bed.claims()));
        }
        for other in ["Ed448", "ed25519", "ED25519"] {
            let header = json!({ "alg": other, "typ": "at+jwt", "kid": "k" });
            assert_eq!(bed.status(&key.token_with(&header, &bed.claims())), 401);
        }
    }
    let keys = json!({ "keys": [with(key.jwk(), json!({ "alg": "Ed25519" }))] });
    let bed = Bed::start(keys, "algorithms = [\"ES256\"]");
    let header = json!({ "alg": "Ed25519", "typ": "at+jwt", "kid": "k" });
    eventually("the keys are there", || {
        bed.status(&key.token_with(&header, &bed.claims())) == 401
    });
}

/// A key with a coordinate that begins with a zero byte, and the name and bytes of that coordinate.
fn key_with_a_leading_zero() -> (Key, &'static str, Vec<u8>) {
    let of = |key: &Key, member: &str| {
        let jwk = key.jwk();
        let text = jwk[member].as_str().expect("a coordinate");
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    // One key in 128 has one.
    let mut keys = (0..100_000).map(|_| Key::es256("k"));
    let found = keys.find_map(|key| {
        let mut members = ["x", "y"].into_iter();
        let member = members.find(|member| of(&key, member)[0] == 0)?;
        let bytes = of(&key, member);
        Some((key, member, bytes))
    });
    found.expect("a key")
}

#[test]
fn coordinate_may_lack_its_leading_zeros_or_have_more() {
    let (key, member, whole) = key_with_a_leading_zero();
    let wider = [&[0][..], &whole].concat();
    for bytes in [&whole[1..], &whole, &wider] {
        let coordinate = json!({ member: URL_SAFE_NO_PAD.encode(bytes) });
        let keys = json!({ "keys": [with(key.jwk(), coordinate)] });
        let bed = Bed::start(keys, "");
        bed.accepts(&key.token(&bed.claims()));
        let forged = Key::es256("k").token(&bed.claims());
        assert_eq!(bed.status(&forged), 401, "{} bytes", bytes.len());
    }
}

#[test]
fn es512_is_verified_where_the_file_lists_it() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({
        "kty": "EC", "crv": "P-521", "alg": "ES512", "use": "sig", "kid": "k",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    let token = |claims: &Value| {
        let header = json!({ "alg": "ES512", "typ": "at+jwt", "kid": "k" });
        let message = [header.to_string(), claims.to_string()]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".");
        let signature = pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let bed = Bed::start(
        json!({ "keys": [jwk] }),
        "algorithms = [\"ES256\", \"ES512\"]",
    );
    let valid = token(&bed.claims());
    bed.accepts(&valid);
    let (message, signature) = valid.rsplit_once('.').expect("three parts");
    let other = token(&claims("https://other.test", ""));
    let (_, foreign) = other.rsplit_once('.').expect("three parts");
    let zeros = URL_SAFE_NO_PAD.encode([0; 132]);
    for forged in [foreign, "", "AAAA", &zeros, &signature[4..]] {
        assert_eq!(bed.status(&format!("{message}.{forged}")), 401, "{forged}");
    }

    // It is not among the algorithms of a file that lists none.
    let bed = Bed::start(json!({ "keys": [jwk] }), "");
    eventually("the keys are there", || {
        bed.status(&token(&bed.claims())) == 401
    });
}

/// A server whose documents at these paths are `documents`, and the gateway in front of `upstream`.
fn gateway_of_documents(
    documents: impl Fn(&str) -> Vec<(&'static str, Reply)>,
    key: &Key,
) -> (Server, Gateway, String) {
    let server = Server::start(|_| Reply::status(404));
    let issuer = format!("http://{}", server.address);
    let documents = documents(&issuer);
    let jwks = json!({ "keys": [key.jwk()] });
    server.script(move |request| {
        let found = documents.iter().find(|(path, _)| *path == request.target);
        match (&*request.target, found) {
            (_, Some((_, reply))) => reply.clone(),
            (JWKS, None) => Reply::json(&jwks),
            (_, None) => Reply::status(404),
        }
    });
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"{issuer}\"\naudience = \"https://api.test\"\n\
         [[routes]]\npath = \"/things\"\nupstream = \"up\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:9\"\n",
    ));
    (server, gateway, issuer)
}

const OPENID: &str = "/.well-known/openid-configuration";

#[test]
fn discovery_goes_on_for_a_member_that_the_first_document_lacks() {
    let key = Key::es256("k");
    for unset in [json!({}), json!({ "jwks_uri": null })] {
        let (_server, gateway, issuer) = gateway_of_documents(
            |issuer| {
                let first = with(
                    json!({ "issuer": issuer, "token_endpoint": format!("{issuer}/token") }),
                    unset.clone(),
                );
                let second = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}{JWKS}") });
                vec![
                    (METADATA, Reply::json(&first)),
                    (OPENID, Reply::json(&second)),
                ]
            },
            &key,
        );
        let token = key.token(&claims(&issuer, ""));
        // 502: the token is valid, and nothing listens at the upstream.
        eventually("the key is found", || {
            get(gateway.address, "/things", Some(&token)).status == 502
        });
    }
}

#[test]
fn discovery_reports_the_failure_that_tells_most() {
    let key = Key::es256("k");
    let redirect = Reply::Raw(
        b"HTTP/1.1 301 Moved Permanently\r\nlocation: https://id.example.com/.well-known/openid-configuration\r\ncontent-length: 0\r\n\r\n"
            .to_vec(),
    );
    // `None`: a document of the issuer with a `jwks_uri` that is refused.
    let cases = [
        (
            Some(redirect),
            "found 301 with Location \"https://id.example.com/.well-known/openid-configuration\"",
        ),
        (
            Some(Reply::status(403)),
            "expected status 200, but found 403",
        ),
        (Some(Reply::text("<html>sign in</html>")), "not JSON"),
        (None, "as jwks_uri, but found \"ftp://id.test/keys\""),
    ];
    for (reply, expected) in cases {
        let (_server, gateway, issuer) = gateway_of_documents(
            |issuer| {
                let document = json!({ "issuer": issuer, "jwks_uri": "ftp://id.test/keys" });
                let reply = reply.clone().unwrap_or_else(|| Reply::json(document));
                vec![(METADATA, reply)]
            },
            &key,
        );
        let token = key.token(&claims(&issuer, ""));
        eventually(expected, || {
            let response = get(gateway.address, "/things", Some(&token));
            let line = gateway.requests.lines().pop().expect("a line");
            response.status == 503
                && line["cause"]
                    .as_str()
                    .is_some_and(|cause| cause.contains(expected))
        });
    }
}

#[test]
fn unusable_key_set_says_what_it_is() {
    let ec = Key::es256("k");
    let lone = ec.jwk();
    let encrypting = with(ec.jwk(), json!({ "use": "enc", "kid": "enc-1" }));
    let certificate = json!({ "kty": "RSA", "kid": "c-1", "x5c": ["AA"] });
    for (document, expected) in [
        (
            Reply::text("-----BEGIN PUBLIC KEY-----\n"),
            "expected a JWK set, but found PEM",
        ),
        (Reply::text("<html>sign in</html>"), "but found HTML or XML"),
        (Reply::json(&lone), "but found a single JWK"),
        (Reply::json(json!([lone])), "but found a JSON array"),
        (
            Reply::json(json!({ "keys": [encrypting, certificate] })),
            "no usable key among 2 (\"enc-1\": \"use\" does not allow verifying signatures; \"c-1\": expected an X.509 certificate with an RSA, EC or Ed25519 key",
        ),
    ] {
        let (_server, gateway, issuer) = gateway_of_documents(
            |issuer| {
                let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}{JWKS}") });
                vec![(METADATA, Reply::json(&metadata)), (JWKS, document.clone())]
            },
            &ec,
        );
        let token = ec.token(&claims(&issuer, ""));
        eventually(expected, || {
            get(gateway.address, "/things", Some(&token));
            let line = gateway.requests.lines().pop().expect("a line");
            line["cause"]
                .as_str()
                .is_some_and(|cause| cause.contains(expected))
        });
    }
}
