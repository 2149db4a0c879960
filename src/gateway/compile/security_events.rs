//! `[revocations] push`: the path for Security Event Tokens.

use crate::clock;
use crate::config::{Config, Fault, Spanned};
use crate::gateway::resource_metadata::ResourceDocuments;
use crate::gateway::security_events::SecurityEventReceiver;
use crate::gateway::snapshot::{Declaration, Snapshot};
use crate::policy::path::NormalPath;
use crate::policy::route_table::RouteTable;
use crate::values::PathParameters;

/// The receiver; none without `push`.
pub(super) fn compile(
    config: &Config,
    earlier: Option<&Snapshot>,
) -> Option<Box<SecurityEventReceiver>> {
    let push = config.revocations.as_ref()?.push.as_ref()?;
    let path = normal_path(push).ok()?;
    let earlier = earlier.and_then(|earlier| earlier.security_events.as_deref());
    let receiver = SecurityEventReceiver::new(path.as_str().into(), earlier, clock::now());
    Some(Box::new(receiver))
}

/// Refuses a path that no request has, or that is that of something else.
pub(super) fn check(
    config: &Config,
    routes: &RouteTable,
    declaration: impl Fn(usize) -> Declaration,
    documents: Option<&ResourceDocuments>,
    faults: &mut Vec<Fault>,
) {
    let written = config.revocations.as_ref();
    let Some(push) = written.and_then(|written| written.push.as_ref()) else {
        return;
    };
    let path = match normal_path(push) {
        Ok(path) => path,
        Err(fault) => return faults.push(*fault),
    };
    faults.extend(routes.matching(&path).map(|index| {
        let Declaration { route, path } = declaration(index);
        hidden_route(&config.routes[route].path[path], push)
    }));
    if documents.is_some_and(|documents| documents.is_at(path.as_str())) {
        let message = format!(
            "expected a path that the gateway does not answer itself, but found the metadata of a resource ({:?})",
            push.value
        );
        faults.push(push.fault(message).with_help("choose another path"));
    }
}

/// The faults of routes, if the file has other faults as well.
pub(super) fn faults(config: &Config) -> Option<Fault> {
    let push = config.revocations.as_ref()?.push.as_ref()?;
    normal_path(push).err().map(|fault| *fault)
}

// Requests are compared with it in normal form, so another spelling would match none.
fn normal_path(push: &Spanned<String>) -> Result<NormalPath<'_>, Box<Fault>> {
    let written = push.value.as_str();
    let is_plain = written.starts_with('/') && !written.contains(['{', '}', '?', '#', '*', ';']);
    let normal = NormalPath::parse(written, PathParameters::Refuse).ok();
    let normal = normal.filter(|path| is_plain && path.as_str() == written);
    normal.ok_or_else(|| {
        let message =
            format!("expected a path in normal form and without parameters, but found {written:?}");
        let help = "one that begins with \"/\", as \"/events\"";
        Box::new(push.fault(message).with_help(help))
    })
}

fn hidden_route(route: &Spanned<String>, push: &Spanned<String>) -> Fault {
    let message = format!(
        "expected a path that leaves {:?} to Security Event Tokens, but found {:?}, which matches it",
        push.value, route.value
    );
    let help = format!("change {}, or the path of the route", push.key());
    route.fault(message).with_help(help)
}

#[cfg(test)]
mod tests {
    use crate::gateway::compile::{messages_of, report_of};

    fn toml(push: &str, routes: &str) -> String {
        format!(
            "[revocations]\npush = \"{push}\"\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\n{routes}"
        )
    }

    fn route(path: &str, keys: &str) -> String {
        format!("[[routes]]\npath = \"{path}\"\nupstream = \"up\"\n{keys}\n")
    }

    #[test]
    fn route_that_matches_the_path_of_events_is_refused() {
        for (path, keys, is_refused) in [
            ("/events", "", true),
            ("/{name}", "", true),
            ("/{*rest}", "", true),
            ("/events/{*rest}", "", true),
            ("/%65vents", "", true),
            ("/events/", "", false),
            ("/events", "methods = \"GET\"", true),
            ("/events", "host = \"api.test\"", true),
            ("/events/more", "", false),
            ("/Events", "", false),
            ("/other/{*rest}", "", false),
        ] {
            let found = messages_of(&toml("/events", &route(path, keys)));
            assert_eq!(!found.is_empty(), is_refused, "{path} {keys}: {found:?}");
            let is_about = |one: &String| one.contains("Security Event Tokens");
            assert!(found.iter().all(is_about), "{found:?}");
        }
        // A more specific route does not hide another one.
        let both = route("/{*rest}", "") + &route("/events", "methods = \"POST\"");
        assert_eq!(messages_of(&toml("/events", &both)).len(), 2);
        let found = report_of(&toml("/events", &route("/{a}", "")));
        assert_eq!(
            found,
            [
                "gateway.toml:9: routes[0].path: expected a path that leaves \"/events\" to Security Event Tokens, but found \
                 \"/{a}\", which matches it (change revocations.push, or the path of the route)"
            ]
        );
    }

    #[test]
    fn path_of_events_is_one_that_a_request_can_have() {
        for push in [
            "events",
            "/a//b",
            "/a/../b",
            "/{name}",
            "/a?b",
            "/a#b",
            "/a b",
            "/%65vents",
            "/*",
            "/a;b",
            "https://a/b",
        ] {
            let found = messages_of(&toml(push, &route("/x", "")));
            assert!(
                found.len() == 1 && found[0].starts_with("revocations.push: expected a path"),
                "{push}: {found:?}"
            );
        }
        for push in ["/", "/events", "/ssf/v1/events", "/a.b/~c-d_e", "/events/"] {
            assert_eq!(
                messages_of(&toml(push, &route("/x", ""))),
                [""; 0],
                "{push}"
            );
        }
    }

    #[test]
    fn metadata_of_a_resource_keeps_its_path() {
        let resource = "[[resources]]\nurl = \"https://a.test/x\"\n";
        let push = "/.well-known/oauth-protected-resource/x";
        let found = messages_of(&toml(push, &(route("/x", "") + resource)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("metadata of a resource"), "{found:?}");
    }
}
