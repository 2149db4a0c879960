//! Keys and tables that have no effect, because of what others say.

use std::collections::HashSet;

use crate::config::{
    ClientNetwork, Config, Fault, Log, Route, Spanned, Target, TargetAddress, Upstream,
};
use crate::values::{Keyword, LogLevel};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = fields_without_a_line(&config.log);
    found.extend(socket_without_listener(config));
    found.extend(config.upstreams.iter().flat_map(tls_without_https));
    found.extend(unused_upstreams(config));
    found.extend(unused_limits(config));
    found.extend(
        config
            .routes
            .iter()
            .filter_map(|route| uncounted(config, route)),
    );
    found
}

fn fields_without_a_line(log: &Log) -> Vec<Fault> {
    let reason = match log.level {
        _ if !log.access => "access = false".to_owned(),
        level @ (LogLevel::Error | LogLevel::Warn) => format!("level = {:?}", level.keyword()),
        LogLevel::Info | LogLevel::Debug | LogLevel::Trace => return Vec::new(),
    };
    let fields = [&log.path, &log.subject].into_iter();
    let no_effect = |field: &Spanned<bool>| {
        field
            .fault(format!("no effect: with {reason}, requests are not logged"))
            .with_help("set access = true and level = \"info\", or remove it")
    };
    fields.filter(|field| field.value).map(no_effect).collect()
}

fn socket_without_listener(config: &Config) -> Option<Fault> {
    let mut proxies = config.server.trusted_proxies.iter();
    let unix = proxies.find(|proxy| proxy.value == ClientNetwork::Unix)?;
    (!config.has_unix_listener()).then(|| {
        unix.fault("no effect: no listener is a Unix socket")
            .with_help("add a listener such as \"unix:/run/scopegate.sock\", or remove \"unix\"")
    })
}

fn tls_without_https(upstream: &Upstream) -> Vec<Fault> {
    let is_https = |target: &Spanned<Target>| match &target.value.address {
        TargetAddress::Url(url) => url.scheme() == "https",
        TargetAddress::Unix(_) => false,
    };
    if upstream.targets.iter().any(is_https) {
        return Vec::new();
    }
    let message = "no effect: no target is https://";
    let name = upstream.tls_server_name.as_ref();
    let name = name.map(|name| name.fault(message));
    let files = upstream.files().map(|file| file.fault(message));
    let found = name.into_iter().chain(files);
    found
        .map(|fault| fault.with_help("write the targets with https://, or remove it"))
        .collect()
}

fn unused_upstreams(config: &Config) -> impl Iterator<Item = Fault> {
    let names = config.routes.iter().filter_map(Route::upstream_name);
    let used: HashSet<_> = names.collect();
    let upstreams = config.upstreams.iter().map(|upstream| &upstream.name);
    let unused = upstreams.filter(move |name| !used.contains(name.value.as_str()));
    unused.map(|name| {
        name.fault("no route uses this upstream")
            .with_help("remove it, or add a route that uses it")
    })
}

fn unused_limits(config: &Config) -> impl Iterator<Item = Fault> {
    let names = config.routes.iter().flat_map(|route| &route.limit);
    let used: HashSet<_> = names.map(|name| name.value.as_str()).collect();
    let limits = config.limits.iter().map(|limit| &limit.name);
    let unused = limits.filter(move |name| !used.contains(name.value.as_str()));
    unused.map(|name| {
        name.fault("no effect: no route names this limit")
            .with_help(format!(
                "add limit = {:?} to the routes that it is for, or remove it",
                name.value
            ))
    })
}

