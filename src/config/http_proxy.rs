//! The proxy between the gateway and authorization servers.

use std::fmt;

use toml::de::DeValue;
use url::Url;

use super::addresses::url_that;
use super::mismatch::{Mismatch, expected};
use super::reference::Description;
use super::value_type::{ValueType, value_type};

/// Variables of the environment for one scheme, in the order in which they count. `HTTP_PROXY` in
/// upper case is not among them: a web server sets it from a client's `Proxy` header in CGI scripts
/// (CVE-2016-5385).
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const FOR_HTTP: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];
const WITHOUT_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

const FORMS: &str = "\"none\", \"environment\" or an http URL of only scheme, host and port, such as \"http://proxy:3128\"";
const PATTERN: &str = r#"^(none|environment|[Hh][Tt][Tt][Pp]://[^/?\s\\#@<>{}|^`"$]+/?)$"#;

/// Where requests to authorization servers go. The URLs may have credentials, which `Debug` hides.
#[derive(Clone, PartialEq)]
pub struct HttpProxy {
    /// The proxy for `http` URLs.
    pub http: Option<Url>,
    /// The proxy for `https` URLs.
    pub https: Option<Url>,
    /// The servers that are reached without a proxy, as in the variable `NO_PROXY`.
    pub no_proxy: String,
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| {
            url.as_ref()
                .map(|url| url.host().map(|host| host.to_string()))
        };
        f.debug_struct("HttpProxy")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

type Variable<'e> = &'e dyn Fn(&str) -> Option<String>;

/// `"none"`, the URL of a proxy, or `"environment"`, which is read here.
pub(super) fn http_proxy(variable: Variable<'_>) -> impl ValueType<Option<HttpProxy>> {
    value_type(
        move |value| read_http_proxy(value, variable),
        || Description::pattern("URL, `none` or `environment`", PATTERN),
    )
}

fn read_http_proxy(
    value: &DeValue<'_>,
    variable: Variable<'_>,
) -> Result<Option<HttpProxy>, Mismatch> {
    let (http, https) = match value.as_str() {
        Some("none") => return Ok(None),
        Some("environment") => (
            from_environment(&FOR_HTTP, variable)?,
            from_environment(&FOR_HTTPS, variable)?,
        ),
        text => {
            let url = url_that(value, FORMS, is_proxy).map_err(|mismatch| match text {
                Some(text) if text.contains('@') => mismatch.with_help(
                    "set http_proxy = \"environment\", and put the URL with its credentials into https_proxy",
                ),
                Some(text) if text.contains("://") => mismatch.with_help(OVER_HTTP_ONLY),
                _ => mismatch,
            })?;
            (Some(url.clone()), Some(url))
        }
    };
    let no_proxy = first(&WITHOUT_PROXY, variable).map(|(_, text)| text);
    Ok(Some(HttpProxy {
        http,
        https,
        no_proxy: no_proxy.unwrap_or_default(),
    }))
}

const OVER_HTTP_ONLY: &str =
    "the gateway speaks to a proxy over http: TLS and SOCKS proxies are not supported";

fn is_proxy(url: &Url) -> bool {
    url.scheme() == "http"
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host()
        && url.port() != Some(0)
}

// The first that is not blank, as curl reads them.
fn first(names: &[&'static str], variable: Variable<'_>) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        let text = variable(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| (*name, text.to_owned()))
    })
}

// Credentials are usual there. So no part of the text is printed.
fn from_environment(
    names: &[&'static str],
    variable: Variable<'_>,
) -> Result<Option<Url>, Mismatch> {
    let Some((name, text)) = first(names, variable) else {
        return Ok(None);
    };
    let absolute = if text.contains("://") {
        text
    } else {
        format!("http://{text}")
    };
    match Url::parse(&absolute) {
        Ok(url) if is_proxy(&url) => Ok(Some(url)),
        Ok(_) | Err(_) => Err(expected(format!(
            "a URL such as \"http://proxy:3128\" in the environment variable {name}"
        ))
        .but_found("another text")
        .with_help(OVER_HTTP_ONLY)),
    }
}
