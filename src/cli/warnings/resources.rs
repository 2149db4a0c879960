//! Weak choices of `[[resources]]`.

use crate::config::{self, Config, Fault};
use crate::gateway::Snapshot;
use crate::policy::resource::Resource;
use crate::policy::route::Route;

pub(super) fn weak_choices(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut found = Vec::new();
    for resource in &config.resources {
        found.extend(without_routes(resource, snapshot));
        found.extend(without_servers(resource, snapshot));
        found.extend(foreign_origin(resource, config));
        let is_offline = |scope: &&config::Spanned<String>| scope.value == "offline_access";
        found.extend(resource.scopes.iter().find(is_offline).map(|scope| {
            scope
                .fault("offline_access is for a refresh token, and no scope of an API")
                .with_help("remove it: clients that want a refresh token add it themselves")
        }));
    }
    found
}

/// Routes whose paths differ from that of their resource.
pub(super) fn notes(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let note = |resource: &config::Resource| {
        let mut below = routes_of(resource, snapshot).filter(|(_, route)| {
            route
                .resource
                .as_ref()
                .is_some_and(|resource| !resource.is_at(&route.path))
        });
        let (index, _) = below.next()?;
        let (_, path) = snapshot.declaration(index, config);
        let others = match below.count() {
            0 => String::new(),
            1 => ", as does one other".to_owned(),
            more => format!(", as do {more} others"),
        };
        let message = format!(
            "{:?} at {} differs from the path of the resource{others}: strict clients want the resource to equal the URL \
             that they request",
            path.value,
            path.key()
        );
        let help = "if a client refuses the metadata, give that path a resource of its own";
        Some(resource.url.fault(message).with_help(help))
    };
    config.resources.iter().filter_map(note).collect()
}

// The routes of a resource that require a token.
fn routes_of<'s>(
    resource: &'s config::Resource,
    snapshot: &'s Snapshot,
) -> impl Iterator<Item = (usize, &'s Route)> {
    let routes = snapshot.routes.routes().iter().enumerate();
    routes.filter(|(_, route)| {
        let is_its = |of_route: &Resource| *of_route.url == *resource.url.value.identifier;
        !route.requirement.is_public() && route.resource.as_deref().is_some_and(is_its)
    })
}

fn without_routes(resource: &config::Resource, snapshot: &Snapshot) -> Option<Fault> {
    if routes_of(resource, snapshot).next().is_some() {
        return None;
    }
    let url = &resource.url.value.url;
    let message = format!(
        "no route below {:?} serves the host {:?} and requires a token, so the resource protects nothing",
        url.path(),
        url.host_str().unwrap_or_default()
    );
    let help = "change url to where the routes are, or remove the resource";
    Some(resource.url.fault(message).with_help(help))
}

fn without_servers(resource: &config::Resource, snapshot: &Snapshot) -> Option<Fault> {
    routes_of(resource, snapshot).next()?;
    let documents = snapshot.resource_documents.as_ref()?;
    let document = documents.of(&resource.url.value.identifier)?;
    if document.names_authorization_server {
        return None;
    }
    let message =
        "the metadata names no authorization server: no issuer of its routes is called by a URL";
    let help = "clients cannot find out where to get a token; if the issuer has a URL, put it first in issuer";
    Some(resource.url.fault(message).with_help(help))
}

fn foreign_origin(resource: &config::Resource, config: &Config) -> Option<Fault> {
    let external = config.server.external_url.as_ref()?;
    let url = &resource.url.value.url;
    let has_hosts = config.routes.iter().any(|route| !route.host.is_empty());
    if has_hosts || external.value.origin() == url.origin() {
        return None;
    }
    let message = format!(
        "clients fetch the metadata from {}, but external_url is {}",
        url.origin().ascii_serialization(),
        external.value.origin().ascii_serialization()
    );
    let help = "the url of a resource begins with the URL that clients use for the gateway";
    Some(resource.url.fault(message).with_help(help))
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::gateway::compile;

    /// The warnings and the notes of a file with this content.
    fn findings(toml: &str) -> (Vec<String>, Vec<String>) {
        let toml = format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\n{toml}"
        );
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

    fn route(path: &str) -> String {
        format!("[[routes]]\npath = {path}\nupstream = \"up\"\n")
    }

    #[test]
    fn route_with_another_path_than_its_resource_is_noted() {
        let resource = "[[resources]]\nurl = \"https://a.test/mcp\"\n";
        let notes = |path: &str| findings(&(route(path) + resource)).1;
        assert_eq!(notes("\"/mcp\""), [""; 0]);
        assert_eq!(notes("\"/mcp/\""), [""; 0]);
        let found = notes("[\"/mcp\", \"/mcp/a\", \"/mcp/b\"]");
        assert_eq!(
            found,
            [
                "gateway.toml:10: resources[0].url: \"/mcp/a\" at routes[0].path[1] differs from the path of the resource, \
                 as does one other: strict clients want the resource to equal the URL that they request (if a client \
                 refuses the metadata, give that path a resource of its own)"
            ]
        );
    }

    #[test]
    fn resource_that_cannot_be_used_is_warned_of() {
        let corp = route("\"/mcp\"");
        let of_product = "[issuers.b]\nissuer = \"com.example.b\"\naudience = \"b\"\njwks_uri = \"https://b.test/\"\n\
                          [[routes]]\npath = \"/mcp\"\nissuers = \"b\"\nupstream = \"up\"\n";
        let public = "[[routes]]\npath = \"/mcp\"\npublic = true\nupstream = \"up\"\n";
        let external = format!("[server]\nexternal_url = \"https://other.test\"\n{corp}");
        for (routes, url, keys, expected) in [
            (&*corp, "https://a.test/mcp", "", None),
            (
                &corp,
                "https://a.test/mcq",
                "",
                Some("no route below \"/mcq\" serves the host \"a.test\""),
            ),
            (
                public,
                "https://a.test/mcp",
                "",
                Some("so the resource protects nothing"),
            ),
            (
                of_product,
                "https://a.test/mcp",
                "",
                Some("names no authorization server"),
            ),
            (
                &external,
                "https://a.test/mcp",
                "",
                Some("from https://a.test, but external_url is https://other.test"),
            ),
            (&external, "https://other.test/mcp", "", None),
            (
                &corp,
                "https://a.test/mcp",
                "scopes = [\"a\", \"offline_access\"]",
                Some("offline_access is for a refresh token"),
            ),
        ] {
            let toml = format!("{routes}[[resources]]\nurl = \"{url}\"\n{keys}\n");
            let (found, _) = findings(&toml);
            assert_eq!(
                found.len(),
                usize::from(expected.is_some()),
                "{url}: {found:?}"
            );
            let expected = expected.unwrap_or_default();
            assert!(found.iter().all(|one| one.contains(expected)), "{found:?}");
        }
    }
}
