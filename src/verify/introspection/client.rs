//! Sends introspection requests.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::form_urlencoded::Serializer;

use super::MAX_RESPONSE;
use super::credentials::Credentials;
use super::error::IntrospectionError;
use super::response::{ResponseFormat, TokenState};
use crate::http_client::{HttpClient, HttpResponse};
use crate::oauth::UnixTime;
use crate::verify::discovery::Endpoint;

/// Sends introspection requests to one authorization server.
pub struct IntrospectionClient {
    /// The introspection endpoint.
    pub endpoint: Endpoint,
    /// The client of its server.
    pub http: HttpClient,
    /// How the gateway authenticates.
    pub credentials: Credentials,
    /// What responses must look like.
    pub format: ResponseFormat,
    /// Whether 409 is a response for the client (MobileFirst).
    pub has_conflict: bool,
}

impl IntrospectionClient {
    /// Sends an introspection request (RFC 7662 §2). Returns the response and its URL.
    pub(super) async fn fetch(
        &self,
        token: &str,
        now: UnixTime,
    ) -> Result<(HttpResponse, String), IntrospectionError> {
        let url = self.endpoint.url(&self.http).await?;
        let response = self.send(&url, token, now).await;
        let may_have_moved = match &response {
            Ok(HttpResponse { status, .. }) => {
                status.is_redirection()
                    || matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE)
            }
            Err(_) => true,
        };
        if may_have_moved {
            self.endpoint.forget().await;
        }
        Ok((response?, url))
    }

    /// Reads a response from `url`.
    pub(super) async fn read(
        &self,
        response: HttpResponse,
        url: String,
        token_types: &[String],
    ) -> Result<TokenState, IntrospectionError> {
        self.format
            .read(response, url, token_types, self.has_conflict)
            .await
    }

    async fn send(
        &self,
        url: &str,
        token: &str,
        now: UnixTime,
    ) -> Result<HttpResponse, IntrospectionError> {
        let Exchange {
            authorization,
            response,
        } = self.post(url, token, now).await?;
        let is_refused = matches!(
            response.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        let (Credentials::ClientCredentialsToken(own_token), Some(authorization), true) =
            (&self.credentials, authorization, is_refused)
        else {
            return Ok(response);
        };
        // The gateway's own token may have been revoked. A new one is tried once.
        if own_token.refused(&authorization).await {
            Ok(self.post(url, token, now).await?.response)
        } else {
            Ok(response)
        }
    }

    async fn post(
        &self,
        url: &str,
        token: &str,
        now: UnixTime,
    ) -> Result<Exchange, IntrospectionError> {
        let authorization = match &self.credentials {
            Credentials::Client(_) => None,
            Credentials::ClientCredentialsToken(own_token) => {
                Some(own_token.authorization(&self.http, now).await?)
            }
        };
        let (headers, form) = self.request(token, authorization.as_ref(), now);
        match self.http.post_form(url, headers, form, MAX_RESPONSE).await {
            Ok(response) => Ok(Exchange {
                authorization,
                response,
            }),
            Err(source) => Err(IntrospectionError::Fetch {
                url: url.to_owned(),
                source,
            }),
        }
    }

    // RFC 7662 §2.1.
    fn request(
        &self,
        token: &str,
        authorization: Option<&HeaderValue>,
        now: UnixTime,
    ) -> (HeaderMap, String) {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static(self.format.media_type()),
        );
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token)
            .append_pair("token_type_hint", "access_token");
        if let Credentials::Client(client) = &self.credentials {
            client.authenticate(&mut headers, &mut form, now);
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        (headers, form.finish())
    }
}

/// A response, and the `Authorization` of its request.
struct Exchange {
    authorization: Option<HeaderValue>,
    response: HttpResponse,
}
