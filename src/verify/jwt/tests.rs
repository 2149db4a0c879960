use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use crate::oauth::jose::{TokenShape, classify};

#[test]
fn only_keys_with_the_kid_of_the_token_are_tried() {
    let (alice, bob, unnamed) = (Signer::new(), Signer::new(), Signer::new());
    let keys = key_set(&[alice.jwk("alice"), bob.jwk("bob"), unnamed.jwk(Value::Null)]);
    for (case, signer, kid, expected) in [
        (
            "signed with the key of that kid",
            &alice,
            json!("alice"),
            Ok(()),
        ),
        (
            "signed with another key of the set",
            &bob,
            json!("alice"),
            Err(SignatureError::BadSignature),
        ),
        (
            "no key has that kid",
            &alice,
            json!("carol"),
            Err(SignatureError::UnknownKey),
        ),
        (
            "kids are case-sensitive",
            &alice,
            json!("Alice"),
            Err(SignatureError::UnknownKey),
        ),
        (
            "an empty kid is a kid",
            &alice,
            json!(""),
            Err(SignatureError::UnknownKey),
        ),
        (
            "a key without kid has no kid",
            &unnamed,
            json!("unnamed"),
            Err(SignatureError::UnknownKey),
        ),
        (
            "a token without kid: every key is tried",
            &bob,
            Value::Null,
            Ok(()),
        ),
        (
            "a token without kid: keys without kid are tried too",
            &unnamed,
            Value::Null,
            Ok(()),
        ),
    ] {
        assert_eq!(verify(&keys, &signer.token(kid)), expected, "{case}");
    }
}

#[test]
fn kid_is_ignored_if_no_key_of_the_set_has_one() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let keys = key_set(&[Signer::new().jwk(Value::Null), signer.jwk(Value::Null)]);
    assert_eq!(verify(&keys, &signer.token("any")), Ok(()));
    assert_eq!(verify(&keys, &signer.token(Value::Null)), Ok(()));
    assert_eq!(
        verify(&keys, &stranger.token("any")),
        Err(SignatureError::UnknownKey)
    );
    assert_eq!(
        verify(&keys, &stranger.token(Value::Null)),
        Err(SignatureError::UnknownKey)
    );
}

#[test]
fn at_most_sixteen_keys_are_tried_per_token() {
    let signers: Vec<_> = (0..=MAX_KEYS_TRIED).map(|_| Signer::new()).collect();
    for kid in [Value::Null, json!("same")] {
        let keys = key_set(
            &signers
                .iter()
                .map(|signer| signer.jwk(kid.clone()))
                .collect::<Vec<_>>(),
        );
        assert_eq!(
            verify(&keys, &signers[MAX_KEYS_TRIED - 1].token(kid.clone())),
            Ok(()),
            "{kid}"
        );
        assert!(
            verify(&keys, &signers[MAX_KEYS_TRIED].token(kid.clone())).is_err(),
            "{kid}"
        );
    }
}

#[test]
fn keys_for_other_algorithms_do_not_count_toward_the_sixteen() {
    let signer = Signer::new();
    let mut jwks = vec![off_the_curve(); 2 * MAX_KEYS_TRIED];
    jwks.push(signer.jwk(Value::Null));
    assert_eq!(verify(&key_set(&jwks), &signer.token(Value::Null)), Ok(()));
}

#[test]
fn known_kid_of_a_key_for_another_algorithm_is_not_unknown() {
    let signer = Signer::new();
    let mut point = off_the_curve();
    point["kid"] = "point".into();
    let keys = key_set(&[point, signer.jwk("edwards")]);
    assert_eq!(
        verify(&keys, &signer.token("point")),
        Err(SignatureError::AlgorithmNotAllowed)
    );
}

#[test]
fn of_two_keys_with_one_kid_the_one_for_the_algorithm_is_used() {
    let signer = Signer::new();
    let mut point = off_the_curve();
    point["kid"] = "same".into();
    assert_eq!(
        verify(
            &key_set(&[point, signer.jwk("same")]),
            &signer.token("same")
        ),
        Ok(())
    );
}

