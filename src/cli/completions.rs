//! `scopegate completions SHELL`: a script that makes a shell complete commands and options.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;

pub(super) fn completions(shell: Shell) -> ExitCode {
    // Generated in memory: clap panics if writing fails, as it does with `| head`.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "scopegate", &mut script);
    super::print_output(&script)
}
