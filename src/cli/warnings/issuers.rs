//! Weak choices about whom to believe.

use crate::config::{
    Audience, Authentication, Discovery, Fault, Introspection, Issuer, SecretOrigin,
};
use crate::values::Validation;

#[expect(clippy::too_many_lines, reason = "one check after the other")]
pub(super) fn weak_choices(issuer: &Issuer, in_development: bool) -> Vec<Fault> {
    let mut found = Vec::new();
    if let Audience::Any(place) = &issuer.audience {
        let wildcards = if issuer.granted_wildcards {
            ", and where one grants a scope with *, that counts here as well"
        } else {
            ""
        };
        let message = format!("tokens that were issued for any other API pass here too{wildcards}");
        found.push(
            place
                .fault(message)
                .with_help("name the audience that tokens for this API have"),
        );
    }
    // Whoever is asked about a token knows for whom it is.
    let is_asked = issuer.validation.value != Validation::Jwks;
    if let (Audience::OneOf(names), false, false) =
        (&issuer.audience, issuer.audience_required, is_asked)
    {
        let message = "audience_required = false: a token that names no audience passes, whatever API it was issued for";
        found.extend(names.first().map(|name| {
            name.fault(message)
                .with_help("have the issuer write aud, and leave audience_required out")
        }));
    }
    if !in_development {
        for secret in issuer
            .secrets()
            .filter(|secret| *secret.value.origin() == SecretOrigin::Bare)
        {
            let fault = secret.fault("a secret in this file is known to whoever reads it");
            found.push(fault.with_help("use { env = \"NAME\" } or { file = \"PATH\" }"));
        }
        for url in issuer
            .written_endpoints()
            .filter(|url| url.value.scheme() == "http")
        {
            found.push(
                url.fault("what goes over http can be read and replaced on its way")
                    .with_help("use https"),
            );
        }
        let in_the_clear = match &issuer.discovery {
            Discovery::Off => false,
            Discovery::WellKnown => issuer
                .issuer
                .first()
                .is_some_and(|iss| iss.value.starts_with("http://")),
            Discovery::At(url) => url.scheme() == "http",
        };
        if in_the_clear {
            let fault = issuer
                .name
                .fault("metadata and keys that come over http can be replaced on their way");
            found.push(fault.with_help("use an issuer at https, or give jwks_uri or jwks_file"));
        }
    }
    if let Some(Introspection {
        authentication: Authentication::None(place),
        ..
    }) = &issuer.introspection
    {
        let fault =
            place.fault("whoever reaches the introspection endpoint can ask about tokens there");
        found.push(
            fault.with_help("have the server ask who asks, and set client_id and client_secret"),
        );
    }
    if issuer.insecure_ignore_cnf {
        let fault = issuer
            .name
            .fault("insecure_ignore_cnf: a token bound to one client passes from any");
        found.push(fault.with_help(
            "have the issuer give this gateway's clients bearer tokens, and leave it out",
        ));
    }
    found
}
