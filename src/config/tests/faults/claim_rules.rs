//! Faults of rules over claims.

use crate::config::tests::{GOOD_ISSUER, PUSH, good, read};

const ONE: &str = "expected exactly one of is, one_of, has, matches and exists, but found";
const HELP: &str = "(write a rule for each of them: all rules must hold)";
const SCALAR: &str = "expected a string, a number or a boolean, but found";
const LISTS: &str = "(one_of takes a list of values, and has tests an element)";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn rule_has_a_claim_and_exactly_one_operator() {
    for (rule, key, report) in [
        (
            "{ claim = \"a\" }",
            ".is",
            format!("{ONE} none (exists = true accepts any value)"),
        ),
        (
            "{ is = \"a\" }",
            ".claim",
            "expected the claim that the rule is about, but found nothing".to_owned(),
        ),
        (
            "{ claim = \"\", is = \"a\" }",
            ".claim",
            "expected a string that is not empty, but found \"\"".to_owned(),
        ),
        (
            "{ claim = \"a\", is = \"b\", has = \"c\" }",
            ".has",
            format!("{ONE} \"is\" and \"has\" {HELP}"),
        ),
        (
            "{ claim = \"a\", is = \"b\", one_of = [\"c\"], exists = true }",
            ".one_of",
            format!("{ONE} \"is\" and \"one_of\" {HELP}"),
        ),
        (
            "{ claim = \"a\", iss = \"b\" }",
            ".iss",
            "expected a known key, but found \"iss\" (did you mean \"is\"?)".to_owned(),
        ),
        (
            "{ claim = \"a\", is = [\"b\"] }",
            ".is",
            format!("{SCALAR} a list {LISTS}"),
        ),
        (
            "{ claim = \"a\", is = { b = 1 } }",
            ".is",
            format!("{SCALAR} a table"),
        ),
        (
            "{ claim = \"a\", is = 1979-05-27 }",
            ".is",
            format!("{SCALAR} a date"),
        ),
        (
            "{ claim = \"a\", is = nan }",
            ".is",
            "expected a number that is exact in JSON, but found nan".to_owned(),
        ),
        (
            "{ claim = \"a\", is = -inf }",
            ".is",
            "expected a number that is exact in JSON, but found -inf".to_owned(),
        ),
        (
            "{ claim = \"a\", is = 1e16 }",
            ".is",
            "expected a number that is exact in JSON, but found 1e16".to_owned(),
        ),
        (
            "{ claim = \"a\", one_of = \"b\" }",
            ".one_of",
            "expected a list, but found \"b\" (did you mean [\"b\"]?)".to_owned(),
        ),
        (
            "{ claim = \"a\", one_of = [] }",
            ".one_of",
            "expected at least one element, but found an empty list (add one; without the key, see the other operators)".to_owned(),
        ),
        (
            "{ claim = \"a\", one_of = [\"b\", [\"c\"]] }",
            ".one_of[1]",
            format!("{SCALAR} a list {LISTS}"),
        ),
        (
            "{ claim = \"a\", has = [\"b\"] }",
            ".has",
            format!("{SCALAR} a list {LISTS}"),
        ),
        (
            "{ claim = \"a\", matches = \"\" }",
            ".matches",
            "expected a string that is not empty, but found \"\"".to_owned(),
        ),
        (
            "{ claim = \"a\", matches = 7 }",
            ".matches",
            "expected a string that is not empty, but found 7 (write \"7\", in quotes)".to_owned(),
        ),
        (
            "{ claim = \"a\", exists = false }",
            ".exists",
            "expected true, but found false".to_owned(),
        ),
        ("\"a\"", "", "expected a table, but found \"a\"".to_owned()),
    ] {
        let expected = |place: &str| Some(format!("gateway.toml:{place}.claims[1]{key}: {report}"));
        let good_rule = "{ claim = \"z\", exists = true }";
        let issuer = format!("[issuers.corp]\n{GOOD_ISSUER}claims = [{good_rule}, {rule}]\n");
        assert_eq!(read(&issuer).err(), expected("4: issuers.corp"), "{rule}");
        let route = format!(
            "{PUSH}[[routes]]\npath = \"/\"\nupstream = \"push\"\nclaims = [{good_rule}, {rule}]\n"
        );
        assert_eq!(read(&route).err(), expected("6: routes[0]"), "{rule}");
    }
    for rule in [
        "is = \"\"",
        "is = 0x10",
        "is = 1.5",
        "is = -7",
        "is = false",
        "one_of = [\"a\", 1, true]",
        "has = \"a\"",
        "matches = \"*\"",
        "exists = true",
    ] {
        good(&format!(
            "[issuers.corp]\n{GOOD_ISSUER}claims = [{{ claim = \"/a/b\", {rule} }}]"
        ));
    }
}

#[test]
fn public_route_has_no_rules() {
    let route = format!(
        "{PUSH}[[routes]]\npath = \"/\"\nupstream = \"push\"\npublic = true\nclaims = [{{ claim = \"a\", is = \"b\" }}]\n"
    );
    assert_eq!(
        read(&route).err().as_deref(),
        Some(
            "gateway.toml:7: routes[0].claims: expected only one of \"public\" and \"claims\", but found both"
        )
    );
}
