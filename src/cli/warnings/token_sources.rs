//! Weak choices of `token_from`: cookies that browsers do not send as intended.

use crate::config::{Config, Fault, Route, RouteCors, TokenSource};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        for source in &route.token_from {
            let TokenSource::Cookie { origins, .. } = &source.value else {
                continue;
            };
            if is_plain_http(config) {
                let message = "the token is in a cookie, and external_url is http://";
                found.push(source.fault(message).with_help(
                    "use https://: anyone on the network can read the cookie, and browsers send no Sec-Fetch-Site to http://",
                ));
            }
            if !origins.is_empty() && has_cors_without_credentials(config, route) {
                let message = "pages of origins may cause requests with the cookie, but cannot read the responses";
                found.push(
                    source
                        .fault(message)
                        .with_help("set credentials = true in cors of this route"),
                );
            }
        }
    }
    found
}

// Browsers treat localhost as they treat https.
fn is_plain_http(config: &Config) -> bool {
    let Some(url) = config.server.external_url.as_ref().map(|url| &url.value) else {
        return false;
    };
    let is_local = url.host().is_some_and(|host| match host {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    });
    url.scheme() == "http" && !is_local
}

fn has_cors_without_credentials(config: &Config, route: &Route) -> bool {
    let cors = match &route.cors {
        RouteCors::Inherited => config.cors.as_ref(),
        RouteCors::Off => None,
        RouteCors::Own(own) => Some(own),
    };
    cors.is_some_and(|cors| !cors.credentials)
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(top: &str, route: &str) -> Vec<String> {
        let toml = format!(
            "{top}[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/a\"\nupstream = \"up\"\n{route}"
        );
        report_of(&toml, super::weak_choices)
    }

    const COOKIE: &str = "token_from = { cookie = \"at\", origins = \"https://app.test\" }\n";

    #[test]
    fn cookie_over_plain_http_is_warned_of() {
        for (url, count) in [
            ("http://api.test", 1),
            ("http://10.0.0.1:8080", 1),
            ("https://api.test", 0),
            ("http://localhost:8080", 0),
            ("http://[::1]:8080", 0),
        ] {
            let server = format!("[server]\nexternal_url = \"{url}\"\n");
            assert_eq!(warnings(&server, COOKIE).len(), count, "{url}");
            assert_eq!(warnings(&server, "").len(), 0, "{url}");
        }
    }

    #[test]
    fn responses_that_scripts_cannot_read_are_warned_of() {
        let cors = "[cors]\norigins = \"https://app.test\"\n";
        assert_eq!(warnings(cors, COOKIE).len(), 1);
        assert_eq!(warnings("", COOKIE).len(), 0);
        assert_eq!(
            warnings(&format!("{cors}credentials = true\n"), COOKIE).len(),
            0
        );
        assert_eq!(warnings(cors, &format!("{COOKIE}cors = false\n")).len(), 0);
        assert_eq!(
            warnings(cors, "token_from = { cookie = \"at\" }\n").len(),
            0
        );
    }
}
