//! A second opinion on JWTs: another library, with a parser and an arithmetic of its own, judges the same tokens.
//!
//! Thousands of tokens are made from good ones by a generator whose seed is fixed: claims, header, text, base64url and
//! signature are changed, a few at a time. Where both libraries say the same, neither is likely to be wrong. Each way
//! in which they do not is in [`DISAGREEMENTS`] with the reason why scopegate stands by its verdict; a disagreement
//! that is not there fails the test, and so does an entry that no token needs any more.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
use jwt_simple::prelude::*;
use scopegate::oauth::UnixTime;
use scopegate::oauth::claims::{Claims as OurClaims, Expectation, ExpectedAudience};
use scopegate::oauth::jose::{self, Algorithm, Jwks, TokenShape};
use scopegate::oauth::scope::GrantedWildcards;
use scopegate::values::ExpiryUnit;
use scopegate::verify::jwt::{KeySet, SignatureError, install_cryptography};
use serde_json::{Map, Value, json};

const NOW: i64 = 1_800_000_000;
const LEEWAY: u64 = 30;
const ISSUER: &str = "https://id.test";
const AUDIENCE: &str = "https://api.test";
const TOKENS: usize = 6000;

/// A way in which the verdicts differ.
struct Disagreement {
    /// What scopegate says; `None` where it takes the token and the other library does not.
    ours: Option<&'static str>,
    /// Whether it is this one.
    is: fn(&Token) -> bool,
    /// Why scopegate stands by it.
    because: &'static str,
}

