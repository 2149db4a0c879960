//! Weak choices of `cors`: pages that cannot do what they are allowed to, and pages that can do too
//! much.

use crate::config::{Access, Config, Cors, Fault, Route, RouteCors, Spanned, TokenSource};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = headers_without_token(config);
    let of_routes = config.routes.iter().filter_map(|route| match &route.cors {
        RouteCors::Own(cors) => Some(cors),
        RouteCors::Inherited | RouteCors::Off => None,
    });
    found.extend(
        config
            .cors
            .iter()
            .chain(of_routes)
            .filter_map(null_with_credentials),
    );
    found
}

// A sandboxed frame in any page has the origin `null`.
fn null_with_credentials(cors: &Cors) -> Option<Fault> {
    let null = cors.origins.iter().find(|origin| origin.value == "null")?;
    cors.credentials.then(|| {
        let message = "any page can have this origin, and read responses to requests with cookies";
        null.fault(message)
            .with_help("list the origins of your pages instead, or remove credentials")
    })
}

/// `headers` of CORS without `Authorization`: browsers then block each request with a token.
fn headers_without_token(config: &Config) -> Vec<Fault> {
    let inherits = |route: &&Route| matches!(route.cors, RouteCors::Inherited);
    let common = config.cors.as_ref().and_then(|cors| {
        let mut routes = config.routes.iter().filter(inherits);
        blocks_tokens(cors, routes.find(|route| reads_header_only(route))?)
    });
    let own = config.routes.iter().filter_map(|route| match &route.cors {
        RouteCors::Own(cors) if reads_header_only(route) => blocks_tokens(cors, route),
        RouteCors::Own(_) | RouteCors::Inherited | RouteCors::Off => None,
    });
    common.into_iter().chain(own).collect()
}

fn reads_header_only(route: &Route) -> bool {
    let is_header = |source: &Spanned<TokenSource>| source.value == TokenSource::Header;
    route.access != Access::Public && route.token_from.iter().all(is_header)
}

fn blocks_tokens(cors: &Cors, route: &Route) -> Option<Fault> {
    let names_it = |name: &Spanned<String>| {
        name.value == "*" || name.value.eq_ignore_ascii_case("authorization")
    };
    if cors.headers.iter().any(names_it) {
        return None;
    }
    let place = cors.headers.first().or(cors.origins.first())?;
    let message = format!(
        "headers does not list Authorization, so browsers send no token to {}",
        route.quoted_paths()
    );
    Some(
        place
            .fault(message)
            .with_help("add \"Authorization\" to headers"),
    )
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(top: &str, route: &str) -> Vec<String> {
        let toml = format!(
            "{top}[upstreams.up]\ntargets = \"http://10.0.0.7:9000\"\n\
             [[routes]]\npath = \"/a\"\nupstream = \"up\"\n{route}"
        );
        report_of(&toml, super::weak_choices)
    }

    #[test]
    fn cors_headers_without_authorization_are_warned_of() {
        let cors = |headers: &str| format!("[cors]\norigins = \"https://app.test\"\n{headers}\n");
        for (headers, route, count) in [
            ("", "", 0),
            ("headers = \"X-Tenant\"", "", 1),
            ("headers = []", "", 1),
            ("headers = [\"X-Tenant\", \"authorization\"]", "", 0),
            ("headers = \"*\"", "", 0),
            ("headers = \"X-Tenant\"", "public = true\n", 0),
            (
                "headers = \"X-Tenant\"",
                "token_from = { cookie = \"at\" }\n",
                0,
            ),
            ("headers = \"X-Tenant\"", "cors = false\n", 0),
            (
                "",
                "cors = { origins = \"https://app.test\", headers = \"X-Tenant\" }\n",
                1,
            ),
        ] {
            let found = warnings(&cors(headers), route);
            assert_eq!(found.len(), count, "{headers} {route}: {found:?}");
        }
        assert_eq!(
            warnings(&cors("headers = \"X-Tenant\""), ""),
            [
                "gateway.toml:3: cors.headers: headers does not list Authorization, so browsers send no token to \"/a\" (add \"Authorization\" to headers)"
            ]
        );
    }

    #[test]
    fn null_with_credentials_is_warned_of() {
        for (cors, route, count) in [
            ("origins = \"null\"\ncredentials = true", "", 1),
            ("origins = \"null\"", "", 0),
            ("origins = \"https://a.test\"\ncredentials = true", "", 0),
            (
                "origins = \"https://a.test\"",
                "cors = { origins = [\"https://a.test\", \"null\"], credentials = true }\n",
                1,
            ),
        ] {
            let found = warnings(&format!("[cors]\n{cors}\n"), route);
            assert_eq!(found.len(), count, "{cors} {route}: {found:?}");
        }
        assert_eq!(
            warnings("[cors]\norigins = \"null\"\ncredentials = true\n", ""),
            [
                "gateway.toml:2: cors.origins: any page can have this origin, and read responses to requests with cookies (list the origins of your pages instead, or remove credentials)"
            ]
        );
    }
}
