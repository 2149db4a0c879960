//! `scopegate schema`: what may stand in gateway.toml, for editors.

use std::process::ExitCode;

use crate::config::SCHEMA;

pub(super) fn schema() -> ExitCode {
    super::answer(SCHEMA.as_bytes())
}