const DISAGREEMENTS: &[Disagreement] = &[
    Disagreement {
        ours: Some("duplicate_member"),
        is: |token| is_shorter_when_read(&token.header) || is_shorter_when_read(&token.claims),
        because: "they see it where they know the member, and not in what they pass over; an upstream may know it",
    },
    Disagreement {
        ours: Some("opaque"),
        is: |token| serde_json::from_str::<Value>(&token.header).is_err(),
        because: "they pass over numbers and escapes that no text can hold, in header members that they do not know",
    },
    Disagreement {
        ours: Some("malformed_header"),
        is: |token| {
            ["typ", "kid"]
                .iter()
                .any(|name| token.header().get(*name) == Some(&Value::Null))
        },
        because: "null is no way to leave a parameter out: RFC 7515 §4.1 has a string or nothing",
    },
    Disagreement {
        ours: Some("unknown_algorithm"),
        is: |token| token.header()["alg"] == "Ed25519",
        because: "the name of RFC 9864 for what gateway.toml and RFC 8037 call EdDSA; only configured names are taken",
    },
    Disagreement {
        ours: Some("unsupported_parameter"),
        is: |token| {
            let header = token.header();
            let says_nothing = header
                .get("crit")
                .is_some_and(|crit| crit.is_null() || *crit == json!([]));
            says_nothing || header.contains_key("b64") || header.contains_key("zip")
        },
        because: "RFC 7515 §4.1.11 forbids an empty crit, and b64 and zip change what the payload is",
    },
    Disagreement {
        ours: Some("wrong_type"),
        is: |token| {
            token.header()["typ"].as_str().is_some_and(|typ| {
                let typ = typ.to_lowercase();
                !["at+jwt", "jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
            })
        },
        because: "they take whatever ends with +jwt, and the same keys may sign logout tokens (RFC 8725 §3.11)",
    },
    Disagreement {
        ours: Some("expired"),
        is: |token| {
            token
                .time("exp")
                .is_some_and(|exp| exp.floor() == (NOW - 30) as f64)
        },
        because: "RFC 7519 §4.1.4: on or after exp, and so at exp + leeway too; they end a second later",
    },
    Disagreement {
        ours: Some("missing_claim"),
        is: |token| !token.claims().contains_key("exp"),
        because: "they let a token without exp live for ever",
    },
    Disagreement {
        ours: Some("unbounded_expiry"),
        is: |token| {
            token
                .time("exp")
                .is_some_and(|exp| exp > (NOW + 315_619_200) as f64)
        },
        because: "more than ten years ahead is \"never\", or milliseconds",
    },
    Disagreement {
        ours: Some("not_a_numeric_date"),
        is: |token| {
            let times = ["exp", "nbf", "iat"].map(|name| token.time(name));
            times
                .into_iter()
                .flatten()
                .any(|time| !(0.0..9_223_372_036_854_775_808.0).contains(&time))
        },
        because: "they round a negative fraction up to the epoch, and cut what is too large to what fits",
    },
    Disagreement {
        ours: Some("other_kind_of_token"),
        is: |token| {
            ["nonce", "typ"]
                .iter()
                .any(|name| token.claims().contains_key(*name))
        },
        because: "they do not ask what kind of token it is",
    },
    Disagreement {
        ours: Some("sender_constrained"),
        is: |token| token.claims().contains_key("cnf"),
        because: "they do not know of tokens that need a proof (RFC 7800)",
    },
    Disagreement {
        ours: None,
        is: |token| {
            let header = token.header();
            let is_none_of_theirs = |name: &&str| {
                header
                    .get(*name)
                    .is_some_and(|value| !value.is_string() && !value.is_null())
            };
            let chain = header
                .get("x5c")
                .is_some_and(|chain| !is_list_of_texts(chain) && !chain.is_null());
            ["jwk", "jku", "cty"].iter().any(is_none_of_theirs) || chain
        },
        because: "keys that a header brings along are not read at all, so their type is nothing to us; they want a \
                  jwk as a text, where RFC 7515 §4.1.3 has an object",
    },
    Disagreement {
        ours: None,
        is: |token| {
            let claims = token.claims();
            let is_no_text = |name: &&str| {
                claims
                    .get(*name)
                    .is_some_and(|value| !value.is_string() && !value.is_null())
            };
            ["sub", "jti"].iter().any(is_no_text)
        },
        because: "who a token is for is the upstream's to judge; what is no text is no name and sets no header",
    },
    Disagreement {
        ours: None,
        is: |token| token.header()["typ"] == "application/jwt",
        because: "RFC 7515 §4.1.9: application/ may be written or left out",
    },
];

#[test]
fn another_library_agrees_but_for_reasons() {
    let judges = Judges::new();
    let mut dice = Dice(0x5c09_e6a7);
    let (mut agreed_good, mut agreed_bad) = (0, 0);
    let mut met = vec![0; DISAGREEMENTS.len()];
    let mut unexpected = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..TOKENS {
        let token = Token::roll(&judges, &mut dice);
        match (judges.ours(&token.text), judges.theirs(&token.text)) {
            (Ok(()), Ok(())) => agreed_good += 1,
            (Err(_), Err(_)) => agreed_bad += 1,
            (ours, theirs) => {
                let said = ours.as_ref().err().copied();
                match DISAGREEMENTS
                    .iter()
                    .position(|known| known.ours == said && (known.is)(&token))
                {
                    Some(known) => met[known] += 1,
                    None => unexpected
                        .entry(format!("ours {ours:?}, theirs {theirs:?}"))
                        .or_default()
                        .push(format!(
                            "{}.{} ({})",
                            token.header, token.claims, token.text
                        )),
                }
            }
        }
    }
    for (what, tokens) in &unexpected {
        eprintln!(
            "{what}: {} tokens, such as {:.400}",
            tokens.len(),
            tokens[0]
        );
    }
    assert!(unexpected.is_empty());
    for (known, met) in DISAGREEMENTS.iter().zip(met) {
        println!("{met}: {:?}, {}", known.ours, known.because);
        assert!(
            met > 0,
            "no token any more: {:?}, {}",
            known.ours,
            known.because
        );
    }
    // A generator whose tokens are all alike would find nothing.
    println!("{agreed_good} good and {agreed_bad} bad by both");
    assert!(
        agreed_good > TOKENS / 10 && agreed_bad > TOKENS / 4,
        "{agreed_good} good and {agreed_bad} bad"
    );
}

type Judge = dyn Fn(&str, VerificationOptions) -> Result<(), String>;

/// A private key, and what the other library makes of its public half.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    theirs: Box<Judge>,
}

