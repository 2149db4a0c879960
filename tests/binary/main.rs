//! The real binary: the story that README tells, and the command line.

mod admin;
mod command_line;
mod completions;
mod drain;
mod log;
mod process;
mod reload;
mod restart;
mod story;
mod systemd;
