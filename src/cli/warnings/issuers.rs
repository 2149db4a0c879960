//! Weak choices of an issuer: which tokens are accepted, and how they are verified.

use crate::config::{
    Audience, Authentication, Discovery, Fault, Introspection, Issuer, SecretOrigin,
};
use crate::values::Validation;

#[expect(clippy::too_many_lines, reason = "one check after the other")]
pub(super) fn weak_choices(issuer: &Issuer, in_development: bool) -> Vec<Fault> {
    let mut found = Vec::new();
    if let Audience::Any(place) = &issuer.audience {
        let wildcards = if issuer.granted_wildcards {
            ", and a * in their scopes counts here"
        } else {
            ""
        };
        let message =
            format!("tokens that were issued for another API are accepted too{wildcards}");
        found.push(
            place
                .fault(message)
                .with_help("set audience to the value in tokens for this API"),
        );
    }
    // The server that introspects a token knows its audience.
    let is_introspected = issuer.validation.value != Validation::Jwks;
    if let (Audience::OneOf(names), false, false) =
        (&issuer.audience, issuer.audience_required, is_introspected)
    {
        let message = "audience_required = false: a token without aud is accepted, whichever API it was issued for";
        found.extend(names.first().map(|name| {
            name.fault(message)
                .with_help("configure the issuer to set aud, and remove audience_required")
        }));
    }
    if !in_development {
        for secret in issuer
            .secrets()
            .filter(|secret| *secret.value.origin() == SecretOrigin::Bare)
        {
            let fault = secret
                .fault("the secret is written in this file, so every reader of the file knows it");
            found.push(fault.with_help("use { env = \"NAME\" } or { file = \"PATH\" }"));
        }
        for url in issuer
            .written_endpoints()
            .filter(|url| url.value.scheme() == "http")
        {
            found.push(
                url.fault(
                    "anybody on the network path can read and replace what is sent over http",
                )
                .with_help("use https"),
            );
        }
        let is_discovered_over_http = match &issuer.discovery {
            Discovery::Off => false,
            Discovery::WellKnown => issuer
                .issuer
                .first()
                .is_some_and(|iss| iss.value.starts_with("http://")),
            Discovery::At(url) => url.scheme() == "http",
        };
        if is_discovered_over_http {
            let fault = issuer
                .name
                .fault("anybody on the network path can replace metadata and keys that are fetched over http");
            found.push(
                fault.with_help("use an issuer with an https URL, or set jwks_uri or jwks_file"),
            );
        }
    }
    if let Some(Introspection {
        authentication: Authentication::None(place),
        ..
    }) = &issuer.introspection
    {
        let fault =
            place.fault("any client that reaches the introspection endpoint can introspect tokens");
        found.push(fault.with_help(
            "configure the server to authenticate clients, and set client_id and client_secret",
        ));
    }
    if issuer.insecure_ignore_cnf {
        let fault = issuer.name.fault(
            "insecure_ignore_cnf: a token that is bound to one client is accepted from any client",
        );
        found.push(fault.with_help(
            "configure the issuer to issue bearer tokens for this gateway, and remove insecure_ignore_cnf",
        ));
    }
    found
}
