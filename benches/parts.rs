//! The cost of each part of a request: path, route, token, signature, scopes and challenge.
//!
//!     cargo bench --bench parts                  # or with a part of a name, such as `signature`
//!
//! At the end, the first verification of a token is compared with its signature and its parsing.
//! The whole should cost at most 15 percent more than both together.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use divan::{Bencher, black_box};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use scopegate::gateway::Snapshot;
use scopegate::oauth::UnixTime;
use scopegate::oauth::bearer;
use scopegate::oauth::challenge::{Challenge, ErrorCode};
use scopegate::oauth::claims::Claims;
use scopegate::oauth::jose::{CompactJws, TokenShape, classify};
use scopegate::oauth::scope::{GrantedWildcards, ScopeSet};
use scopegate::policy::path::NormalPath;
use scopegate::policy::pattern::RoutePattern;
use scopegate::policy::requirement::ScopeRequirement;
use scopegate::values::PathParameters;
use scopegate::verify::jwt::{KeySet, install_cryptography};
use scopegate::verify::{
    ConnectionCache, IssuerKeys, VerificationRequest, VerifiedToken, WorkerCache,
};
use scopegate::{config, gateway};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Tokens that the comparison at the end verifies for the first time.
const NEW_TOKENS: u64 = 1000;

fn main() {
    install_cryptography();
    divan::main();
    // Skipped if an argument selects some parts.
    if std::env::args()
        .skip(1)
        .all(|argument| argument == "--bench")
    {
        ALGORITHMS
            .into_iter()
            .for_each(compare_new_token_with_its_parts);
    }
}

/// A configuration with one issuer, and the issuer's key.
struct TestBed {
    algorithm: Algorithm,
    key: EncodingKey,
    parsed: ParsedPublicKey,
    snapshot: Snapshot,
}

impl TestBed {
    fn new(algorithm: Algorithm) -> Self {
        Self::with_routes(algorithm, 0)
    }

    fn with_routes(algorithm: Algorithm, number: usize) -> Self {
        let (key, parsed) = new_key(algorithm).expect("a key");
        let mut public = Jwk::from_encoding_key(&key, algorithm).expect("a public key");
        public.common.key_id = Some("key".to_owned());
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("jwks.json");
        let document = serde_json::to_vec(&JwkSet { keys: vec![public] }).expect("JSON");
        std::fs::write(&file, document).expect("a file");
        let mut toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[issuers.bench]\nissuer = \"https://issuer.test\"\n\
             audience = \"https://api.test\"\njwks_file = {file:?}\n[upstreams.up]\ntargets = \"http://127.0.0.1:9\"\n\
             [[routes]]\npath = \"/apps/{{id}}/messages\"\nscope = \"messages.read\"\nupstream = \"up\"\n"
        );
        for route in 0..number {
            let path = format!("/service{route}/apps/{{id}}/messages");
            toml += &format!(
                "[[routes]]\npath = {path:?}\nscope = \"messages.read\"\nupstream = \"up\"\n"
            );
        }
        let (config, _) = config::parse("parts.toml", &toml).expect("a valid file");
        Self {
            algorithm,
            key,
            parsed,
            snapshot: gateway::compile(&config).expect("a valid file"),
        }
    }

    /// Request headers with the token of this number.
    fn headers(&self, number: u64) -> HeaderMap {
        let now = now().as_seconds();
        let claims = serde_json::json!({
            "iss": "https://issuer.test", "aud": "https://api.test", "sub": "client", "client_id": "client",
            "scope": "messages.read", "iat": now, "exp": now + 3600, "jti": number.to_string(),
        });
        let mut header = Header::new(self.algorithm);
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("key".to_owned()));
        let token = jsonwebtoken::encode(&header, &claims, &self.key).expect("a token");
        let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header value");
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    fn verify(
        &self,
        headers: &HeaderMap,
        connection_cache: &ConnectionCache,
    ) -> Arc<VerifiedToken> {
        let token = bearer::extract(headers).expect("a token");
        let client = || IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = VerificationRequest {
            token,
            connection_cache,
            accepts: |_: &str| true,
            client,
            now: now(),
            trace: None,
        };
        run(self.snapshot.verifier.verify(&request)).expect("a valid token")
    }

    fn keys(&self) -> &KeySet {
        match self.snapshot.verifier.issuers()[0].keys() {
            Some(IssuerKeys::Fixed(keys)) => keys,
            Some(IssuerKeys::Published(_)) | None => unreachable!("the keys come from a file"),
        }
    }

    fn check_claims(&self, headers: &HeaderMap) {
        let jws = jws(headers);
        let claims = Claims::parse(jws.payload()).expect("claims");
        let expectation = &self.snapshot.verifier.issuers()[0].settings.expectation;
        black_box(claims.check(expectation, now()).expect("valid claims"));
    }
}

