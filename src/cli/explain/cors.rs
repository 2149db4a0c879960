//! Preflights: which `cors` answers, and what a browser makes of the response.

use http::header::{self, HeaderMap};
use http::request::Parts;
use serde_json::{Value, json};

use crate::config::{Config, Cors, RouteCors, Source};
use crate::gateway::{Preflight, Snapshot};
use crate::policy::cors;
use crate::text::truncated;

/// How many requested headers are listed.
const MAX_HEADERS: usize = 20;

/// What answers a preflight.
pub(super) enum CorsFinding {
    /// The gateway, by a `cors` table.
    Gateway {
        /// The method that the page wants to send.
        method: String,
        /// `[cors]`, or `cors` of the route.
        table: &'static str,
        /// Where that table is.
        place: String,
        /// The origin in quotes, or what the request has instead.
        origin: String,
        is_allowed: bool,
        /// Requested headers that the response does not allow.
        missing_headers: Vec<String>,
    },
    /// Nothing of the gateway: the request is judged as any other.
    NoTable,
}

impl CorsFinding {
    /// None if the request is no preflight.
    pub(super) fn of(
        request: &Parts,
        preflight: Option<&Preflight<'_>>,
        snapshot: &Snapshot,
        config: &Config,
        source: &Source,
    ) -> Option<Self> {
        let Some(preflight) = preflight else {
            let is_preflight = cors::is_preflight(&request.method, &request.headers);
            return is_preflight.then_some(Self::NoTable);
        };
        let own =
            preflight
                .route
                .and_then(|index| match &snapshot.declaration(index, config).0.cors {
                    RouteCors::Own(own) => Some(own),
                    RouteCors::Inherited | RouteCors::Off => None,
                });
        let (table, written) = match own {
            Some(own) => ("cors of the route", Some(own)),
            None => ("[cors]", config.cors.as_ref()),
        };
        Some(Self::Gateway {
            method: preflight.method.to_string(),
            table,
            place: written.map_or_else(String::new, |cors| place(cors, source)),
            origin: cors::describe_origin(&request.headers),
            is_allowed: preflight.allowed_origin(&request.headers).is_some(),
            missing_headers: missing_headers(&request.headers, preflight),
        })
    }

    /// The lines of the text.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self::Gateway {
            method,
            table,
            place,
            origin,
            is_allowed,
            missing_headers,
        } = self
        else {
            return vec!["no cors applies: this OPTIONS is judged as any other request".to_owned()];
        };
        let mark = if *is_allowed { "ok  " } else { "NO  " };
        let allows = if *is_allowed {
            "allows"
        } else {
            "does not allow"
        };
        let mut lines = vec![
            format!("a preflight for {method}, which needs no token"),
            format!("{mark}{table} ({place}) {allows} the origin {origin}"),
        ];
        let missing = missing_headers.iter();
        lines.extend(
            missing.map(|name| format!("NO  the header {name} is not in headers of {table}")),
        );
        lines
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::NoTable => json!({ "applies": false }),
            Self::Gateway {
                method,
                table: _,
                place,
                origin: _,
                is_allowed,
                missing_headers,
            } => json!({
                "applies": true,
                "method": method,
                "place": place,
                "origin_ok": is_allowed,
                "headers_not_allowed": missing_headers,
            }),
        }
    }
}

fn place(cors: &Cors, source: &Source) -> String {
    cors.origins
        .first()
        .map(|origin| source.location(origin))
        .unwrap_or_default()
}

// A browser compares names without case (Fetch standard, "CORS-preflight fetch").
fn missing_headers(request: &HeaderMap, preflight: &Preflight<'_>) -> Vec<String> {
    let requested = request.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS);
    requested
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty() && !preflight.policy.allows_header(name))
        .take(MAX_HEADERS)
        .map(truncated)
        .collect()
}