struct Judges {
    signers: Vec<Signer>,
    stranger: EncodingKey,
    keys: KeySet,
    expectation: Expectation,
    options: VerificationOptions,
}

/// The closure by which a public key of the other library judges a token.
macro_rules! judged_by {
    ($key:ty, $jwk:expr) => {{
        let key = <$key>::from_jwk(&$jwk.to_string()).expect("their key");
        Box::new(move |token: &str, options| {
            key.verify_token::<NoCustomClaims>(token, Some(options))
                .map(|_| ())
                .map_err(|error| error.to_string())
        })
    }};
}

impl Judges {
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn new() -> Self {
        install_cryptography();
        let edwards = Ed25519KeyPair::generate().expect("a key");
        let ed = EncodingKey::from_ed_der(edwards.to_pkcs8().expect("a key").as_ref());
        let x = URL_SAFE_NO_PAD.encode(edwards.public_key());
        let ec = |signing| {
            EncodingKey::from_ec_der(
                EcdsaKeyPair::generate(signing)
                    .expect("a key")
                    .to_pkcs8v1()
                    .expect("a key")
                    .as_ref(),
            )
        };
        let (p256, p384) = (
            ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        );
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        let der = STANDARD.encode(pair.as_der().expect("a key").as_ref());
        let rsa = EncodingKey::from_rsa_pem(
            format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n").as_bytes(),
        );
        let rsa = rsa.expect("a key");
        let jwk = |private: &EncodingKey, algorithm, kid| {
            let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(private, algorithm).expect("a key");
            let mut jwk = serde_json::to_value(jwk).expect("a key");
            jwk["kid"] = json!(kid);
            jwk
        };
        use jsonwebtoken::Algorithm as Alg;
        let jwks = [
            jwk(&p256, Alg::ES256, "p256"),
            jwk(&p384, Alg::ES384, "p384"),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "ed" }),
            jwk(&rsa, Alg::RS256, "rs"),
            jwk(&rsa, Alg::PS256, "ps"),
        ];
        let signer = |kid, algorithm, private: &EncodingKey, theirs| Signer {
            kid,
            algorithm,
            private: private.clone(),
            theirs,
        };
        let signers = vec![
            signer(
                "p256",
                Algorithm::ES256,
                &p256,
                judged_by!(ES256PublicKey, jwks[0]),
            ),
            signer(
                "p384",
                Algorithm::ES384,
                &p384,
                judged_by!(ES384PublicKey, jwks[1]),
            ),
            signer(
                "ed",
                Algorithm::EdDSA,
                &ed,
                judged_by!(Ed25519PublicKey, jwks[2]),
            ),
            signer(
                "rs",
                Algorithm::RS256,
                &rsa,
                judged_by!(RS256PublicKey, jwks[3]),
            ),
            signer(
                "ps",
                Algorithm::PS256,
                &rsa,
                judged_by!(PS256PublicKey, jwks[4]),
            ),
        ];
        let jwks = Jwks::parse(json!({ "keys": jwks }).to_string().as_bytes()).expect("our keys");
        assert_eq!((jwks.keys.len(), jwks.skipped.len()), (5, 0));
        Self {
            keys: KeySet::new(
                &jwks,
                &signers
                    .iter()
                    .map(|signer| signer.algorithm)
                    .collect::<Vec<_>>(),
            ),
            signers,
            stranger: ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            expectation: Expectation {
                issuer_name: "corp".into(),
                issuers: vec![ISSUER.to_owned()],
                issuer_required: true,
                audience: ExpectedAudience::OneOf {
                    names: vec![AUDIENCE.to_owned()],
                    required: true,
                },
                required_claims: Vec::new(),
                scope_claims: vec!["scope".to_owned(), "scp".to_owned()],
                expiry_unit: ExpiryUnit::Seconds,
                expiry_required: true,
                accept_unbounded_expiry: false,
                leeway: Duration::from_secs(LEEWAY),
                granted_wildcards: GrantedWildcards::Honoured,
                ignore_cnf: false,
            },
            options: VerificationOptions {
                allowed_issuers: Some([ISSUER.to_owned()].into()),
                allowed_audiences: Some([AUDIENCE.to_owned()].into()),
                time_tolerance: Some(jwt_simple::prelude::Duration::from_secs(LEEWAY)),
                artificial_time: Some(UnixTimeStamp::from_secs(NOW.unsigned_abs())),
                ..VerificationOptions::default()
            },
        }
    }

    /// What the gateway does with a token, without its network.
    fn ours(&self, token: &str) -> Result<(), &'static str> {
        let jws = match jose::classify(token).map_err(|error| error.reason())? {
            TokenShape::Jwt(jws) => jws,
            TokenShape::Opaque => return Err("opaque"),
        };
        jws.check_type(&["at+jwt".to_owned(), "JWT".to_owned(), String::new()])
            .map_err(|error| error.reason())?;
        self.keys.verify(&jws).map_err(SignatureError::reason)?;
        let claims = OurClaims::parse(jws.payload()).map_err(|error| error.reason())?;
        let now = UnixTime::from_seconds(NOW);
        claims
            .check(&self.expectation, now)
            .map(|_| ())
            .map_err(|error| error.reason())
    }

    /// What a careful user of the other library does: its keys are bound to their algorithms too, and a `kid` picks
    /// one.
    fn theirs(&self, token: &str) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(|| {
            let metadata = jwt_simple::token::Token::decode_metadata(token)
                .map_err(|error| error.to_string())?;
            let named = |signer: &&Signer| metadata.key_id().is_none_or(|kid| kid == signer.kid);
            let mut verdict = Err("no such key".to_owned());
            for signer in self.signers.iter().filter(named) {
                verdict = (signer.theirs)(token, self.options.clone());
                if verdict.is_ok() {
                    break;
                }
            }
            verdict
        }))
        .unwrap_or_else(|_| Err("a panic".to_owned()))
    }
}

