//! Which resource a route belongs to.

use super::*;
use crate::policy::host::HostPattern;
use crate::policy::methods::Methods;
use crate::policy::pattern::RoutePattern;
use crate::policy::requirement::Requirement;

fn resource(url: &str) -> Arc<Resource> {
    let parsed = url::Url::parse(url).expect("a URL");
    let origin = parsed.origin().ascii_serialization();
    let host = parsed.host_str().expect("a host");
    let resource = Resource::new(url, &origin, host, parsed.path(), []);
    Arc::new(resource.expect("a resource"))
}

fn route(hosts: &[&str], path: &str) -> Route {
    let host = |host: &&str| HostPattern::parse(host).expect("a host pattern");
    Route {
        hosts: hosts.iter().map(host).collect(),
        path: RoutePattern::parse(path).expect("a pattern"),
        methods: Methods::all(),
        requirement: Requirement::Token { any_of: Vec::new() },
        claims: Default::default(),
        issuers: Vec::new(),
        mcp: None,
        resource: None,
        step_up: None,
        is_enforced: true,
    }
}

/// The URL of the resource of each route.
fn assigned(routes: &[(&[&str], &str)], urls: &[&str]) -> Vec<Option<String>> {
    let mut routes: Vec<_> = routes
        .iter()
        .map(|(hosts, path)| route(hosts, path))
        .collect();
    let resources: Vec<_> = urls.iter().map(|url| resource(url)).collect();
    assign(&mut routes, &resources).expect("one resource for each route");
    let url = |route: Route| Some(route.resource?.url.to_string());
    routes.into_iter().map(url).collect()
}

#[test]
fn metadata_stands_between_host_and_path() {
    for (url, expected) in [
        (
            "https://a.test",
            "https://a.test/.well-known/oauth-protected-resource",
        ),
        (
            "https://a.test/",
            "https://a.test/.well-known/oauth-protected-resource",
        ),
        (
            "https://a.test/b",
            "https://a.test/.well-known/oauth-protected-resource/b",
        ),
        (
            "https://a.test/b/",
            "https://a.test/.well-known/oauth-protected-resource/b/",
        ),
        (
            "http://[::1]:8080/b",
            "http://[::1]:8080/.well-known/oauth-protected-resource/b",
        ),
    ] {
        assert_eq!(&*resource(url).metadata_url, expected);
    }
}

#[test]
fn route_belongs_to_the_longest_path_that_its_own_begins_with() {
    let urls = ["https://a.test/x", "https://a.test", "https://a.test/x/y/"];
    for (path, expected) in [
        ("/", "https://a.test"),
        ("/x", "https://a.test/x"),
        ("/x/", "https://a.test/x"),
        ("/%78/z", "https://a.test/x"),
        ("/x/{id}", "https://a.test/x"),
        ("/x/{*rest}", "https://a.test/x"),
        ("/x/y", "https://a.test/x/y/"),
        ("/x/y/{*rest}", "https://a.test/x/y/"),
        ("/xy", "https://a.test"),
        ("/X", "https://a.test"),
        ("/{*rest}", "https://a.test"),
        ("/{x}/y", "https://a.test"),
    ] {
        let found = assigned(&[(&[], path)], &urls);
        assert_eq!(found, [Some(expected.to_owned())], "{path}");
    }
    assert_eq!(
        assigned(&[(&[], "/{*rest}")], &["https://a.test/x"]),
        [None]
    );
}

#[test]
fn route_belongs_to_a_resource_only_if_it_serves_its_host() {
    let routes: [(&[&str], &str); 5] = [
        (&["a.test"], "/1"),
        (&["*.test"], "/2"),
        (&["b.test", "a.test"], "/3"),
        (&["c.test"], "/4"),
        (&[], "/5"),
    ];
    let here = |url: &str| Some(url.to_owned());
    // A host with routes of its own uses only those.
    let url = "https://a.test";
    let expected = [here(url), None, here(url), None, None];
    assert_eq!(assigned(&routes, &[url]), expected);
    let url = "https://d.test";
    assert_eq!(
        assigned(&routes, &[url]),
        [None, here(url), None, None, None]
    );
    let url = "https://other.example";
    assert_eq!(
        assigned(&routes, &[url]),
        [None, None, None, None, here(url)]
    );
}

#[test]
fn route_of_two_hosts_cannot_belong_to_a_resource_of_each() {
    let resources = ["https://a.test/x", "https://b.test"].map(resource);
    let mut routes = [route(&[], "/x"), route(&[], "/y")];
    let several = assign(&mut routes, &resources).expect_err("two resources");
    let urls = ["https://a.test/x".into(), "https://b.test".into()];
    assert_eq!(several, [SeveralResources { route: 0, urls }]);
}
