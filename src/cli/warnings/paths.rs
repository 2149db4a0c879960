//! What routes take from each other: a path belongs to its most specific route, what looks like it to no other, and what
//! an upstream is sent may belong to several.

use std::collections::BTreeMap;

use http::Method;

use crate::config::{Config, Fault};
use crate::gateway::Snapshot;
use crate::policy::route_table::{Bypass, RefusedLookalikes, UpstreamRewrite};
use crate::upstream::HostHeader;

/// Findings of one kind that are printed at the most. Whoever mends these runs it again.
const MAX_PRINTED: usize = 50;

pub(super) fn weak_choices(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut found = bounded(unreachable_methods(config, snapshot));
    found.extend(bounded(bypasses(config, snapshot)));
    found
}

fn bounded(mut found: Vec<Fault>) -> Vec<Fault> {
    let more = found.len().saturating_sub(MAX_PRINTED);
    if let Some(last) = found.get_mut(MAX_PRINTED) {
        (last.message, last.help) = (format!("{more} more of this kind from here on"), None);
    }
    found.truncate(MAX_PRINTED + 1);
    found
}

fn unreachable_methods(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let lost = snapshot.routes.unreachable_methods().into_iter().filter_map(|unreachable| {
        let [here, there] = [unreachable.at, unreachable.of].map(|index| &config.routes[index].path);
        let methods = match unreachable.methods.listed() {
            Some(listed) => joined(listed),
            None => "every other method".to_owned(),
        };
        let fault = config.routes[unreachable.at].methods.first()?.fault(format!(
            "{methods} of {:?} is a 405, though {:?} at {} takes it: a path belongs to its most specific route alone",
            here.value,
            there.value,
            there.key()
        ));
        Some(fault.with_help(format!("add {methods} here, or a route for it at {:?}, if it is meant", here.value)))
    });
    lost.collect()
}

fn bypasses(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let sent = snapshot
        .forwarding
        .iter()
        .map(|forwarding| UpstreamRewrite {
            upstream: forwarding.upstream,
            stripped: forwarding.strip_segments,
            is_host_passed: matches!(
                snapshot.upstreams[forwarding.upstream].settings().host,
                HostHeader::Pass
            ),
        });
    let found = snapshot.routes.bypasses(&sent.collect::<Vec<_>>());
    let mut faults: Vec<_> = found
        .bypasses
        .iter()
        .map(|bypass| bypass_fault(config, bypass))
        .collect();
    let rewritten = config
        .routes
        .iter()
        .find_map(|route| route.strip_prefix.as_ref());
    if let Some(prefix) = rewritten.filter(|_| found.is_incomplete) {
        let fault =
            prefix.fault("too many paths meet behind strip_prefix to compare them all: bypasses may be missing here");
        faults.push(fault.with_help("check parts of the file by themselves"));
    }
    faults
}

fn bypass_fault(config: &Config, bypass: &Bypass) -> Fault {
    let [through, to] = [bypass.through, bypass.to].map(|index| &config.routes[index]);
    let place = through.strip_prefix.as_ref().unwrap_or(&through.path);
    let more = if bypass.has_more { ", and others" } else { "" };
    let fault = place.fault(format!(
        "bypass: {:?} reaches the upstream {:?} as {:?}, like requests for {:?} at {}{more}, and {:?} does not ask \
         for all that they need",
        bypass.requested_path,
        through.upstream.value,
        bypass.upstream_path,
        to.path.value,
        to.path.key(),
        through.path.value,
    ));
    fault.with_help(format!(
        "ask for what {} asks for, declare {:?} with that, or send one of them to an upstream of its own",
        to.path.key().trim_end_matches(".path"),
        bypass.requested_path
    ))
}

/// What is right and may surprise: the paths of a route that are refused for the sake of others.
pub(super) fn notes(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut by_route: BTreeMap<usize, (RefusedLookalikes, usize)> = BTreeMap::new();
    for refused in snapshot.routes.refused_lookalikes() {
        by_route
            .entry(refused.through)
            .and_modify(|(_, more)| *more += 1)
            .or_insert((refused, 0));
    }
    let note = |(refused, more): (RefusedLookalikes, usize)| {
        let [through, of] = [refused.through, refused.of].map(|index| &config.routes[index].path);
        let others = match more {
            0 => String::new(),
            1 => "; so for 1 other route".to_owned(),
            more => format!("; so for {more} other routes"),
        };
        let fault = through.fault(format!(
            "{:?} does not take what some servers take for a path of {:?} at {}, which asks for more: {:?} is a 400{others}",
            through.value,
            of.value,
            of.key(),
            refused.example
        ));
        fault.with_help("declare such a path as a route of its own if it is meant")
    };
    bounded(by_route.into_values().map(note).collect())
}

