//! A second opinion on JWTs: another library, with a parser and an arithmetic of its own, judges the same tokens.
//!
//! Thousands of tokens are made from good ones by a generator whose seed is fixed: claims, header, text, base64url and
//! signature are changed, a few at a time. Where both libraries say the same, neither is likely to be wrong. Each way
//! in which they do not is in [`DISAGREEMENTS`] with the reason why scopegate stands by its verdict; a disagreement
//! that is not there fails the test, and so does an entry that no token needs any more.

mod dice;
mod disagreements;
mod libraries;
mod token;

use std::collections::BTreeMap;

use dice::Dice;
use disagreements::DISAGREEMENTS;
use libraries::Judges;
use token::Token;

const NOW: i64 = 1_800_000_000;
const LEEWAY: u64 = 30;
const ISSUER: &str = "https://id.test";
const AUDIENCE: &str = "https://api.test";
const TOKENS: usize = 6000;

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
