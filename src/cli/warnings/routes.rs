//! Weak choices about who may pass.

use std::collections::HashMap;

use http::Method;

use crate::config::{Access, Config, Fault, Route, Spanned};
use crate::policy::host::HostPattern;
use crate::policy::pattern::RoutePattern;

/// What separates the parts of a scope-token: `files.read`, `files:read`, `https://api.example.com/files`.
const SEPARATORS: [char; 6] = ['.', ':', '/', '-', '_', '|'];

/// How much a route asks for.
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
            let path = &route.path.value;
            let fault = place.fault(format!(
                "shadow mode: {path:?} turns nobody away for lack of a good token, it only tells"
            ));
            found.push(fault.with_help("enforce = true once the log is quiet"));
        }
        found.extend(too_open(route));
        found.extend(literal(&route.path));
        if config.issuers.is_empty() && route.access != Access::Public {
            let fault = route
                .path
                .fault("no issuer is declared, so no token passes here");
            found.push(fault.with_help("add [issuers.NAME]"));
        }
        found.extend(required(route).iter().flat_map(wide_wildcards));
    }
    found.extend(looser_methods(&config.routes));
    found
}

fn too_open(route: &Route) -> Option<Fault> {
    let every_method = route.methods.is_empty();
    let is_everything = route.path.value.starts_with("/{*");
    match &route.access {
        Access::Public if every_method => Some(
            route
                .path
                .fault("public for every method: nobody is asked for a token here, whatever they change")
                .with_help("methods = \"GET\" opens reading only; scope = \"…\" says what is needed"),
        ),
        Access::Public if is_everything => Some(
            route
                .path
                .fault("public: nobody is asked for a token on any path that no other route takes")
                .with_help("name the paths that are meant for everybody, if they are few"),
        ),
        Access::Public => Some(
            route
                .path
                .fault("public: nobody is asked for a token here")
                .with_help("scope = \"…\" says what is needed, unless everybody is meant"),
        ),
        Access::AnyToken => Some(
            route
                .path
                .fault("no scope: every valid token passes here")
                .with_help("scope = \"…\" says what is needed, unless every client of these issuers is meant"),
        ),
        Access::Scope(_) | Access::AnyScope(_) => None,
    }
}

// Other gateways write their parameters so, and their patterns.
fn literal(path: &Spanned<String>) -> Option<Fault> {
    let name_of = |segment: &&str| {
        let colon = segment.strip_prefix(':').filter(|name| !name.is_empty());
        let angled = || segment.strip_prefix('<')?.strip_suffix('>');
        colon
            .map(str::to_owned)
            .or_else(|| angled().map(|name| name.rsplit(':').next().unwrap_or(name).to_owned()))
    };
    let found = path
        .value
        .split('/')
        .find_map(|segment| Some((segment, name_of(&segment)?)));
    let is_expression = |segment: &&str| {
        [".*", "(.*)", ".+", "[^/]+", "([^/]+)", "[0-9]+", "\\d+"].contains(segment)
    };
    let expression = || {
        path.value
            .split('/')
            .find(is_expression)
            .map(|segment| (segment, "name".to_owned()))
    };
    let (segment, name) = found.or_else(expression)?;
    let fault = path.fault(format!("{segment:?} is taken literally"));
    Some(fault.with_help(format!("{{{name}}} takes any segment")))
}

fn required(route: &Route) -> &[Spanned<String>] {
    match &route.access {
        Access::Public | Access::AnyToken => &[],
        Access::Scope(scope) => std::slice::from_ref(scope),
        Access::AnyScope(sets) => sets,
    }
}

// `files.*` is met by whatever is granted of files. `*.read` is met by reading anything at all, `file*` by `filesystem.admin`
// and `app.{id}*` for the application `a` by what is granted of `ab`.
fn wide_wildcards(set: &Spanned<String>) -> impl Iterator<Item = Fault> {
    set.value.split(' ').filter_map(|scope| {
        let (before, _) = scope.split_once('*')?;
        let (message, help) = if before.chars().all(|character| SEPARATORS.contains(&character)) {
            (
                format!(
                    "{scope:?} is met by scopes that have nothing to do with this API, as far as their ends are alike"
                ),
                "put what they have in common in front of the *, as in \"orders.*\"",
            )
        } else if before.ends_with(SEPARATORS) {
            return None;
        } else {
            let (one, other) = (format!("{before}.x"), format!("{before}x"));
            (
                format!("{scope:?} is met by {other:?} as well as by {one:?}: what begins alike may be something else"),
                "put the separator in front of the *, as in \"orders.*\"",
            )
        };
        Some(set.fault(message).with_help(help))
    })
}

