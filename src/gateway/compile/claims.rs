//! Claims that keys name: `scope_claims` of issuers, `claim_headers` of routes, and rules over claims
//! (`claims`) of both.

use std::sync::Arc;

use serde_json::Value;

use super::tenants;
use crate::config::{self, Fault, ScopeClaim, ScopeClaimTable, Spanned, did_you_mean};
use crate::gateway::claim_headers::ClaimHeader;
use crate::oauth::claims::{
    AdditionalScopes, ClaimReference, ClaimRule, ClaimTest, RuleValue, ScopeClaims, Template,
    TextPattern,
};
use crate::oauth::scope::GrantedWildcards;
use crate::policy::pattern::RoutePattern;

/// Compiles `scope_claims`.
pub(super) fn scope_claims(issuer: &config::Issuer) -> Result<ScopeClaims, Box<Fault>> {
    let mut compiled = ScopeClaims {
        names: Vec::new(),
        additional: Vec::new(),
        separator: issuer.scope_separator,
    };
    for source in &issuer.scope_claims {
        let ScopeClaim { claim, table } = &source.value;
        let reference = reference(source, claim)?;
        if table.is_none() && !claim.starts_with('/') {
            compiled.names.push(claim.clone());
            continue;
        }
        let ScopeClaimTable { prefix, wildcards } = table.clone().unwrap_or_default();
        compiled.additional.push(AdditionalScopes {
            claim: reference,
            prefix,
            wildcards: if wildcards {
                GrantedWildcards::Honoured
            } else {
                GrantedWildcards::Literal
            },
        });
    }
    Ok(compiled)
}

/// Compiles one of `claim_headers`.
pub(super) fn header(written: &config::ClaimHeader) -> Result<ClaimHeader, Box<Fault>> {
    let claim = reference(&written.header, &written.claim)?;
    let name = written.header.value.clone();
    Ok(ClaimHeader::new(name, claim, written.format))
}

/// The parameters that the values of rules may have.
pub(super) struct RuleParameters<'p> {
    /// Those of the path, but for `{*rest}`: rules of a route.
    path: Option<&'p RoutePattern>,
    /// Those that stand for the tenant of a token.
    tenants: Vec<Arc<str>>,
}

/// Compiles rules over claims; also returns the faults of those that do not compile.
pub(super) fn rules(
    written: &[config::ClaimRule],
    parameters: &RuleParameters<'_>,
) -> (Vec<ClaimRule>, Vec<Fault>) {
    let (mut rules, mut faults) = (Vec::new(), Vec::new());
    for rule in written {
        match compile_rule(rule, parameters) {
            Ok(rule) => rules.push(rule),
            Err(fault) => faults.push(*fault),
        }
    }
    (rules, faults)
}

fn compile_rule(
    written: &config::ClaimRule,
    parameters: &RuleParameters<'_>,
) -> Result<ClaimRule, Box<Fault>> {
    let claim = reference(&written.claim, &written.claim.value)?;
    let value = |written: &Spanned<Value>| rule_value(written, parameters);
    let test = match &written.test {
        config::ClaimTest::Is(written) => ClaimTest::Is(value(written)?),
        config::ClaimTest::OneOf(written) => {
            ClaimTest::OneOf(written.iter().map(value).collect::<Result<_, _>>()?)
        }
        config::ClaimTest::Has(written) => ClaimTest::Has(value(written)?),
        config::ClaimTest::Matches(written) => {
            let template = template(written, &written.value, parameters)?;
            ClaimTest::Matches(TextPattern::new(template))
        }
        config::ClaimTest::Exists => ClaimTest::Exists,
    };
    Ok(ClaimRule::new(claim, test))
}

fn rule_value(
    written: &Spanned<Value>,
    parameters: &RuleParameters<'_>,
) -> Result<RuleValue, Box<Fault>> {
    match &written.value {
        Value::String(text) => template(written, text, parameters).map(RuleValue::Text),
        Value::Number(number) => Ok(RuleValue::Number(number.clone())),
        Value::Bool(boolean) => Ok(RuleValue::Boolean(*boolean)),
        // The reader accepts no others.
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Box::new(
            written.fault("expected a string, a number or a boolean, but found another value"),
        )),
    }
}

