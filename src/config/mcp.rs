//! `mcp` and `tools` of a route: what the operations of an MCP server require.

use super::declare::table;
use super::report::Spanned;
use super::scalars::{keyword, text};
use crate::values::JudgedBy;

table! {
    /// An MCP server (Model Context Protocol, Streamable HTTP) behind the route. `tools` says what
    /// its operations require.
    pub struct Mcp {
        fn read(table) -> Option<Self>;

        /// How an operation is found. `verify` reads the body, up to `max_body_size`, and refuses
        /// headers that differ from it. `trust` goes by `Mcp-Method` and `Mcp-Name` alone: only for
        /// servers that compare them with the body.
        /// Example: `body = "trust"`
        pub body: Spanned<JudgedBy> = spanned_or(keyword(), "verify"),
        /// Origins of the pages that may send requests. Others get 403. Without it, the origin of
        /// the resource. Requests without `Origin` are accepted.
        /// Example: `origins = ["https://agent.example.com", "https://*.example.org"]`
        pub origins: Option<Vec<Spanned<String>>> = optional_list(text(), 1),
    }
}

table! {
    /// A rule for operations of an MCP server. The first rule that matches applies, and its scopes
    /// are required beside those of the route. If there are rules, operations that none matches are
    /// refused with 403, but for `initialize`, `server/discover`, `ping`, `notifications/*` and
    /// `response`. `*` stands for one or more characters. Requires `mcp`.
    pub struct Tool {
        fn read(table) -> Option<Self>;

        /// Patterns of the method. A response to a request of the server has the method `response`.
        /// Example: `method = ["tools/call", "prompts/*"]`
        pub method: Vec<Spanned<String>> = required_list(text(), "the method that the rule is for"),
        /// Patterns of the name: of the tool for `tools/call`, of the prompt for `prompts/get`, the
        /// URI for `resources/read`. Other methods have none. Without it, any name, or none.
        /// Example: `name = "delete_*"`
        pub name: Vec<Spanned<String>> = list(text(), 1),
        /// Scopes that the token must grant beside those of the route, all of them, separated by
        /// spaces. Without it, those of the route suffice.
        /// Example: `scope = "tools.delete"`
        pub scope: Option<Spanned<String>> = optional(text()),
    }
}