/// A token, and what it was written as.
struct Token {
    text: String,
    header: String,
    claims: String,
}

impl Token {
    /// A good token with a few changes, or with none.
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn roll(judges: &Judges, dice: &mut Dice) -> Self {
        let signer = &judges.signers[dice.below(judges.signers.len())];
        let mut header =
            json!({ "alg": signer.algorithm.name(), "typ": "at+jwt", "kid": signer.kid });
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "client-1", "client_id": "client-1", "exp": NOW + 600, "iat": NOW,
            "jti": "1", "scope": "a b",
        });
        let changes = dice.below(4);
        let kinds: Vec<usize> = (0..changes).map(|_| dice.below(20)).collect();
        let count = |range: std::ops::Range<usize>| {
            kinds.iter().filter(|kind| range.contains(kind)).count()
        };
        for _ in 0..count(0..9) {
            change_claim(&mut claims, dice);
        }
        for _ in 0..count(9..13) {
            change_header(&mut header, dice);
        }
        let (mut header, mut claims) = (header.to_string(), claims.to_string());
        for _ in 0..count(13..15) {
            let text = if dice.below(3) == 0 {
                &mut header
            } else {
                &mut claims
            };
            change_text(text, dice);
        }
        let mut parts = [
            URL_SAFE_NO_PAD.encode(&header),
            URL_SAFE_NO_PAD.encode(&claims),
            String::new(),
        ];
        for _ in 0..count(15..16) {
            let part = dice.below(2);
            parts[part] = change_base64url(&parts[part], dice);
        }
        let key = if count(16..17) > 0 {
            &judges.stranger
        } else {
            &signer.private
        };
        let algorithm = if count(16..17) > 0 {
            Algorithm::ES256
        } else {
            signer.algorithm
        };
        let message = format!("{}.{}", parts[0], parts[1]);
        parts[2] =
            crypto::sign(message.as_bytes(), key, in_their_words(algorithm)).expect("a signature");
        for _ in 0..count(17..19) {
            parts[2] = change_signature(&parts[2], dice);
        }
        let mut text = parts.join(".");
        for _ in 0..count(19..20) {
            text = change_whole(&text, dice);
        }
        Self {
            text,
            header,
            claims,
        }
    }

    fn header(&self) -> Map<String, Value> {
        serde_json::from_str(&self.header).unwrap_or_default()
    }

    fn claims(&self) -> Map<String, Value> {
        serde_json::from_str(&self.claims).unwrap_or_default()
    }

    fn time(&self, claim: &str) -> Option<f64> {
        self.claims().get(claim)?.as_f64()
    }
}

