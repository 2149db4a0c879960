//! The upstream that describes the request it got, so that one sees what a gateway sends on.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use super::listener::PATIENCE;
use super::{Answer, json};

/// Bodies up to this size are shown; longer ones are only counted.
const SHOWN_BODY: usize = 16 * 1024;

/// A request as it arrived.
#[derive(Serialize)]
struct Description {
    method: String,
    /// The target as it was written: path and query.
    path: String,
    headers: Vec<(String, String)>,
    body_size: u64,
    /// Absent where the body is large or no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// Answers one request with its description.
pub(super) async fn answer(request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Some((body_size, body)) = measure(body).await else {
        return json(
            StatusCode::REQUEST_TIMEOUT,
            &json!({ "error": "the body broke off or stood still" }),
        );
    };
    json(
        StatusCode::OK,
        &Description {
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: describe_headers(&head.headers),
            body_size,
            body: body.and_then(|body| String::from_utf8(body).ok()),
        },
    )
}

// A body may be of any length and take any time, as long as it goes on.
async fn measure(mut body: Incoming) -> Option<(u64, Option<Vec<u8>>)> {
    let mut size = 0;
    let mut shown = Some(Vec::new());
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.ok()? {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        size += data.len() as u64;
        shown = shown.filter(|shown| shown.len() + data.len() <= SHOWN_BODY);
        if let Some(shown) = &mut shown {
            shown.extend_from_slice(&data);
        }
    }
    Some((size, shown))
}

fn describe_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), describe(name, value)))
        .collect()
}

// People paste what an echo says into tickets and chats; a token there would be good for whoever reads it.
fn describe(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if name != AUTHORIZATION {
        return text.into_owned();
    }
    let (scheme, credentials) = text.split_once(' ').unwrap_or(("", &text));
    format!(
        "{scheme} (redacted, {} characters)",
        credentials.chars().count()
    )
    .trim_start()
    .to_owned()
}
