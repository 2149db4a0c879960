//! The values of path parameters.

use std::borrow::Cow;

use super::path::decoded;
use super::pattern::MAX_PARAMETERS;

/// The path parameters of one request, with the names of one route.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'t, 'p> {
    names: &'t [Box<str>],
    values: Values<'p>,
}

impl<'t, 'p> Parameters<'t, 'p> {
    pub(super) fn new(names: &'t [Box<str>], values: Values<'p>) -> Self {
        Self { names, values }
    }

    /// The parameters and their values, decoded once, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&'t str, Cow<'p, str>)> {
        self.names
            .iter()
            .map(|name| &**name)
            .zip(self.values.as_slice().to_vec().into_iter().map(decoded))
    }

    /// The value of a parameter by its position in the path, as it is in the normal path.
    pub(super) fn encoded(&self, position: usize) -> &'p str {
        self.values
            .as_slice()
            .get(position)
            .copied()
            .unwrap_or_default()
    }

    /// The value of a parameter, decoded once. Borrows a value without encoding.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'p, str>> {
        let position = self.names.iter().position(|known| **known == *name)?;
        self.values.as_slice().get(position).copied().map(decoded)
    }
}

/// The values in the order of the path, in an array, so without allocation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Values<'p> {
    pieces: [&'p str; MAX_PARAMETERS],
    length: usize,
    are_contested: bool,
}

impl<'p> Values<'p> {
    // A pattern has at most `MAX_PARAMETERS`, so no value is dropped. `is_contested`: a more
    // specific pattern exists at this segment.
    pub(super) fn push(&mut self, piece: &'p str, is_contested: bool) {
        self.are_contested |= is_contested;
        if let Some(free) = self.pieces.get_mut(self.length) {
            *free = piece;
            self.length += 1;
        }
    }

    pub(super) fn pop(&mut self) {
        self.length = self.length.saturating_sub(1);
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Whether a more specific pattern exists at the segment of some value, or of one that was
    /// tried.
    pub(super) fn are_contested(&self) -> bool {
        self.are_contested
    }

    fn as_slice(&self) -> &[&'p str] {
        &self.pieces[..self.length]
    }
}
