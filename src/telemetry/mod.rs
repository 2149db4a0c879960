//! What happened, told to the operator: one [`Record`] for each request, and the log.

mod log;
mod record;

pub use log::{LogFormat, start_log};
pub use record::{Outcome, Record};
