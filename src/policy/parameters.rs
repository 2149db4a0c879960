//! The values that a request's path gives to a route's parameters.

use std::borrow::Cow;

use super::path::decoded;
use super::pattern::MAX_PARAMETERS;

/// The path parameters of one request, as one route names them.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'t, 'p> {
    names: &'t [Box<str>],
    values: Values<'p>,
}

impl<'t, 'p> Parameters<'t, 'p> {
    pub(super) fn new(names: &'t [Box<str>], values: Values<'p>) -> Self {
        Self { names, values }
    }

    /// Every parameter and its value, decoded once, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&'t str, Cow<'p, str>)> {
        self.names
            .iter()
            .map(|name| &**name)
            .zip(self.values.as_slice().to_vec().into_iter().map(decoded))
    }

    /// The value of a parameter, decoded once. Borrows what has nothing to decode.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'p, str>> {
        let position = self.names.iter().position(|known| **known == *name)?;
        self.values.as_slice().get(position).copied().map(decoded)
    }
}

/// Pieces of a path in the order in which a pattern takes them, kept without a heap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Values<'p> {
    pieces: [&'p str; MAX_PARAMETERS],
    length: usize,
    are_contested: bool,
}

impl<'p> Values<'p> {
    // No pattern has more parameters than there is room for, so nothing is ever left out. `is_contested` says whether a
    // more specific pattern would take another piece there.
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

    /// Whether some value, or one that was tried, stands where other patterns are more specific.
    pub(super) fn are_contested(&self) -> bool {
        self.are_contested
    }

    fn as_slice(&self) -> &[&'p str] {
        &self.pieces[..self.length]
    }
}