fn template<T>(
    place: &Spanned<T>,
    text: &str,
    parameters: &RuleParameters<'_>,
) -> Result<Template, Box<Fault>> {
    let template =
        Template::parse(text).map_err(|error| Box::new(place.fault(error.to_string())))?;
    for name in template.parameters() {
        parameters.check(place, name)?;
    }
    Ok(template)
}

impl<'p> RuleParameters<'p> {
    /// Rules of an issuer: the parameter for its tenants.
    pub(super) fn of_issuer(issuer: &config::Issuer) -> Self {
        Self {
            path: None,
            tenants: tenants::parameter(issuer).into_iter().collect(),
        }
    }

    /// Rules of a route: those of its path, and the parameters for the tenants of its issuers.
    pub(super) fn of_route(path: &'p RoutePattern, tenants: Vec<Arc<str>>) -> Self {
        Self {
            path: Some(path),
            tenants,
        }
    }

    fn check<T>(&self, place: &Spanned<T>, name: &str) -> Result<(), Box<Fault>> {
        if self.tenants.iter().any(|tenant| **tenant == *name) {
            return Ok(());
        }
        let Some(path) = self.path else {
            return Err(Box::new(self.unknown_of_issuer(place, name)));
        };
        let bare = name.strip_prefix('*').unwrap_or(name);
        if path.rest() == Some(bare) {
            let message = format!(
                "expected a parameter of one segment, but found {{*{bare}}}, which takes the rest of the path"
            );
            return Err(Box::new(place.fault(message)));
        }
        let mut names = path.parameters();
        if names.any(|known| known == name) {
            return Ok(());
        }
        let message = format!(
            "expected a parameter of the path {:?}, but found {{{name}}}",
            path.as_str()
        );
        let known = path
            .parameters()
            .chain(self.tenants.iter().map(|name| &**name));
        Err(Box::new(Fault {
            help: did_you_mean(name, known),
            ..place.fault(message)
        }))
    }

    fn unknown_of_issuer<T>(&self, place: &Spanned<T>, name: &str) -> Fault {
        if let Some(tenant) = self.tenants.first() {
            let message = format!("expected no parameter but {{{tenant}}}, but found {{{name}}}");
            return place.fault(message);
        }
        let message = format!("expected a value without parameters, but found {{{name}}}");
        let help = "only rules of a route have parameters: those of its path";
        place.fault(message).with_help(help)
    }
}

/// Compiles claims that are listed.
pub(super) fn references(written: &[Spanned<String>]) -> Result<Vec<ClaimReference>, Box<Fault>> {
    let references = written.iter().map(|claim| reference(claim, &claim.value));
    references.collect()
}

