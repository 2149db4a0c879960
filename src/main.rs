//! The `scopegate` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Serves allocations of every size from the memory of one thread, without merging what is free. A connection, a new token
/// and an HTTP/2 request allocate most (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    scopegate::cli::main()
}
