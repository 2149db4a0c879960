//! The authorization endpoint: codes by the consent of the person who sees the page (RFC 6749 §4.1,
//! RFC 7636, RFC 9207).
//!
//! 1. A faulty client or redirect URI gets a page. The browser is not redirected (§4.1.2.1).
//! 2. Every other fault is redirected to the client, with `state` and `iss`.
//! 3. A code is issued by the button of a page only, never by a link.

use http::header::{LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;

use super::token::check_scope;
use super::{AuthorizationServer, now, page, read_body};
use crate::dev::Response;
use crate::dev::authorization_codes::AuthorizationRequest;
use crate::dev::clients::Client;
use crate::dev::error::RequestError;
use crate::dev::parameters::Parameters;
use crate::dev::pkce::CodeChallenge;
use crate::dev::redirect_uri::RedirectUri;
use crate::oauth::UnixTime;
use std::sync::Arc;

const MAX_QUERY: usize = 8 * 1024;

/// Who asks, and where the browser goes next.
struct Target {
    client: Arc<Client>,
    redirect_uri: RedirectUri,
}

impl AuthorizationServer {
    /// Shows the consent page for an authorization request (RFC 6749 §4.1.1).
    pub(super) fn show_page(&self, query: &str) -> Response {
        let now = now();
        let read = parse_query(query).and_then(|parameters| {
            let target = self.read_target(&parameters, now)?;
            Ok((parameters, target))
        });
        let (parameters, target) = match read {
            Ok(read) => read,
            Err(error) => return page::fault(error.status(), error.description()),
        };
        let redirect_uri = target.redirect_uri.clone();
        let page = read_request(target, &parameters).and_then(|request| {
            let id = self.codes.open_page(request.clone(), now)?;
            Ok(page::consent(&request, &id))
        });
        page.unwrap_or_else(|error| {
            let error = [
                ("error", error.code()),
                ("error_description", error.description()),
            ];
            self.redirect(&redirect_uri, &error, parameters.get("state"))
        })
    }

    /// Issues a code when the button is pressed (RFC 6749 §4.1.2).
    pub(super) async fn press_button(&self, request: Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let form = read_body(body).await;
        let form = form.and_then(|body| Parameters::parse(&head.headers, &body));
        let now = now();
        let issued = form.and_then(|form| {
            let request = form
                .get("request")
                .and_then(|id| self.codes.close_page(id, now))
                .ok_or(RequestError::InvalidRequest(
                    "expected the button of a page that is at most 10 minutes old and was not used",
                ))?;
            let code = self.codes.issue(request.clone(), now)?;
            Ok((request, code))
        });
        match issued {
            Ok((request, code)) => {
                tracing::debug!(
                    client = request.client.id,
                    scope = request.scope,
                    "authorization code issued"
                );
                let code = [("code", code.as_str())];
                self.redirect(&request.redirect_uri, &code, request.state.as_deref())
            }
            Err(error) => page::fault(error.status(), error.description()),
        }
    }

    fn read_target(&self, parameters: &Parameters, now: UnixTime) -> Result<Target, RequestError> {
        let client = parameters
            .get("client_id")
            .and_then(|id| self.clients.find(id, now))
            .ok_or(RequestError::InvalidRequest(
                "expected the client_id of a client that it knows; it forgets registered clients when it restarts",
            ))?;
        let redirect_uri = parameters
            .get("redirect_uri")
            .and_then(RedirectUri::parse)
            .filter(|uri| client.may_redirect_to(uri))
            .ok_or(RequestError::InvalidRequest(
                "expected a redirect_uri that the client registered, on loopback",
            ))?;
        Ok(Target {
            client,
            redirect_uri,
        })
    }

    // 303 makes the browser drop the form (RFC 9700 §4.12). `iss` shows the client which server
    // responds (RFC 9207 §2).
    fn redirect(
        &self,
        uri: &RedirectUri,
        parameters: &[(&str, &str)],
        state: Option<&str>,
    ) -> Response {
        let state = state.map(|state| ("state", state));
        let mut all = parameters.to_vec();
        all.extend(state);
        all.push(("iss", &self.issuer));
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SEE_OTHER;
        let location = HeaderValue::try_from(uri.with(&all)).expect("a URL is ASCII");
        response.headers_mut().insert(LOCATION, location);
        let policy = HeaderValue::from_static("no-referrer");
        response.headers_mut().insert(REFERRER_POLICY, policy);
        response
    }
}

fn parse_query(query: &str) -> Result<Parameters, RequestError> {
    if query.len() > MAX_QUERY {
        return Err(RequestError::InvalidRequest(
            "expected a query of at most 8 KiB",
        ));
    }
    Parameters::of_query(query)
}

fn read_request(
    target: Target,
    parameters: &Parameters,
) -> Result<AuthorizationRequest, RequestError> {
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(RequestError::UnsupportedResponseType),
        None => {
            return Err(RequestError::InvalidRequest(
                "expected the parameter response_type",
            ));
        }
    }
    if parameters
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(RequestError::InvalidRequest("expected response_mode query"));
    }
    // Without a method it would be `plain` (RFC 7636 §4.3).
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(RequestError::InvalidRequest(
            "expected code_challenge_method S256",
        ));
    }
    let challenge = parameters
        .get("code_challenge")
        .and_then(CodeChallenge::parse)
        .ok_or(RequestError::InvalidRequest(
            "expected a code_challenge of 32 bytes in base64url",
        ))?;
    let scope = parameters.get("scope").unwrap_or_default();
    check_scope(scope, &target.client.allowed_scope)?;
    Ok(AuthorizationRequest {
        client: target.client,
        redirect_uri: target.redirect_uri,
        challenge,
        scope: scope.to_owned(),
        resources: parameters.resources()?.to_vec(),
        state: parameters.get("state").map(str::to_owned),
    })
}