#[divan::bench]
fn path_is_normalized(bencher: Bencher) {
    bencher
        .bench(|| NormalPath::parse(black_box("/apps/com.acme/messages"), PathParameters::Refuse));
}

#[divan::bench(args = [10, 1_000, 10_000], sample_size = 1000)]
fn route_is_found(bencher: Bencher, routes: usize) {
    let test_bed = TestBed::with_routes(Algorithm::ES256, routes);
    let text = format!("/service{}/apps/com.acme/messages", routes / 2);
    let path = NormalPath::parse(&text, PathParameters::Refuse).expect("a valid path");
    bencher.bench(|| {
        test_bed
            .snapshot
            .routes
            .find("api.test", black_box(&path), &Method::GET)
            .map(|found| found.index)
    });
}

#[divan::bench(sample_size = 1000)]
fn token_is_extracted(bencher: Bencher) {
    let headers = TestBed::new(Algorithm::RS256).headers(0);
    bencher.bench(|| bearer::extract(black_box(&headers)).map(|token| token.as_str().len()));
}

#[divan::bench]
fn token_is_found_in_the_connection_cache(bencher: Bencher) {
    let (test_bed, connection_cache) = (TestBed::new(Algorithm::RS256), new_connection_cache());
    let headers = test_bed.headers(0);
    test_bed.verify(&headers, &connection_cache);
    bencher.bench_local(|| test_bed.verify(black_box(&headers), &connection_cache));
}

#[divan::bench]
fn token_is_found_in_the_worker_cache(bencher: Bencher) {
    let (test_bed, connection_cache) = (TestBed::new(Algorithm::RS256), new_connection_cache());
    // Alternating: the connection cache holds only the last token.
    let both = [test_bed.headers(0), test_bed.headers(1)];
    both.iter()
        .for_each(|headers| drop(test_bed.verify(headers, &connection_cache)));
    let mut turn = 0;
    bencher.bench_local(|| {
        turn ^= 1;
        test_bed.verify(black_box(&both[turn]), &connection_cache)
    });
}

#[divan::bench]
fn token_is_found_in_the_shared_cache(bencher: Bencher) {
    let test_bed = TestBed::new(Algorithm::RS256);
    let headers = test_bed.headers(0);
    test_bed.verify(&headers, &new_connection_cache());
    // A new worker each time, whose own caches are empty.
    bencher
        .with_inputs(new_connection_cache)
        .bench_local_refs(|connection_cache| {
            test_bed.verify(black_box(&headers), connection_cache)
        });
}

#[divan::bench(args = ALGORITHMS)]
fn signature_is_verified(bencher: Bencher, algorithm: Algorithm) {
    let test_bed = TestBed::new(algorithm);
    let headers = test_bed.headers(0);
    let jws = jws(&headers);
    bencher.bench_local(|| {
        test_bed
            .keys()
            .verify(black_box(&jws))
            .expect("a valid signature")
    });
}

// The arithmetic alone, as far as possible: the key is parsed and the signature decoded beforehand.
#[divan::bench(args = ALGORITHMS)]
fn signature_is_verified_with_a_parsed_key(bencher: Bencher, algorithm: Algorithm) {
    let test_bed = TestBed::new(algorithm);
    let headers = test_bed.headers(0);
    let jws = jws(&headers);
    let signature = URL_SAFE_NO_PAD.decode(jws.signature()).expect("base64url");
    bencher.bench_local(|| {
        test_bed
            .parsed
            .verify_sig(black_box(jws.signing_input()).as_bytes(), &signature)
            .is_ok()
    });
}

#[divan::bench(args = ALGORITHMS)]
fn token_is_parsed_and_its_claims_are_checked(bencher: Bencher, algorithm: Algorithm) {
    let test_bed = TestBed::new(algorithm);
    let headers = test_bed.headers(0);
    bencher.bench_local(|| test_bed.check_claims(black_box(&headers)));
}

#[divan::bench(args = ALGORITHMS, sample_count = 200, sample_size = 1)]
fn new_token_is_verified(bencher: Bencher, algorithm: Algorithm) {
    let (test_bed, connection_cache, mut number) =
        (TestBed::new(algorithm), new_connection_cache(), 0);
    let next = || {
        number += 1;
        test_bed.headers(number)
    };
    bencher
        .with_inputs(next)
        .bench_local_refs(|headers| test_bed.verify(headers, &connection_cache));
}

