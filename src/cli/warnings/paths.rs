//! How routes affect each other. A path belongs to its most specific route only, a lookalike of it
//! is refused by other routes, and a rewritten path may belong to several routes at the upstream.

use std::collections::BTreeMap;

use http::Method;

use crate::config::{Config, Fault, Route, Spanned};
use crate::gateway::Snapshot;
use crate::policy::rewrite::PathRewrite;
use crate::policy::route_table::{Bypass, RefusedLookalikes, UpstreamRewrite};
use crate::upstream::HostHeader;

/// Maximum findings of one kind that are printed. When they are fixed, `check` prints the next
/// ones.
const MAX_PRINTED: usize = 50;

pub(super) fn weak_choices(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut found = limited(unreachable_methods(config, snapshot));
    found.extend(limited(bypasses(config, snapshot)));
    found
}

fn limited(mut found: Vec<Fault>) -> Vec<Fault> {
    let more = found.len().saturating_sub(MAX_PRINTED);
    if let Some(last) = found.get_mut(MAX_PRINTED) {
        (last.message, last.help) = (
            format!("{more} more findings of this kind from here on"),
            None,
        );
    }
    found.truncate(MAX_PRINTED + 1);
    found
}

fn unreachable_methods(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let lost = snapshot.routes.unreachable_methods().into_iter().filter_map(|unreachable| {
        let [(route, hiding), (_, hidden)] =
            [unreachable.at, unreachable.of].map(|index| snapshot.declaration(index, config));
        let methods = match unreachable.methods.listed() {
            Some(listed) => joined(listed),
            None => "every other method".to_owned(),
        };
        let fault = route.methods.first()?.fault(format!(
            "{methods} {:?} is a 405, although {:?} at {} allows it: a path belongs to its most specific route only",
            hiding.value,
            hidden.value,
            hidden.key()
        ));
        Some(fault.with_help(format!("if that is not intended, add {methods} here, or a route for it at {:?}", hiding.value)))
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
            rewritten: forwarding.rewrite.as_deref().map(PathRewrite::as_pattern),
            is_host_passed: snapshot
                .upstreams
                .get(forwarding.upstream)
                .is_none_or(|upstream| matches!(upstream.settings().host, HostHeader::Pass)),
        });
    let found = snapshot.routes.bypasses(&sent.collect::<Vec<_>>());
    let mut faults: Vec<_> = found
        .bypasses
        .iter()
        .map(|bypass| bypass_fault(config, snapshot, bypass))
        .collect();
    let rewritten = config.routes.iter().find_map(changed_by);
    if let Some(prefix) = rewritten.filter(|_| found.is_incomplete) {
        let fault =
            prefix.fault("too many paths overlap at the upstream to compare them all: some bypasses may not be reported");
        faults.push(fault.with_help("check parts of the file separately"));
    }
    faults
}

// The key that changes the paths of a route before they go upstream.
fn changed_by(route: &Route) -> Option<&Spanned<String>> {
    route.strip_prefix.as_ref().or(route.rewrite.as_ref())
}

fn bypass_fault(config: &Config, snapshot: &Snapshot, bypass: &Bypass) -> Fault {
    let [(through, path), (to, path_of_other)] =
        [bypass.through, bypass.to].map(|index| snapshot.declaration(index, config));
    let place = changed_by(through).unwrap_or(path);
    let more = if bypass.has_more { ", and others" } else { "" };
    let fault = place.fault(format!(
        "bypass: {:?} reaches upstream {:?} as {:?}, as do requests for {:?} at {}{more}, but {:?} does not require \
         all that they require",
        bypass.requested_path,
        through.upstream_name().unwrap_or_default(),
        bypass.upstream_path,
        path_of_other.value,
        path_of_other.key(),
        path.value,
    ));
    fault.with_help(format!(
        "require what {} requires, add a route for {:?} that does, or use separate upstreams",
        to.place(),
        bypass.requested_path
    ))
}

