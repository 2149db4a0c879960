//! The digests of one token: everything that could revoke it.

use std::borrow::Cow;

use super::digest::{Digest, Selector, TokenHash};
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, CLIENT_ID_CLAIMS};

/// What a verified token keeps to be found in the store: at most 6 digests of 16 bytes, and `iat`.
/// A phantom token has one more.
pub struct TokenDigests {
    digests: Box<[Digest]>,
    /// When the token was issued, earlier by `revocation_skew`; none if it does not say.
    issued: Option<UnixTime>,
}

impl TokenDigests {
    /// The digests of a token with these texts: as it is sent, and as its upstream gets it.
    ///
    /// `tokens` are what is known of it: the introspection response, and the JWT that it is about.
    /// Whatever revokes one of them revokes the token. `issuer` is for a token without `iss`.
    /// `issued_at` is earlier by `revocation_skew`.
    #[must_use]
    pub fn of(
        texts: &[&str],
        tokens: &[&ActiveToken],
        issuer: &str,
        issued_at: Option<UnixTime>,
    ) -> Self {
        let hashes = texts.iter().filter_map(|text| TokenHash::of(text).ok());
        let hashes: Vec<_> = hashes.map(Selector::Token).collect();
        let mut digests = Vec::new();
        for token in tokens {
            let issuer = token.issuer().unwrap_or(issuer);
            let identifier = |names: &[&str]| token.identifier(names).map(Cow::into_owned);
            let selectors = [
                identifier(&["jti"]).map(Selector::Jti),
                identifier(&["sub"]).map(Selector::Sub),
                identifier(&CLIENT_ID_CLAIMS).map(Selector::ClientId),
                identifier(&["sid"]).map(Selector::Sid),
            ];
            let selected = selectors.iter().flatten().chain(&hashes);
            digests.extend(selected.map(|selector| Digest::of(issuer, selector)));
            digests.push(Digest::of_issuer(issuer));
        }
        digests.sort_unstable();
        digests.dedup();
        Self {
            digests: digests.into(),
            issued: issued_at,
        }
    }

    pub(super) fn digests(&self) -> &[Digest] {
        &self.digests
    }

    pub(super) fn issued(&self) -> Option<UnixTime> {
        self.issued
    }

    /// Bytes of memory that it takes on the heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        size_of_val::<[Digest]>(&self.digests)
    }
}
