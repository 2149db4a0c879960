//! Weak choices of a route: whose requests it forwards.

use std::collections::HashMap;

use http::Method;

use crate::config::{Access, Config, Fault, Route, Spanned};
use crate::policy::host::HostPattern;
use crate::policy::pattern::RoutePattern;

/// Characters that separate the parts of a scope-token: `files.read`, `files:read`,
/// `https://api.example.com/files`.
const SEPARATORS: [char; 6] = ['.', ':', '/', '-', '_', '|'];

/// How much a route requires.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Strictness {
    Public,
    AnyToken,
    Scope,
}

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        if let Some(place) = config.unenforced_by(route) {
            let paths = route.quoted_paths();
            let fault = place.fault(format!(
                "shadow mode: {paths} forwards requests without a sufficient token, and only logs them"
            ));
            found
                .push(fault.with_help("set enforce = true when the log has no more such requests"));
        }
        found.extend(too_open(route));
        if config.issuers.is_empty() && route.access != Access::Public {
            let fault = route
                .first_path()
                .fault("no issuer is declared, so no token is accepted here");
            found.push(fault.with_help("add [issuers.NAME]"));
        }
        found.extend(route.access.scopes().iter().flat_map(wide_wildcards));
    }
    found.extend(looser_methods(&config.routes));
    found
}

fn too_open(route: &Route) -> Option<Fault> {
    // A fixed response has no data to protect.
    if route.respond.is_some() {
        return None;
    }
    let every_method = route.methods.is_empty();
    let everything = route.path.iter().find(|path| path.value.starts_with("/{*"));
    let path = everything.unwrap_or(route.first_path());
    match &route.access {
        Access::Public if every_method => Some(
            path
                .fault("public for every method: no token is required, not even to change data")
                .with_help("set methods = \"GET\" to allow only reads, or scope = \"…\" to require a scope"),
        ),
        Access::Public if everything.is_some() => Some(
            path
                .fault("public: no token is required on any path that has no other route")
                .with_help("list the public paths, if they are few"),
        ),
        Access::Public => Some(
            path
                .fault("public: no token is required here")
                .with_help("set scope = \"…\", unless this path is for everybody"),
        ),
        // Rules over claims restrict the tokens as a scope does.
        Access::AnyToken if !route.claims.is_empty() => None,
        Access::AnyToken => Some(
            path
                .fault("no scope: every valid token is accepted here")
                .with_help("set scope = \"…\", unless this path is for every client of these issuers"),
        ),
        Access::Scope(_) | Access::AnyScope(_) => None,
    }
}

// `files.*` is met only by scopes of files. But any read scope meets `*.read`, `filesystem.admin`
// meets `file*`, and a scope of the application `ab` meets `app.{id}*` for the application `a`.
fn wide_wildcards(set: &Spanned<String>) -> impl Iterator<Item = Fault> {
    set.value.split(' ').filter_map(|scope| {
        let (before, _) = scope.split_once('*')?;
        let (message, help) = if before
            .chars()
            .all(|character| SEPARATORS.contains(&character))
        {
            (
                format!("{scope:?} is met by every scope with this end, for whichever API it is"),
                "put a common beginning in front of the *, as in \"orders.*\"",
            )
        } else if before.ends_with(SEPARATORS) {
            return None;
        } else {
            let (one, other) = (format!("{before}.x"), format!("{before}x"));
            (
                format!(
                    "{scope:?} is met by {other:?} as well as by {one:?}, which may be unrelated"
                ),
                "put the separator in front of the *, as in \"orders.*\"",
            )
        };
        Some(set.fault(message).with_help(help))
    })
}

