//! The paths of `[[routes]]`, and what of them goes upstream.

use std::collections::BTreeSet;

use crate::config::{self, Config, Fault, Spanned};
use crate::policy::pattern::RoutePattern;
use crate::policy::rewrite::{PathRewrite, RewriteError};

/// The paths of a route, with their numbers. A faulty one is left out.
pub(super) fn paths(
    written: &config::Route,
    faults: &mut Vec<Fault>,
) -> Vec<(usize, RoutePattern)> {
    let before = faults.len();
    let mut paths = Vec::new();
    for (number, path) in written.path.iter().enumerate() {
        match pattern(path) {
            Ok(pattern) => paths.push((number, pattern)),
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.len() > before {
        return paths;
    }
    if let Some(((_, first), others)) = paths.split_first() {
        let names = parameters(first);
        let differs = |(_, path): &&(usize, RoutePattern)| parameters(path) != names;
        faults.extend(others.iter().filter(differs).map(|(number, path)| {
            let message = format!(
                "expected the parameters of {:?}, which are {}, but found {}",
                first.as_str(),
                listed(&names),
                listed(&parameters(path))
            );
            written.path[*number]
                .fault(message)
                .with_help("every path of a route needs the same parameters")
        }));
    }
    paths
}

/// The parameters of a path as written, in the order of their names.
fn parameters(path: &RoutePattern) -> BTreeSet<String> {
    let written = |name: &str| {
        if path.rest() == Some(name) {
            format!("{{*{name}}}")
        } else {
            format!("{{{name}}}")
        }
    };
    path.parameters().map(written).collect()
}

fn listed(parameters: &BTreeSet<String>) -> String {
    let names: Vec<_> = parameters.iter().map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn pattern(path: &Spanned<String>) -> Result<RoutePattern, Box<Fault>> {
    let hint = || {
        config::path_hint(&path.value, |proposed| {
            RoutePattern::parse(proposed).is_ok()
        })
    };
    parsed(path, RoutePattern::parse).map_err(|fault| {
        Box::new(Fault {
            help: hint(),
            ..*fault
        })
    })
}

pub(super) fn segments_to_strip(
    prefix: &Spanned<String>,
    path: &RoutePattern,
) -> Result<usize, Box<Fault>> {
    let text = prefix.value.trim_end_matches('/');
    let rest = path
        .as_str()
        .strip_prefix(text)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_literal = text.starts_with('/') && !text.contains(['{', '}']);
    if rest.is_none() || !is_literal {
        let message = format!(
            "expected whole literal segments that the path {:?} begins with, but found {:?}",
            path.as_str(),
            prefix.value
        );
        let meant = format!("/{}", prefix.value.trim_matches('/'));
        let fits = meant != prefix.value
            && segments_to_strip(&prefix.with_value(meant.clone()), path).is_ok();
        let help = fits.then(|| format!("did you mean {meant:?}?"));
        return Err(Box::new(Fault {
            help,
            ..prefix.fault(message)
        }));
    }
    Ok(text.matches('/').count())
}

/// What replaces the paths of a route; none if it keeps them.
pub(super) fn rewrite(
    written: &config::Route,
    path: &RoutePattern,
    config: &Config,
) -> Result<Option<PathRewrite>, Box<Fault>> {
    let Some(text) = &written.rewrite else {
        return Ok(None);
    };
    let reference = || config::reference_hint(&text.value, path.as_str()).map(|(_, help)| help);
    let pattern = pattern(text).map_err(|fault| {
        Box::new(Fault {
            help: reference().or_else(|| fault.help.clone()),
            ..*fault
        })
    })?;
    let rewrite = PathRewrite::new(pattern, path, config.server.path_parameters);
    let hint = |error: &RewriteError| match error {
        RewriteError::UnknownParameter { name, .. } => {
            config::did_you_mean(name, path.parameters()).or_else(|| {
                let has_some = path.parameters().len() > 0;
                has_some.then(|| format!("the path has {}", listed(&parameters(path))))
            })
        }
        RewriteError::OtherKind { .. } | RewriteError::Refused { .. } => None,
    };
    rewrite.map(Some).map_err(|error| {
        Box::new(Fault {
            help: hint(&error),
            ..text.fault(error.to_string())
        })
    })
}

fn parsed<T, E: ToString>(
    text: &Spanned<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Box<Fault>> {
    parse(&text.value).map_err(|error| Box::new(text.fault(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::report_of;

    /// The faults of a file with these routes.
    fn faults(routes: &str) -> Vec<String> {
        report_of(&format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{routes}"
        ))
    }

    fn of_route(keys: &str) -> Vec<String> {
        faults(&format!(
            "[[routes]]\nupstream = \"up\"\npublic = true\n{keys}\n"
        ))
    }

    #[test]
    fn paths_of_a_route_need_the_same_parameters() {
        for fine in [
            "path = \"/a\"",
            "path = [\"/a\", \"/b/c\"]",
            "path = [\"/a/{x}/{y}\", \"/{y}/b/{x}\"]",
            "path = [\"/a/{*rest}\", \"/b/{*rest}\"]",
        ] {
            assert_eq!(of_route(fine), [""; 0], "{fine}");
        }
        for (keys, place, found) in [
            ("path = [\"/a/{x}\", \"/b\"]", 1, "{x}, but found none"),
            ("path = [\"/a\", \"/b/{x}\"]", 1, "none, but found {x}"),
            (
                "path = [\"/a/{x}\", \"/b/{x}\", \"/c/{y}\"]",
                2,
                "{x}, but found {y}",
            ),
            (
                "path = [\"/a/{rest}\", \"/b/{*rest}\"]",
                1,
                "{rest}, but found {*rest}",
            ),
        ] {
            let found_faults = of_route(keys);
            assert_eq!(found_faults.len(), 1, "{keys}: {found_faults:?}");
            assert!(
                found_faults[0].contains(&format!(
                    "routes[0].path[{place}]: expected the parameters of"
                )) && found_faults[0].contains(found),
                "{found_faults:?}"
            );
        }
    }

    #[test]
    fn rewrite_takes_parameters_of_the_path_only() {
        for (path, rewrite, fault) in [
            ("/a/{id}", "/b/{id}", ""),
            ("/a/{*rest}", "/{*rest}", ""),
            (
                "/a/{order}",
                "/b/{ordr}",
                "expected a parameter of the path \"/a/{order}\", but found {ordr} (did you mean \"order\"?)",
            ),
            (
                "/a/{x}/{y}",
                "/b/{id}",
                "expected a parameter of the path \"/a/{x}/{y}\", but found {id} (the path has {x}, {y})",
            ),
            (
                "/a",
                "/b/{id}",
                "expected a parameter of the path \"/a\", but found {id}",
            ),
            (
                "/a",
                "b",
                "expected a path that starts with /, but found \"b\" (did you mean \"/b\"?)",
            ),
            (
                "/a",
                "/b/../c",
                "expected a segment that a request can have, but found \"..\"",
            ),
            (
                "/a",
                "/b?c=d",
                "expected a segment that a request can have, but found \"b?c=d\"",
            ),
            ("/a", "/b;c", "expected a path that obeys the rules"),
            (
                "/a/{id}",
                "/b/\\\\1",
                "expected a segment that a request can have, but found \"\\\\1\" (expected no backslash, but found one) (did you mean {id}?)",
            ),
        ] {
            let found = of_route(&format!("path = \"{path}\"\nrewrite = \"{rewrite}\""));
            let place = format!("routes[0].rewrite: {fault}");
            assert_eq!(found.len(), usize::from(!fault.is_empty()), "{found:?}");
            assert!(found.iter().all(|one| one.contains(&place)), "{found:?}");
        }
    }

    #[test]
    fn fault_that_all_paths_share_is_reported_once() {
        let path = "path = [\"/a/{x}\", \"/b/{x}\"]\n";
        let two = faults(&format!(
            "[[routes]]\nupstream = \"up\"\nany_scope = [\"a.{{y}}\", \"b.{{z}}\"]\n{path}"
        ));
        assert_eq!(two.len(), 2, "{two:?}");
        assert_eq!(of_route(&format!("host = \"a b\"\n{path}")).len(), 1);
    }

    #[test]
    fn fault_of_one_path_has_its_place() {
        for (keys, place) in [
            ("path = [\"/a\", \"b\"]", "routes[0].path[1]: "),
            (
                "path = [\"/v1/a\", \"/v2/a\"]\nstrip_prefix = \"/v1\"",
                "routes[0].strip_prefix: expected whole literal segments that the path \"/v2/a\" begins with",
            ),
            (
                "path = [\"/a/{x}\", \"/b/{x}\", \"/a/{x}\"]",
                "routes[0].path[2]: expected paths that differ in more than the names of parameters, but found \"/a/{x}\" again (remove one of them)",
            ),
        ] {
            let found = of_route(keys);
            assert!(found.len() == 1 && found[0].contains(place), "{found:?}");
        }
    }

    #[test]
    fn each_path_of_a_list_overlaps_other_routes() {
        let route =
            |path: &str| format!("[[routes]]\nupstream = \"up\"\npublic = true\npath = {path}\n");
        let found = faults(&(route("[\"/a\", \"/b\"]") + &route("[\"/c\", \"/b\"]")));
        assert_eq!(
            found,
            [
                "gateway.toml:10: routes[1].path[1]: expected a host, path and method that no other route has, but found \
                 that routes[0] (\"/b\") takes GET as well (give one of them another host, path or methods)"
            ]
        );
    }
}