/// Whether a text of JSON says something that is gone once it is read, as the first of two equal members is.
fn is_shorter_when_read(text: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|value| value.to_string().len() < text.trim().len())
}

fn is_list_of_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|elements| elements.iter().all(Value::is_string))
}

fn in_their_words(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.name().parse().expect("a name of theirs")
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn change_claim(claims: &mut Value, dice: &mut Dice) {
    let claims = claims.as_object_mut().expect("an object");
    let times = |dice: &mut Dice| {
        let near = [
            -600,
            -31,
            -30,
            -29,
            -1,
            0,
            1,
            29,
            30,
            31,
            600,
            315_619_200,
            315_619_201,
            400_000_000,
        ];
        let at = NOW + dice.pick(&near);
        match dice.below(6) {
            0 => json!(at as f64),
            1 => json!(at as f64 + 0.5),
            2 => json!(at.to_string()),
            _ => json!(at),
        }
    };
    let name = dice.pick(&[
        "iss",
        "aud",
        "exp",
        "exp",
        "nbf",
        "nbf",
        "iat",
        "iat",
        "sub",
        "jti",
        "client_id",
        "scope",
        "x",
        "nonce",
        "cnf",
        "typ",
        "kid",
    ]);
    let value = match (dice.below(8), name) {
        (0, _) => {
            claims.remove(name);
            return;
        }
        (1, _) => dice.value(),
        (_, "iss") => dice.pick(&[
            json!(ISSUER),
            json!([ISSUER]),
            json!("https://id.test/"),
            json!("https://ID.test"),
            json!(""),
        ]),
        (_, "aud") => dice.pick(&[
            json!(AUDIENCE),
            json!([AUDIENCE]),
            json!(["other", AUDIENCE]),
            json!([AUDIENCE, AUDIENCE]),
            json!([AUDIENCE, 7]),
            json!([AUDIENCE, null]),
            json!([[AUDIENCE]]),
            json!("other"),
            json!(["other"]),
            json!([]),
            json!(format!("{AUDIENCE} other")),
        ]),
        (_, "exp" | "nbf" | "iat") => times(dice),
        (_, "typ") => dice.pick(&[
            json!("Bearer"),
            json!("at+jwt"),
            json!("ID"),
            json!("Refresh"),
        ]),
        (_, _) => dice.pick(&[
            json!("x"),
            json!("client-2"),
            json!(["a"]),
            json!({ "jkt": "x" }),
        ]),
    };
    claims.insert(name.to_owned(), value);
}

fn change_header(header: &mut Value, dice: &mut Dice) {
    let header = header.as_object_mut().expect("an object");
    let name = dice.pick(&[
        "alg", "typ", "typ", "kid", "kid", "crit", "b64", "zip", "jwk", "jku", "x5c", "cty", "x",
    ]);
    let value = match (dice.below(6), name) {
        (0, _) => {
            header.remove(name);
            return;
        }
        (1, _) => dice.value(),
        (_, "alg") => json!(dice.pick(&[
            "none", "None", "HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519",
            "es256", "RS512"
        ])),
        (_, "typ") => json!(dice.pick(&[
            "JWT",
            "jwt",
            "AT+JWT",
            "application/at+jwt",
            "application/jwt",
            "dpop+jwt",
            "logout+jwt",
            "id",
            ""
        ])),
        (_, "kid") => json!(dice.pick(&["p256", "p384", "ed", "rs", "ps", "other", "P256", ""])),
        (_, "crit") => dice.pick(&[json!([]), json!(["exp"]), json!(["b64"])]),
        (_, "b64") => json!(dice.below(2) == 0),
        (_, "zip") => json!(dice.pick(&["DEF", "NONE", "none"])),
        (_, "jwk") => dice.pick(&[json!({ "kty": "oct", "k": "AA" }), json!("text")]),
        (_, "x5c") => dice.pick(&[json!(["AA"]), json!("AA")]),
        (_, _) => json!("https://other.test"),
    };
    header.insert(name.to_owned(), value);
}

/// Changes what is signed.
fn change_text(text: &mut String, dice: &mut Dice) {
    match dice.below(6) {
        // A member more, which may be there already.
        0..3 => {
            text.pop();
            let name = dice.pick(&[
                "alg",
                "kid",
                "iss",
                "aud",
                "exp",
                "sub",
                "scope",
                "x",
                "e\\u0078p",
            ]);
            let value = dice.pick(&[
                "1800000600",
                "\"https://id.test\"",
                "\"ES256\"",
                "{\"y\":1,\"y\":2}",
                "1e400",
                "\"\\ud800\"",
                "null",
            ]);
            text.push_str(&format!(",\"{name}\":{value}}}"));
        }
        3 => text.push_str(dice.pick(&[" ", "\n", "{}", ",", "\0", "x", "\u{feff}"])),
        4 => text.insert_str(0, dice.pick(&[" ", "\t", "\u{feff}", "[", "\0"])),
        _ => {
            let changed = dice.below(text.chars().count());
            let character = dice.pick(&['"', '\\', '{', '}', ',', '0', 'a', '\n', 'é']);
            *text = text
                .chars()
                .enumerate()
                .map(|(at, old)| if at == changed { character } else { old })
                .collect();
        }
    }
}

/// Changes how a part is written, before it is signed.
fn change_base64url(part: &str, dice: &mut Dice) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    match dice.below(6) {
        0 => format!("{part}="),
        1 => format!("{part}=="),
        2 => part.replace('-', "+").replace('_', "/"),
        3 => format!("{part}A"),
        4 => format!("{part}\n"),
        // One of the bits that are left over, if there are any.
        _ => {
            let Some((rest, last)) = part.split_at_checked(part.len().wrapping_sub(1)) else {
                return "A".to_owned();
            };
            let Some(place) = ALPHABET.find(last) else {
                return format!("{part}A");
            };
            format!("{rest}{}", &ALPHABET[place ^ 1..=place ^ 1])
        }
    }
}