// Public reads beside protected writes are common. The reverse, or a write that is less protected
// than another method, is rarely intended.
fn looser_methods(routes: &[Route]) -> Vec<Fault> {
    let routes: Vec<DeclaredPath<'_>> = routes
        .iter()
        .flat_map(|route| route.path.iter().map(move |path| (route, path)))
        .collect();
    let patterns: Vec<_> = routes
        .iter()
        .map(|(_, path)| RoutePattern::parse(&path.value).ok())
        .collect();
    let hosts: Vec<_> = routes.iter().map(|(route, _)| hosts(route)).collect();
    let hosts_and_shapes = |index: usize| {
        let shape = patterns[index].as_ref().map(RoutePattern::shape);
        let hosts = hosts[index].iter().map(Option::as_ref);
        shape
            .into_iter()
            .flat_map(move |shape| hosts.clone().map(move |host| (host, shape.clone())))
    };
    // For each host, path shape and strictness, the first route that lists its methods.
    let mut first_routes: HashMap<_, usize> = HashMap::new();
    for index in (0..routes.len()).filter(|&index| !routes[index].0.methods.is_empty()) {
        for place in hosts_and_shapes(index) {
            first_routes
                .entry((place, strictness(routes[index].0)))
                .or_insert(index);
        }
    }
    let stricter_route = |index: usize| {
        let stricter = [Strictness::AnyToken, Strictness::Scope]
            .into_iter()
            .filter(|of| *of > strictness(routes[index].0));
        let first = |of| {
            hosts_and_shapes(index)
                .filter_map(|place| first_routes.get(&(place, of)).copied())
                .min()
        };
        stricter.filter_map(first).min()
    };
    (0..routes.len())
        .filter_map(|index| looser_method(routes[index], routes[stricter_route(index)?]))
        .collect()
}

/// A route, and one of its paths.
type DeclaredPath<'c> = (&'c Route, &'c Spanned<String>);

fn looser_method(
    (route, path): DeclaredPath<'_>,
    (other, path_of_other): DeclaredPath<'_>,
) -> Option<Fault> {
    let write = route
        .methods
        .iter()
        .find(|method| !is_read(&method.value))?;
    let stricter = other.methods.first()?;
    let requirement = match strictness(route) {
        Strictness::Public => "requires no token",
        Strictness::AnyToken | Strictness::Scope => "accepts any valid token",
    };
    let message = format!(
        "{} {:?} {requirement}, while {} requires more",
        write.value, path.value, stricter.value
    );
    Some(write.fault(message).with_help(format!(
        "restrict it as the route at {} does",
        path_of_other.key()
    )))
}

// `None` stands for any host.
fn hosts(route: &Route) -> Vec<Option<HostPattern>> {
    if route.host.is_empty() {
        return vec![None];
    }
    route
        .host
        .iter()
        .filter_map(|host| HostPattern::parse(&host.value).ok())
        .map(Some)
        .collect()
}

fn strictness(route: &Route) -> Strictness {
    match &route.access {
        Access::Public => Strictness::Public,
        Access::AnyToken if route.claims.is_empty() => Strictness::AnyToken,
        Access::AnyToken => Strictness::Scope,
        Access::Scope(_) | Access::AnyScope(_) => Strictness::Scope,
    }
}

