//! `request_headers` and `response_headers`: what the gateway changes in the headers of messages.

use super::declare::table;
use super::report::Spanned;
use super::scalars::text;
use super::secret::Secret;

table! {
    /// Headers of responses that the gateway sets and removes.
    pub struct ResponseHeaders {
        fn read(table) -> Option<Self>;

        /// Headers to set. A header of this name that the upstream sent is replaced. Without it,
        /// none.
        /// Example: `set = { "Strict-Transport-Security" = "max-age=63072000" }`
        pub set: Vec<(Spanned<String>, Spanned<String>)> = headers(text()),
        /// Headers to remove. Without it, none.
        /// Example: `remove = ["Server", "X-Powered-By"]`
        pub remove: Vec<Spanned<String>> = list(text(), 1),
    }
}

table! {
    /// Headers of requests that the gateway sets and removes.
    pub struct RequestHeaders {
        fn read(table) -> Option<Self>;

        /// Headers to set. A header of this name that the client sent is replaced. If the value comes
        /// from the environment or a file, that header of clients is removed on all routes to the
        /// upstream. Without it, none.
        /// Example: `set = { "X-Api-Key" = { env = "API_KEY" }, "X-Tenant" = "acme" }`
        pub set: Vec<(Spanned<String>, Spanned<Secret>)> = secret_headers(),
        /// Headers to remove. Without it, none.
        /// Example: `remove = ["Cookie", "X-Debug"]`
        pub remove: Vec<Spanned<String>> = list(text(), 1),
    }
}
