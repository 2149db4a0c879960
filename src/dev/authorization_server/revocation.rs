//! The revocation endpoint (RFC 7009), and the end of a session as in Aidbox: a token revokes
//! itself.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;

use super::{AuthorizationServer, now};
use crate::dev::Response;
use crate::dev::error::RequestError;
use crate::dev::parameters::Parameters;
use crate::oauth::bearer;

impl AuthorizationServer {
    pub(super) fn revoke(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Response, RequestError> {
        let now = now();
        let client = self.authenticate(headers, parameters, now)?;
        let token = parameters.token()?;
        match self.tokens.find_active(token, now) {
            Some(claims) if claims.client_id == client.id => {
                self.tokens.revoke(token, &claims, now)
            }
            Some(_) => {
                return Err(RequestError::UnauthorizedClient(
                    "expected a token that was issued to this client",
                ));
            }
            // An invalid token is already what the client wants it to be (RFC 7009 §2.2).
            None => {}
        }
        Ok(empty())
    }

    pub(super) fn end_session(&self, headers: &HeaderMap) -> Result<Response, RequestError> {
        let token = bearer::extract(headers)?.as_str();
        let now = now();
        let claims = self
            .tokens
            .find_active(token, now)
            .ok_or(RequestError::InvalidToken)?;
        self.tokens.revoke(token, &claims, now);
        Ok(empty())
    }
}

fn empty() -> Response {
    Response::new(Full::<Bytes>::default())
}
