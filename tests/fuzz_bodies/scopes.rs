//! The first two lines are sets of scope patterns, the third is one scope-token. Matching is
//! compared with a search through both patterns, character by character: slow, but simple enough to
//! trust.

use scopegate::oauth::scope::{
    GrantedWildcards, MAX_GRANTED_SCOPES, ScopePattern, ScopeSet, ScopeTokenError,
};

// The search takes as many steps as the product of both lengths.
const MAX_SEARCH_LENGTH: usize = 160;
const MAX_SEARCHES: usize = 16;

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (granted, required, scope) = (line(), line(), line());
    assert_set_equals_tokens(granted);
    for one in pieces(granted) {
        assert_follows_the_grammar(one);
        assert_fits_equals_search(one, scope);
        for other in pieces(required) {
            assert_overlap_equals_search(one, other);
        }
    }
    assert_set_meets_what_an_element_meets(granted, required);
}

/// Whether a token grants more scopes than the limit.
pub(crate) fn exceed_the_limit<'s>(pieces: impl Iterator<Item = &'s str>) -> bool {
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
        .filter(|piece| piece.len() <= MAX_SEARCH_LENGTH)
        .take(MAX_SEARCHES)
}

fn is_scope_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

fn assert_set_equals_tokens(line: &str) {
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
                    "a list grants the same as a string"
                );
            }
            Err(_) => assert!(exceed_the_limit(line.split(' ')), "{line:?}"),
        }
    }
}

fn assert_follows_the_grammar(text: &str) {
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

fn assert_fits_equals_search(pattern: &str, scope: &str) {
    let (Ok(wild), Ok(literal)) = (ScopePattern::parse(pattern), ScopePattern::literal(pattern))
    else {
        return;
    };
    // `fits` is fast for any length; the search is not.
    let fits = wild.fits(scope);
    assert_eq!(
        literal.fits(scope),
        pattern == scope,
        "a literal fits itself"
    );
    if scope.len() <= MAX_SEARCH_LENGTH {
        assert_eq!(
            fits,
            have_a_common_text(&wildcards(pattern), &letters(scope)),
            "{pattern:?} {scope:?}"
        );
    }
}

fn assert_overlap_equals_search(one: &str, other: &str) {
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
                have_a_common_text(&left_steps, &right_steps),
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

fn assert_set_meets_what_an_element_meets(granted: &str, required: &str) {
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
    // Zero or more characters.
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

/// Whether some text matches both: a search over every pair of positions.
fn have_a_common_text(one: &[Step], other: &[Step]) -> bool {
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
            let after = |index: usize, step: &Step| {
                if *step == Step::Many {
                    index
                } else {
                    index + 1
                }
            };
            open.push((after(left, left_step), after(right, right_step)));
        }
    }
    false
}
