//! The first two lines are scopes, each a set of patterns, and the third is one scope-token. What fits what is found
//! once more by walking through both patterns at once, one character at a time; that takes time, and cannot be wrong.

use scopegate::oauth::scope::{
    GrantedWildcards, MAX_GRANTED_SCOPES, ScopePattern, ScopeSet, ScopeTokenError,
};

// The walk takes as many steps as the product of both lengths.
const LONGEST_WALK: usize = 160;
const MAX_WALKS: usize = 16;

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (granted, required, scope) = (line(), line(), line());
    is_a_set_of_its_tokens(granted);
    for one in pieces(granted) {
        is_read_by_the_grammar(one);
        fits_what_the_walk_finds(one, scope);
        for other in pieces(required) {
            overlaps_what_the_walk_finds(one, other);
        }
    }
    a_set_meets_what_one_of_it_meets(granted, required);
}

/// Whether another scope stands behind the last one that a token may grant.
pub(crate) fn are_too_many<'s>(pieces: impl Iterator<Item = &'s str>) -> bool {
    let mut granted = 0;
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        if granted == MAX_GRANTED_SCOPES {
            return true;
        }
        granted += usize::from(is_scope_token(piece));
    }
    false
}

fn pieces(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ')
        .filter(|piece| piece.len() <= LONGEST_WALK)
        .take(MAX_WALKS)
}

fn is_scope_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

fn is_a_set_of_its_tokens(line: &str) {
    for wildcards in [GrantedWildcards::Honoured, GrantedWildcards::Literal] {
        match ScopeSet::parse(line, wildcards) {
            Ok(set) => {
                let tokens: Vec<&str> = line
                    .split(' ')
                    .filter(|piece| is_scope_token(piece))
                    .collect();
                assert_eq!(set.iter().collect::<Vec<_>>(), tokens);
                assert_eq!(set.to_string(), tokens.join(" "));
                assert_eq!(
                    ScopeSet::from_elements(tokens, wildcards),
                    Ok(set),
                    "a list grants what a text does"
                );
            }
            Err(_) => assert!(are_too_many(line.split(' ')), "{line:?}"),
        }
    }
}

fn is_read_by_the_grammar(text: &str) {
    assert_eq!(
        ScopePattern::parse(text).is_ok(),
        is_scope_token(text),
        "{text:?}"
    );
    assert_eq!(
        ScopePattern::literal(text).is_ok(),
        is_scope_token(text),
        "{text:?}"
    );
}

fn fits_what_the_walk_finds(pattern: &str, scope: &str) {
    let (Ok(wild), Ok(literal)) = (ScopePattern::parse(pattern), ScopePattern::literal(pattern))
    else {
        return;
    };
    // However long the other text is, an answer comes; the walk would take its time.
    let fits = wild.fits(scope);
    assert_eq!(
        literal.fits(scope),
        pattern == scope,
        "a literal fits itself"
    );
    if scope.len() <= LONGEST_WALK {
        assert_eq!(
            fits,
            do_meet(&wildcards(pattern), &letters(scope)),
            "{pattern:?} {scope:?}"
        );
    }
}

fn overlaps_what_the_walk_finds(one: &str, other: &str) {
    let parsed = [one, other].map(|text| {
        Some((
            ScopePattern::parse(text).ok()?,
            ScopePattern::literal(text).ok()?,
        ))
    });
    let [
        Some((one_wild, one_literal)),
        Some((other_wild, other_literal)),
    ] = parsed
    else {
        return;
    };
    for (left, left_steps) in [(&one_wild, wildcards(one)), (&one_literal, letters(one))] {
        for (right, right_steps) in [
            (&other_wild, wildcards(other)),
            (&other_literal, letters(other)),
        ] {
            assert_eq!(
                left.overlaps(right),
                do_meet(&left_steps, &right_steps),
                "{left:?} {right:?}"
            );
            assert_eq!(
                left.overlaps(right),
                right.overlaps(left),
                "{left:?} {right:?}"
            );
        }
    }
}

type Read = Result<ScopePattern, ScopeTokenError>;

fn a_set_meets_what_one_of_it_meets(granted: &str, required: &str) {
    for (wildcards, read) in [
        (
            GrantedWildcards::Honoured,
            ScopePattern::parse as fn(&str) -> Read,
        ),
        (
            GrantedWildcards::Literal,
            ScopePattern::literal as fn(&str) -> Read,
        ),
    ] {
        let Ok(set) = ScopeSet::parse(granted, wildcards) else {
            return;
        };
        for required in pieces(required) {
            let each = || granted.split(' ').filter_map(|piece| read(piece).ok());
            assert_eq!(
                set.meets_literal(required),
                each().any(|one| one.fits(required)),
                "{granted:?} {required:?}"
            );
            let Ok(pattern) = ScopePattern::parse(required) else {
                continue;
            };
            assert_eq!(
                set.meets(&pattern),
                each().any(|one| one.overlaps(&pattern)),
                "{granted:?} {required:?}"
            );
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    One(char),
    Any,
    // Any number of characters, none included.
    Many,
}

fn letters(text: &str) -> Vec<Step> {
    text.chars().map(Step::One).collect()
}

fn wildcards(text: &str) -> Vec<Step> {
    let steps = |character| match character {
        '*' => vec![Step::Any, Step::Many],
        other => vec![Step::One(other)],
    };
    text.chars().flat_map(steps).collect()
}

/// Whether some text leads through both: a search over every pair of places.
fn do_meet(one: &[Step], other: &[Step]) -> bool {
    let width = other.len() + 1;
    let mut seen = vec![false; (one.len() + 1) * width];
    let mut open = vec![(0, 0)];
    while let Some((left, right)) = open.pop() {
        if std::mem::replace(&mut seen[left * width + right], true) {
            continue;
        }
        let (left_step, right_step) = (one.get(left), other.get(right));
        if left_step.is_none() && right_step.is_none() {
            return true;
        }
        if left_step == Some(&Step::Many) {
            open.push((left + 1, right));
        }
        if right_step == Some(&Step::Many) {
            open.push((left, right + 1));
        }
        let (Some(left_step), Some(right_step)) = (left_step, right_step) else {
            continue;
        };
        let is_common =
            !matches!((left_step, right_step), (Step::One(one), Step::One(other)) if one != other);
        if is_common {
            let after = |place: usize, step: &Step| {
                if *step == Step::Many {
                    place
                } else {
                    place + 1
                }
            };
            open.push((after(left, left_step), after(right, right_step)));
        }
    }
    false
}
