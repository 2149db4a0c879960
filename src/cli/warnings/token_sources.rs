//! Weak choices of `token_from`: cookies that browsers do not send as intended.

use http::HeaderValue;
use url::Url;

use crate::config::{Config, Cors, Fault, Spanned, TokenSource};
use crate::policy::cors::CorsPolicy;

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
            if let Some(cors) = config.cors_of(route) {
                found.extend(unreadable_responses(source, origins, cors));
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

// A page may cause requests with the cookie without `cors`, but its scripts read no response.
fn unreadable_responses(
    source: &Spanned<TokenSource>,
    origins: &[String],
    cors: &Cors,
) -> Option<Fault> {
    let (message, help) = if cors.credentials {
        let allowed = cors.origins.iter().map(|origin| origin.value.as_str());
        let policy = CorsPolicy::for_origins(allowed, true).ok()?;
        let is_foreign =
            |origin: &&String| page_of(origin).is_some_and(|page| !policy.allows(&page));
        let origin = origins.iter().find(is_foreign)?;
        (
            format!(
                "pages of {origin:?} may cause requests with the cookie, but cors does not let them read the responses"
            ),
            format!(
                "add {origin:?} to origins of cors, or set cors = false on a route for WebSockets alone"
            ),
        )
    } else {
        origins.first()?;
        (
            "pages of origins may cause requests with the cookie, but cannot read the responses"
                .to_owned(),
            "set credentials = true in cors of this route".to_owned(),
        )
    };
    Some(source.fault(message).with_help(help))
}

/// A page of an origin, or of a subdomain of `*.`, as browsers name it.
fn page_of(origin: &str) -> Option<HeaderValue> {
    let url = Url::parse(&origin.replace("://*.", "://any.")).ok()?;
    HeaderValue::from_str(&url.origin().ascii_serialization()).ok()
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

    #[test]
    fn origin_of_a_cookie_that_cors_does_not_allow_is_warned_of() {
        let cors = |origins: &str| format!("[cors]\norigins = {origins}\ncredentials = true\n");
        for (allowed, listed, count) in [
            ("[\"https://app.test\"]", "https://app.test", 0),
            ("[\"https://APP.test:443\"]", "https://app.test", 0),
            ("[\"https://*.app.test\"]", "https://a.app.test", 0),
            ("[\"https://*.app.test\"]", "https://*.app.test", 0),
            ("[\"https://*.app.test\"]", "https://*.a.app.test", 0),
            ("[\"https://a.app.test\"]", "https://*.app.test", 1),
            ("[\"https://app.test\"]", "https://other.test", 1),
            ("[\"https://app.test\"]", "http://app.test", 1),
        ] {
            let cookie = format!("token_from = {{ cookie = \"at\", origins = \"{listed}\" }}\n");
            let found = warnings(&cors(allowed), &cookie);
            assert_eq!(found.len(), count, "{allowed} {listed}: {found:?}");
        }
        assert_eq!(
            warnings(&cors("\"https://other.test\""), COOKIE),
            [
                "gateway.toml:9: routes[0].token_from: pages of \"https://app.test\" may cause requests with the cookie, but cors does not let them read the responses (add \"https://app.test\" to origins of cors, or set cors = false on a route for WebSockets alone)"
            ]
        );
    }
}