fn joined(methods: &[Method]) -> String {
    // GET covers HEAD.
    let has_get = methods.contains(&Method::GET);
    let names = methods
        .iter()
        .filter(|method| !(has_get && **method == Method::HEAD))
        .map(Method::as_str);
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::gateway::compile;

    const HEAD: &str = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n\
                        [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n";

    /// The warnings and the notes of a file with these routes, each as its path, its scope and what else it says.
    fn told(routes: &[(&str, &str, &str)]) -> (Vec<String>, Vec<String>) {
        let route = |(path, scope, more): &(&str, &str, &str)| {
            format!(
                "[[routes]]\npath = \"{path}\"\nscope = \"{scope}\"\nupstream = \"up\"\n{more}\n"
            )
        };
        let toml = HEAD.to_owned() + &routes.iter().map(route).collect::<String>();
        let (config, source) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        let snapshot =
            compile(&config).unwrap_or_else(|faults| panic!("{}", source.report(faults)));
        let lines = |faults| source.report(faults).lines().collect();
        (
            lines(super::weak_choices(&config, &snapshot)),
            lines(super::notes(&config, &snapshot)),
        )
    }

    #[test]
    fn method_that_a_literal_takes_from_a_parameter_is_warned_of() {
        let (warnings, _) = told(&[
            ("/orders/{id}", "read", "methods = \"GET\""),
            ("/orders/export", "export", "methods = \"POST\""),
        ]);
        assert_eq!(
            warnings,
            [
                "gateway.toml:15: routes[1].methods: GET of \"/orders/export\" is a 405, though \"/orders/{id}\" at \
              routes[0].path takes it: a path belongs to its most specific route alone (add GET here, or a route for it \
              at \"/orders/export\", if it is meant)"
            ]
        );
        for fine in [
            ["methods = \"GET\"", "methods = [\"GET\", \"POST\"]"],
            ["methods = \"GET\"", ""],
        ] {
            let [of_parameter, of_literal] = fine;
            let (warnings, _) = told(&[
                ("/orders/{id}", "a", of_parameter),
                ("/orders/export", "a", of_literal),
            ]);
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn path_that_is_rewritten_to_a_stricter_routes_is_warned_of() {
        let (warnings, _) = told(&[
            ("/v1/{*rest}", "read", "strip_prefix = \"/v1\""),
            ("/reports", "admin", ""),
            ("/open", "read", ""),
        ]);
        assert_eq!(
            warnings,
            [
                "gateway.toml:10: routes[0].strip_prefix: bypass: \"/v1/reports\" reaches the upstream \"up\" as \"/reports\", \
              like requests for \"/reports\" at routes[1].path, and \"/v1/{*rest}\" does not ask for all that they need (ask for what routes[1] \
              asks for, declare \"/v1/reports\" with that, or send one of them to an upstream of its own)"
            ]
        );
        let (warnings, _) = told(&[
            ("/{*rest}", "read", ""),
            ("/api/{*rest}", "admin read", "strip_prefix = \"/api\""),
        ]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(
            "gateway.toml:7: routes[0].path: bypass: \"/{*rest}\" reaches the upstream \"up\" as \"/{*rest}\", like requests \
             for \"/api/{*rest}\" at routes[1].path, and \"/{*rest}\" does not ask for"
        ));
        for scope in ["admin", "admin read"] {
            let (warnings, _) = told(&[
                ("/v1/{*rest}", scope, "strip_prefix = \"/v1\""),
                ("/reports", "admin", ""),
            ]);
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn very_many_findings_of_a_kind_are_counted() {
        let paths: Vec<String> = (0..70)
            .map(|number| format!("/s{number}/{{*rest}}"))
            .collect();
        let route = |number: usize| {
            (
                format!("s{number}"),
                format!("strip_prefix = \"/s{number}\""),
            )
        };
        let more: Vec<(String, String)> = (0..70).map(route).collect();
        let routes = paths
            .iter()
            .zip(&more)
            .map(|(path, (scope, more))| (&**path, &**scope, &**more));
        let (warnings, _) = told(&routes.collect::<Vec<_>>());
        assert_eq!(warnings.len(), 51);
        assert!(
            warnings[49]
                .contains("bypass: \"/s49/{*rest}\" reaches the upstream \"up\" as \"/{*rest}\"")
        );
        assert_eq!(
            warnings[50],
            "gateway.toml:260: routes[50].strip_prefix: 20 more of this kind from here on"
        );
    }

    #[test]
    fn routes_whose_lookalikes_are_refused_are_noted_once_with_an_example() {
        let (_, notes) = told(&[
            ("/{*rest}", "read", ""),
            ("/reports", "admin", ""),
            ("/users/{id}", "read", ""),
            ("/users/me", "me", ""),
            ("/login", "read", ""),
            ("/vault/{*rest}", "vault", ""),
        ]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert_eq!(
            notes[0],
            "gateway.toml:7: routes[0].path: \"/{*rest}\" does not take what some servers take for a path of \"/reports\" \
             at routes[1].path, which asks for more: \"/reports.json\" is a 400; so for 1 other route (declare such a path \
             as a route of its own if it is meant)"
        );
        assert!(
            notes[1].contains("routes[2].path: \"/users/{id}\" does not take")
                && notes[1].contains("\"/users/me.json\"")
        );
    }
}