#[test]
fn point_off_its_curve_verifies_nothing() {
    let keys = key_set(&[off_the_curve()]);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    let token = format!("{header}.e30.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    assert_eq!(verify(&keys, &token), Err(SignatureError::UnknownKey));
}

#[test]
fn shared_secret_is_at_least_as_long_as_the_hash() {
    use Algorithm::{HS256, HS384, HS512, RS512};
    for (length, allowed, needed) in [
        (32, &[HS256][..], None),
        (31, &[HS256], Some(32)),
        (47, &[HS256, HS384], Some(48)),
        (63, &[HS512, HS256], Some(64)),
        (64, &[HS256, HS384, HS512], None),
        (32, &[RS512, HS256], None),
        (0, &[HS256], Some(32)),
    ] {
        let result = KeySet::shared_secret(&vec![7; length], allowed);
        assert_eq!(
            result.err().map(|short| short.needed),
            needed,
            "{length} {allowed:?}"
        );
    }
}

#[test]
fn shared_secret_verifies_only_hmac() {
    let signer = Signer::new();
    let keys =
        KeySet::shared_secret(&[7; 64], &Algorithm::ALL).expect("64 bytes suffice for every hash");
    assert_eq!(
        verify(&keys, &signer.token("any")),
        Err(SignatureError::AlgorithmNotAllowed)
    );
}

#[test]
fn cryptography_can_be_installed_twice() {
    install_cryptography();
    install_cryptography();
}

#[test]
fn debug_output_of_a_key_set_hides_its_secret() {
    let keys = KeySet::shared_secret(b"a-secret-of-thirty-two-bytes-xx!", &[Algorithm::HS256])
        .expect("32 bytes suffice for HS256");
    let debug = format!("{keys:?}");
    assert!(
        !debug.contains("a-secret") && !debug.contains("97, 45"),
        "{debug}"
    );
}

struct Signer {
    private: EncodingKey,
    public: String,
}

impl Signer {
    fn new() -> Self {
        install_cryptography();
        let pair = Ed25519KeyPair::generate().expect("the system has random bytes");
        let document = pair.to_pkcs8().expect("a generated key can be encoded");
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        Self {
            private: EncodingKey::from_ed_der(document.as_ref()),
            public,
        }
    }

    fn jwk(&self, kid: impl Into<Value>) -> Value {
        with_kid(
            json!({"kty": "OKP", "crv": "Ed25519", "x": self.public}),
            kid.into(),
        )
    }

    fn token(&self, kid: impl Into<Value>) -> String {
        let header = with_kid(json!({"alg": "EdDSA"}), kid.into());
        let input = format!("{}.e30", URL_SAFE_NO_PAD.encode(header.to_string()));
        let signature = crypto::sign(
            input.as_bytes(),
            &self.private,
            jsonwebtoken::Algorithm::EdDSA,
        );
        format!("{input}.{}", signature.expect("the key is one for EdDSA"))
    }
}

fn with_kid(mut object: Value, kid: Value) -> Value {
    if !kid.is_null() {
        object["kid"] = kid;
    }
    object
}

fn off_the_curve() -> Value {
    let one = URL_SAFE_NO_PAD.encode([1; 32]);
    json!({"kty": "EC", "crv": "P-256", "x": one, "y": one})
}

fn key_set(keys: &[Value]) -> KeySet {
    let jwks = Jwks::parse(json!({"keys": keys}).to_string().as_bytes()).expect("well-formed keys");
    assert_eq!(jwks.skipped, []);
    KeySet::new(&jwks, &[Algorithm::EdDSA, Algorithm::ES256])
}

fn verify(keys: &KeySet, token: &str) -> Result<(), SignatureError> {
    match classify(token).expect("a well-formed token") {
        TokenShape::Jwt(jws) => keys.verify(&jws).map(|_| ()),
        TokenShape::Opaque => panic!("not a JWT: {token}"),
    }
}