/// Parses the claim that a value names.
pub(super) fn reference<T>(place: &Spanned<T>, claim: &str) -> Result<ClaimReference, Box<Fault>> {
    ClaimReference::parse(claim).map_err(|error| Box::new(place.fault(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::messages_of;

    fn faults(issuer: &str, route: &str) -> Vec<String> {
        messages_of(&format!(
            "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\njwks_uri = \"http://127.0.0.1:1/\"\n{issuer}\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/a/{{id}}/{{*rest}}\"\nupstream = \"up\"\n{route}\n"
        ))
    }

    #[test]
    fn malformed_pointer_is_refused_where_it_is_written() {
        let message = "expected ~0 for ~ and ~1 for / in a JSON Pointer (RFC 6901), but found";
        for (issuer, route, expected) in [
            (
                "scope_claims = [\"scope\", \"/a~b\"]",
                "",
                format!("issuers.corp.scope_claims[1]: {message} \"a~b\""),
            ),
            (
                "scope_claims = { claim = \"/a/~2\" }",
                "",
                format!("issuers.corp.scope_claims: {message} \"~2\""),
            ),
            (
                "audience_claims = [\"a\", \"/~\"]",
                "",
                format!("issuers.corp.audience_claims[1]: {message} \"~\""),
            ),
            (
                "",
                "claim_headers = { X-A = \"/~\" }",
                format!("routes[0].claim_headers.X-A: {message} \"~\""),
            ),
        ] {
            assert_eq!(faults(issuer, route), [expected]);
        }
        let good = "scope_claims = [\"scope\", \"a~b\", \"/a~0b~1c//0\"]";
        assert_eq!(faults(good, "claim_headers = { X-A = \"a~\" }"), [""; 0]);
        let deep = format!("scope_claims = \"{}\"", "/a".repeat(129));
        let expected = "issuers.corp.scope_claims: expected a JSON Pointer of at most 128 parts, but found 129";
        assert_eq!(faults(&deep, ""), [expected]);
    }

    #[test]
    fn every_fault_of_an_issuer_is_reported() {
        let issuer = "scope_claims = \"/~\"\naudience_claims = \"/~\"\n\
                      claims = [{ claim = \"/~\", is = 1 }, { claim = \"a\", is = \"{b}\" }]";
        let mut found = faults(issuer, "");
        found.sort();
        let places: Vec<_> = found
            .iter()
            .filter_map(|fault| fault.split(": ").next())
            .collect();
        assert_eq!(
            places,
            [
                "issuers.corp.audience_claims",
                "issuers.corp.claims[0].claim",
                "issuers.corp.claims[1].is",
                "issuers.corp.scope_claims"
            ]
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn values_of_rules_have_only_the_parameters_of_their_path() {
        let brace = "expected {name}, but found a single brace in";
        let issuer = "expected a value without parameters, but found";
        let path = "expected a parameter of the path \"/a/{id}/{*rest}\", but found";
        let rest = "expected a parameter of one segment, but found {*rest}, which takes the rest of the path";
        for (rule, key, of_issuer, of_route) in [
            (
                "is = \"{id}\"",
                "is",
                format!("{issuer} {{id}}"),
                String::new(),
            ),
            (
                "has = \"a{id}b\"",
                "has",
                format!("{issuer} {{id}}"),
                String::new(),
            ),
            (
                "one_of = [7, \"{ids}\"]",
                "one_of[1]",
                format!("{issuer} {{ids}}"),
                format!("{path} {{ids}}"),
            ),
            (
                "matches = \"*{tenant}\"",
                "matches",
                format!("{issuer} {{tenant}}"),
                format!("{path} {{tenant}}"),
            ),
            (
                "matches = \"{rest}\"",
                "matches",
                format!("{issuer} {{rest}}"),
                rest.to_owned(),
            ),
            (
                "is = \"{*rest}\"",
                "is",
                format!("{issuer} {{*rest}}"),
                rest.to_owned(),
            ),
            (
                "is = \"{}\"",
                "is",
                format!("{issuer} {{}}"),
                format!("{path} {{}}"),
            ),
            (
                "is = \"{\"",
                "is",
                format!("{brace} \"{{\""),
                format!("{brace} \"{{\""),
            ),
            (
                "is = \"a}\"",
                "is",
                format!("{brace} \"a}}\""),
                format!("{brace} \"a}}\""),
            ),
        ] {
            let rule = format!("claims = [{{ claim = \"c\", {rule} }}]");
            let expected = |place: &str, message: &str| match message {
                "" => Vec::new(),
                message => vec![format!("{place}.claims[0].{key}: {message}")],
            };
            assert_eq!(
                faults(&rule, ""),
                expected("issuers.corp", &of_issuer),
                "{rule}"
            );
            assert_eq!(
                faults("", &rule),
                expected("routes[0]", &of_route),
                "{rule}"
            );
        }
        let pointer = "claims = [{ claim = \"/~\", exists = true }]";
        let message =
            "expected ~0 for ~ and ~1 for / in a JSON Pointer (RFC 6901), but found \"~\"";
        assert_eq!(
            faults(pointer, ""),
            [format!("issuers.corp.claims[0].claim: {message}")]
        );
        assert_eq!(
            faults("", pointer),
            [format!("routes[0].claims[0].claim: {message}")]
        );
    }
}
