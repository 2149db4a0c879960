//! Is this token active?

pub mod jwt;
