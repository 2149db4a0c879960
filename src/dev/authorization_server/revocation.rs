//! The revocation endpoint (RFC 7009), and the end of a session as Aidbox has it: the token revokes itself.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;

use super::{AuthorizationServer, now};
use crate::dev::Answer;
use crate::dev::request::{Parameters, RequestError};
use crate::oauth::bearer;

impl AuthorizationServer {
    pub(super) fn revoke(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Answer, RequestError> {
        let client = self.authenticate(headers, parameters)?;
        let (token, now) = (parameters.token()?, now());
        match self.tokens.find_active(token, now) {
            Some(claims) if claims.client_id == client.id => {
                self.tokens.revoke(token, &claims, now)
            }
            Some(_) => {
                return Err(RequestError::UnauthorizedClient(
                    "expected a token that was issued to this client",
                ));
            }
            // What the client wants of it is so already (RFC 7009 §2.2).
            None => {}
        }
        Ok(empty())
    }

    pub(super) fn end_session(&self, headers: &HeaderMap) -> Result<Answer, RequestError> {
        let (token, now) = (bearer::extract(headers)?.as_str(), now());
        let claims = self
            .tokens
            .find_active(token, now)
            .ok_or(RequestError::InvalidToken)?;
        self.tokens.revoke(token, &claims, now);
        Ok(empty())
    }
}

fn empty() -> Answer {
    Response::new(Full::<Bytes>::default())
}
