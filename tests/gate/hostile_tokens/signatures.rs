//! Altered and malformed signatures (R18, RFC 8725 §2.1 and §3.2).

use std::cmp::Ordering;

use jsonwebtoken::Algorithm;

use super::*;

/// The order of P-256 (SEC 2 §2.4.2).
const ORDER_P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The order of Ed25519's base point (RFC 8032 §5.1), most significant byte first.
const ORDER_ED25519: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

struct KeysOfEveryType {
    test_bed: TestBed,
    keys: [Key; 4],
}

/// A test bed whose issuer has a key of each type, with its algorithm as `kid`.
fn keys_of_every_type() -> KeysOfEveryType {
    let test_bed = TestBed::routes(ROUTES);
    let keys = [
        Key::es256("ES256"),
        Key::es384("ES384"),
        Key::ed25519("EdDSA"),
        Key::rsa(Some("RS256"), Algorithm::RS256),
    ];
    test_bed
        .issuer
        .publish(&[&test_bed.key, &keys[0], &keys[1], &keys[2], &keys[3]]);
    for key in &keys {
        assert_eq!(
            test_bed
                .get("/_ready", Some(&key.token(&test_bed.issuer.claims(""))))
                .status,
            200,
            "{}",
            key.jwk()
        );
    }
    KeysOfEveryType { test_bed, keys }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r18_altered_signature_is_refused_in_every_algorithm() {
    let KeysOfEveryType { test_bed, keys } = keys_of_every_type();
    let mut tokens = Vec::new();
    for key in &keys {
        let valid = key.token(&test_bed.issuer.claims(""));
        let (message, signature) = valid.rsplit_once('.').expect("three parts");
        let valid_bytes = bytes(signature);
        let length = valid_bytes.len();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = valid_bytes.clone();
            change(&mut changed);
            changed
        };
        // Valid signatures of the same key over other text.
        let over = |header: &str, claims: &str| {
            bytes(
                key.sign(header, claims)
                    .rsplit_once('.')
                    .expect("three parts")
                    .1,
            )
        };
        let header =
            String::from_utf8(bytes(message.split_once('.').expect("two parts").0)).expect("UTF-8");
        for (how, signature) in [
            ("nothing", Vec::new()),
            ("one zero", vec![0]),
            ("zeros", vec![0; length]),
            ("ones", vec![0xff; length]),
            (
                "the number 1",
                changed(&|bytes| {
                    bytes
                        .iter_mut()
                        .enumerate()
                        .for_each(|(at, byte)| *byte = u8::from(at + 1 == length))
                }),
            ),
            ("the first bit changed", changed(&|bytes| bytes[0] ^= 0x80)),
            (
                "a bit in the middle changed",
                changed(&|bytes| bytes[length / 2] ^= 1),
            ),
            (
                "the last bit changed",
                changed(&|bytes| bytes[length - 1] ^= 1),
            ),
            ("the first byte missing", valid_bytes[1..].to_vec()),
            ("the last byte missing", valid_bytes[..length - 1].to_vec()),
            ("a zero in front", changed(&|bytes| bytes.insert(0, 0))),
            ("a zero at the end", changed(&|bytes| bytes.push(0))),
            ("twice", [&valid_bytes[..], &valid_bytes].concat()),
            (
                "its halves exchanged",
                changed(&|bytes| bytes.rotate_left(length / 2)),
            ),
            ("backwards", changed(&|bytes| bytes.reverse())),
            (
                "in base64url once more",
                base64url(&valid_bytes).into_bytes(),
            ),
            ("64 bytes", vec![7; 64]),
            ("96 bytes", vec![7; 96]),
            ("132 bytes, as of P-521", vec![7; 132]),
            ("256 bytes", vec![7; 256]),
            (
                "over another payload",
                over(&header, &claims(&test_bed, ",\"x\":1")),
            ),
            (
                "over another header",
                over(&header.replace('{', "{ "), &claims(&test_bed, "")),
            ),
            ("over nothing", over("", "")),
        ] {
            tokens.push((
                format!("{}: {how}", key.jwk()["kid"]),
                format!("{message}.{}", base64url(signature)),
            ));
        }
        // Signatures of each other key type, with this key's kid.
        for other in keys
            .iter()
            .filter(|other| other.jwk()["kid"] != key.jwk()["kid"])
        {
            let name = format!("{}: signed by {}", key.jwk()["kid"], other.jwk()["kid"]);
            tokens.push((name, other.seal(message)));
            let header =
                json!({ "alg": other.jwk()["kid"], "typ": "at+jwt", "kid": key.jwk()["kid"] });
            let name = format!("{}: {header}", key.jwk()["kid"]);
            tokens.push((name, other.token_with(&header, &test_bed.issuer.claims(""))));
        }
    }
    assert_refused(&test_bed, tokens);
}

