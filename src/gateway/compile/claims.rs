//! Claims that keys name: `scope_claims` of issuers, `claim_headers` of routes.

use crate::config::{self, Fault, ScopeClaim, ScopeClaimTable, Spanned};
use crate::gateway::claim_headers::ClaimHeader;
use crate::oauth::claims::{AdditionalScopes, ClaimReference, ScopeClaims};
use crate::oauth::scope::GrantedWildcards;

/// Compiles `scope_claims`.
pub(super) fn scope_claims(written: &[Spanned<ScopeClaim>]) -> Result<ScopeClaims, Box<Fault>> {
    let mut compiled = ScopeClaims::default();
    for source in written {
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

/// Parses the claim that a value names.
fn reference<T>(place: &Spanned<T>, claim: &str) -> Result<ClaimReference, Box<Fault>> {
    ClaimReference::parse(claim).map_err(|error| Box::new(place.fault(error.to_string())))
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::gateway::compile;

    fn faults(issuer: &str, route: &str) -> Vec<String> {
        let toml = format!(
            "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\njwks_uri = \"http://127.0.0.1:1/\"\n{issuer}\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/a\"\nupstream = \"up\"\n{route}\n"
        );
        let (config, _) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        let faults = compile(&config).err().unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| format!("{}: {}", fault.key, fault.message))
            .collect()
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
}
