//! Closed sets of values that a configuration key takes, each declared once with its spelling in `gateway.toml`.
//!
//! The room that reads the file and the room that acts on a value use the same type, so no conversion can map one
//! variant to another. This module imports nothing of the crate.

/// A closed set of values, each with one spelling in `gateway.toml`.
pub trait Keyword: Copy + Eq + 'static {
    /// Every value with its spelling, in the order in which messages list them.
    const KEYWORDS: &'static [(&'static str, Self)];

    /// The spelling of this value.
    #[must_use]
    fn keyword(self) -> &'static str {
        Self::KEYWORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(keyword, _)| keyword)
    }

    /// The value with this spelling; letter case matters.
    #[must_use]
    fn from_keyword(text: &str) -> Option<Self> {
        Self::KEYWORDS
            .iter()
            .find(|(keyword, _)| *keyword == text)
            .map(|(_, value)| *value)
    }
}

/// Declares an enum and the spelling of each variant.
macro_rules! keywords {
    ($($(#[$of_enum:meta])* pub enum $name:ident {
        $($(#[$of_variant:meta])* $variant:ident = $keyword:literal,)+
    })+) => {$(
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of_variant])* $variant,)+
        }

        impl Keyword for $name {
            const KEYWORDS: &'static [(&'static str, Self)] =
                &[$(($keyword, Self::$variant)),+];
        }
    )+};
}

keywords! {
    /// Treatment of `;` in a path (RFC 3986 §3.3).
    ///
    /// Servers disagree whether `;` ends the name of a segment. Allow it only before upstreams that take it for an
    /// ordinary character, because routes do.
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

    /// The least important log events that are written.
    pub enum LogLevel {
        /// Failures that need an operator.
        Error = "error",
        /// Likely trouble.
        Warn = "warn",
        /// Normal operation.
        Info = "info",
        /// Reasons of decisions.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }

    /// How a token is validated.
    pub enum Validation {
        /// By its signature and a key of the issuer.
        Jwks = "jwks",
        /// By introspection (RFC 7662).
        Introspection = "introspection",
        /// A JWT by its signature first; then, like every other token, by introspection.
        JwksAndIntrospection = "jwks+introspection",
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
        /// Not at all.
        None = "none",
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
        /// HTTP/2, whose exchanges share connections: by ALPN over TLS, by prior knowledge without TLS.
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
        /// Not at all.
        Strip = "strip",
    }

    /// How the value of a claim is written in a header.
    pub enum ClaimFormat {
        /// One string, or the items of a list that have no white space.
        Text = "text",
        /// Compact JSON in ASCII.
        Json = "json",
    }

    /// The form of the development authorization server's access tokens.
    pub enum TokenFormat {
        /// A JSON Web Token that carries its claims (RFC 9068).
        Jwt = "jwt",
        /// A random text, whose meaning only introspection gives (RFC 7662).
        Opaque = "opaque",
    }

    /// What the development authorization server signs with.
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
    fn a_keyword_reads_back_as_the_value_that_wrote_it() {
        for (keyword, value) in Validation::KEYWORDS {
            assert_eq!(value.keyword(), *keyword);
            assert_eq!(Validation::from_keyword(keyword), Some(*value));
        }
        assert_eq!(Validation::from_keyword("JWKS"), None);
    }
}
