//! Weak choices of `claims`: rules that no token meets together, and patterns that are matched
//! literally.

use serde_json::Value;

use crate::config::{ClaimRule, ClaimTest, Config, Fault, Spanned};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let of_issuers = config.issuers.iter().map(|issuer| &issuer.claims);
    let of_routes = config.routes.iter().map(|route| &route.claims);
    let mut found = Vec::new();
    for rules in of_issuers.chain(of_routes) {
        found.extend(
            (0..rules.len()).filter_map(|index| contradiction(&rules[index], &rules[..index])),
        );
        found.extend(rules.iter().filter_map(literal_wildcard));
    }
    found
}

/// A rule that no value meets together with an earlier one of its list.
fn contradiction(rule: &ClaimRule, earlier: &[ClaimRule]) -> Option<Fault> {
    let name = claim_name(&rule.claim.value);
    let other = earlier.iter().find(|other| {
        claim_name(&other.claim.value) == name && exclude_each_other(&other.test, &rule.test)
    })?;
    let place = other.claim.key().trim_end_matches(".claim");
    let message = format!("no token meets both this rule and {place}");
    let help = "all rules of a list must hold; one_of accepts any of its values";
    Some(rule.claim.fault(message).with_help(help))
}

// The JSON Pointer `/a` is the claim `a`.
fn claim_name(claim: &str) -> &str {
    let name = claim.strip_prefix('/');
    name.filter(|name| !name.contains(['/', '~']))
        .unwrap_or(claim)
}

// Only certain cases: which texts two patterns have in common is not examined.
fn exclude_each_other(one: &ClaimTest, other: &ClaimTest) -> bool {
    match (values(one), values(other)) {
        (Some(values), Some(others)) => !values.iter().any(|one| {
            others
                .iter()
                .any(|other| may_be_equal(&one.value, &other.value))
        }),
        (Some(values), None) => exclude_values(other, values),
        (None, Some(values)) => exclude_values(one, values),
        // A list is no string.
        (None, None) => matches!(
            (one, other),
            (ClaimTest::Has(_), ClaimTest::Matches(_)) | (ClaimTest::Matches(_), ClaimTest::Has(_))
        ),
    }
}

fn exclude_values(test: &ClaimTest, values: &[Spanned<Value>]) -> bool {
    match test {
        // The values are no lists.
        ClaimTest::Has(_) => true,
        ClaimTest::Matches(_) => !values.iter().any(|value| value.value.is_string()),
        ClaimTest::Is(_) | ClaimTest::OneOf(_) | ClaimTest::Exists => false,
    }
}

/// The values of which the claim must have one.
fn values(test: &ClaimTest) -> Option<&[Spanned<Value>]> {
    match test {
        ClaimTest::Is(value) => Some(std::slice::from_ref(value)),
        ClaimTest::OneOf(values) => Some(values),
        ClaimTest::Has(_) | ClaimTest::Matches(_) | ClaimTest::Exists => None,
    }
}

// The value of a path parameter may be any text.
fn may_be_equal(one: &Value, other: &Value) -> bool {
    if let (Some(one), Some(other)) = (one.as_str(), other.as_str()) {
        return one == other || one.contains('{') || other.contains('{');
    }
    if let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) {
        return one == other;
    }
    one == other
}

fn literal_wildcard(rule: &ClaimRule) -> Option<Fault> {
    if let ClaimTest::Matches(pattern) = &rule.test {
        return regular_expression(pattern);
    }
    let has_star = |value: &&Spanned<Value>| {
        let text = value.value.as_str();
        text.is_some_and(|text| text.contains('*'))
    };
    let value = values(&rule.test)?.iter().find(has_star)?;
    let help = match value.value.as_str() {
        Some("*") => "exists = true accepts any value",
        _ => "matches takes patterns with *",
    };
    let message = format!("{} is matched literally", value.value);
    Some(value.fault(message).with_help(help))
}

