//! `response_headers`: what the gateway changes in the headers of responses.

use super::declare::table;
use super::report::Spanned;
use super::route::HEADER_NAME;
use super::scalars::text;

table! {
    /// Headers of responses that the gateway sets and removes.
    pub struct ResponseHeaders {
        fn read(table) -> Option<Self>;

        /// Headers to set. A header of this name that the upstream sent is replaced. Without it,
        /// none.
        /// Example: `set = { "Strict-Transport-Security" = "max-age=63072000" }`
        pub set: Vec<(Spanned<String>, Spanned<String>)> = map(HEADER_NAME, text()),
        /// Headers to remove. Without it, none.
        /// Example: `remove = ["Server", "X-Powered-By"]`
        pub remove: Vec<Spanned<String>> = list(text(), 1),
    }
}
