//! The real binary: the story that README tells, and the command line.

mod absent;
mod admin;
mod command_line;
mod completions;
mod connections;
mod descriptors;
mod drain;
mod explain;
// The issuer and the upstream of the tests of the gate, for a gateway that is a process.
#[path = "../gate/harness/issuer.rs"]
#[allow(dead_code, reason = "the tests of the gate use more of it")]
mod issuer;
mod log;
mod process;
mod reload;
mod restart;
mod rolling;
mod scale;
#[path = "../gate/harness/server.rs"]
#[allow(dead_code, reason = "the tests of the gate use more of it")]
mod server;
mod story;
mod systemd;

use process::PATIENCE;
