//! When a request is sent again.

pub(super) mod budget;
