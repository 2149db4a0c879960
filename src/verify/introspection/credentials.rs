//! The credentials of an introspection request (RFC 7662 §2.1).

use super::client_authentication::ClientAuthentication;
use super::own_token::ClientCredentialsToken;

/// How the gateway authenticates an introspection request.
pub enum Credentials {
    /// As a client.
    Client(ClientAuthentication),
    /// With an access token of its own.
    ClientCredentialsToken(ClientCredentialsToken),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client(ClientAuthentication::None) => "None",
            Self::Client(ClientAuthentication::Basic(_)) => "Basic",
            Self::Client(ClientAuthentication::Form { .. }) => "Form",
            Self::Client(ClientAuthentication::PrivateKeyJwt(_)) => "PrivateKeyJwt",
            Self::ClientCredentialsToken(_) => "ClientCredentialsToken",
        })
    }
}
