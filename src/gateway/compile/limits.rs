//! `[limits.NAME]`, and `limit` of routes.

use std::sync::Arc;

use super::claims;
use crate::clock;
use crate::config::{self, Access, Config, Fault, LimitKey};
use crate::gateway::route_limits::RouteLimits;
use crate::rate_limits::{KeyPart, Limit, LimitSettings, MAX_REFILL_TIME, Sharing};

/// Compiles all limits, in the order of the file. A limit that `earlier` has with the same settings is
/// kept, with its counters.
pub(super) fn compile(
    config: &Config,
    earlier: Option<&[Arc<Limit>]>,
    sharing: Option<&Arc<Sharing>>,
    faults: &mut Vec<Fault>,
) -> Vec<Arc<Limit>> {
    let mut limits = Vec::new();
    for written in &config.limits {
        let Some(settings) = settings(written, faults) else {
            continue;
        };
        let mut known = earlier.unwrap_or_default().iter();
        let kept = known.find(|limit| *limit.settings() == settings && limit.is_shared_by(sharing));
        match kept {
            Some(limit) => limits.push(Arc::clone(limit)),
            None => match Limit::new(settings, sharing, clock::now()) {
                Some(limit) => limits.push(Arc::new(limit)),
                None => faults.push(refills_too_slowly(written)),
            },
        }
    }
    limits
}

fn settings(written: &config::Limit, faults: &mut Vec<Fault>) -> Option<LimitSettings> {
    let before = faults.len();
    let mut key = Vec::new();
    for part in &written.key {
        let compiled = match &part.value {
            LimitKey::ClientId => KeyPart::ClientId,
            LimitKey::Subject => KeyPart::Subject,
            LimitKey::Issuer => KeyPart::Issuer,
            LimitKey::Address => KeyPart::Address,
            LimitKey::Route => KeyPart::Route,
            LimitKey::Claim(claim) => match claims::reference(part, claim) {
                Ok(claim) => KeyPart::Claim(claim),
                Err(fault) => {
                    faults.push(*fault);
                    continue;
                }
            },
        };
        if key.contains(&compiled) {
            let message = format!(
                "expected every part of a key once, but found {} again",
                part.value
            );
            faults.push(part.fault(message).with_help("remove one of them"));
        }
        key.push(compiled);
    }
    (faults.len() == before).then(|| LimitSettings {
        name: written.name.value.as_str().into(),
        requests: written.requests,
        per: written.per,
        burst: written.burst(),
        key: key.into(),
    })
}

fn refills_too_slowly(written: &config::Limit) -> Fault {
    let days = MAX_REFILL_TIME.as_secs() / (24 * 3600);
    let message = format!(
        "expected a burst that refills in at most {days} days, but found {}, which takes longer at {} in {} s",
        written.burst(),
        written.requests,
        written.per.as_secs()
    );
    let fault = match &written.burst {
        Some(burst) => burst.fault(message),
        None => written.name.fault(message),
    };
    fault.with_help("lower burst, or allow more requests")
}

/// Compiles `limit` of a route; none if it names no limit.
pub(super) fn of_route(
    written: &config::Route,
    config: &Config,
    faults: &mut Vec<Fault>,
) -> Option<Arc<RouteLimits>> {
    let (mut before_token, mut after_token) = (Vec::new(), Vec::new());
    for (position, name) in written.limit.iter().enumerate() {
        if written.limit[..position].contains(name) {
            let message = format!(
                "expected every limit once, but found {:?} again",
                name.value
            );
            faults.push(name.fault(message).with_help("remove one of them"));
        }
        // Undeclared names were refused when the file was read.
        let mut declared = config.limits.iter().enumerate();
        let Some((index, limit)) = declared.find(|(_, limit)| limit.name == *name) else {
            continue;
        };
        match (limit.part_of_token(), &written.access) {
            (None, _) => before_token.push(index),
            (Some(part), Access::Public) => {
                let message = format!(
                    "expected a limit by address or route, but found {:?}, whose key {} needs a token",
                    name.value, part.value
                );
                let help = "a public route asks for no token: name a limit with key = \"address\"";
                faults.push(name.fault(message).with_help(help));
            }
            (Some(_), Access::AnyToken | Access::Scope(_) | Access::AnyScope(_)) => {
                after_token.push(index);
            }
        }
    }
    if before_token.is_empty() && after_token.is_empty() {
        return None;
    }
    let is_by_address = |index: &usize| {
        let mut key = config.limits[*index].key.iter();
        key.any(|part| part.value == LimitKey::Address)
    };
    Some(Arc::new(RouteLimits {
        needs_address: before_token.iter().chain(&after_token).any(is_by_address),
        before_token: before_token.into(),
        after_token: after_token.into(),
        route: route_identity(written),
    }))
}

