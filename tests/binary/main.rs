//! The real binary: the story that README tells, and the command line.

mod absent;
mod admin;
mod command_line;
mod completions;
mod connections;
mod descriptors;
mod drain;
mod explain;
mod log;
mod process;
mod reload;
mod restart;
mod rolling;
mod scale;
mod story;
mod systemd;
