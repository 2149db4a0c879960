//! The binary as a process: the walkthrough of the README, the command line, and its life cycle.

mod admin;
mod command_line;
mod completions;
mod connections;
mod descriptors;
mod discover;
mod drain;
mod egress_proxy;
mod explain;
mod log;
mod man;
mod many_routes;
mod mcp_walkthrough;
mod missing_secrets;
mod pages;
mod process;
mod readme_walkthrough;
mod reload;
mod restart;
mod revocations;
mod rolling;
mod systemd;
mod unix_sockets;
