//! The real binary: the story that README tells, and the command line.

mod admin;
mod command_line;
mod completions;
mod connections;
mod descriptors;
mod drain;
mod explain;
mod log;
mod many_routes;
mod missing_secrets;
mod process;
mod readme_walkthrough;
mod reload;
mod restart;
mod rolling;
mod systemd;
