//! Routes that ask for the same, so that what implies what is judged once for all of them.

use std::cell::RefCell;
use std::collections::HashMap;

use super::Sent;
use crate::policy::pattern::Segment;
use crate::policy::requirement::SharedParameters;
use crate::policy::route::Route;

/// The class of each route.
pub(super) struct Classes<'r> {
    routes: &'r [Route],
    sent: &'r [Sent],
    of: Vec<u32>,
    /// The first route of each class.
    first: Vec<usize>,
    /// What was judged so far.
    known: RefCell<HashMap<(u32, u32), bool>>,
}

impl<'r> Classes<'r> {
    pub(super) fn new(routes: &'r [Route], sent: &'r [Sent]) -> Self {
        let (mut of, mut first, mut by_text) = (Vec::new(), Vec::new(), HashMap::new());
        for (index, (route, sent)) in routes.iter().zip(sent).enumerate() {
            let next = u32::try_from(first.len()).unwrap_or(u32::MAX);
            let class = *by_text.entry(text(route, *sent)).or_insert_with(|| {
                first.push(index);
                next
            });
            of.push(class);
        }
        Self {
            routes,
            sent,
            of,
            first,
            known: RefCell::default(),
        }
    }

    pub(super) fn class(&self, index: usize) -> u32 {
        self.of[index]
    }

    /// Whether whoever passes a route of `class` would pass one of `other`, or there is no method that both take.
    pub(super) fn implies(&self, class: u32, other: u32) -> bool {
        if class == other {
            return true;
        }
        if let Some(known) = self.known.borrow().get(&(class, other)) {
            return *known;
        }
        let [one, two] = [class, other].map(|class| self.first[class as usize]);
        let (skipped, skipped_of_other) = (self.sent[one].skipped, self.sent[two].skipped);
        let shared = SharedParameters::AtSameSegment {
            skipped,
            skipped_of_other,
        };
        let [one, two] = [one, two].map(|index| &self.routes[index]);
        let implies =
            one.methods.in_common(&two.methods).is_none() || one.is_as_strict_as(two, shared);
        self.known.borrow_mut().insert((class, other), implies);
        implies
    }
}

// Everything that decides whether one implies another. Scopes with parameters are the same only where these stand at the
// same place of what is sent.
fn text(route: &Route, sent: Sent) -> String {
    let Route {
        hosts: _,
        path,
        methods,
        requirement,
        issuers,
        is_enforced,
    } = route;
    let mut text = format!("{requirement:?} {issuers:?} {is_enforced} {methods:?}");
    if text.contains('{') {
        let placeholders = path
            .segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| !matches!(segment, Segment::Literal(_)));
        let places: Vec<_> = path
            .parameters()
            .zip(placeholders.map(|(place, _)| place.checked_sub(sent.skipped)))
            .collect();
        text += &format!(" {places:?}");
    }
    text
}
