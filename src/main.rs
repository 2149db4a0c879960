//! The `scopegate` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Each thread allocates from pages of its own, and nothing is searched or merged. New connections, new tokens and HTTP/2 gain
/// most (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    scopegate::cli::main()
}