/// Paths of a route that are refused because a server may read them as another route's.
pub(super) fn notes(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut by_route: BTreeMap<usize, (RefusedLookalikes, usize)> = BTreeMap::new();
    for refused in snapshot.routes.refused_lookalikes() {
        by_route
            .entry(refused.through)
            .and_modify(|(_, more)| *more += 1)
            .or_insert((refused, 0));
    }
    let note = |(refused, more): (RefusedLookalikes, usize)| {
        let [(_, through), (_, of)] =
            [refused.through, refused.of].map(|index| snapshot.declaration(index, config));
        let others = match more {
            0 => String::new(),
            1 => "; the same holds for 1 other route".to_owned(),
            more => format!("; the same holds for {more} other routes"),
        };
        let fault = through.fault(format!(
            "{:?} refuses paths that some servers read as {:?} at {}, which requires more: {:?} is a 400{others}",
            through.value,
            of.value,
            of.key(),
            refused.example
        ));
        fault.with_help("if such a path is intended, add a route for it")
    };
    limited(by_route.into_values().map(note).collect())
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

    /// The warnings and notes of a file with these routes: each has a path, a scope and other keys.
    fn findings(routes: &[(&str, &str, &str)]) -> (Vec<String>, Vec<String>) {
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
    fn method_that_a_more_specific_route_hides_is_warned_of() {
        let (warnings, _) = findings(&[
            ("/orders/{id}", "read", "methods = \"GET\""),
            ("/orders/export", "export", "methods = \"POST\""),
        ]);
        assert_eq!(
            warnings,
            [
                "gateway.toml:15: routes[1].methods: GET \"/orders/export\" is a 405, although \"/orders/{id}\" at \
              routes[0].path allows it: a path belongs to its most specific route only (if that is not intended, add GET \
              here, or a route for it at \"/orders/export\")"
            ]
        );
        for fine in [
            ["methods = \"GET\"", "methods = [\"GET\", \"POST\"]"],
            ["methods = \"GET\"", ""],
        ] {
            let [of_parameter, of_literal] = fine;
            let (warnings, _) = findings(&[
                ("/orders/{id}", "a", of_parameter),
                ("/orders/export", "a", of_literal),
            ]);
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn path_that_is_rewritten_to_that_of_a_stricter_route_is_warned_of() {
        let (warnings, _) = findings(&[
            ("/v1/{*rest}", "read", "strip_prefix = \"/v1\""),
            ("/reports", "admin", ""),
            ("/open", "read", ""),
        ]);
        assert_eq!(
            warnings,
            [
                "gateway.toml:10: routes[0].strip_prefix: bypass: \"/v1/reports\" reaches upstream \"up\" as \"/reports\", \
              as do requests for \"/reports\" at routes[1].path, but \"/v1/{*rest}\" does not require all that they \
              require (require what routes[1] requires, add a route for \"/v1/reports\" that does, or use separate \
              upstreams)"
            ]
        );
        let (warnings, _) = findings(&[
            ("/{*rest}", "read", ""),
            ("/api/{*rest}", "admin read", "strip_prefix = \"/api\""),
        ]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(
            "gateway.toml:7: routes[0].path: bypass: \"/{*rest}\" reaches upstream \"up\" as \"/{*rest}\", as do requests \
             for \"/api/{*rest}\" at routes[1].path, but \"/{*rest}\" does not require"
        ));
        let (warnings, _) = findings(&[
            ("/old/{*rest}", "read", "rewrite = \"/{*rest}\""),
            ("/reports", "admin", ""),
        ]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(
            "gateway.toml:10: routes[0].rewrite: bypass: \"/old/reports\" reaches upstream \"up\" as \"/reports\""
        ));
        for scope in ["admin", "admin read"] {
            let (warnings, _) = findings(&[
                ("/v1/{*rest}", scope, "strip_prefix = \"/v1\""),
                ("/reports", "admin", ""),
            ]);
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn findings_above_the_limit_are_counted() {
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
        let (warnings, _) = findings(&routes.collect::<Vec<_>>());
        assert_eq!(warnings.len(), 51);
        assert!(
            warnings[49]
                .contains("bypass: \"/s49/{*rest}\" reaches upstream \"up\" as \"/{*rest}\"")
        );
        assert_eq!(
            warnings[50],
            "gateway.toml:260: routes[50].strip_prefix: 20 more findings of this kind from here on"
        );
    }

    #[test]
    fn route_with_refused_lookalikes_gets_one_note_with_an_example() {
        let (_, notes) = findings(&[
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
            "gateway.toml:7: routes[0].path: \"/{*rest}\" refuses paths that some servers read as \"/reports\" at \
             routes[1].path, which requires more: \"/reports.json\" is a 400; the same holds for 1 other route (if such \
             a path is intended, add a route for it)"
        );
        assert!(
            notes[1].contains("routes[2].path: \"/users/{id}\" refuses paths")
                && notes[1].contains("\"/users/me.json\"")
        );
    }
}
