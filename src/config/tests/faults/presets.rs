//! Faults of `provider`, and of the keys that it fills in.

use super::assert_faults;
use crate::config::tests::read;

const ISSUER: &str = "[issuers.corp]\nissuer = \"https://id.example.com\"\naudience = \"api\"\n";
const PROVIDERS: &str = "\"keycloak\", \"entra\", \"cognito\", \"auth0\", \"okta\", \"google\", \"kubernetes\", \
                         \"github-actions\", \"dex\", \"authentik\" or \"zitadel\"";

fn assert_faults_of(cases: &[(&str, String)]) {
    for (keys, report) in cases {
        assert_eq!(
            read(&format!("{ISSUER}{keys}")).err().as_ref(),
            Some(report)
        );
    }
}

#[test]
fn unknown_provider_is_refused_with_the_nearest_one() {
    let expected =
        format!("gateway.toml:4: issuers.corp.provider: expected {PROVIDERS}, but found");
    assert_faults_of(&[
        (
            "provider = \"keycloack\"",
            format!("{expected} \"keycloack\" (did you mean \"keycloak\"?)"),
        ),
        (
            "provider = \"Okta\"",
            format!("{expected} \"Okta\" (did you mean \"okta\"?)"),
        ),
        ("provider = \"\"", format!("{expected} \"\"")),
        (
            "provider = [\"okta\"]",
            format!("{expected} a list (write \"okta\", without brackets)"),
        ),
        // The misspelling is the only fault: the provider that was meant introspects.
        (
            "provider = \"autentik\"\nintrospection = { client_id = \"a\", client_secret = { env = \"LONG\" } }",
            format!("{expected} \"autentik\" (did you mean \"authentik\"?)"),
        ),
    ]);
}

#[test]
fn issuer_and_audience_are_required_beside_a_provider() {
    assert_faults(&[(
        "[issuers.corp]\nprovider = \"google\"",
        "gateway.toml:1: issuers.corp.issuer: expected the iss of its tokens, but found nothing\n\
         gateway.toml:1: issuers.corp.audience: expected the aud of tokens meant for this gateway, or \"any\", but found nothing",
    )]);
}

#[test]
fn zitadel_has_no_default_for_the_claim_with_the_roles() {
    assert_faults_of(&[
        (
            "provider = \"zitadel\"",
            "gateway.toml:1: issuers.corp.scope_claims: expected the claim with the roles of the project, but found nothing \
             (provider \"zitadel\" has no safe default for it)"
                .to_owned(),
        ),
        // The misspelling is the only fault.
        (
            "provider = \"zitadel\"\nscope_claim = \"orders_roles\"",
            "gateway.toml:5: issuers.corp.scope_claim: expected a known key, but found \"scope_claim\" (did you mean \"scope_claims\"?)"
                .to_owned(),
        ),
    ]);
}

#[test]
fn fault_of_a_filled_in_value_names_the_provider() {
    assert_faults_of(&[
        (
            "shared_secret = { env = \"LONG\" }\nprovider = \"auth0\"",
            "gateway.toml:5: issuers.corp.algorithms[0]: expected \"HS256\", \"HS384\" or \"HS512\", but found \"RS256\" (filled in by provider \"auth0\"; shared_secret works only with these)"
                .to_owned(),
        ),
        (
            "provider = \"authentik\"",
            "gateway.toml:1: issuers.corp.introspection: expected a table for introspection, but found nothing \
             (add [issuers.corp.introspection] with client_id and client_secret)"
                .to_owned(),
        ),
    ]);
}
