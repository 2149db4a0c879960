//! The real binary: the story that README tells, and the command line.

mod command_line;
mod process;
mod restart;
mod story;
mod systemd;