/// In shadow mode, requests without a valid token pass, and only limits that need none count them.
fn uncounted(config: &Config, route: &Route) -> Option<Fault> {
    config.unenforced_by(route)?;
    let needs_token = |name: &&Spanned<String>| {
        let mut limits = config.limits.iter();
        let limit = limits.find(|limit| limit.name == **name);
        limit.is_some_and(|limit| limit.part_of_token().is_some())
    };
    let first = route.limit.first()?;
    let all_need_tokens = route.limit.iter().all(|name| needs_token(&name));
    all_need_tokens.then(|| {
        first
            .fault("in shadow mode, requests without a valid token pass and count in no limit of this route")
            .with_help("name a limit with key = \"address\" as well")
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    /// The warnings about a file with these lines, but for unused upstreams.
    fn warnings(keys: &str) -> Vec<String> {
        let mut found = report_of(keys, super::weak_choices);
        found.retain(|line| !line.contains("no route uses"));
        found
    }

    #[test]
    fn upstream_that_no_route_uses_is_warned_of() {
        let toml = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                    [upstreams.old]\ntargets = \"http://127.0.0.1:2\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"up\"\n";
        assert_eq!(
            report_of(toml, super::weak_choices),
            [
                "gateway.toml:3: upstreams.old: no route uses this upstream (remove it, or add a route that uses it)"
            ]
        );
    }

    #[test]
    fn limit_that_no_route_names_is_warned_of() {
        let limits =
            "[limits.used]\nrequests = 1\nper = \"1s\"\n[limits.old]\nrequests = 1\nper = \"1s\"\n";
        let route = "[[routes]]\npath = \"/a\"\nrespond = { status = 204 }\nlimit = \"used\"\n";
        assert_eq!(
            warnings(&format!("{limits}{route}")),
            [
                "gateway.toml:4: limits.old: no effect: no route names this limit (add limit = \"old\" to the routes that it is for, or remove it)"
            ]
        );
    }

    #[test]
    fn shadow_mode_without_a_limit_for_requests_without_a_token_is_warned_of() {
        let limits = "[limits.token]\nrequests = 1\nper = \"1s\"\n\
                      [limits.open]\nrequests = 1\nper = \"1s\"\nkey = \"address\"\n";
        for (route, count) in [
            ("limit = [\"token\", \"open\"]", 0),
            ("limit = [\"token\", \"open\"]\nenforce = false", 0),
            ("limit = \"token\"\nenforce = false", 1),
        ] {
            let file = format!(
                "{limits}[[routes]]\npath = \"/a\"\nrespond = {{ status = 204 }}\n{route}\n"
            );
            let mut found = warnings(&file);
            found.retain(|line| line.contains("in shadow mode"));
            assert_eq!(found.len(), count, "{route}: {found:?}");
        }
    }

    #[test]
    fn field_of_a_line_that_is_not_logged_is_warned_of() {
        for (keys, count) in [
            ("path = true", 0),
            ("access = false", 0),
            ("access = false\npath = false", 0),
            ("access = false\npath = true", 1),
            ("access = false\npath = true\nsubject = true", 2),
            ("level = \"debug\"\npath = true", 0),
        ] {
            assert_eq!(warnings(&format!("[log]\n{keys}")).len(), count, "{keys}");
        }
        let remedy = "(set access = true and level = \"info\", or remove it)";
        assert_eq!(
            warnings("[log]\naccess = false\npath = true"),
            [format!(
                "gateway.toml:3: log.path: no effect: with access = false, requests are not logged {remedy}"
            )]
        );
        assert_eq!(
            warnings("[log]\nlevel = \"warn\"\nsubject = true"),
            [format!(
                "gateway.toml:3: log.subject: no effect: with level = \"warn\", requests are not logged {remedy}"
            )]
        );
    }

    #[test]
    fn trusted_unix_clients_without_a_unix_listener_are_warned_of() {
        for (listen, proxies, count) in [
            ("127.0.0.1:8080", "[\"10.0.0.0/8\"]", 0),
            ("127.0.0.1:8080", "[\"10.0.0.0/8\", \"unix\"]", 1),
            ("unix:/run/a.sock", "\"unix\"", 0),
        ] {
            let server = format!("[server]\nlisten = \"{listen}\"\ntrusted_proxies = {proxies}\n");
            assert_eq!(warnings(&server).len(), count, "{server}");
        }
        assert_eq!(
            warnings("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"unix\"]"),
            [
                "gateway.toml:2: server.trusted_proxies[1]: no effect: no listener is a Unix socket (add a listener such as \"unix:/run/scopegate.sock\", or remove \"unix\")"
            ]
        );
    }

    #[test]
    fn tls_keys_without_an_https_target_are_warned_of() {
        for (targets, keys, count) in [
            ("\"https://a.test\"", "tls_server_name = \"b.test\"", 0),
            (
                "[\"http://a.test\", \"https://a.test\"]",
                "tls_ca = \"ca.pem\"",
                0,
            ),
            ("\"http://a.test\"", "tls_server_name = \"b.test\"", 1),
            ("\"unix:/run/a.sock\"", "tls_server_name = \"b.test\"", 1),
            ("\"unix:/run/a.sock\"", "tls_ca = \"ca.pem\"", 1),
        ] {
            let upstream = format!("[upstreams.up]\ntargets = {targets}\n{keys}\n");
            assert_eq!(warnings(&upstream).len(), count, "{upstream}");
        }
        assert_eq!(
            warnings(
                "[upstreams.up]\ntargets = \"unix:/run/a.sock\"\ntls_server_name = \"b.test\""
            ),
            [
                "gateway.toml:3: upstreams.up.tls_server_name: no effect: no target is https:// (write the targets with https://, or remove it)"
            ]
        );
    }
}
