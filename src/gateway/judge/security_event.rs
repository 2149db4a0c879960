//! Receives a Security Event Token on its path.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Response, StatusCode};

use super::RequestContext;
use crate::client_limits::client_network;
use crate::gateway::facts::RequestHead;
use crate::gateway::refusal::Refusal;
use crate::gateway::security_events::{
    MAX_TOKEN_SIZE, SecurityEventFault, SecurityEventReceiver, check_media_type,
};
use crate::oauth::security_event::ErrorCode;
use crate::transport::content_length;
use crate::upstream::{BodyLimit, BodyTooLarge, LimitSource, RequestBody, RequestBodyFault};
use crate::verify::{SecurityEventRefusal, SecurityEventRequest};

/// Verifies the token in the body, and revokes what it says.
pub(super) async fn receive(
    receiver: &SecurityEventReceiver,
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
) -> Result<Response<Bytes>, Refusal> {
    let (method, headers) = (&head.parts.method, &head.parts.headers);
    if *method != Method::POST {
        return Err(Refusal::MethodNotAllowed {
            allow: HeaderValue::from_static("POST"),
            found: method.clone(),
        });
    }
    let client = client_network(context.client_address(headers).for_limits());
    let admitted = receiver.admit(client, context.ticker.now());
    admitted
        .and_then(|()| check_media_type(headers))
        .map_err(SecurityEventFault::refuse)?;
    let token = read_token(context, head, body).await?;
    let token = std::str::from_utf8(&token).map_err(|_| not_text().refuse())?;
    let now = context.ticker.wall();
    let request = SecurityEventRequest {
        token,
        connection_cache: context.connection_cache,
        client: || client,
        now,
    };
    let verifier = &context.snapshot.verifier;
    let verified = verifier.verify_security_event(&request).await;
    let verified = verified.map_err(|refusal| SecurityEventFault::from(refusal).refuse())?;
    let revoked = receiver.revoke(&verified, verifier, now).await;
    revoked.map_err(SecurityEventFault::refuse)?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

// The whole of it must come within the time for one part of other bodies: a client that sends a byte
// now and then would hold a connection.
async fn read_token(
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
) -> Result<Bytes, Refusal> {
    let limit = BodyLimit {
        bytes: MAX_TOKEN_SIZE,
        source: LimitSource::SecurityEvents,
    };
    body.set_limit(limit);
    let announced = content_length(&head.parts.headers);
    if announced.is_some_and(|announced| announced > limit.bytes) {
        let too_large = BodyTooLarge { limit, announced };
        return Err(Refusal::BodyFault(RequestBodyFault::TooLarge(too_large)));
    }
    let deadline = context.ticker.deadline();
    deadline.arm(context.snapshot.body_idle_timeout);
    body.buffer(&deadline).await.map_err(|_| {
        let progress = body.progress();
        let fault = progress.and_then(|progress| progress.fault());
        Refusal::BodyFault(fault.unwrap_or(RequestBodyFault::Broken))
    })
}

fn not_text() -> SecurityEventFault {
    let detail = "expected a JWT, but found bytes that are no text".to_owned();
    SecurityEventRefusal::invalid(ErrorCode::InvalidRequest, detail).into()
}
