//! What happened, told to the operator: one [`Record`] for each request, and the log.

mod log;
mod record;

pub use log::{Log, LogFormat};
pub use record::{Outcome, Record};
