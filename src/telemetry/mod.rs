//! What happened, told to the operator: one [`Record`] for each request, and the log.

mod log;
mod panics;
mod record;

pub use log::{Log, LogFormat};
pub use panics::{log_panics, panicked_requests};
pub use record::{Outcome, Record};
