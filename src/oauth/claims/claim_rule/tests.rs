use std::borrow::Cow;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oauth::claims::{ActiveToken, NoParameters, RuleSet, Template};

/// The only parameter is `{p}`.
struct Parameter(&'static str);

impl ParameterValues for Parameter {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "p").then_some(Cow::Borrowed(self.0))
    }
}

fn value(value: &Value) -> RuleValue {
    match value {
        Value::String(text) => RuleValue::Text(template(text)),
        Value::Number(number) => RuleValue::Number(number.clone()),
        Value::Bool(boolean) => RuleValue::Boolean(*boolean),
        Value::Null | Value::Array(_) | Value::Object(_) => panic!("no value of a rule: {value}"),
    }
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn rule(claim: &str, test: ClaimTest) -> ClaimRule {
    ClaimRule::new(ClaimReference::parse(claim).expect("a reference"), test)
}

fn is(expected: &Value) -> ClaimTest {
    ClaimTest::Is(value(expected))
}

fn has(expected: &Value) -> ClaimTest {
    ClaimTest::Has(value(expected))
}

fn matches(pattern: &str) -> ClaimTest {
    ClaimTest::Matches(TextPattern::new(template(pattern)))
}

fn one_of(expected: &Value) -> ClaimTest {
    ClaimTest::OneOf(
        expected
            .as_array()
            .expect("a list")
            .iter()
            .map(value)
            .collect(),
    )
}

fn holds(test: ClaimTest, found: &Value) -> bool {
    let claims = json!({ "c": found });
    rule("c", test).holds_for(claims.as_object().expect("an object"), &Parameter("a*"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn equality_is_that_of_json_and_never_across_types() {
    let big = json!(9_007_199_254_740_992.0);
    for (expected, met, unmet) in [
        (
            json!("5"),
            vec![json!("5")],
            vec![json!(5), json!("5 "), json!(["5"]), json!("")],
        ),
        (
            json!(""),
            vec![json!("")],
            vec![json!(" "), json!(null), json!([]), json!(false)],
        ),
        (
            json!(5),
            vec![json!(5), json!(5.0)],
            vec![
                json!("5"),
                json!(5.1),
                json!(-5),
                json!([5]),
                json!({ "5": 5 }),
            ],
        ),
        (json!(5.0), vec![json!(5), json!(5.0)], vec![json!(4.999)]),
        (
            json!(0),
            vec![json!(0), json!(0.0), json!(-0.0)],
            vec![json!(false), json!(null), json!(""), json!(1e-300)],
        ),
        (
            json!(1.5),
            vec![json!(1.5)],
            vec![json!(1), json!(2), json!("1.5")],
        ),
        (
            json!(i64::MAX),
            vec![json!(i64::MAX)],
            vec![json!(9_223_372_036_854_775_807.0), json!(u64::MAX)],
        ),
        (
            json!(9_007_199_254_740_992_i64),
            vec![json!(9_007_199_254_740_992_i64)],
            vec![big.clone(), json!(9_007_199_254_740_993_i64)],
        ),
        (
            big.clone(),
            vec![],
            vec![big, json!(9_007_199_254_740_992_i64)],
        ),
        (
            json!(true),
            vec![json!(true)],
            vec![json!("true"), json!(1), json!(false), json!([true])],
        ),
        (
            json!("{p}"),
            vec![json!("a*")],
            vec![json!("ab"), json!("a"), json!("{p}")],
        ),
        (
            json!("x{p}y"),
            vec![json!("xa*y")],
            vec![json!("xaby"), json!("xa*"), json!("a*y")],
        ),
        (json!("*"), vec![json!("*")], vec![json!("a"), json!("")]),
        (
            json!("{q}"),
            vec![],
            vec![json!(""), json!("{q}"), json!("a*")],
        ),
    ] {
        for (found, expected_outcome) in met
            .iter()
            .map(|found| (found, true))
            .chain(unmet.iter().map(|found| (found, false)))
        {
            assert_eq!(
                holds(is(&expected), found),
                expected_outcome,
                "{expected} is {found}"
            );
            assert_eq!(
                holds(has(&expected), &json!([7.25, found])),
                expected_outcome,
                "{found} has {expected}"
            );
            let listed = json!(["other", expected, false]);
            let outcome = expected_outcome || *found == json!(false);
            assert_eq!(
                holds(one_of(&listed), found),
                outcome,
                "{found} one of {listed}"
            );
        }
    }
}

#[test]
fn rule_needs_a_claim_of_its_type() {
    for (test, found, expected) in [
        (has(&json!("a")), json!(["a"]), true),
        (
            has(&json!("a")),
            json!(["b", 1, null, ["a"], { "a": 1 }]),
            false,
        ),
        (has(&json!("a")), json!("a"), false),
        (has(&json!("a")), json!("b a"), false),
        (has(&json!("a")), json!({ "a": true }), false),
        (has(&json!("a")), json!([]), false),
        (is(&json!("a")), json!(["a"]), false),
        (one_of(&json!(["a", "b"])), json!(["a"]), false),
        (one_of(&json!(["a", "b"])), json!("a b"), false),
        (matches("a*"), json!("ab"), true),
        (matches("a*"), json!("a"), false),
        (matches("a*"), json!(["ab"]), false),
        (matches("1*"), json!(12), false),
        (matches("*"), json!(""), false),
        (matches("*"), json!("é"), true),
        (matches("é*é"), json!("éßé"), true),
        (matches("{p}"), json!("a*"), true),
        (matches("{p}"), json!("ab"), false),
        (matches("{p}*"), json!("a*b"), true),
        (matches("{p}*"), json!("abc"), false),
        (matches("*{p}*"), json!("xa*y"), true),
        (matches("*{q}*"), json!("xy"), false),
        (ClaimTest::Exists, json!(false), true),
        (ClaimTest::Exists, json!(""), true),
        (ClaimTest::Exists, json!([]), true),
        (ClaimTest::Exists, json!(null), false),
    ] {
        assert_eq!(holds(test.clone(), &found), expected, "{test:?} {found}");
    }
    let nothing = Map::new();
    for test in [
        is(&json!("")),
        has(&json!("")),
        matches("*"),
        one_of(&json!([false])),
        ClaimTest::Exists,
    ] {
        assert!(
            !rule("c", test.clone()).holds_for(&nothing, &NoParameters),
            "{test:?}"
        );
    }
}

#[test]
fn pattern_of_many_wildcards_ends_at_a_long_text() {
    // With backtracking it would not.
    let text = "a".repeat(100_000);
    let pattern = format!("{}b", "*a".repeat(1000));
    assert!(!holds(matches(&pattern), &json!(text)));
    assert!(holds(
        matches(&format!("{}*", "*a".repeat(1000))),
        &json!(text)
    ));
}

#[test]
fn unpaired_brace_is_refused() {
    for text in ["{", "}", "a{b", "a}b", "{a}}", "{{a}", "{a}{", "}{"] {
        let expected = format!("expected {{name}}, but found a single brace in {text:?}");
        let error = Template::parse(text).expect_err("a brace");
        assert_eq!(error.to_string(), expected);
    }
    let template = template("a{b}c{d}{e}");
    assert_eq!(template.parameters().collect::<Vec<_>>(), ["b", "d", "e"]);
    assert_eq!(template.to_string(), "a{b}c{d}{e}");
}

#[test]
fn unmet_rule_names_the_claim_and_not_its_value() {
    let claims = json!({ "azp": "secret-client" });
    let claims = claims.as_object().expect("an object");
    let unmet = |rule: ClaimRule| rule.unmet(claims, 2).to_string();
    assert_eq!(
        unmet(rule("azp", one_of(&json!(["web"])))),
        "expected claim \"azp\" to meet claims[2] (one_of), but found a string"
    );
    assert_eq!(
        unmet(rule("/a/b", ClaimTest::Exists)),
        "expected claim \"/a/b\" to meet claims[2] (exists), but found none"
    );
}

#[test]
fn rule_set_has_distinct_rules_without_parameters() {
    let (azp, tid) = (
        rule("azp", is(&json!("web"))),
        rule("tid", is(&json!("{p}"))),
    );
    let role = rule("/a/roles", has(&json!("x")));
    let set = RuleSet::of([&azp, &tid, &role, &azp.clone()]);
    assert_eq!(
        [&azp, &tid, &role].map(|rule| set.bit(rule)),
        [Some(1), None, Some(2)]
    );
    let many: Vec<_> = (0..70)
        .map(|number| rule("n", is(&json!(number))))
        .collect();
    let set = RuleSet::of(&many);
    let bits: Vec<_> = many.iter().filter_map(|rule| set.bit(rule)).collect();
    assert_eq!((bits.len(), bits[63]), (64, 1 << 63));
}

#[test]
fn token_remembers_outcomes_of_one_set_only() {
    let token = || {
        let claims = json!({ "azp": "web", "n": 69 });
        ActiveToken {
            issuer_name: "corp".into(),
            tenant: None,
            claims: claims.as_object().expect("an object").clone(),
            size: 0,
            scopes: crate::oauth::scope::ScopeSet::empty(),
            audience: Default::default(),
            leeway: Default::default(),
            expires_at: None,
            outcomes: None,
        }
    };
    let rules = [
        rule("azp", is(&json!("cli"))),
        rule("azp", is(&json!("web"))),
    ];
    let (set, equal) = (Arc::new(RuleSet::of(&rules)), Arc::new(RuleSet::of(&rules)));
    let remembering = token().with_outcomes_of(&set);
    assert_eq!(remembering.outcomes_of(&set), Some(0b10));
    // Only the set itself counts: an equal one of another configuration is another set.
    assert_eq!(remembering.outcomes_of(&equal), None);
    assert_eq!(token().outcomes_of(&set), None);
    let empty = Arc::new(RuleSet::default());
    assert_eq!(token().with_outcomes_of(&empty).outcomes_of(&empty), None);
}

/// A slow evaluator that is simple enough to trust.
fn naive(rule: &NaiveRule, claims: &Value, parameter: &str) -> bool {
    let Some(found) = claims.pointer(&format!("/{}", rule.path.join("/"))) else {
        return false;
    };
    let fill = |expected: &Value| {
        let text = expected.as_str().map(|text| text.replace("{p}", parameter));
        text.map_or_else(|| expected.clone(), Value::from)
    };
    let equal = |one: &Value, other: &Value| match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    };
    let list = &rule.values;
    match rule.operator {
        0 => equal(&fill(&list[0]), found),
        1 => list.iter().any(|one| equal(&fill(one), found)),
        2 => found
            .as_array()
            .is_some_and(|found| found.iter().any(|one| equal(&fill(&list[0]), one))),
        3 => found.as_str().is_some_and(|found| {
            // The stars of the parameter become a character that is in no text.
            let pattern = rule
                .pattern
                .replace("{p}", &parameter.replace('*', "\u{1}"));
            let found: Vec<char> = found.replace('*', "\u{1}").chars().collect();
            fits(&pattern.chars().collect::<Vec<_>>(), &found)
        }),
        _ => !found.is_null(),
    }
}

fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (1..=text.len()).any(|taken| fits(rest, &text[taken..])),
        [one, rest @ ..] => text.first() == Some(one) && fits(rest, &text[1..]),
    }
}

#[derive(Clone, Debug)]
struct NaiveRule {
    path: Vec<&'static str>,
    operator: usize,
    values: Vec<Value>,
    pattern: String,
}

impl NaiveRule {
    fn compiled(&self) -> ClaimRule {
        let claim = match *self.path {
            // Both spellings of one claim.
            [name] if self.operator.is_multiple_of(2) => name.to_owned(),
            _ => format!("/{}", self.path.join("/")),
        };
        let first = &self.values[0];
        rule(
            &claim,
            match self.operator {
                0 => is(first),
                1 => one_of(&json!(self.values)),
                2 => has(first),
                3 => matches(&self.pattern),
                _ => ClaimTest::Exists,
            },
        )
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        (-4..5_i32).prop_map(|half| Value::from(f64::from(half) / 2.0)),
        "[ab*]{0,3}".prop_map(Value::from),
    ]
}

fn any_claims() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![3 => scalar(), 1 => Just(Value::Null)];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[xy01]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    });
    prop::collection::btree_map("[xy]", value, 0..3)
        .prop_map(|members| members.into_iter().collect())
}

