//! The token that changes by the admin listener need: `[admin] token`.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

/// The digest of the token.
pub struct AdminToken(Digest);

impl AdminToken {
    /// Keeps the digest of `token`.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(digest(&SHA256, token.as_bytes()))
    }

    /// Whether it is this one. Comparing digests leaks neither content nor length through timing.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        let shown = digest(&SHA256, shown.as_bytes());
        verify_slices_are_equal(self.0.as_ref(), shown.as_ref()).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}
