//! Which web pages may call the authorization server.
//!
//! Any page can make a browser send requests to loopback, and the secrets of the file are public.
//! Browsers mark such requests with `Origin` and Fetch Metadata. Programs send neither.
//!
//! | access | who |
//! |---|---|
//! | [`Access::Navigation`] | everyone, but as a page of its own: no frame, no image, no script |
//! | [`Access::OwnPage`] | the consent page, and programs |
//! | [`Access::LoopbackPages`] | pages of loopback origins by CORS, and programs |
//! | [`Access::Programs`] | programs |

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::redirect_uri::RedirectUri;
use super::{Response, json_response};

/// Who may send a request to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Navigation,
    OwnPage,
    LoopbackPages,
    Programs,
}

/// Who sends a request.
pub(super) enum Caller {
    /// No page, or one that the user opened.
    Program,
    /// A page of this server.
    OwnPage,
    /// A page of another loopback origin, which is this.
    LoopbackPage(HeaderValue),
    ForeignPage,
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(origin) = headers.get(ORIGIN) else {
            let site = headers.get("sec-fetch-site");
            return if site.is_some_and(|site| site == "cross-site") {
                Self::ForeignPage
            } else {
                Self::Program
            };
        };
        let text = origin.to_str().unwrap_or_default();
        // The listener has checked that the host is a loopback name.
        let own = headers
            .get(HOST)
            .and_then(|host| Some(format!("http://{}", host.to_str().ok()?)));
        if own.is_some_and(|own| own == text) {
            Self::OwnPage
        } else if RedirectUri::parse(text).is_some_and(|uri| uri.origin() == text) {
            Self::LoopbackPage(origin.clone())
        } else {
            Self::ForeignPage
        }
    }

    pub(super) fn may_use(&self, access: Access, headers: &HeaderMap) -> bool {
        match (access, self) {
            (Access::Navigation, _) => is_navigation(headers),
            (Access::OwnPage, Self::Program) => headers
                .get("sec-fetch-site")
                .is_none_or(|site| site == "same-origin"),
            (Access::OwnPage | Access::LoopbackPages, Self::OwnPage)
            | (Access::LoopbackPages | Access::Programs, Self::Program)
            | (Access::LoopbackPages, Self::LoopbackPage(_)) => true,
            (Access::OwnPage | Access::Programs, Self::LoopbackPage(_))
            | (Access::Programs, Self::OwnPage)
            | (Access::OwnPage | Access::LoopbackPages | Access::Programs, Self::ForeignPage) => {
                false
            }
        }
    }

    /// Lets the calling page read the response.
    pub(super) fn share(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("origin"));
        if let Self::LoopbackPage(origin) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        response
    }
}

// A navigation carries no `Origin`. Frames could hide the consent page, and images could open many.
fn is_navigation(headers: &HeaderMap) -> bool {
    let destination = headers.get("sec-fetch-dest");
    !headers.contains_key(ORIGIN) && destination.is_none_or(|to| to == "document")
}

/// The response to a preflight (CORS protocol of the Fetch standard).
pub(super) fn preflight_response() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, mcp-protocol-version",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn forbidden_response() -> Response {
    let hint = "this server accepts requests from programs, and some from pages on loopback";
    json_response(
        StatusCode::FORBIDDEN,
        &json!({ "error": "cross_site_request", "hint": hint }),
    )
}
