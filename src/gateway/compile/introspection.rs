//! `[issuers.*.introspection]`.

use std::sync::Arc;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::authorization_server::AuthorizationServer;
use crate::config::{self, Authentication, ClientSecret, Fault};
use crate::files::{self, MAX_NAMED};
use crate::oauth::claims::{Expectation, ExpectedAudience};
use crate::values::{IntrospectionFormat, Keyword};
use crate::verify::introspection::{
    Assertions, ClientAuthentication, ClientCredentialsToken, Credentials, Introspection,
    IntrospectionClient, IntrospectionSettings, ResponseFormat,
};
use crate::verify::{EndpointName, IssuerKeys};

/// Compiles how tokens are introspected. `keys` are the issuer's and verify signed responses.
pub(super) fn compile(
    issuer: &config::Issuer,
    written: &config::Introspection,
    server: &AuthorizationServer,
    keys: Option<&IssuerKeys>,
    expectation: &Expectation,
) -> Result<Introspection, Box<Fault>> {
    let keys = || {
        let missing = || {
            Box::new(
                written
                    .accept
                    .fault("expected keys to verify signed responses with, but found none"),
            )
        };
        keys.cloned().ok_or_else(missing)
    };
    // A response comes from the issuer's own server, and may omit when the token expires (RFC 7662
    // §2.2).
    let settings = IntrospectionSettings {
        expectation: Expectation {
            issuer_required: false,
            expiry_required: false,
            ..expectation.clone()
        },
        cache_ttl: written.cache_ttl,
        negative_ttl: written.negative_ttl,
        refresh_ahead: written.refresh_ahead,
        max_in_flight: written.max_in_flight,
        // Twice, for a new access token of the gateway's own and a second attempt.
        timeout: issuer.timeout * 2,
        response_scope: response_scope(issuer, written),
    };
    let client = IntrospectionClient {
        endpoint: server.endpoint(written.endpoint.as_ref(), EndpointName::Introspection),
        http: server.http.clone(),
        credentials: credentials(issuer, written, server)?,
        format: match written.accept.value {
            IntrospectionFormat::Json => ResponseFormat::Json,
            IntrospectionFormat::Jwt => ResponseFormat::Signed {
                keys: keys()?,
                issuers: expectation.issuers.clone(),
                recipients: recipients(written, expectation),
            },
            IntrospectionFormat::Phantom => ResponseFormat::PhantomToken { keys: keys()? },
        },
        has_conflict: written.conflict,
    };
    Ok(Introspection::new(settings, client))
}

fn response_scope(issuer: &config::Issuer, written: &config::Introspection) -> Arc<[String]> {
    let server = issuer.issuer.first().map(|iss| iss.value.as_str());
    let endpoint = written.endpoint.as_ref().map(|url| url.value.as_str());
    let format = written.accept.value.keyword();
    [server, endpoint, written.client_id(), Some(format)]
        .map(|part| part.unwrap_or_default().to_owned())
        .into()
}

// RFC 9701 §5: `aud` names the resource server, by its client id or as an audience of tokens.
fn recipients(written: &config::Introspection, expectation: &Expectation) -> Vec<String> {
    let audiences = match &expectation.audience {
        ExpectedAudience::Any => &[][..],
        ExpectedAudience::OneOf { names, .. } => names,
    };
    written
        .client_id()
        .map(str::to_owned)
        .into_iter()
        .chain(audiences.iter().cloned())
        .collect()
}

fn credentials(
    issuer: &config::Issuer,
    written: &config::Introspection,
    server: &AuthorizationServer,
) -> Result<Credentials, Box<Fault>> {
    if let Some(secret) = issuer.secrets().find(|secret| secret.value.is_missing()) {
        return Err(Box::new(
            secret.fault("expected a secret, but found none here"),
        ));
    }
    let secret = |client: &ClientSecret| SecretString::from(client.secret.value.expose());
    let basic = |client: &ClientSecret| {
        ClientAuthentication::basic(&client.id, &secret(client), written.basic_encoding)
    };
    let client = match &written.authentication {
        Authentication::None(_) => ClientAuthentication::None,
        Authentication::Basic(client) => basic(client),
        Authentication::Form(client) => ClientAuthentication::Form {
            client_id: client.id.clone(),
            client_secret: secret(client),
        },
        Authentication::Bearer {
            client,
            token_endpoint,
            scope,
        } => {
            let endpoint = server.endpoint(token_endpoint.as_ref(), EndpointName::Token);
            return Ok(Credentials::ClientCredentialsToken(
                ClientCredentialsToken::new(endpoint, basic(client), scope.value.clone()),
            ));
        }
        Authentication::PrivateKeyJwt {
            client_id,
            key,
            key_id,
            algorithm,
        } => {
            let pem = files::read(&key.value, MAX_NAMED)
                .map(Zeroizing::new)
                .map_err(|error| {
                    key.fault(format!(
                        "expected a private key in {}, but found {error}",
                        key.value.display()
                    ))
                })?;
            let audience = issuer
                .issuer
                .first()
                .map(|iss| iss.value.clone())
                .unwrap_or_default();
            let assertions = Assertions::new(
                client_id.clone(),
                audience,
                &pem,
                *algorithm,
                key_id.clone(),
            )
            .map_err(|error| key.fault(error.to_string()))?;
            ClientAuthentication::PrivateKeyJwt(Box::new(assertions))
        }
    };
    Ok(Credentials::Client(client))
}
