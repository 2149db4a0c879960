//! What happened, told to the operator: one [`Record`] for each request, and the log.

mod log;
mod panics;
mod record;

pub use log::{LogFormat, start_log};
pub use panics::{log_panics, panicked_requests};
pub use record::{Outcome, Record};