// OPTIONS counts as a read: browsers send it as a preflight, without a token.
fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(routes: &str) -> Vec<String> {
        let toml = format!(
            "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n[upstreams.up]\n\
             targets = \"http://127.0.0.1:1\"\n{routes}"
        );
        report_of(&toml, super::weak_choices)
    }

    fn of_scope(scope: &str) -> Vec<String> {
        warnings(&format!(
            "[[routes]]\npath = \"/a/{{id}}\"\nscope = \"{scope}\"\nupstream = \"up\"\n"
        ))
    }

    #[test]
    fn route_with_rules_is_not_open_to_every_token() {
        let route = |keys: &str| {
            warnings(&format!(
                "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n{keys}\n"
            ))
            .len()
        };
        assert_eq!(route(""), 1);
        assert_eq!(route("claims = [{ claim = \"azp\", is = \"web\" }]"), 0);
    }

    #[test]
    fn wildcard_that_unrelated_scopes_meet_is_warned_of() {
        for fine in [
            "a",
            "files.*",
            "files:*",
            "a/*",
            "app.{id}.*",
            "a.*.b",
            "files.* b",
        ] {
            assert_eq!(of_scope(fine), [""; 0], "{fine}");
        }
        for wide in [
            "*.read",
            "a*",
            "files*",
            "app.{id}*",
            "*a",
            ".*",
            "a.b *x",
            "*{id}",
        ] {
            let found = of_scope(wide);
            assert_eq!(found.len(), 1, "{wide}: {found:?}");
            assert!(
                found[0].starts_with("gateway.toml:8: routes[0].scope: ")
                    && found[0].contains("put "),
                "{found:?}"
            );
        }
    }

    fn pair(one: &str, other: &str) -> Vec<String> {
        let route =
            |rest: &str| format!("[[routes]]\npath = \"/a/{{x}}\"\nupstream = \"up\"\n{rest}\n");
        let found = warnings(&(route(one) + &route(other).replace("{x}", "{y}")));
        found
            .into_iter()
            .filter(|line| line.contains("while"))
            .collect()
    }

    #[test]
    fn write_that_requires_less_than_another_method_is_warned_of() {
        for (one, other) in [
            (
                "methods = \"GET\"\npublic = true",
                "methods = \"POST\"\nscope = \"a\"",
            ),
            ("methods = \"GET\"", "methods = \"POST\"\nscope = \"a\""),
            (
                "methods = \"GET\"\nscope = \"a\"",
                "methods = \"POST\"\nscope = \"b\"",
            ),
            (
                "methods = [\"OPTIONS\"]\npublic = true",
                "methods = [\"GET\", \"POST\"]\nscope = \"b\"",
            ),
            (
                "methods = \"GET\"\nscope = \"a\"",
                "methods = \"POST\"\npublic = true\nhost = \"b.test\"",
            ),
        ] {
            assert_eq!(pair(one, other), [""; 0], "{one} {other}");
            assert_eq!(pair(other, one), [""; 0], "{one} {other}");
        }
        for (one, other, message) in [
            (
                "methods = \"GET\"\nscope = \"a\"",
                "methods = [\"OPTIONS\", \"DELETE\"]\npublic = true",
                "routes[1].methods[1]: DELETE \"/a/{y}\" requires no token, while GET requires more",
            ),
            (
                "methods = \"GET\"\nscope = \"a\"",
                "methods = \"PUT\"",
                "routes[1].methods: PUT \"/a/{y}\" accepts any valid token, while GET requires more",
            ),
            (
                "methods = \"POST\"",
                "methods = \"PUT\"\npublic = true",
                "routes[1].methods: PUT \"/a/{y}\" requires no token, while POST requires more",
            ),
        ] {
            let found = pair(one, other);
            assert!(found.len() == 1 && found[0].contains(message), "{found:?}");
        }
    }

    #[test]
    fn every_path_of_a_list_is_warned_of() {
        let found = warnings(
            "[[routes]]\npath = [\"/a/:x\", \"/b/:x\"]\nscope = \"a\"\nupstream = \"up\"\nenforce = false\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("shadow mode: \"/a/:x\", \"/b/:x\" forwards"),
            "{found:?}"
        );
        let found = warnings(
            "[[routes]]\npath = [\"/a/{x}\", \"/b/{x}\"]\nmethods = \"GET\"\nscope = \"a\"\nupstream = \"up\"\n\
             [[routes]]\npath = [\"/c/{x}\", \"/b/{x}\"]\nmethods = \"PUT\"\nupstream = \"up\"\n",
        );
        let looser: Vec<_> = found.iter().filter(|line| line.contains("while")).collect();
        assert_eq!(looser.len(), 1, "{looser:?}");
        assert!(
            looser[0].contains("PUT \"/b/{x}\" accepts any valid token")
                && looser[0].contains("as the route at routes[0].path[1] does"),
            "{looser:?}"
        );
    }

    #[test]
    fn warning_of_a_public_route_says_how_much_is_public() {
        let found = |rest: &str| {
            warnings(&format!(
                "[[routes]]\nupstream = \"up\"\npublic = true\n{rest}\n"
            ))
        };
        assert!(found("path = \"/a\"")[0].contains("public for every method"));
        assert!(
            found("path = \"/{*rest}\"\nmethods = \"GET\"")[0]
                .contains("on any path that has no other route")
        );
        assert!(
            found("path = \"/a\"\nmethods = \"GET\"")[0]
                .contains("public: no token is required here (set scope")
        );
    }
}
