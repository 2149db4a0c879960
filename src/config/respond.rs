//! `respond`: the response of a route without an upstream.

use super::declare::table;
use super::report::Spanned;
use super::scalars::text;
use super::units::count;

table! {
    /// The response of the route, instead of an upstream's. The route's rules for tokens apply first.
    /// Either it or `upstream` is required.
    pub struct Respond {
        fn read(table) -> Option<Self>;

        /// Status of the response.
        /// Example: `status = 503`
        pub status: Spanned<u16> = required(count(200..=599), "the status of the response"),
        /// Body of the response. It is plain text unless `headers` has a `Content-Type`. Without it,
        /// there is none.
        /// Example: `body = "Down for maintenance.\n"`
        pub body: Option<Spanned<String>> = optional(text()),
        /// Headers of the response. Without it, none of its own.
        /// Example: `headers = { "Retry-After" = "600" }`
        pub headers: Vec<(Spanned<String>, Spanned<String>)> = headers(text()),
    }
}
