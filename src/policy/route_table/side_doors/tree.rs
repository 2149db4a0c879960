//! The paths of an upstream, and which of their routes stand how to one of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::policy::pattern::Segment;

/// More classes than these beneath a place are not told apart there.
const MAX_CLASSES: usize = 8;

/// Positions of routes by the class of their requirement.
type Routes = BTreeMap<u32, Vec<usize>>;

/// One segment's place among the paths of an upstream.
#[derive(Debug, Default)]
pub(super) struct Place {
    literals: BTreeMap<Box<str>, Self>,
    parameter: Option<Box<Self>>,
    here: Routes,
    rest: Routes,
    /// Of all routes here and beneath; one more than are told apart where there are too many.
    classes: Vec<u32>,
}

/// A search for routes, place by place.
pub(super) struct Walk<'s> {
    /// How many places and routes may still be looked at.
    pub(super) steps: &'s mut usize,
    /// Whether routes of a class are looked for.
    pub(super) wanted: &'s dyn Fn(u32) -> bool,
    /// What becomes of each route.
    pub(super) visit: &'s mut dyn FnMut(usize) -> ControlFlow<()>,
}

impl Place {
    pub(super) fn insert(&mut self, path: &[Segment], class: u32, index: usize) {
        if self.classes.len() <= MAX_CLASSES && !self.classes.contains(&class) {
            self.classes.push(class);
        }
        match path.split_first() {
            None => self.here.entry(class).or_default().push(index),
            Some((Segment::Rest, _)) => self.rest.entry(class).or_default().push(index),
            Some((Segment::Parameter, further)) => self
                .parameter
                .get_or_insert_default()
                .insert(further, class, index),
            Some((Segment::Literal(text), further)) => {
                self.literals
                    .entry(text.clone())
                    .or_default()
                    .insert(further, class, index);
            }
        }
    }

    fn named(&self) -> impl Iterator<Item = &Self> {
        self.literals
            .iter()
            .filter(|(text, _)| !text.is_empty())
            .map(|(_, place)| place)
    }
}

/// How the paths that are looked for stand to the one that they meet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// The same so far; where they differ, the other one is more specific.
    SameOrMore,
    /// The same so far; where they differ, the other one is less specific.
    SameOrLess,
    /// They differed already, so it does not matter what follows.
    Decided,
}

impl Walk<'_> {
    /// Visits the routes whose paths meet `path`, and are as specific where they do, or more so.
    pub(super) fn as_specific(&mut self, root: &Place, path: &[Segment]) -> ControlFlow<()> {
        self.meeting(root, path, Relation::SameOrMore)
    }

    /// Visits the routes whose paths meet `path`, and are as specific where they do, or less so.
    pub(super) fn less_specific(&mut self, root: &Place, path: &[Segment]) -> ControlFlow<()> {
        self.meeting(root, path, Relation::SameOrLess)
    }

    fn meeting(&mut self, place: &Place, path: &[Segment], relation: Relation) -> ControlFlow<()> {
        if !self.enters(place)? {
            return ControlFlow::Continue(());
        }
        let (more, less) = (
            relation != Relation::SameOrLess,
            relation != Relation::SameOrMore,
        );
        let parameter = || place.parameter.as_deref().into_iter();
        match path.split_first() {
            None => {
                self.routes(&place.here)?;
                // A path owns its form with a trailing slash, which another one may declare.
                place
                    .literals
                    .get("")
                    .filter(|_| more)
                    .map_or(ControlFlow::Continue(()), |slash| self.routes(&slash.here))?;
            }
            Some((Segment::Rest, _)) if more => return self.everything(place),
            Some((Segment::Rest, _)) => {}
            Some((Segment::Parameter, further)) => {
                place
                    .named()
                    .filter(|_| more)
                    .try_for_each(|place| self.meeting(place, further, Relation::Decided))?;
                parameter().try_for_each(|place| self.meeting(place, further, relation))?;
            }
            Some((Segment::Literal(text), further)) => {
                place
                    .literals
                    .get(text)
                    .into_iter()
                    .try_for_each(|place| self.meeting(place, further, relation))?;
                match (less, text.is_empty()) {
                    (true, true) => self.routes(&place.here)?,
                    (true, false) => parameter()
                        .try_for_each(|place| self.meeting(place, further, Relation::Decided))?,
                    (false, _) => {}
                }
            }
        }
        if less {
            self.routes(&place.rest)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn everything(&mut self, place: &Place) -> ControlFlow<()> {
        if !self.enters(place)? {
            return ControlFlow::Continue(());
        }
        self.routes(&place.here)?;
        self.routes(&place.rest)?;
        place
            .literals
            .values()
            .chain(place.parameter.as_deref())
            .try_for_each(|place| self.everything(place))
    }

    // Whether there may be something to find.
    fn enters(&mut self, place: &Place) -> ControlFlow<(), bool> {
        self.step()?;
        ControlFlow::Continue(
            place.classes.len() > MAX_CLASSES
                || place.classes.iter().any(|class| (self.wanted)(*class)),
        )
    }

    fn routes(&mut self, routes: &Routes) -> ControlFlow<()> {
        for (class, indices) in routes {
            self.step()?;
            if (self.wanted)(*class) {
                for index in indices {
                    self.step()?;
                    (self.visit)(*index)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn step(&mut self) -> ControlFlow<()> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                *self.steps = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }
}
