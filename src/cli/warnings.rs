//! Weak choices: what a file may say, and what somebody should have meant.

use crate::config::{Access, Audience, Authentication, Config, Discovery, Fault, Introspection, Issuer, SecretOrigin};

/// Every weak choice of the file.
pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    if let Some(development) = &config.development {
        found.push(development.listen.fault("development: anybody on this machine gets any token here"));
    }
    if let (true, Some(listen)) = (config.routes.is_empty(), config.listeners.first()) {
        found.push(listen.address.fault("no route is declared, so every request is answered with 404"));
    }
    for issuer in &config.issuers {
        found.extend(of_issuer(issuer, config.development.is_some()));
    }
    for route in &config.routes {
        if let Some(place) = config.unenforced_by(route) {
            found.push(place.fault(format!(
                "shadow mode: {:?} turns nobody away for lack of a good token, it only tells (enforce = true once the log is quiet)",
                route.path.value
            )));
        }
        match &route.access {
            Access::Public => found.push(route.path.fault("public: nobody is asked for a token here")),
            Access::AnyToken => {
                found.push(route.path.fault("no scope: every valid token passes here"));
                if config.issuers.is_empty() {
                    found.push(route.path.fault("no issuer is declared, so no token passes here"));
                }
            }
            Access::Scope(_) | Access::AnyScope(_) if config.issuers.is_empty() => {
                found.push(route.path.fault("no issuer is declared, so no token passes here"));
            }
            Access::Scope(_) | Access::AnyScope(_) => {}
        }
    }
    found.extend(
        config
            .upstreams
            .iter()
            .filter(|upstream| config.routes.iter().all(|route| route.upstream.value != upstream.name.value))
            .map(|upstream| upstream.name.fault("no route leads to this upstream")),
    );
    found
}

fn of_issuer(issuer: &Issuer, in_development: bool) -> Vec<Fault> {
    let mut found = Vec::new();
    if let Audience::Any(place) = &issuer.audience {
        found.push(place.fault("tokens that were issued for any other API pass here too"));
    }
    for secret in issuer.secrets().filter(|secret| *secret.value.origin() == SecretOrigin::Bare) {
        if !in_development {
            let message = "a secret in this file is known to whoever reads it (use { env = … } or { file = … })";
            found.push(secret.fault(message));
        }
    }
    if !in_development {
        for url in issuer.written_endpoints().filter(|url| url.value.scheme() == "http") {
            found.push(url.fault("what goes over http can be read and replaced on its way"));
        }
        let in_the_clear = match &issuer.discovery {
            Discovery::Off => false,
            Discovery::WellKnown => issuer.issuer.first().is_some_and(|iss| iss.value.starts_with("http://")),
            Discovery::At(url) => url.scheme() == "http",
        };
        if in_the_clear {
            found.push(issuer.name.fault("metadata and keys that come over http can be replaced on their way"));
        }
    }
    if let Some(Introspection { authentication: Authentication::None(place), .. }) = &issuer.introspection {
        found.push(place.fault("whoever reaches the introspection endpoint can ask about tokens there"));
    }
    if issuer.insecure_ignore_cnf {
        found.push(issuer.name.fault("insecure_ignore_cnf: a token bound to one client passes from any"));
    }
    found
}