#[test]
fn r18_malformed_ecdsa_signature_is_refused() {
    let KeysOfEveryType {
        test_bed,
        keys: [key, ..],
    } = keys_of_every_type();
    let valid = key.token(&test_bed.issuer.claims(""));
    let (message, signature) = valid.rsplit_once('.').expect("three parts");
    let signature = bytes(signature);
    let (r, s) = signature.split_at(32);
    let (order, zero, one) = (hex(ORDER_P256), [0; 32], number(1));
    let above = sum(&order, &one);
    let der = |r: &[u8], s: &[u8]| {
        let numbers = [integer(r), integer(s)].concat();
        [
            &[0x30, u8::try_from(numbers.len()).expect("short")][..],
            &numbers,
        ]
        .concat()
    };
    let p1363 = |r: &[u8], s: &[u8]| [r, s].concat();
    let mut long = der(r, s);
    long.insert(1, 0x81);
    let tokens = [
        ("r = s = 0", p1363(&zero, &zero)),
        ("r = 0", p1363(&zero, s)),
        ("s = 0", p1363(r, &zero)),
        ("r = s = 1", p1363(&one, &one)),
        ("r = n", p1363(&order, s)),
        ("s = n", p1363(r, &order)),
        ("r = s = n", p1363(&order, &order)),
        ("r = n, s = 0", p1363(&order, &zero)),
        ("r = n + 1, s = 1", p1363(&above, &one)),
        ("r = 2^256 - 1", p1363(&[0xff; 32], s)),
        ("s = 2^256 - 1", p1363(r, &[0xff; 32])),
        ("r and s exchanged", p1363(s, r)),
        ("r on 33 bytes", p1363(&[&[0], r].concat(), s)),
        (
            "both on 48 bytes",
            p1363(&[&[0; 16], r].concat(), &[&[0; 16], s].concat()),
        ),
        ("n - r", p1363(&difference(&order, r), s)),
        ("DER", der(r, s)),
        ("DER with a longer length", long),
        ("DER of zeros", der(&[0], &[0])),
        ("DER with a trailing byte", [&der(r, s)[..], &[0]].concat()),
    ];
    assert_refused(
        &test_bed,
        tokens.map(|(name, signature)| {
            (
                name.to_owned(),
                format!("{message}.{}", base64url(signature)),
            )
        }),
    );
    // (r, n - s) is a valid signature as well: RFC 7518 §3.4 does not require the smaller s, and
    // issuers send either. The text of a token therefore does not identify it.
    let other = format!("{message}.{}", base64url(p1363(r, &difference(&order, s))));
    assert_eq!(test_bed.get("/things", Some(&other)).status, 200);
}