fn regular_expression(pattern: &Spanned<String>) -> Option<Fault> {
    let text = &pattern.value;
    let is_expression = text.starts_with('^') || text.ends_with('$') || text.contains(".*");
    is_expression.then(|| {
        let message =
            format!("{text:?} is no regular expression: only * stands for other characters");
        let meant = text.trim_start_matches('^').trim_end_matches('$');
        let help = format!("did you mean {:?}?", meant.replace(".*", "*"));
        pattern.fault(message).with_help(help)
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(rules: &str) -> Vec<String> {
        let toml = format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/a/{{id}}\"\nupstream = \"up\"\nclaims = [{rules}]\n"
        );
        report_of(&toml, super::weak_choices)
    }

    #[test]
    fn rules_that_no_token_meets_together_are_warned_of() {
        for (one, other, is_contradiction) in [
            ("is = \"x\"", "is = \"y\"", true),
            ("is = \"x\"", "is = \"x\"", false),
            ("is = 5", "is = 5.0", false),
            ("is = 5", "is = \"5\"", true),
            ("is = true", "is = false", true),
            ("is = \"x\"", "is = \"{id}\"", false),
            ("is = \"x\"", "one_of = [\"x\", \"y\"]", false),
            ("is = \"z\"", "one_of = [\"x\", \"y\"]", true),
            ("one_of = [1, 2]", "one_of = [2, 3]", false),
            ("one_of = [1, 2]", "one_of = [3]", true),
            ("is = \"x\"", "has = \"x\"", true),
            ("has = \"x\"", "has = \"y\"", false),
            ("has = \"x\"", "matches = \"x*\"", true),
            ("is = 5", "matches = \"5*\"", true),
            ("is = \"x\"", "matches = \"x*\"", false),
            ("is = \"x\"", "exists = true", false),
            ("matches = \"x*\"", "matches = \"*y\"", false),
        ] {
            for (first, second) in [(one, other), (other, one)] {
                for (claim, same) in [("a", "a"), ("a", "/a"), ("/a/b", "/a/b")] {
                    let found = warnings(&format!(
                        "{{ claim = \"{claim}\", {first} }}, {{ claim = \"{same}\", {second} }}"
                    ));
                    let count = usize::from(is_contradiction);
                    assert_eq!(found.len(), count, "{first} {second}: {found:?}");
                }
                let others = warnings(&format!(
                    "{{ claim = \"a\", {first} }}, {{ claim = \"/a/b\", {second} }}"
                ));
                assert_eq!(others, [""; 0]);
            }
        }
        let found = warnings(
            "{ claim = \"a\", is = 1 }, { claim = \"b\", is = 1 }, { claim = \"a\", is = 2 }",
        );
        assert_eq!(
            found,
            [
                "gateway.toml:6: routes[0].claims[2].claim: no token meets both this rule and routes[0].claims[0] (all rules of a list must hold; one_of accepts any of its values)"
            ]
        );
    }

    #[test]
    fn rules_of_an_issuer_are_compared_too() {
        let toml = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n\
                    claims = [{ claim = \"a\", is = 1 }, { claim = \"a\", is = 2 }]\n";
        let found = report_of(toml, super::weak_choices);
        assert!(
            found[0].starts_with("gateway.toml:4: issuers.corp.claims[1].claim: no token meets"),
            "{found:?}"
        );
    }

    #[test]
    fn pattern_that_is_matched_literally_is_warned_of() {
        for (rule, message) in [
            ("is = \"a\"", None),
            ("matches = \"a*\"", None),
            // A list of permissions may have it.
            ("has = \"*\"", None),
            (
                "is = \"*\"",
                Some(".is: \"*\" is matched literally (exists = true accepts any value)"),
            ),
            (
                "one_of = [\"a\", \"b*\"]",
                Some(".one_of[1]: \"b*\" is matched literally (matches takes patterns with *)"),
            ),
            (
                "matches = \"^web-.*$\"",
                Some(
                    ".matches: \"^web-.*$\" is no regular expression: only * stands for other characters (did you mean \"web-*\"?)",
                ),
            ),
        ] {
            let expected =
                message.map(|message| format!("gateway.toml:6: routes[0].claims[0]{message}"));
            let found = warnings(&format!("{{ claim = \"a\", {rule} }}"));
            assert_eq!(found, Vec::from_iter(expected), "{rule}");
        }
    }
}
