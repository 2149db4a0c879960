//! `[revocations]`: what is revoked before it expires.

use std::path::PathBuf;

use super::addresses::path;
use super::declare::table;
use super::report::Spanned;
use super::scalars::text;
use super::units::count;

table! {
    /// Tokens that are revoked before they expire.
    pub struct Revocations {
        fn read(table) -> Option<Self>;

        /// Path of the main listeners where authorization servers POST Security Event Tokens (RFC
        /// 8935), in normal form. No route may match it. Without it, none are received.
        /// Example: `push = "/events"`
        pub push: Option<Spanned<String>> = optional(text()),
        /// File that keeps revocations over a restart. It belongs to one process. Without it, a
        /// restart forgets them. A change needs a restart.
        /// Example: `file = "revocations.log"`
        pub file: Option<Spanned<PathBuf>> = optional(path(table.folder())),
        /// Maximum number of revocations. One more gets 507. None is forgotten before the tokens
        /// that it revokes have expired.
        /// Example: `max_entries = 100000`
        pub max_entries: usize = or(count(1..=100_000_000), 1_000_000),
    }
}
