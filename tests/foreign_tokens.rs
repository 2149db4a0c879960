//! Tokens signed by another library, in every algorithm and in the formats of five authorization
//! servers.
//!
//! `vectors/generate.py` generates them. Tokens that scopegate signs itself would not reveal a
//! shared mistake.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::oauth::UnixTime;
use scopegate::oauth::claims::{
    ActiveToken, AudienceCheck, Claims, Expectation, ExpectedAudience, ScopeClaims,
};
use scopegate::oauth::jose::{self, Algorithm, CompactJws, Jwks, TokenShape};
use scopegate::oauth::scope::GrantedWildcards;
use scopegate::values::ExpiryUnit;
use scopegate::verify::jwt::{KeySet, SignatureError};
use serde_json::Value;

const PUBLIC_KEY_ALGORITHMS: [Algorithm; 10] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];
const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

#[test]
fn every_algorithm_verifies_tokens_of_another_library() {
    let vectors = Algorithms::read();
    for algorithm in Algorithm::ALL {
        let token = vectors.token(algorithm);
        let jws = jwt(&token);
        assert_eq!(jws.header().algorithm, algorithm);
        assert_eq!(
            vectors
                .keys(&[algorithm], algorithm.is_hmac())
                .verify(&jws)
                .map(|_| ()),
            Ok(()),
            "{algorithm}"
        );

        let expectation = expectation("https://id.example.com", "https://api.example.com");
        let claims = Claims::parse(jws.payload()).expect("the payload is a JSON object");
        let active = claims
            .check(&expectation, vectors.now)
            .expect("valid claims");
        assert_eq!(active.subject(), Some("alice"));
        assert_eq!(active.scopes().to_string(), "messages.read messages.write");
    }
}

#[test]
fn an_algorithm_that_is_not_configured_is_refused() {
    let vectors = Algorithms::read();
    for algorithm in Algorithm::ALL {
        let others: Vec<_> = Algorithm::ALL
            .into_iter()
            .filter(|other| *other != algorithm)
            .collect();
        let keys = vectors.keys(&others, algorithm.is_hmac());
        assert_eq!(
            keys.verify(&jwt(&vectors.token(algorithm))),
            Err(SignatureError::AlgorithmNotAllowed),
            "{algorithm}"
        );
    }
}

#[test]
fn a_changed_token_is_refused_in_every_algorithm() {
    let vectors = Algorithms::read();
    for algorithm in Algorithm::ALL {
        let token = vectors.token(algorithm);
        let keys = vectors.keys(&[algorithm], algorithm.is_hmac());
        let parts: Vec<_> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            panic!("a compact JWS has three parts")
        };
        let mut claims = URL_SAFE_NO_PAD
            .decode(payload)
            .expect("the payload is base64url");
        claims.push(b' ');
        let mut flipped = URL_SAFE_NO_PAD
            .decode(signature)
            .expect("the signature is base64url");
        flipped[0] ^= 1;
        let shorter = &flipped[1..];
        for changed in [
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims)),
            format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(&flipped)),
            format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(shorter)),
            format!("{header}.{payload}."),
        ] {
            assert_eq!(
                keys.verify(&jwt(&changed)),
                Err(SignatureError::BadSignature),
                "{changed}"
            );
        }
    }
}

#[test]
fn a_public_key_used_as_a_shared_secret_is_refused() {
    let vectors = Algorithms::read();
    let confused = vectors.confused();
    // Refused even if the configuration mixes both families.
    for allowed in [&PUBLIC_KEY_ALGORITHMS[..], &Algorithm::ALL, &HMAC] {
        assert_eq!(
            vectors.keys(allowed, false).verify(&jwt(&confused)),
            Err(SignatureError::AlgorithmNotAllowed)
        );
    }
    assert_eq!(
        vectors.keys(&HMAC, true).verify(&jwt(&confused)),
        Err(SignatureError::BadSignature)
    );
}

#[test]
fn tokens_of_five_authorization_servers_are_accepted() {
    for server in servers() {
        let name = text(&server, "name");
        let active = judge(&server, text(&server, "token"))
            .unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert_eq!(active.issuer(), Some(text(&server, "issuer")), "{name}");
        assert_eq!(
            active.scopes().to_string(),
            text(&server, "scopes"),
            "{name}"
        );
        assert_eq!(active.client_id(), server["client_id"].as_str(), "{name}");
        assert_eq!(
            active.expires_at().map(UnixTime::as_seconds),
            server["expires_at"].as_i64(),
            "{name}"
        );
    }
}

