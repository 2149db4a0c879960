//! Tokens: valid ones, with a few random changes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use scopegate::oauth::jose::Algorithm;
use serde_json::{Map, Value, json};

use crate::libraries::{Libraries, for_jsonwebtoken};
use crate::random::Random;
use crate::{AUDIENCE, ISSUER, NOW};

/// A token, with its header and claims before encoding.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) header: String,
    pub(crate) claims: String,
}

impl Token {
    /// A valid token with up to three changes.
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    pub(crate) fn random(libraries: &Libraries, random: &mut Random) -> Self {
        let signer = &libraries.signers[random.below(libraries.signers.len())];
        let mut header =
            json!({ "alg": signer.algorithm.name(), "typ": "at+jwt", "kid": signer.kid });
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "client-1", "client_id": "client-1", "exp": NOW + 600, "iat": NOW,
            "jti": "1", "scope": "a b",
        });
        let changes = random.below(4);
        let kinds: Vec<usize> = (0..changes).map(|_| random.below(20)).collect();
        let count = |range: std::ops::Range<usize>| {
            kinds.iter().filter(|kind| range.contains(kind)).count()
        };
        for _ in 0..count(0..9) {
            change_claim(&mut claims, random);
        }
        for _ in 0..count(9..13) {
            change_header(&mut header, random);
        }
        let (mut header, mut claims) = (header.to_string(), claims.to_string());
        for _ in 0..count(13..15) {
            let text = if random.below(3) == 0 {
                &mut header
            } else {
                &mut claims
            };
            change_text(text, random);
        }
        let mut parts = [
            URL_SAFE_NO_PAD.encode(&header),
            URL_SAFE_NO_PAD.encode(&claims),
            String::new(),
        ];
        for _ in 0..count(15..16) {
            let part = random.below(2);
            parts[part] = change_base64url(&parts[part], random);
        }
        let key = if count(16..17) > 0 {
            &libraries.foreign_key
        } else {
            &signer.private
        };
        let algorithm = if count(16..17) > 0 {
            Algorithm::ES256
        } else {
            signer.algorithm
        };
        let message = format!("{}.{}", parts[0], parts[1]);
        parts[2] = crypto::sign(message.as_bytes(), key, for_jsonwebtoken(algorithm))
            .expect("a signature");
        for _ in 0..count(17..19) {
            parts[2] = change_signature(&parts[2], random);
        }
        let mut text = parts.join(".");
        for _ in 0..count(19..20) {
            text = change_token(&text, random);
        }
        Self {
            text,
            header,
            claims,
        }
    }

    pub(crate) fn header(&self) -> Map<String, Value> {
        serde_json::from_str(&self.header).unwrap_or_default()
    }

    pub(crate) fn claims(&self) -> Map<String, Value> {
        serde_json::from_str(&self.claims).unwrap_or_default()
    }

    pub(crate) fn time(&self, claim: &str) -> Option<f64> {
        self.claims().get(claim)?.as_f64()
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn change_claim(claims: &mut Value, random: &mut Random) {
    let claims = claims.as_object_mut().expect("an object");
    let times = |random: &mut Random| {
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
        let at = NOW + random.pick(&near);
        match random.below(6) {
            0 => json!(at as f64),
            1 => json!(at as f64 + 0.5),
            2 => json!(at.to_string()),
            _ => json!(at),
        }
    };
    let name = random.pick(&[
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
    let value = match (random.below(8), name) {
        (0, _) => {
            claims.remove(name);
            return;
        }
        (1, _) => random.value(),
        (_, "iss") => random.pick(&[
            json!(ISSUER),
            json!([ISSUER]),
            json!("https://id.test/"),
            json!("https://ID.test"),
            json!(""),
        ]),
        (_, "aud") => random.pick(&[
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
        (_, "exp" | "nbf" | "iat") => times(random),
        (_, "typ") => random.pick(&[
            json!("Bearer"),
            json!("at+jwt"),
            json!("ID"),
            json!("Refresh"),
        ]),
        (_, _) => random.pick(&[
            json!("x"),
            json!("client-2"),
            json!(["a"]),
            json!({ "jkt": "x" }),
        ]),
    };
    claims.insert(name.to_owned(), value);
}

fn change_header(header: &mut Value, random: &mut Random) {
    let header = header.as_object_mut().expect("an object");
    let name = random.pick(&[
        "alg", "typ", "typ", "kid", "kid", "crit", "b64", "zip", "jwk", "jku", "x5c", "cty", "x",
    ]);
    let value = match (random.below(6), name) {
        (0, _) => {
            header.remove(name);
            return;
        }
        (1, _) => random.value(),
        (_, "alg") => json!(random.pick(&[
            "none", "None", "HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519",
            "es256", "RS512"
        ])),
        (_, "typ") => json!(random.pick(&[
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
        (_, "kid") => json!(random.pick(&["p256", "p384", "ed", "rs", "ps", "other", "P256", ""])),
        (_, "crit") => random.pick(&[json!([]), json!(["exp"]), json!(["b64"])]),
        (_, "b64") => json!(random.below(2) == 0),
        (_, "zip") => json!(random.pick(&["DEF", "NONE", "none"])),
        (_, "jwk") => random.pick(&[json!({ "kty": "oct", "k": "AA" }), json!("text")]),
        (_, "x5c") => random.pick(&[json!(["AA"]), json!("AA")]),
        (_, _) => json!("https://other.test"),
    };
    header.insert(name.to_owned(), value);
}

/// Changes the JSON text before it is encoded.
fn change_text(text: &mut String, random: &mut Random) {
    match random.below(6) {
        // One more member, possibly a duplicate.
        0..3 => {
            text.pop();
            let name = random.pick(&[
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
            let value = random.pick(&[
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
        3 => text.push_str(random.pick(&[" ", "\n", "{}", ",", "\0", "x", "\u{feff}"])),
        4 => text.insert_str(0, random.pick(&[" ", "\t", "\u{feff}", "[", "\0"])),
        _ => {
            let changed = random.below(text.chars().count());
            let character = random.pick(&['"', '\\', '{', '}', ',', '0', 'a', '\n', 'é']);
            *text = text
                .chars()
                .enumerate()
                .map(|(at, old)| if at == changed { character } else { old })
                .collect();
        }
    }
}

/// Changes the encoding of a part before it is signed.
fn change_base64url(part: &str, random: &mut Random) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    match random.below(6) {
        0 => format!("{part}="),
        1 => format!("{part}=="),
        2 => part.replace('-', "+").replace('_', "/"),
        3 => format!("{part}A"),
        4 => format!("{part}\n"),
        // A trailing bit of the last character, which no byte uses.
        _ => {
            let Some((init, last)) = part.split_at_checked(part.len().wrapping_sub(1)) else {
                return "A".to_owned();
            };
            let Some(index) = ALPHABET.find(last) else {
                return format!("{part}A");
            };
            format!("{init}{}", &ALPHABET[index ^ 1..=index ^ 1])
        }
    }
}

fn change_signature(signature: &str, random: &mut Random) -> String {
    let Ok(mut bytes) = URL_SAFE_NO_PAD.decode(signature) else {
        return format!("{signature}A");
    };
    match random.below(8) {
        0 => return change_base64url(signature, random),
        1 => bytes.clear(),
        2 => bytes.fill(0),
        3 => bytes.truncate(bytes.len() / 2),
        4 => bytes.push(0),
        5 => bytes.insert(0, 0),
        _ => {
            let at = random.below(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn change_token(text: &str, random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("{text}."),
        1 => format!(".{text}"),
        2 => format!("{text} "),
        3 => text.replacen('.', "", 1),
        4 => text.replacen('.', "..", 1),
        _ => {
            let at = random.below(text.len());
            let mut changed = text.to_owned();
            changed.replace_range(at..=at, random.pick(&["A", "b", "-", "_", "9"]));
            changed
        }
    }
}
