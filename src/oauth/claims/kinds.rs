//! Claims that distinguish kinds of tokens.

/// Claims of ID tokens that some servers write into access tokens as well.
pub(super) const ID_TOKEN_CLAIMS: [&str; 3] = [
    "nonce",   // OpenID Connect Core §2
    "at_hash", // OpenID Connect Core §3.1.3.6
    "c_hash",  // OpenID Connect Core §3.3.2.11
];

/// Claims that access tokens do not have, with the kind of token that does.
pub(super) const FOREIGN_CLAIMS: [&str; 4] = [
    "events",              // security event and logout tokens, RFC 8417 §2.2
    "htm",                 // DPoP proof, RFC 9449 §4.2
    "htu",                 // DPoP proof, RFC 9449 §4.2
    "token_introspection", // introspection response, RFC 9701 §5
];

/// Claims in which issuers name the kind of a token: Cognito, Keycloak and Aidbox, ForgeRock,
/// Curity.
pub(super) const KIND_CLAIMS: [&str; 4] = ["token_use", "typ", "tokenName", "purpose"];