#[test]
fn foreign_forged_and_stale_tokens_of_five_authorization_servers_are_refused() {
    for server in servers() {
        let refused = server["refused"]
            .as_object()
            .expect("each server has tokens to refuse");
        for (reason, token) in refused {
            let token = token.as_str().expect("a token is a string");
            let found = judge(&server, token).expect_err(reason);
            assert_eq!(found, reason, "{}", text(&server, "name"));
        }
    }
}

#[test]
fn authorization_servers_need_their_configured_exceptions() {
    for mut server in servers() {
        let reason = match text(&server, "name") {
            // Read as seconds, these milliseconds are 46,000 years.
            "MobileFirst" | "WSO2" => Some("unbounded_expiry"),
            _ => None,
        };
        server["milliseconds"] = false.into();
        server["unbounded"] = false.into();
        let found = judge(&server, text(&server, "token")).err();
        assert_eq!(found, reason, "{}", text(&server, "name"));
    }
}

/// Verifies a token by the same steps as the gateway, without its network.
fn judge(server: &Value, token: &str) -> Result<ActiveToken, &'static str> {
    let jws = match jose::classify(token).map_err(|error| error.reason())? {
        TokenShape::Jwt(jws) => jws,
        TokenShape::Opaque => return Err("opaque"),
    };
    jws.check_type(&["at+jwt".to_owned(), "JWT".to_owned(), String::new()])
        .map_err(|error| error.reason())?;
    let jwks = Jwks::parse(server["jwks"].to_string().as_bytes()).expect("the key set is usable");
    assert_eq!(jwks.skipped, []);
    KeySet::new(&jwks, &PUBLIC_KEY_ALGORITHMS)
        .verify(&jws)
        .map_err(SignatureError::reason)?;

    let mut expectation = expectation(text(server, "issuer"), text(server, "audience"));
    expectation.accept_unbounded_expiry = server["unbounded"] == true;
    if server["milliseconds"] == true {
        expectation.expiry_unit = ExpiryUnit::Milliseconds;
    }
    let claims = Claims::parse(jws.payload()).map_err(|error| error.reason())?;
    claims
        .check(&expectation, time(&server["now"]))
        .map_err(|error| error.reason())
}

struct Algorithms {
    document: Value,
    now: UnixTime,
}

impl Algorithms {
    fn read() -> Self {
        let document: Value = serde_json::from_str(include_str!("vectors/algorithms.json"))
            .expect("the vectors are JSON");
        let now = time(&document["now"]);
        Self { document, now }
    }

    fn token(&self, algorithm: Algorithm) -> String {
        text(&self.document["tokens"], algorithm.name()).to_owned()
    }

    fn confused(&self) -> String {
        text(&self.document, "confused").to_owned()
    }

    fn keys(&self, allowed: &[Algorithm], shared: bool) -> KeySet {
        if shared {
            let secret = URL_SAFE_NO_PAD
                .decode(text(&self.document, "secret"))
                .expect("the secret is base64url");
            return KeySet::shared_secret(&secret, allowed).expect("the secret is long enough");
        }
        let jwks = Jwks::parse(self.document["jwks"].to_string().as_bytes())
            .expect("the key set is usable");
        assert_eq!((jwks.keys.len(), jwks.skipped.len()), (5, 0));
        KeySet::new(&jwks, allowed)
    }
}

fn servers() -> Vec<Value> {
    serde_json::from_str(include_str!("vectors/authorization_servers.json"))
        .expect("the vectors are JSON")
}

fn jwt(token: &str) -> CompactJws<'_> {
    match jose::classify(token).expect("the token is well-formed") {
        TokenShape::Jwt(jws) => jws,
        TokenShape::Opaque => panic!("not a JWT: {token}"),
    }
}

fn expectation(issuer: &str, audience: &str) -> Expectation {
    Expectation {
        issuer_name: "corp".into(),
        issuers: vec![issuer.to_owned()],
        issuer_required: true,
        audience: ExpectedAudience::OneOf {
            names: vec![audience.to_owned()],
            required: true,
        },
        required_claims: Vec::new(),
        scope_claims: ScopeClaims::first_of(["scope", "scp"]),
        claim_rules: Vec::new(),
        tenant: None,
        audience_claims: Default::default(),
        audience_check: AudienceCheck::WithClaims,
        expiry_unit: ExpiryUnit::Seconds,
        expiry_required: true,
        accept_unbounded_expiry: false,
        revocable: None,
        leeway: Duration::from_secs(30),
        granted_wildcards: GrantedWildcards::Honoured,
        refuse_id_tokens: true,
        ignore_cnf: false,
    }
}

fn text<'v>(object: &'v Value, member: &str) -> &'v str {
    object[member]
        .as_str()
        .expect("the vectors have a string here")
}

fn time(value: &Value) -> UnixTime {
    UnixTime::from_seconds(
        value
            .as_i64()
            .expect("the vectors have a whole number here"),
    )
}