fn any_rule() -> impl Strategy<Value = NaiveRule> {
    let text =
        prop_oneof![2 => scalar(), 1 => "[ab]{0,1}(\\{p\\}){0,1}[ab]{0,1}".prop_map(Value::from)];
    let steps = prop::collection::vec(prop::sample::select(vec!["x", "y", "0", "1"]), 0..3);
    (
        prop::sample::select(vec!["x", "y"]),
        steps,
        0..5_usize,
        prop::collection::vec(text, 1..4),
        "([ab*]|\\{p\\}){0,4}",
    )
        .prop_map(|(name, steps, operator, values, pattern)| NaiveRule {
            path: [vec![name], steps].concat(),
            operator,
            values,
            pattern,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rule_holds_exactly_if_a_naive_evaluator_says_so(
        naive_rule in any_rule(),
        claims in any_claims(),
        parameter in prop::sample::select(vec!["", "a", "b", "*", "a*", "**", "ab"]),
    ) {
        let compiled = naive_rule.compiled();
        let found = compiled.holds_for(claims.as_object().expect("an object"), &Parameter(parameter));
        prop_assert_eq!(found, naive(&naive_rule, &claims, parameter), "{:?} on {} with {:?}", compiled, claims, parameter);
        // So does the rule with the value in place of its parameter, and it has no parameters left.
        let filled = compiled.filled(&Parameter(parameter)).expect("a value");
        prop_assert_eq!(found, filled.holds_for(claims.as_object().expect("an object"), &NoParameters));
        prop_assert_eq!(filled.parameters().len(), 0);
        // A rule without parameters has the same outcome without them.
        if compiled.parameters().is_empty() {
            prop_assert_eq!(found, compiled.holds_for(claims.as_object().expect("an object"), &NoParameters));
        }
    }
}
