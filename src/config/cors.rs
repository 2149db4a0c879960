//! `[cors]`, and `cors` of a route: which pages of other origins may use the API.

use std::time::Duration;

use super::declare::table;
use super::report::Spanned;
use super::scalars::{boolean, text};
use super::units::{DAY, whole_seconds};

table! {
    /// Pages of other origins (CORS).
    pub struct Cors {
        fn read(table) -> Option<Self>;

        /// Origins of the pages: scheme, host and port. `*.` stands for one or more labels. `*`
        /// allows every origin, `null` included, and excludes `credentials`.
        /// Example: `origins = ["https://app.example.com", "https://*.example.org"]`
        pub origins: Vec<Spanned<String>> = required_list(text(), "the origin of at least one page"),
        /// Request headers that a preflight may request. `*` allows all of them.
        /// Example: `headers = ["Authorization", "Content-Type", "X-Tenant"]`
        pub headers: Vec<Spanned<String>> =
            list_or(text(), 0, vec!["Authorization", "Content-Type"]),
        /// Response headers that scripts may read beside the usual ones.
        /// Example: `expose = ["WWW-Authenticate", "X-Request-Id", "ETag"]`
        pub expose: Vec<Spanned<String>> = list_or(text(), 0, vec![
            "WWW-Authenticate", "X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy",
        ]),
        /// Whether scripts may read responses to requests with cookies. Excludes the origin `*`.
        /// Example: `credentials = true`
        pub credentials: bool = or(boolean(), false),
        /// Time that a browser may cache the response to a preflight.
        /// Example: `max_age = "10m"`
        pub max_age: Duration = or(whole_seconds(Duration::ZERO..=DAY), "2h"),
    }
}

/// What a route says about CORS.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RouteCors {
    /// Nothing: `[cors]` applies.
    #[default]
    Inherited,
    /// `false`: the upstream's headers and preflights are its own.
    Off,
    /// A table of its own, in place of `[cors]`.
    Own(Cors),
}

impl From<Option<Cors>> for RouteCors {
    fn from(table: Option<Cors>) -> Self {
        table.map_or(Self::Off, Self::Own)
    }
}
