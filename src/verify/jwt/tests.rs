use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use crate::oauth::jose::{TokenShape, classify};

#[test]
fn a_kid_names_the_only_keys_that_are_tried() {
    let (alice, bob, nameless) = (Signer::new(), Signer::new(), Signer::new());
    let keys = key_set(&[
        alice.jwk("alice"),
        bob.jwk("bob"),
        nameless.jwk(Value::Null),
    ]);
    for (case, signer, kid, expected) in [
        ("the named key signed", &alice, json!("alice"), Ok(())),
        (
            "another key of the set signed",
            &bob,
            json!("alice"),
            Err(SignatureError::BadSignature),
        ),
        (
            "no key of that name",
            &alice,
            json!("carol"),
            Err(SignatureError::UnknownKey),
        ),
        (
            "names are compared with case",
            &alice,
            json!("Alice"),
            Err(SignatureError::UnknownKey),
        ),
        (
            "an empty name is a name",
            &alice,
            json!(""),
            Err(SignatureError::UnknownKey),
        ),
        (
            "a key without name has no name",
            &nameless,
            json!("nameless"),
            Err(SignatureError::UnknownKey),
        ),
        ("a token without kid: every key", &bob, Value::Null, Ok(())),
        (
            "a token without kid: keys without kid too",
            &nameless,
            Value::Null,
            Ok(()),
        ),
    ] {
        assert_eq!(verify(&keys, &signer.token(kid)), expected, "{case}");
    }
}

#[test]
fn in_a_set_without_names_a_kid_says_nothing() {
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
fn no_token_has_more_than_eight_keys_tried() {
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
fn keys_that_do_not_fit_the_algorithm_do_not_count_among_the_eight() {
    let signer = Signer::new();
    let mut jwks = vec![off_the_curve(); 2 * MAX_KEYS_TRIED];
    jwks.push(signer.jwk(Value::Null));
    assert_eq!(verify(&key_set(&jwks), &signer.token(Value::Null)), Ok(()));
}

#[test]
fn a_known_kid_with_a_foreign_algorithm_does_not_count_as_unknown() {
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
fn of_two_keys_with_one_name_the_one_that_fits_is_taken() {
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
fn a_point_beside_its_curve_verifies_nothing() {
    let keys = key_set(&[off_the_curve()]);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    let token = format!("{header}.e30.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    assert_eq!(verify(&keys, &token), Err(SignatureError::UnknownKey));
}

#[test]
fn a_shared_secret_has_at_least_the_length_of_the_hash() {
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
fn a_shared_secret_verifies_nothing_but_hmac() {
    let signer = Signer::new();
    let keys = KeySet::shared_secret(&[7; 64], &Algorithm::ALL)
        .expect("64 bytes are enough for each hash");
    assert_eq!(
        verify(&keys, &signer.token("any")),
        Err(SignatureError::AlgorithmNotAllowed)
    );
}

#[test]
fn installing_the_cryptography_twice_changes_nothing() {
    install_cryptography();
    install_cryptography();
}

#[test]
fn secrets_do_not_show_themselves() {
    let keys = KeySet::shared_secret(b"a-secret-of-thirty-two-bytes-xx!", &[Algorithm::HS256])
        .expect("32 bytes are enough");
    let shown = format!("{keys:?}");
    assert!(
        !shown.contains("a-secret") && !shown.contains("97, 45"),
        "{shown}"
    );
}

struct Signer {
    private: EncodingKey,
    public: String,
}

impl Signer {
    fn new() -> Self {
        install_cryptography();
        let pair = Ed25519KeyPair::generate().expect("there is randomness");
        let document = pair.to_pkcs8().expect("the key is there to be written");
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
        format!("{input}.{}", signature.expect("the key fits the algorithm"))
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
    let jwks = Jwks::parse(json!({"keys": keys}).to_string().as_bytes())
        .expect("the keys are well-formed");
    assert_eq!(jwks.skipped, []);
    KeySet::new(&jwks, &[Algorithm::EdDSA, Algorithm::ES256])
}

fn verify(keys: &KeySet, token: &str) -> Result<(), SignatureError> {
    match classify(token).expect("the token is well-formed") {
        TokenShape::Jwt(jws) => keys.verify(&jws).map(|_| ()),
        TokenShape::Opaque => panic!("not a JWT: {token}"),
    }
}
