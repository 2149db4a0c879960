//! Closed sets of configuration values, each declared once with its spelling in `gateway.toml`.
//!
//! The room that reads the file and the room that uses a value share one type, so no conversion can
//! map a variant to a wrong one. This module imports nothing of the crate.

mod algorithm;

/// A closed set of values, each with one spelling in `gateway.toml`.
pub trait Keyword: Copy + Eq + 'static {
    /// Every value with its spelling, in the order of messages.
    const KEYWORDS: &'static [(&'static str, Self)];

    /// Further spellings that are accepted.
    const ALIASES: &'static [(&'static str, Self)];

    /// The spelling of this value.
    #[must_use]
    fn keyword(self) -> &'static str {
        Self::KEYWORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(keyword, _)| keyword)
    }

    /// The value with this spelling or alias; letter case matters.
    #[must_use]
    fn from_keyword(text: &str) -> Option<Self> {
        Self::KEYWORDS
            .iter()
            .chain(Self::ALIASES)
            .find(|(keyword, _)| *keyword == text)
            .map(|(_, value)| *value)
    }
}

/// Declares an enum and the spelling of each variant.
macro_rules! keywords {
    ($($(#[$of_enum:meta])* pub enum $name:ident {
        $($(#[$of_variant:meta])* $variant:ident = $keyword:literal $(| $alias:literal)*,)+
    })+) => {$(
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of_variant])* $variant,)+
        }

        impl Keyword for $name {
            const KEYWORDS: &'static [(&'static str, Self)] =
                &[$(($keyword, Self::$variant)),+];
            const ALIASES: &'static [(&'static str, Self)] =
                &[$($(($alias, Self::$variant),)*)+];
        }
    )+};
}

