//! Which files with tenants compile, and what is said of the others.

use crate::config;
use crate::gateway::compile;

const REST: &str = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                    [[routes]]\npath = \"/a/{tenant}\"\nupstream = \"up\"\n";

fn faults_of(toml: &str) -> Vec<String> {
    let read = config::parse("gateway.toml", toml);
    let (config, _) = read.unwrap_or_else(|report| panic!("{report}"));
    let faults = compile(&config).err().unwrap_or_default();
    let text = |fault: config::Fault| format!("{}: {}", fault.key, fault.message);
    faults.into_iter().map(text).collect()
}

fn issuer(name: &str, keys: &str) -> String {
    format!("[issuers.{name}]\naudience = \"api\"\n{keys}\n")
}

fn faults(keys: &str) -> Vec<String> {
    faults_of(&format!("{}{REST}", issuer("corp", keys)))
}

const LOGIN: &str = "issuer = \"https://login.test/{tenant}/v2.0\"";

#[test]
fn issuer_with_a_parameter_needs_tenants() {
    let found = faults("issuer = \"https://login.test/{tenant}/v2.0\"");
    let message = "expected tenants beside {tenant} in issuer, but found none";
    assert_eq!(found, [format!("issuers.corp.issuer: {message}")]);
    let found = faults("issuer = [\"https://id.test\", \"https://id.test/{realm}\"]");
    let message = "expected tenants beside {realm} in issuer, but found none";
    assert_eq!(found, [format!("issuers.corp.issuer[1]: {message}")]);
    let found = faults("issuer = \"https://id.test\"\njwks_uri = \"https://id.test/{a}/keys\"");
    let message = "expected tenants beside {a} in jwks_uri, but found none";
    assert_eq!(found, [format!("issuers.corp.jwks_uri: {message}")]);
    let found = faults("issuer = \"https://id.test\"\ndiscovery = \"https://id.test/{a}\"");
    let message = "expected tenants beside {a} in discovery, but found none";
    assert_eq!(found, [format!("issuers.corp: {message}")]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn template_and_names_are_refused_where_they_are_written() {
    let long = "a".repeat(129);
    let name =
        "expected a tenant of 1 to 128 letters, digits and -._~, not \".\" or \"..\", but found";
    let segment =
        "expected {tenant} as a whole segment of the path of a URL, but found it elsewhere";
    for (keys, expected) in [
        (
            "issuer = \"https://id.test\"\ntenants = \"any\"".to_owned(),
            "issuer: expected a URL with a parameter for the tenant, but found \"https://id.test\"".to_owned(),
        ),
        (
            "issuer = \"https://{tenant}.login.test/v2.0\"\ntenants = \"any\"".to_owned(),
            format!("issuer: {segment}"),
        ),
        (
            "issuer = \"https://login.test/a-{tenant}\"\ntenants = \"any\"".to_owned(),
            format!("issuer: {segment}"),
        ),
        (
            "issuer = \"https://login.test/{a}/{b}\"\ntenants = \"any\"".to_owned(),
            "issuer: expected one parameter, but found {a} and {b}".to_owned(),
        ),
        (
            "issuer = [\"https://a.test/{tenant}\", \"https://b.test/{realm}\"]\ntenants = \"any\"".to_owned(),
            "issuer[1]: expected {tenant}, as in the first issuer, but found {realm}".to_owned(),
        ),
        (
            "issuer = [\"https://a.test/{tenant}/b\", \"https://a.test/a/{tenant}\"]\ntenants = \"any\"".to_owned(),
            "issuer[1]: expected issuers of which each URL fits one, but found \"https://a.test/a/b\", which fits two"
                .to_owned(),
        ),
        (format!("{LOGIN}\ntenants = [\"a\", \"..\"]"), format!("tenants[1]: {name} \"..\"")),
        (format!("{LOGIN}\ntenants = \"a/b\""), format!("tenants: {name} \"a/b\"")),
        (
            format!("{LOGIN}\ntenants = \"{long}\""),
            format!("tenants: {name} \"{}\"", crate::text::truncated(&long)),
        ),
        (
            format!("{LOGIN}\ntenants = [\"a\", \"b\", \"a\"]"),
            "tenants[2]: expected each tenant once, but found \"a\" again".to_owned(),
        ),
        (
            format!("{LOGIN}\ntenants = [\"a\", \"b\", \"c\"]\nmax_tenants = 2"),
            "tenants[2]: expected at most 2 tenants (max_tenants), but found 3".to_owned(),
        ),
        (
            format!("{LOGIN}\ntenants = \"any\"\njwks_uri = \"https://login.test/{{id}}/keys\""),
            "jwks_uri: expected {tenant}, as in the first issuer, but found {id}".to_owned(),
        ),
    ] {
        assert_eq!(faults(&keys), [format!("issuers.corp.{expected}")], "{keys}");
    }
    let fixed = format!("{LOGIN}\ntenants = \"any\"\ndiscovery = \"https://login.test/metadata\"");
    let expected = "issuers.corp: expected {tenant} in the URL of discovery, but found none";
    assert_eq!(faults(&fixed), [expected]);
    for good in [
        "tenants = \"any\"",
        "tenants = [\"a\", \"b\"]\nmax_tenants = 2",
        "tenants = \"any\"\njwks_uri = \"https://login.test/{tenant}/keys\"",
        "tenants = \"any\"\njwks_uri = \"https://login.test/keys\"",
        "tenants = \"any\"\ndiscovery = \"https://other.test/{tenant}/metadata\"",
        "tenants = \"any\"\nclaims = [{ claim = \"tid\", is = \"{tenant}\" }]",
    ] {
        assert_eq!(faults(&format!("{LOGIN}\n{good}")), [""; 0], "{good}");
    }
}

#[test]
fn issuers_of_one_route_share_no_tenant() {
    let realms = |name: &str, tenants: &str| {
        let template = "issuer = \"https://id.test/realms/{tenant}\"";
        issuer(name, &format!("{template}\ntenants = {tenants}"))
    };
    let literal = issuer("shop", "issuer = \"https://id.test/realms/shop\"");
    let found = |one: String, other: &str| faults_of(&format!("{one}{other}{REST}"));
    for (tenants, other, shared) in [
        ("\"any\"", literal.clone(), Some("shop")),
        ("[\"shop\"]", literal.clone(), Some("shop")),
        ("[\"toys\"]", literal, None),
        ("\"any\"", realms("shop", "\"any\""), Some("any-tenant")),
        ("\"any\"", realms("shop", "[\"toys\"]"), Some("toys")),
        (
            "[\"a\", \"b\"]",
            realms("shop", "[\"b\", \"c\"]"),
            Some("b"),
        ),
        ("[\"a\", \"b\"]", realms("shop", "[\"c\"]"), None),
    ] {
        let expected: Vec<_> = shared
            .into_iter()
            .map(|tenant| {
                format!(
                    "routes[0].path: expected issuers that go by different names, but found \
                     \"https://id.test/realms/{tenant}\" for both \"corp\" and \"shop\""
                )
            })
            .collect();
        assert_eq!(
            found(realms("corp", tenants), &other),
            expected,
            "{tenants}"
        );
    }
    let crossed = issuer(
        "shop",
        "issuer = \"https://id.test/{tenant}/toys\"\ntenants = \"any\"",
    );
    assert_eq!(found(realms("corp", "\"any\""), &crossed).len(), 1);
    let crossed = issuer(
        "shop",
        "issuer = \"https://id.test/{tenant}/toys\"\ntenants = [\"a\"]",
    );
    assert_eq!(found(realms("corp", "\"any\""), &crossed), [""; 0]);
}

#[test]
fn name_of_several_issuers_of_a_route_is_reported_once_for_each_further_one() {
    let same = |name: &str| issuer(name, "issuer = \"https://id.test\"");
    let found = faults_of(&format!("{}{}{}{REST}", same("a"), same("b"), same("c")));
    let expected = [("a", "b"), ("b", "c")].map(|(one, other)| {
        format!(
            "routes[0].path: expected issuers that go by different names, but found \
             \"https://id.test\" for both {one:?} and {other:?}"
        )
    });
    assert_eq!(found, expected);
}

#[test]
fn rules_use_the_parameter_of_tenants_and_no_other() {
    let claims = |value: &str| format!("claims = [{{ claim = \"tid\", is = \"{value}\" }}]");
    let any = format!("{LOGIN}\ntenants = \"any\"");
    let found = faults(&format!("{any}\n{}", claims("{realm}")));
    let message = "expected no parameter but {tenant}, but found {realm}";
    assert_eq!(found, [format!("issuers.corp.claims[0].is: {message}")]);
    let of_route = |keys: &str, value: &str| {
        let rest = REST.replace("/a/{tenant}", "/a/{id}");
        faults_of(&format!(
            "{}{rest}{}\n",
            issuer("corp", keys),
            claims(value)
        ))
    };
    assert_eq!(of_route(&any, "{tenant}"), [""; 0]);
    assert_eq!(of_route(&any, "{id}"), [""; 0]);
    let message = "expected a parameter of the path \"/a/{id}\", but found {tenant}";
    let expected = format!("routes[0].claims[0].is: {message}");
    let found = of_route("issuer = \"https://id.test\"", "{tenant}");
    assert_eq!(found, [expected]);
}
