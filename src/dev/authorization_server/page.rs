//! The pages of the authorization endpoint: consent, and faults.
//!
//! 1. They have no script and load nothing. The Content-Security-Policy forbids it as well.
//! 2. Nobody signs in: everyone who sees the page may press its button. It must therefore not be framed.
//! 3. Names, scopes and resources come from strangers. Each is escaped, and isolated in its writing
//!    direction.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use http_body_util::Full;

use crate::dev::Response;
use crate::dev::authorization_codes::AuthorizationRequest;

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1.125rem/1.5 system-ui, sans-serif }
main { max-width: 36rem; margin: 3rem auto; padding: 0 1rem; overflow-wrap: anywhere }
dt { font-weight: bold }
dd { margin: 0 0 1rem }
ul { margin: 0; padding-left: 1.25rem }
button { font: inherit; min-width: 8rem; min-height: 3rem; cursor: pointer }
";

/// The page that asks whether the client may have a code. `id` names the request.
pub(super) fn consent(request: &AuthorizationRequest, id: &str) -> Response {
    let scopes: Vec<_> = request.scope.split(' ').filter(|s| !s.is_empty()).collect();
    let body = format!(
        "<h1>Allow {client} to use your API?</h1>\n\
         <p>This page belongs to a development server. It asks for no password.</p>\n\
         <dl>\n<dt>API</dt>\n<dd>{resources}</dd>\n<dt>Scopes</dt>\n<dd>{scopes}</dd>\n\
         <dt>Next page</dt>\n<dd>{target}</dd>\n</dl>\n\
         <form method=\"post\" action=\"/authorize\">\n\
         <input type=\"hidden\" name=\"request\" value=\"{id}\">\n\
         <button type=\"submit\">Allow</button>\n</form>\n\
         <p>To refuse, close this page.</p>\n",
        client = isolated(&request.client.name),
        resources = list(request.resources.iter().map(String::as_str)),
        scopes = list(scopes),
        target = isolated(&request.redirect_uri.origin()),
        id = escaped(id),
    );
    // Browsers apply form-action to the redirect that follows the form, too.
    let form_action = format!("'self' {}", request.redirect_uri.csp_source());
    page(StatusCode::OK, "Allow access?", &body, &form_action)
}

/// The page for a request that has no redirect URI to be trusted (RFC 6749 §4.1.2.1).
pub(super) fn fault(status: StatusCode, text: &'static str) -> Response {
    let body = format!(
        "<h1>This request cannot be answered</h1>\n<p>The server {}.</p>\n\
         <p>Return to the application and start again.</p>\n",
        escaped(text)
    );
    page(status, "Request refused", &body, "'none'")
}

fn page(status: StatusCode, title: &str, body: &str, form_action: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - scopegate development server</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    );
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action {form_action}; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Full::from(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let policy = HeaderValue::try_from(policy).expect("the origin of a URL is ASCII");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // The form must send its `Origin`; with `no-referrer` that would be `null`.
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let items: String = texts
        .into_iter()
        .map(|text| format!("<li>{}</li>", isolated(text)))
        .collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        format!("<ul>{items}</ul>")
    }
}

fn isolated(text: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '&' | '<' | '>' | '"' | '\'') || character.is_control() {
            // Writing to a String does not fail.
            let _ = write!(escaped, "&#{};", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}