// Reading may be open where writing is not. The other way round, or one way of writing less guarded than another, is seldom
// meant.
fn looser_methods(routes: &[Route]) -> Vec<Fault> {
    let patterns: Vec<_> = routes
        .iter()
        .map(|route| RoutePattern::parse(&route.path.value).ok())
        .collect();
    let hosts: Vec<_> = routes.iter().map(hosts).collect();
    let places = |index: usize| {
        let shape = patterns[index].as_ref().map(RoutePattern::shape);
        let hosts = hosts[index].iter().map(Option::as_ref);
        shape
            .into_iter()
            .flat_map(move |shape| hosts.clone().map(move |host| (host, shape.clone())))
    };
    // Of the routes of one place that say for which methods they are, the first that asks for so much.
    let mut guarded: HashMap<_, usize> = HashMap::new();
    for index in (0..routes.len()).filter(|&index| !routes[index].methods.is_empty()) {
        for place in places(index) {
            guarded
                .entry((place, strictness(&routes[index])))
                .or_insert(index);
        }
    }
    let beside = |index: usize| {
        let stricter = [Strictness::AnyToken, Strictness::Scope]
            .into_iter()
            .filter(|of| *of > strictness(&routes[index]));
        let first = |of| {
            places(index)
                .filter_map(|place| guarded.get(&(place, of)).copied())
                .min()
        };
        stricter.filter_map(first).min()
    };
    (0..routes.len())
        .filter_map(|index| looser_method(&routes[index], &routes[beside(index)?]))
        .collect()
}

fn looser_method(route: &Route, other: &Route) -> Option<Fault> {
    let changing = route.methods.iter().find(|method| !reads(&method.value))?;
    let guarded = other.methods.first()?;
    let asked = match strictness(route) {
        Strictness::Public => "asks for no token",
        Strictness::AnyToken | Strictness::Scope => "takes any valid token",
    };
    let message = format!(
        "{} {:?} {asked}, while {} asks for more",
        changing.value, route.path.value, guarded.value
    );
    Some(changing.fault(message).with_help(format!(
        "give it a scope of its own, as the route at {} has",
        other.path.key()
    )))
}

// `None` stands for any.
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
        Access::AnyToken => Strictness::AnyToken,
        Access::Scope(_) | Access::AnyScope(_) => Strictness::Scope,
    }
}

// OPTIONS is how browsers ask before they send a token.
fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS
}

#[cfg(test)]
mod tests {
    use crate::config;

    fn warnings(routes: &str) -> Vec<String> {
        let toml = format!(
            "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n[upstreams.up]\n\
             targets = \"http://127.0.0.1:1\"\n{routes}"
        );
        let (config, source) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        source
            .report(super::weak_choices(&config))
            .lines()
            .collect()
    }

    fn of_scope(scope: &str) -> Vec<String> {
        warnings(&format!(
            "[[routes]]\npath = \"/a/{{id}}\"\nscope = \"{scope}\"\nupstream = \"up\"\n"
        ))
    }

    #[test]
    fn wildcards_that_cover_what_is_not_meant_are_warned_of() {
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
            let told = of_scope(wide);
            assert_eq!(told.len(), 1, "{wide}: {told:?}");
            assert!(
                told[0].starts_with("gateway.toml:8: routes[0].scope: ")
                    && told[0].contains("put "),
                "{told:?}"
            );
        }
    }

    #[test]
    fn parameters_in_the_way_of_others_are_warned_of() {
        let told = |path: &str| {
            warnings(&format!(
                "[[routes]]\npath = \"{path}\"\nscope = \"a\"\nupstream = \"up\"\n"
            ))
        };
        assert_eq!(told("/a/x:y/:"), [""; 0]);
        for (path, message) in [
            (
                "/orders/:id/items",
                "\":id\" is taken literally ({id} takes any segment)",
            ),
            (
                "/orders/<int:id>",
                "\"<int:id>\" is taken literally ({id} takes any segment)",
            ),
            (
                "/orders/[0-9]+",
                "\"[0-9]+\" is taken literally ({name} takes any segment)",
            ),
        ] {
            let told = told(path);
            assert!(told.len() == 1 && told[0].ends_with(message), "{told:?}");
        }
    }

    fn pair(one: &str, other: &str) -> Vec<String> {
        let route =
            |rest: &str| format!("[[routes]]\npath = \"/a/{{x}}\"\nupstream = \"up\"\n{rest}\n");
        let told = warnings(&(route(one) + &route(other).replace("{x}", "{y}")));
        told.into_iter()
            .filter(|line| line.contains("while"))
            .collect()
    }

    #[test]
    fn methods_that_are_left_open_beside_guarded_ones_are_warned_of() {
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
                "routes[1].methods[1]: DELETE \"/a/{y}\" asks for no token, while GET asks for more",
            ),
            (
                "methods = \"GET\"\nscope = \"a\"",
                "methods = \"PUT\"",
                "routes[1].methods: PUT \"/a/{y}\" takes any valid token, while GET asks for more",
            ),
            (
                "methods = \"POST\"",
                "methods = \"PUT\"\npublic = true",
                "routes[1].methods: PUT \"/a/{y}\" asks for no token, while POST asks for more",
            ),
        ] {
            let told = pair(one, other);
            assert!(told.len() == 1 && told[0].contains(message), "{told:?}");
        }
    }

    #[test]
    fn public_routes_are_told_by_how_much_they_open() {
        let told = |rest: &str| {
            warnings(&format!(
                "[[routes]]\nupstream = \"up\"\npublic = true\n{rest}\n"
            ))
        };
        assert!(told("path = \"/a\"")[0].contains("public for every method"));
        assert!(
            told("path = \"/{*rest}\"\nmethods = \"GET\"")[0]
                .contains("on any path that no other route takes")
        );
        assert!(
            told("path = \"/a\"\nmethods = \"GET\"")[0]
                .contains("public: nobody is asked for a token here (scope")
        );
    }
}
