//! How a token is found in a cache: by its whole text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::Equivalent;

use crate::verify::verified_token::VerifiedToken;

/// A fact as the key to itself.
pub(super) struct Token(pub(super) Arc<VerifiedToken>);

/// The text of a token, to find the fact by.
pub(super) struct Text<'t>(pub(super) &'t str);

// The end of a JWT is its signature, which is as good as random and cannot be chosen by who does not hold the key:
// hashing that alone is several times faster, and only verified tokens are kept. Opaque tokens may share an end, such as
// the name of a tenant, so some of the middle counts as well.
fn hash_some(text: &str, state: &mut impl Hasher) {
    let (bytes, middle) = (text.as_bytes(), text.len() / 2);
    state.write(&bytes[middle.saturating_sub(16)..middle]);
    state.write(&bytes[bytes.len().saturating_sub(32)..]);
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_some(&self.0.text, state);
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_some(self.0, state);
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        *self.0.text == *other.0.text
    }
}

impl Eq for Token {}

impl Equivalent<Token> for Text<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        *self.0 == *token.0.text
    }
}