keywords! {
    /// Treatment of `;` in a path (RFC 3986 §3.3).
    ///
    /// Servers disagree whether `;` ends the name of a segment. Allow it only for upstreams that
    /// treat it as an ordinary character, as routes do.
    pub enum PathParameters {
        /// The request is refused with 400.
        Refuse = "refuse",
        /// `;` is an ordinary character.
        Allow = "allow",
    }

    /// Format of a log line.
    pub enum LogFormat {
        /// For people: coloured on a terminal.
        Pretty = "pretty",
        /// For machines: one JSON object per line.
        Json = "json",
    }

    /// The least severe level that is logged.
    pub enum LogLevel {
        /// Failures that require an operator.
        Error = "error",
        /// Probable problems.
        Warn = "warn",
        /// Normal operation.
        Info = "info",
        /// Reasons of decisions.
        Debug = "debug",
        /// As `debug`. A debug build of the gateway adds the steps of HTTP/2.
        Trace = "trace",
    }

    /// A product that issues tokens, whose preset the gateway knows.
    pub enum Provider {
        /// Keycloak.
        Keycloak = "keycloak",
        /// Microsoft Entra ID.
        Entra = "entra",
        /// Amazon Cognito.
        Cognito = "cognito",
        /// Auth0.
        Auth0 = "auth0",
        /// Okta, with a custom authorization server.
        Okta = "okta",
        /// Google, for the ID tokens of service accounts.
        Google = "google",
        /// Kubernetes, for the tokens of service accounts.
        Kubernetes = "kubernetes",
        /// GitHub Actions, for the tokens of workflows.
        GithubActions = "github-actions",
        /// Dex.
        Dex = "dex",
        /// authentik.
        Authentik = "authentik",
        /// Zitadel.
        Zitadel = "zitadel",
    }

    /// How a token is validated.
    pub enum Validation {
        /// By its signature and a key of the issuer.
        Jwks = "jwks",
        /// By introspection (RFC 7662).
        Introspection = "introspection",
        /// A JWT by its signature first; then, like every other token, by introspection.
        JwksAndIntrospection = "jwks+introspection",
        /// A JWT by its signature alone, every other token by introspection.
        JwksOrIntrospection = "jwks-or-introspection",
    }

    /// The unit of `exp`, `nbf` and `iat`.
    pub enum ExpiryUnit {
        /// As RFC 7519 §2 defines NumericDate.
        Seconds = "seconds",
        /// As MobileFirst writes it.
        Milliseconds = "milliseconds",
    }

    /// How the gateway authenticates itself to an introspection endpoint.
    pub enum AuthenticationMethod {
        /// `client_secret_basic` (RFC 6749 §2.3.1).
        Basic = "basic",
        /// `client_secret_post` (RFC 6749 §2.3.1).
        Form = "form",
        /// An access token of its own.
        Bearer = "bearer",
        /// `private_key_jwt` (RFC 7523 §2.2).
        PrivateKeyJwt = "private_key_jwt",
        /// No authentication.
        None = "none",
    }

    /// How a client id and its secret are escaped before they are joined for Basic.
    pub enum BasicEncoding {
        /// Only `%`, `+`, `:`, control characters and bytes outside ASCII, which servers that decode
        /// would misread or refuse.
        Minimal = "minimal",
        /// As a form, to the letter of RFC 6749 §2.3.1.
        Form = "form",
        /// Nothing (RFC 7617 §2).
        Raw = "raw",
    }

    /// What separates scopes in a string.
    pub enum ScopeSeparator {
        /// RFC 6749 §3.3.
        Space = " ",
        /// As some servers write them.
        Comma = ",",
    }

    /// The form of introspection responses.
    pub enum IntrospectionFormat {
        /// JSON (RFC 7662).
        Json = "json",
        /// Signed (RFC 9701).
        Jwt = "jwt",
        /// A JWT that replaces the token.
        Phantom = "phantom",
    }

    /// The protocol between the gateway and an upstream.
    pub enum Protocol {
        /// HTTP/1.1, one exchange on a connection at a time.
        Http1 = "http1",
        /// HTTP/2, several exchanges on a connection: by ALPN with TLS, by prior knowledge without.
        Http2 = "http2",
    }

    /// Which endpoint of an upstream gets a request.
    pub enum Balance {
        /// Of two drawn at random, the one with fewer requests in flight.
        LeastRequests = "least_requests",
        /// Each in turn.
        RoundRobin = "round_robin",
    }

    /// Whether the upstream receives the access token.
    pub enum ForwardToken {
        /// As the client sent it.
        Keep = "keep",
        /// It is removed.
        Strip = "strip",
    }

    /// What is judged of a request to an MCP server.
    pub enum JudgedBy {
        /// The message, with which the headers must agree.
        Message = "verify",
        /// The headers. The server must compare them with the message.
        Headers = "trust",
    }

    /// What a gateway does that has not heard the revocations of its fleet.
    pub enum StaleRevocations {
        /// It serves, and reports it.
        Open = "open",
        /// It refuses requests with tokens.
        Closed = "closed",
    }

    /// How the value of a claim is written in a header.
    pub enum ClaimFormat {
        /// A string, or list items without white space.
        Text = "text",
        /// Compact JSON in ASCII.
        Json = "json",
    }

    /// The form of the development authorization server's access tokens.
    pub enum TokenFormat {
        /// A JSON Web Token that carries its claims (RFC 9068).
        Jwt = "jwt",
        /// A random text that only introspection resolves (RFC 7662).
        Opaque = "opaque",
    }

    /// A signature algorithm that a token may name in `alg` (RFC 7518 §3.1, RFC 8037 §3.1).
    ///
    /// `none` is not one of them, so no configuration can accept it.
    pub enum Algorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RS256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RS384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RS512 = "RS512",
        /// RSASSA-PSS with SHA-256.
        PS256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        PS384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        PS512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        ES256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        ES384 = "ES384",
        /// ECDSA on P-521 with SHA-512.
        ES512 = "ES512",
        /// Ed25519 (RFC 8037 §3.1), also by the name of RFC 9864 §2.2; Ed448 is not supported.
        EdDSA = "EdDSA" | "Ed25519",
        /// HMAC with SHA-256.
        HS256 = "HS256",
        /// HMAC with SHA-384.
        HS384 = "HS384",
        /// HMAC with SHA-512.
        HS512 = "HS512",
    }

    /// The algorithm that the development authorization server signs with.
    pub enum SigningAlgorithm {
        /// RSA with SHA-256.
        Rs256 = "RS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_parses_back_to_its_value() {
        for (keyword, value) in Validation::KEYWORDS {
            assert_eq!(value.keyword(), *keyword);
            assert_eq!(Validation::from_keyword(keyword), Some(*value));
        }
        assert_eq!(Validation::from_keyword("JWKS"), None);
    }
}
