//! Matching of scope patterns. The oracle is a matcher that tries every split.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> ScopePattern {
    ScopePattern::parse(text).expect("a scope pattern")
}

fn granted(text: &str) -> ScopeSet {
    ScopeSet::parse(text, GrantedWildcards::Honoured).expect("few scopes")
}

fn fits_by_brute_force(pattern: &[u8], scope: &[u8]) -> bool {
    match pattern.split_first() {
        None => scope.is_empty(),
        Some((b'*', rest)) => {
            (1..=scope.len()).any(|taken| fits_by_brute_force(rest, &scope[taken..]))
        }
        Some((first, rest)) => {
            scope.first() == Some(first) && fits_by_brute_force(rest, &scope[1..])
        }
    }
}

/// Every text of 1 to `max_length` characters of `alphabet`.
fn texts(alphabet: &str, max_length: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut begin = 0;
    for _ in 0..max_length {
        let end = all.len();
        for index in begin..end {
            all.extend(
                alphabet
                    .chars()
                    .map(|character| format!("{}{character}", all[index]))
                    .collect::<Vec<_>>(),
            );
        }
        begin = end;
    }
    all.split_off(1)
}

#[test]
fn wildcard_stands_for_one_or_more_characters() {
    for (text, scope, expected) in [
        ("messages.write", "messages.write", true),
        ("messages.write", "Messages.write", false),
        ("messages.write", "messages.writer", false),
        ("*", "a", true),
        ("*", "push.application.com.acme", true),
        ("push.application.*", "push.application.com.acme", true),
        ("push.application.*", "push.application.", false),
        ("push.application.*", "push.application", false),
        ("*.read", "messages.read", true),
        ("*.read", ".read", false),
        ("a*c", "ac", false),
        ("a*c", "abc", true),
        ("a*c", "acc", true),
        ("a*a", "aa", false),
        ("a**", "ab", false),
        ("a**", "abc", true),
        ("*a*", "bab", true),
        ("*a*", "ab", false),
        ("*a*", "aaa", true),
        ("a*b*c", "axbxc", true),
        ("a*b*c", "abxbxc", true),
        ("a*", "a*", true),
    ] {
        assert_eq!(pattern(text).fits(scope), expected, "{text} {scope}");
    }
}

#[test]
fn two_patterns_overlap_when_some_scope_fits_both() {
    for (one, other, expected) in [
        ("push.*", "*.read", true),
        ("push.*", "pull.*", false),
        ("*.read", "*.write", false),
        ("a*", "ab*", true),
        ("*", "*", true),
        ("a*b", "b*a", false),
        ("a*b", "a*c*b", true),
        ("a", "a*", false),
        ("ab", "a*", true),
    ] {
        assert_eq!(
            pattern(one).overlaps(&pattern(other)),
            expected,
            "{one} {other}"
        );
        assert_eq!(
            pattern(other).overlaps(&pattern(one)),
            expected,
            "{other} {one}"
        );
    }
}

#[test]
fn fits_and_overlaps_agree_with_brute_force() {
    // Two patterns of at most n characters that overlap do so in some scope of at most 2n.
    let scopes = texts("ab", 8);
    let patterns: Vec<(ScopePattern, Vec<bool>)> = texts("ab*", 4)
        .iter()
        .map(|text| {
            let tried = scopes
                .iter()
                .map(|scope| fits_by_brute_force(text.as_bytes(), scope.as_bytes()));
            (pattern(text), tried.collect())
        })
        .collect();
    for (one, fitting_one) in &patterns {
        for (scope, expected) in scopes.iter().zip(fitting_one) {
            assert_eq!(one.fits(scope), *expected, "{one:?} {scope}");
        }
        for (other, fitting_other) in &patterns {
            let expected = fitting_one
                .iter()
                .zip(fitting_other)
                .any(|(one, other)| *one && *other);
            assert_eq!(one.overlaps(other), expected, "{one:?} {other:?}");
        }
    }
}

