//! The `scopegate` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    scopegate::cli::main()
}
