//! Arguments that cannot be used.

use std::fs;

use super::{TestBed, text};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn unusable_arguments_are_bad_input_and_show_no_token() {
    let test_bed = TestBed::start();
    let token = test_bed.token(|_| ());
    fs::write(test_bed.folder().join("blank"), " \n").expect("a file");
    fs::write(test_bed.folder().join("no.json"), "{}").expect("a file");
    let with_scheme = format!("bearer {token}");
    let without_colon = format!("Authorization Bearer {token}");
    let two_lines = format!("{token}\nb");
    let in_query = format!("/things?access_token={token} b");
    for (arguments, message) in [
        (vec!["GET"], "<URL>"),
        (
            vec!["G T", "/things"],
            "METHOD: expected the name of a method such as GET, but found \"G T\"",
        ),
        (
            vec!["GET", "things"],
            "URL: expected a path that starts with / or an http or https URL",
        ),
        (
            vec!["GET", "ftp://a/b"],
            "URL: expected a path that starts with / or an http or https URL",
        ),
        (
            vec!["GET", "/a b"],
            "URL: expected no spaces (a client writes %20)",
        ),
        (
            vec!["GET", &in_query],
            "URL: expected no spaces (a client writes %20), but found \"/things\"",
        ),
        (
            vec!["GET", "http:///a"],
            "URL: expected a host after the scheme",
        ),
        (
            vec!["GET", "/things", "--token", "@nowhere"],
            "--token: expected a token in nowhere, but found none: No such",
        ),
        (
            vec!["GET", "/things", "--token", "blank"],
            "--token: expected a token, but found the name of a file (did you mean --token @blank?)",
        ),
        (
            vec!["GET", "/things", "--token", "@blank"],
            "--token: expected a token in blank, but found nothing",
        ),
        (
            vec!["GET", "/things", "--token", &two_lines],
            "--token: expected a token on one line",
        ),
        (
            vec!["GET", "/things", "--token", ""],
            "--token: expected a token, but found an empty one",
        ),
        (
            vec!["GET", "/things", "--token", &with_scheme],
            "--token: expected a token, but found \"Bearer\" before it",
        ),
        (
            vec!["GET", "/things", "--header", &without_colon],
            "--header: expected NAME: VALUE, but found no colon",
        ),
        (
            vec!["GET", "/things", "--jwks", "nowhere"],
            "nowhere: expected a JWK set, but found none: No such",
        ),
        (
            vec!["GET", "/things", "--jwks", "no.json"],
            "no.json: expected a JWK set, but found none",
        ),
        (
            vec!["GET", "/things", "--config", "no.toml"],
            "no.toml: expected a file to read, but found none",
        ),
    ] {
        let output = test_bed.explain(&arguments);
        let stderr = text(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(message), "{message}: {stderr}");
        assert!(
            !stderr.contains(&token[..20]),
            "{message}: a token is shown"
        );
    }
}