// RFC 8032 §5.1.7: S must be below the order, so that each signature has one text.
#[test]
fn r18_non_canonical_ed25519_signature_is_refused() {
    let KeysOfEveryType {
        test_bed,
        keys: [_, _, key, _],
    } = keys_of_every_type();
    let valid = key.token(&test_bed.issuer.claims(""));
    let (message, signature) = valid.rsplit_once('.').expect("three parts");
    let signature = bytes(signature);
    let (r, s) = signature.split_at(32);
    let order = hex(ORDER_ED25519);
    let s: Vec<u8> = s.iter().rev().copied().collect();
    let little = |number: &[u8]| number.iter().rev().copied().collect::<Vec<u8>>();
    let mut tokens = Vec::new();
    let mut larger = s;
    for times in 1..=14 {
        larger = sum(&larger, &order);
        tokens.push((format!("S + {times} L"), [r, &little(&larger)].concat()));
    }
    let identity = little(&number(1));
    tokens.extend(
        [
            ("S = L", [r, &little(&order)].concat()),
            ("S = 0", [r, &[0; 32]].concat()),
            ("R = 0", [&[0; 32], &signature[32..]].concat()),
            (
                "R the neutral point, S = 0",
                [&identity[..], &[0; 32]].concat(),
            ),
            (
                "R with another sign",
                [
                    &{
                        let mut r = r.to_vec();
                        r[31] ^= 0x80;
                        r
                    }[..],
                    &signature[32..],
                ]
                .concat(),
            ),
            (
                "R beyond the field",
                [&[0xff; 32], &signature[32..]].concat(),
            ),
        ]
        .map(|(name, signature)| (name.to_owned(), signature)),
    );
    let tokens = tokens
        .into_iter()
        .map(|(name, signature)| (name, format!("{message}.{}", base64url(signature))));
    assert_refused(&test_bed, tokens);
}

// RFC 8017 §8.2.2, step 1 and §5.2.2: the signature has the length of the modulus and is below it.
#[test]
fn r18_rsa_signature_beyond_the_modulus_is_refused() {
    let KeysOfEveryType {
        test_bed,
        keys: [_, _, _, key],
    } = keys_of_every_type();
    let modulus = member(&key.jwk(), "n");
    let mut tokens = Vec::new();
    // Whether s + n fits into the length of the modulus depends on the signature: try several.
    for number in 0..16 {
        let valid = key.token(
            &serde_json::from_str(&claims(&test_bed, &format!(",\"x\":{number}"))).expect("claims"),
        );
        let (message, signature) = valid.rsplit_once('.').expect("three parts");
        let signature = bytes(signature);
        let mut push = |what: &str, signature: Vec<u8>| {
            tokens.push((
                format!("{what} of token {number}"),
                format!("{message}.{}", base64url(signature)),
            ));
        };
        let wide = sum(
            &[&[0], &signature[..]].concat(),
            &[&[0], &modulus[..]].concat(),
        );
        push("s + n on 257 bytes", wide.clone());
        if wide[0] == 0 {
            push("s + n", wide[1..].to_vec());
        }
        push("n - s", difference(&modulus, &signature));
        push("n", modulus.clone());
    }
    assert_refused(&test_bed, tokens);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn number(value: u8) -> Vec<u8> {
    [&[0; 31][..], &[value]].concat()
}

/// The sum of two big-endian numbers of one length, which the sum must have as well.
fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut sum: Vec<u8> = one
        .iter()
        .zip(other)
        .rev()
        .map(|(one, other)| {
            let [high, low] = (u16::from(*one) + u16::from(*other) + carry).to_be_bytes();
            carry = u16::from(high);
            low
        })
        .collect();
    assert_eq!(carry, 0, "the sum is longer");
    sum.reverse();
    sum
}

/// `one` less the smaller `other`.
fn difference(one: &[u8], other: &[u8]) -> Vec<u8> {
    assert_eq!(one.cmp(other), Ordering::Greater);
    let mut borrow = 0;
    let mut difference: Vec<u8> = one
        .iter()
        .zip(other)
        .rev()
        .map(|(one, other)| {
            let less = i16::from(*one) - i16::from(*other) - borrow;
            borrow = i16::from(less < 0);
            u8::try_from(less.rem_euclid(256)).expect("a byte")
        })
        .collect();
    difference.reverse();
    difference
}

/// A positive INTEGER in DER.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number
        .iter()
        .take_while(|byte| **byte == 0)
        .count()
        .min(number.len() - 1);
    let number = &number[zeros..];
    let sign = if number[0] < 0x80 { &[][..] } else { &[0] };
    [
        &[2, u8::try_from(sign.len() + number.len()).expect("short")],
        sign,
        number,
    ]
    .concat()
}
