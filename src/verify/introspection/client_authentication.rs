//! How the gateway authenticates to an authorization server as a client (RFC 6749 §2.3).

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{EncodingKey, Header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::form_urlencoded::{self, Serializer};
use zeroize::Zeroizing;

use crate::oauth::UnixTime;
use crate::oauth::jose::Algorithm;
use crate::values::BasicEncoding;
use crate::verify::jwt;

/// The lifetime of an assertion: it is used at once, and clocks may differ.
const ASSERTION_LIFETIME: i64 = 60;

/// How a client authenticates (RFC 6749 §2.3).
pub enum ClientAuthentication {
    /// No authentication: the network restricts access.
    None,
    /// The value of `Authorization: Basic`.
    Basic(HeaderValue),
    /// `client_id` and `client_secret` in the form.
    Form {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        client_secret: SecretString,
    },
    /// A JWT signed for each request (RFC 7523 §2.2).
    PrivateKeyJwt(Box<Assertions>),
}

/// Signs client assertions.
pub struct Assertions {
    client_id: String,
    audience: String,
    header: Header,
    key: EncodingKey,
}

/// A private key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableKey {
    /// Not a PEM file with a key for the algorithm.
    #[error(
        "expected a private key for {algorithm} in PEM, not encrypted, but found something else (\"openssl pkcs8 -topk8 -nocrypt\" converts it)"
    )]
    NotPem {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// HMAC has no private key, and the gateway signs nothing with P-521.
    #[error("expected an algorithm that the gateway can sign with, but found {0}")]
    NotSigning(Algorithm),
}

/// `Authorization` with Basic credentials, both parts escaped as `encoding` says.
///
/// # Panics
/// Never: base64 has only characters that a header value accepts.
#[must_use]
pub fn basic_credentials(
    client_id: &str,
    client_secret: &SecretString,
    encoding: BasicEncoding,
) -> HeaderValue {
    let pair = Zeroizing::new(format!(
        "{}:{}",
        escaped(client_id, encoding),
        escaped(client_secret.expose_secret(), encoding)
    ));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
        .expect("base64 has only characters that a header value accepts");
    value.set_sensitive(true);
    value
}

impl ClientAuthentication {
    /// Basic: see [`basic_credentials`].
    #[must_use]
    pub fn basic(client_id: &str, client_secret: &SecretString, encoding: BasicEncoding) -> Self {
        Self::Basic(basic_credentials(client_id, client_secret, encoding))
    }

    /// Adds the credentials to a request.
    pub(super) fn authenticate(
        &self,
        headers: &mut HeaderMap,
        form: &mut Serializer<'_, String>,
        now: UnixTime,
    ) {
        match self {
            Self::None => {}
            Self::Basic(value) => {
                headers.insert(header::AUTHORIZATION, value.clone());
            }
            Self::Form {
                client_id,
                client_secret,
            } => {
                form.append_pair("client_id", client_id)
                    .append_pair("client_secret", client_secret.expose_secret());
            }
            Self::PrivateKeyJwt(assertions) => {
                form.append_pair(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                )
                .append_pair("client_assertion", &assertions.sign(now))
                .append_pair("client_id", &assertions.client_id);
            }
        }
    }
}

/// What a server that decodes would misread, and what RFC 7617 §2 forbids.
const MINIMAL: &AsciiSet = &CONTROLS.add(b'%').add(b'+').add(b':');

fn escaped(text: &str, encoding: BasicEncoding) -> String {
    match encoding {
        BasicEncoding::Minimal => utf8_percent_encode(text, MINIMAL).to_string(),
        BasicEncoding::Form => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        BasicEncoding::Raw => text.to_owned(),
    }
}

impl Assertions {
    /// Signs as `client_id` for `audience`, the issuer identifier of the authorization server, with a key in PEM
    /// (PKCS #8, or PKCS #1 for RSA).
    ///
    /// # Errors
    /// [`UnusableKey`] if `pem` has no key for the algorithm.
    pub fn new(
        client_id: String,
        audience: String,
        pem: &[u8],
        algorithm: Algorithm,
        key_id: Option<String>,
    ) -> Result<Self, UnusableKey> {
        jwt::install_cryptography();
        let key = match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => EncodingKey::from_rsa_pem(pem),
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            Algorithm::ES512 | Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                return Err(UnusableKey::NotSigning(algorithm));
            }
        };
        let key = key.map_err(|_| UnusableKey::NotPem { algorithm })?;
        let signing = jwt::to_jsonwebtoken(algorithm);
        let mut header = Header::new(signing.ok_or(UnusableKey::NotSigning(algorithm))?);
        header.kid = key_id;
        let assertions = Self {
            client_id,
            audience,
            header,
            key,
        };
        // Finds a key that cannot sign now, and not with the first request.
        match assertions.try_sign(UnixTime::from_seconds(0)) {
            Ok(_) => Ok(assertions),
            Err(_) => Err(UnusableKey::NotPem { algorithm }),
        }
    }

    // If signing fails, the assertion is empty, and the server refuses the request. So this fails
    // closed.
    fn sign(&self, now: UnixTime) -> String {
        self.try_sign(now).unwrap_or_default()
    }

    fn try_sign(&self, now: UnixTime) -> Result<String, jsonwebtoken::errors::Error> {
        let mut id = [0_u8; 16];
        rand::fill(&mut id).map_err(|_| jsonwebtoken::errors::ErrorKind::RsaFailedSigning)?;
        let now = now.as_seconds();
        // RFC 7523 §3.
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": self.audience,
            "jti": URL_SAFE_NO_PAD.encode(id), "iat": now, "exp": now.saturating_add(ASSERTION_LIFETIME),
        });
        jsonwebtoken::encode(&self.header, &claims, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_basic_credentials_are_escaped_as_configured() {
        let cases = [
            (
                "odd:id & co",
                "100% +s/e=cret:!",
                BasicEncoding::Form,
                "odd%3Aid+%26+co:100%25+%2Bs%2Fe%3Dcret%3A%21",
            ),
            (
                "odd:id & co",
                "100% +s/e=cret:!",
                BasicEncoding::Minimal,
                "odd%3Aid & co:100%25 %2Bs/e=cret%3A!",
            ),
            (
                "id & co",
                "100% +s/e=cret:!",
                BasicEncoding::Raw,
                "id & co:100% +s/e=cret:!",
            ),
            ("gate", "é\n", BasicEncoding::Minimal, "gate:%C3%A9%0A"),
            ("gate", "Secr3t!", BasicEncoding::Minimal, "gate:Secr3t!"),
        ];
        for (id, secret, encoding, expected) in cases {
            let secret = SecretString::from(secret);
            let ClientAuthentication::Basic(value) =
                ClientAuthentication::basic(id, &secret, encoding)
            else {
                panic!("basic is basic");
            };
            let text = value
                .to_str()
                .expect("ASCII")
                .strip_prefix("Basic ")
                .expect("the scheme");
            let pair = STANDARD.decode(text).expect("base64");
            assert_eq!(pair, expected.as_bytes());
            assert!(value.is_sensitive());
        }
    }
}
