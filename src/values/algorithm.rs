//! Properties of signature algorithms.

use std::fmt;

use super::{Algorithm, Keyword};

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 13] = {
        let mut all = [Self::RS256; 13];
        let mut index = 0;
        while index < all.len() {
            all[index] = Self::KEYWORDS[index].1;
            index += 1;
        }
        all
    };

    /// The name that `alg` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.keyword()
    }

    /// The algorithm of that name; letter case matters (RFC 7515 §4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_keyword(name)
    }

    /// Whether it uses a shared secret, so that everyone who can verify can also sign.
    #[must_use]
    pub const fn is_hmac(self) -> bool {
        self.min_secret_length().is_some()
    }

    /// Whether it uses a private and a public key.
    #[must_use]
    pub const fn has_public_key(self) -> bool {
        !self.is_hmac()
    }

    /// Whether the gateway can sign with it; `jsonwebtoken` cannot use P-521.
    #[must_use]
    pub fn can_sign(self) -> bool {
        self.has_public_key() && self != Self::ES512
    }

    /// Minimum length in bytes of a shared secret: that of the hash (RFC 7518 §3.2). `None` for
    /// algorithms with a public key.
    #[must_use]
    pub const fn min_secret_length(self) -> Option<usize> {
        match self {
            Self::HS256 => Some(32),
            Self::HS384 => Some(48),
            Self::HS512 => Some(64),
            Self::RS256
            | Self::RS384
            | Self::RS512
            | Self::PS256
            | Self::PS384
            | Self::PS512
            | Self::ES256
            | Self::ES384
            | Self::ES512
            | Self::EdDSA => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive_and_none_is_not_an_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_name(&algorithm.name().to_lowercase()), None);
        }
        // RFC 9864 §2.2: a second name of the same algorithm.
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDSA));
        for name in [
            "none", "None", "NONE", "", "ES521", "ES256K", "RS1", "HS256 ", "ED25519", "Ed448",
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }
}
