//! The key of a cache entry: the whole text of its token.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::Equivalent;

use crate::verify::verified_token::VerifiedToken;

/// An entry as its own key.
pub(super) struct Token(pub(super) Arc<VerifiedToken>);

/// The text of a token, to look up its entry.
pub(super) struct Text<'t>(pub(super) &'t str);

// A JWT ends with its signature, which looks random and which nobody without the key can choose.
// Hashing only that is several times faster, and only verified tokens are inserted. Opaque tokens may
// share a suffix, such as the name of a tenant, so part of the middle is hashed as well.
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
