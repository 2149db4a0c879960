//! The upstream that responds with the request as it arrived, to show what the gateway forwards.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use super::listener::READ_TIMEOUT;
use super::{Response, json_response};

/// Longer bodies are only counted.
const MAX_ECHOED_BODY: usize = 16 * 1024;

/// A request as it arrived.
#[derive(Serialize)]
struct EchoedRequest {
    method: String,
    /// The request target: path and query.
    path: String,
    headers: Vec<(String, String)>,
    body_size: u64,
    /// Absent if the body is large or no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// Responds to one request with what arrived.
pub(super) async fn handle(request: Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    let Some((body_size, body)) = read_body(body).await else {
        return json_response(
            StatusCode::REQUEST_TIMEOUT,
            &json!({ "error": "the body was incomplete or stalled" }),
        );
    };
    json_response(
        StatusCode::OK,
        &EchoedRequest {
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: echoed_headers(&head.headers),
            body_size,
            body: body.and_then(|body| String::from_utf8(body).ok()),
        },
    )
}

// No limit on length or total time: only a stall between two frames ends the reading.
async fn read_body(mut body: Incoming) -> Option<(u64, Option<Vec<u8>>)> {
    let mut size = 0;
    let mut echoed = Some(Vec::new());
    while let Some(frame) = tokio::time::timeout(READ_TIMEOUT, body.frame())
        .await
        .ok()?
    {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        size += data.len() as u64;
        echoed = echoed.filter(|echoed| echoed.len() + data.len() <= MAX_ECHOED_BODY);
        if let Some(echoed) = &mut echoed {
            echoed.extend_from_slice(&data);
        }
    }
    Some((size, echoed))
}

fn echoed_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), redacted_value(name, value)))
        .collect()
}

// People paste echoed requests into tickets and chats, where a token could be used by any reader.
fn redacted_value(name: &HeaderName, value: &HeaderValue) -> String {
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