fn change_signature(signature: &str, dice: &mut Dice) -> String {
    let Ok(mut bytes) = URL_SAFE_NO_PAD.decode(signature) else {
        return format!("{signature}A");
    };
    match dice.below(8) {
        0 => return change_base64url(signature, dice),
        1 => bytes.clear(),
        2 => bytes.fill(0),
        3 => bytes.truncate(bytes.len() / 2),
        4 => bytes.push(0),
        5 => bytes.insert(0, 0),
        _ => {
            let at = dice.below(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn change_whole(text: &str, dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => format!("{text}."),
        1 => format!(".{text}"),
        2 => format!("{text} "),
        3 => text.replacen('.', "", 1),
        4 => text.replacen('.', "..", 1),
        _ => {
            let at = dice.below(text.len());
            let mut changed = text.to_owned();
            changed.replace_range(at..=at, dice.pick(&["A", "b", "-", "_", "9"]));
            changed
        }
    }
}

/// SplitMix64: numbers that are the same at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((number ^ number >> 31) % u64::try_from(bound).expect("small"))
            .expect("small")
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A value of any type.
    fn value(&mut self) -> Value {
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(-0.5),
            json!(1.5),
            json!(1e300),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(""),
            json!(" "),
            json!("x"),
            json!([]),
            json!(["x"]),
            json!([["x"]]),
            json!({}),
            json!({ "x": { "x": [null] } }),
        ];
        self.pick(&values)
    }
}
