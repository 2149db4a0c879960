//! The command line of `scopegate explain`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::inputs::{HeaderFrom, TextFrom};
use crate::client_limits::ClientAddress;

/// The arguments of `scopegate explain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The method of the request
    pub(super) method: String,
    /// Its URL or path; for a path the host is that of external_url, or else of the first listener
    pub(super) url: String,
    /// An access token; @FILE reads a file, and - standard input, so that no process list shows it
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub(super) token: Option<TextFrom>,
    /// A header of the request, such as 'X-Tenant: acme'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(super) headers: Vec<HeaderFrom>,
    /// The body of the request, such as a message for an MCP server; @FILE reads a file, and -
    /// standard input. Without a header for it, its Content-Type is application/json
    #[arg(long, value_name = "BODY", allow_hyphen_values = true)]
    pub(super) body: Option<TextFrom>,
    /// The address of the client's connection, or "unix" for a Unix socket
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) from: ClientAddress,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// Send nothing: an issuer's keys come from its jwks_file or from --jwks
    #[arg(long)]
    pub(super) offline: bool,
    /// Keys to use instead of those that the token's issuer publishes
    #[arg(long, value_name = "FILE")]
    pub(super) jwks: Option<PathBuf>,
}