#[divan::bench(args = ["one", "one-of-twenty", "parameter", "granted-wildcard"])]
fn scope_is_met(bencher: Bencher, case: &str) {
    let test_bed = TestBed::new(Algorithm::ES256);
    let path =
        NormalPath::parse("/apps/com.acme/messages", PathParameters::Refuse).expect("a valid path");
    let found = test_bed
        .snapshot
        .routes
        .find("api.test", &path, &Method::GET)
        .expect("a route");
    let twenty: String = (0..20).map(|number| format!("scope.{number} ")).collect();
    let (required, granted) = match case {
        "one" => ("messages.read", "messages.read".to_owned()),
        "one-of-twenty" => ("messages.read", twenty + "messages.read"),
        "parameter" => ("push.{id}", "push.com.acme".to_owned()),
        _ => ("push.{id}", "push.*".to_owned()),
    };
    let pattern = RoutePattern::parse("/apps/{id}/messages").expect("a valid pattern");
    let required = ScopeRequirement::parse(required, &pattern).expect("scopes");
    let granted = ScopeSet::parse(&granted, GrantedWildcards::Honoured).expect("few scopes");
    assert_eq!(required.is_met_by(&granted, &found.parameters), Ok(true));
    bencher.bench_local(|| required.is_met_by(black_box(&granted), &found.parameters));
}

#[divan::bench(sample_size = 1000)]
fn challenge_is_written(bencher: Bencher) {
    let (error, scope) = (
        Some(ErrorCode::InsufficientScope),
        Some("messages.write push.application.com.acme"),
    );
    bencher.bench(|| {
        black_box(Challenge {
            error,
            scope,
            ..Challenge::default()
        })
        .to_header_value()
    });
}

// Interleaved token by token, so that a drifting machine speed affects all three alike.
fn compare_new_token_with_its_parts(algorithm: Algorithm) {
    let (test_bed, connection_cache) = (TestBed::new(algorithm), new_connection_cache());
    let [mut signature, mut parsing, mut whole] = [const { Vec::new() }; 3];
    for number in 0..NEW_TOKENS {
        let headers = test_bed.headers(number);
        let jws = jws(&headers);
        signature.push(timed(|| {
            drop(test_bed.keys().verify(&jws).expect("a valid signature"))
        }));
        parsing.push(timed(|| test_bed.check_claims(&headers)));
        whole.push(timed(|| drop(test_bed.verify(&headers, &connection_cache))));
    }
    let [signature, parsing, whole] =
        [signature, parsing, whole].map(|mut times: Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        });
    let ratio = whole.as_secs_f64() / (signature + parsing).as_secs_f64();
    println!(
        "new {algorithm:?} token: {whole:.1?}, which is {ratio:.2} times its signature ({signature:.1?}) and parsing \
         ({parsing:.1?})"
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn new_connection_cache() -> ConnectionCache {
    ConnectionCache::new(WorkerCache::new(Arc::default()))
}

fn jws(headers: &HeaderMap) -> CompactJws<'_> {
    match classify(bearer::extract(headers).expect("a token").as_str()) {
        Ok(TokenShape::Jwt(jws)) => jws,
        Ok(TokenShape::Opaque) | Err(_) => unreachable!("it is a JWT"),
    }
}

// The future never waits: everything is in memory.
fn run<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a time after 1970");
    UnixTime::from_seconds(since.as_secs().try_into().expect("a time within i64"))
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "only these three are benched"
)]
fn new_key(algorithm: Algorithm) -> Result<(EncodingKey, ParsedPublicKey), Box<dyn Error>> {
    let random = SystemRandom::new();
    Ok(match algorithm {
        Algorithm::RS256 => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?;
            // jsonwebtoken accepts PKCS #8 only as PEM.
            let text = STANDARD.encode(pair.as_der()?.as_ref());
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
            let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())?;
            (EncodingKey::from_rsa_pem(pem.as_bytes())?, parsed)
        }
        Algorithm::ES256 => {
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())?;
            let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key())?;
            (EncodingKey::from_ec_der(document.as_ref()), parsed)
        }
        _ => {
            let document = Ed25519KeyPair::generate_pkcs8v1(&random)?;
            let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())?;
            (
                EncodingKey::from_ed_der(document.as_ref()),
                ParsedPublicKey::new(&ED25519, pair.public_key())?,
            )
        }
    })
}
