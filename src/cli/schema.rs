//! `scopegate schema`: the keys of gateway.toml, for editors and for people.

use std::process::ExitCode;

use clap::Args;

use crate::config;

/// Options of `scopegate schema`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Print a reference table for people, in Markdown
    #[arg(long)]
    markdown: bool,
}

pub(super) fn schema(arguments: &Arguments) -> ExitCode {
    let text = if arguments.markdown {
        config::markdown()
    } else {
        config::schema()
    };
    super::print_output(text.as_bytes())
}
