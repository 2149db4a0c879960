//! `scopegate completions SHELL`: a script by which a shell completes commands and options.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;

pub(super) fn completions(shell: Shell) -> ExitCode {
    // Into memory first: generating panics where writing fails, and `| head` is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "scopegate", &mut script);
    super::answer(&script)
}