// What a reload does not change, unlike the position in the file.
fn route_identity(written: &config::Route) -> Arc<str> {
    let hosts = written.host.iter().map(|host| host.value.as_str());
    let methods = written.methods.iter().map(|method| method.value.as_str());
    let paths = written.path.iter().map(|path| path.value.as_str());
    let parts = [
        hosts.collect::<Vec<_>>().join(","),
        methods.collect::<Vec<_>>().join(","),
        paths.collect::<Vec<_>>().join(","),
    ];
    parts.join(" ").into()
}

#[cfg(test)]
mod tests {
    use crate::gateway::compile::report_of;

    const UPSTREAM: &str = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                            [issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n";

    fn report(limits: &str, route: &str) -> Vec<String> {
        let route = format!("[[routes]]\npath = \"/a\"\nupstream = \"up\"\n{route}\n");
        report_of(&format!("{limits}\n{UPSTREAM}{route}"))
    }

    const STANDARD: &str = "[limits.standard]\nrequests = 1\nper = \"1s\"\n";

    #[test]
    fn limit_that_needs_a_token_is_refused_on_a_public_route() {
        for key in [
            "\"client_id\"",
            "[\"address\", \"subject\"]",
            "{ claim = \"c\" }",
            "\"issuer\"",
        ] {
            let limits = format!("{STANDARD}key = {key}");
            let found = report(&limits, "public = true\nlimit = \"standard\"");
            assert_eq!(found.len(), 1, "{key}");
            assert!(found[0].contains(
                "routes[0].limit: expected a limit by address or route, but found \"standard\""
            ));
            assert_eq!(report(&limits, "limit = \"standard\""), [""; 0], "{key}");
        }
        for key in ["\"address\"", "\"route\"", "[\"route\", \"address\"]"] {
            let limits = format!("{STANDARD}key = {key}");
            assert_eq!(
                report(&limits, "public = true\nlimit = \"standard\""),
                [""; 0],
                "{key}"
            );
        }
    }

    #[test]
    fn limits_that_allow_nothing_or_are_unclear_are_refused() {
        for (limits, route, expected) in [
            (
                "[limits.a]\nrequests = 0\nper = \"1s\"",
                "limit = \"a\"",
                "gateway.toml:2: limits.a.requests: expected an integer from 1 to 1000000, but found 0",
            ),
            (
                "[limits.a]\nrequests = 1\nper = \"1s\"\nburst = 0",
                "limit = \"a\"",
                "gateway.toml:4: limits.a.burst: expected an integer from 1 to 1000000, but found 0",
            ),
            (
                "[limits.a]\nrequests = 1\nper = \"24h\"\nburst = 366",
                "limit = \"a\"",
                "gateway.toml:4: limits.a.burst: expected a burst that refills in at most 365 days, but found 366, which \
                 takes longer at 1 in 86400 s (lower burst, or allow more requests)",
            ),
            (
                "[limits.a]\nrequests = 1\nper = \"1s\"\nkey = [\"route\", \"route\"]",
                "limit = \"a\"",
                "gateway.toml:4: limits.a.key[1]: expected every part of a key once, but found route again (remove one of them)",
            ),
            (
                "[limits.a]\nrequests = 1\nper = \"1s\"\nkey = { claim = \"/a~\" }",
                "limit = \"a\"",
                "gateway.toml:4: limits.a.key: expected ~0 for ~ and ~1 for / in a JSON Pointer (RFC 6901), but found \"a~\"",
            ),
            (
                "[limits.a]\nrequests = 1\nper = \"1s\"\nkey = \"tenant\"",
                "limit = \"a\"",
                "gateway.toml:4: limits.a.key: expected \"client_id\", \"subject\", \"issuer\", \"address\", \"route\" or \
                 { claim = \"CLAIM\" }, but found \"tenant\" (for a claim, write { claim = \"tenant\" })",
            ),
            (
                "[limits.a]\nrequests = 1\nper = \"1s\"",
                "limit = [\"a\", \"a\"]",
                "gateway.toml:12: routes[0].limit[1]: expected every limit once, but found \"a\" again (remove one of them)",
            ),
            (
                "[limits.standard]\nrequests = 1\nper = \"1s\"",
                "limit = \"standrad\"",
                "gateway.toml:12: routes[0].limit: expected a declared limit, but found \"standrad\" (declared: \"standard\"; did \
                 you mean \"standard\"?)",
            ),
        ] {
            assert_eq!(report(limits, route), [expected]);
        }
    }
}