proptest! {
    #[test]
    fn long_patterns_agree_with_brute_force(text in "[ab*.]{1,12}", scope in "[ab.]{1,16}") {
        prop_assert_eq!(pattern(&text).fits(&scope), fits_by_brute_force(text.as_bytes(), scope.as_bytes()));
    }

    #[test]
    fn patterns_with_a_common_scope_overlap(one in "[ab*]{1,8}", other in "[ab*]{1,8}", scope in "[ab]{1,12}") {
        let (one, other) = (pattern(&one), pattern(&other));
        prop_assert!(!(one.fits(&scope) && other.fits(&scope)) || one.overlaps(&other));
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
    }
}

// Quadratic work would be 10^12 steps: this test would not finish.
#[test]
fn hostile_patterns_are_matched_in_linear_time() {
    const LONG: usize = 1 << 20;
    let scope = "a".repeat(LONG);
    for (hostile, expected) in [
        (format!("{}b", "*a".repeat(LONG / 4)), false),
        (format!("*{}b*", "a".repeat(LONG / 2)), false),
        (format!("{}b*", "*a".repeat(LONG / 4)), false),
        (format!("{}*", "*aa".repeat(LONG / 4)), true),
        ("*".repeat(LONG), true),
        ("*".repeat(LONG + 1), false),
    ] {
        let hostile = pattern(&hostile);
        assert_eq!(hostile.fits(&scope), expected);
        assert!(hostile.overlaps(&hostile));
    }
}

#[test]
fn star_in_a_literal_pattern_is_no_wildcard() {
    let star = ScopePattern::literal("a*").expect("a scope-token");
    assert!(star.fits("a*") && !star.fits("ab"));
    assert!(!star.overlaps(&pattern("ab")));
    assert!(star.overlaps(&pattern("a*")) && pattern("a*").overlaps(&star));
    let set = ScopeSet::parse("a* *", GrantedWildcards::Literal).expect("few scopes");
    assert!(!set.meets(&pattern("ab")) && set.meets(&pattern("a*")));
    assert!(!set.meets_literal("ab") && set.meets_literal("a*"));
}

#[test]
fn granted_wildcards_meet_requirements() {
    assert!(granted("*").meets(&pattern("push.application.com.acme")));
    assert!(granted("push.application.*").meets(&pattern("push.application.com.acme")));
    assert!(granted("push.application.com.acme").meets(&pattern("push.application.*")));
    assert!(!granted("push.application.*").meets(&pattern("push.application.")));
    assert!(!ScopeSet::empty().meets(&pattern("a*")));
    assert!(
        granted("x push.*").meets_literal("push.a") && !granted("x push.*").meets_literal("push.")
    );
}

#[test]
fn malformed_scope_token_grants_nothing() {
    let set = granted("  a \u{e9}* b\"* c\\ \td e ");
    assert_eq!(set.to_string(), "a e");
    assert_eq!(set.iter().len(), 2);
    let listed =
        ScopeSet::from_elements(["a b", "", "c"], GrantedWildcards::Honoured).expect("few scopes");
    assert_eq!(listed.to_string(), "c");
    assert!(granted("").is_empty());
}

#[test]
fn more_than_1024_scopes_are_refused() {
    let full = "a ".repeat(MAX_GRANTED_SCOPES);
    assert_eq!(granted(&full).iter().len(), MAX_GRANTED_SCOPES);
    assert_eq!(
        ScopeSet::parse(&format!("{full}a"), GrantedWildcards::Honoured),
        Err(TooManyScopes)
    );
}

#[test]
fn scope_token_grammar_is_that_of_the_rfc() {
    for code in 0..=0x17F_u32 {
        let character = char::from_u32(code).expect("below the surrogates");
        let expected = matches!(code, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        assert_eq!(
            check_scope_token(&format!("a{character}")).is_ok(),
            expected,
            "{character:?}"
        );
    }
    assert_eq!(check_scope_token(""), Err(ScopeTokenError::Empty));
    assert_eq!(
        check_scope_token("a b"),
        Err(ScopeTokenError::Forbidden {
            character: ' ',
            offset: 1
        })
    );
}
