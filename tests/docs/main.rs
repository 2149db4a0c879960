//! The documentation is checked like code: configurations compile, links resolve, sentences stay short.

mod configuration_page;
mod configurations;
mod links;
mod pages;
mod presets;
mod sentences;
