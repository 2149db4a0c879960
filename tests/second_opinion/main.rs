//! Another JWT library, with its own parser and cryptography, verifies the same tokens as
//! scopegate.
//!
//! A generator with a fixed seed changes valid tokens in a few places: claims, header, JSON text,
//! base64url and signature. If both libraries agree, neither is likely to be wrong.
//! [`DISAGREEMENTS`] lists every kind of difference with the reason for scopegate's verdict. A
//! difference that is not listed fails the test, and so does an entry that no token shows.

mod disagreements;
mod libraries;
mod random;
mod token;

use std::collections::BTreeMap;

use disagreements::DISAGREEMENTS;
use libraries::Libraries;
use random::Random;
use token::Token;

const NOW: i64 = 1_800_000_000;
const LEEWAY: u64 = 30;
const ISSUER: &str = "https://id.test";
const AUDIENCE: &str = "https://api.test";
const TOKENS: usize = 6000;

#[test]
fn another_library_agrees_except_for_listed_disagreements() {
    let libraries = Libraries::new();
    let mut random = Random(0x5c09_e6a7);
    let (mut both_accept, mut both_refuse) = (0, 0);
    let mut counts = vec![0; DISAGREEMENTS.len()];
    let mut unexpected = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..TOKENS {
        let token = Token::random(&libraries, &mut random);
        match (libraries.ours(&token.text), libraries.theirs(&token.text)) {
            (Ok(()), Ok(())) => both_accept += 1,
            (Err(_), Err(_)) => both_refuse += 1,
            (ours, theirs) => {
                let reason = ours.as_ref().err().copied();
                match DISAGREEMENTS
                    .iter()
                    .position(|known| known.ours == reason && (known.matches)(&token))
                {
                    Some(known) => counts[known] += 1,
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
    for (verdicts, tokens) in &unexpected {
        eprintln!(
            "{verdicts}: {} tokens, such as {:.400}",
            tokens.len(),
            tokens[0]
        );
    }
    assert!(unexpected.is_empty());
    for (known, count) in DISAGREEMENTS.iter().zip(counts) {
        println!("{count}: {:?}, {}", known.ours, known.reason);
        assert!(
            count > 0,
            "no token shows this disagreement: {:?}, {}",
            known.ours,
            known.reason
        );
    }
    // A generator whose tokens are all alike would find no disagreement.
    println!("both accept {both_accept} and refuse {both_refuse}");
    assert!(
        both_accept > TOKENS / 10 && both_refuse > TOKENS / 4,
        "both accept {both_accept} and refuse {both_refuse}"
    );
}
