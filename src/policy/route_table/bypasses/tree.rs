//! The paths of an upstream as a tree, and the search for those that meet a path.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::policy::pattern::Segment;

/// A node that has more classes beneath it does not distinguish them.
const MAX_CLASSES: usize = 8;

/// Positions of routes by the class of their requirement.
type Routes = BTreeMap<u32, Vec<usize>>;

/// One segment among the paths of an upstream.
#[derive(Debug, Default)]
pub(super) struct PathNode {
    literals: BTreeMap<Box<str>, Self>,
    parameter: Option<Box<Self>>,
    here: Routes,
    rest: Routes,
    /// The classes of all routes here and beneath; one more than the limit if there are too many.
    classes: Vec<u32>,
}

/// A search for routes, node by node.
pub(super) struct PathSearch<'s> {
    /// The nodes and routes that the search may still visit.
    pub(super) steps: &'s mut usize,
    /// Whether the search is for routes of a class.
    pub(super) wanted: &'s dyn Fn(u32) -> bool,
    /// Called with each route found.
    pub(super) visit: &'s mut dyn FnMut(usize) -> ControlFlow<()>,
}

impl PathNode {
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
            .map(|(_, node)| node)
    }
}

/// How specific the paths that are searched for are, compared with the one that they meet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Specificity {
    /// The same so far; where they differ, the other one is more specific.
    SameOrMore,
    /// The same so far; where they differ, the other one is less specific.
    SameOrLess,
    /// They differed already, so it does not matter what follows.
    Decided,
}

impl PathSearch<'_> {
    /// Visits the routes whose paths meet `path`, and are as specific where they do, or more so.
    pub(super) fn as_specific(&mut self, root: &PathNode, path: &[Segment]) -> ControlFlow<()> {
        self.meeting(root, path, Specificity::SameOrMore)
    }

    /// Visits the routes whose paths meet `path`, and are as specific where they do, or less so.
    pub(super) fn less_specific(&mut self, root: &PathNode, path: &[Segment]) -> ControlFlow<()> {
        self.meeting(root, path, Specificity::SameOrLess)
    }

    fn meeting(
        &mut self,
        node: &PathNode,
        path: &[Segment],
        specificity: Specificity,
    ) -> ControlFlow<()> {
        if !self.enters(node)? {
            return ControlFlow::Continue(());
        }
        let (more, less) = (
            specificity != Specificity::SameOrLess,
            specificity != Specificity::SameOrMore,
        );
        let parameter = || node.parameter.as_deref().into_iter();
        match path.split_first() {
            None => {
                self.routes(&node.here)?;
                // A path owns its form with a trailing slash, which another one may declare.
                node.literals
                    .get("")
                    .filter(|_| more)
                    .map_or(ControlFlow::Continue(()), |slash| self.routes(&slash.here))?;
            }
            Some((Segment::Rest, _)) if more => return self.everything(node),
            Some((Segment::Rest, _)) => {}
            Some((Segment::Parameter, further)) => {
                node.named()
                    .filter(|_| more)
                    .try_for_each(|node| self.meeting(node, further, Specificity::Decided))?;
                parameter().try_for_each(|node| self.meeting(node, further, specificity))?;
            }
            Some((Segment::Literal(text), further)) => {
                node.literals
                    .get(text)
                    .into_iter()
                    .try_for_each(|node| self.meeting(node, further, specificity))?;
                match (less, text.is_empty()) {
                    (true, true) => self.routes(&node.here)?,
                    (true, false) => parameter()
                        .try_for_each(|node| self.meeting(node, further, Specificity::Decided))?,
                    (false, _) => {}
                }
            }
        }
        if less {
            self.routes(&node.rest)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn everything(&mut self, node: &PathNode) -> ControlFlow<()> {
        if !self.enters(node)? {
            return ControlFlow::Continue(());
        }
        self.routes(&node.here)?;
        self.routes(&node.rest)?;
        node.literals
            .values()
            .chain(node.parameter.as_deref())
            .try_for_each(|node| self.everything(node))
    }

    // Whether there may be something to find.
    fn enters(&mut self, node: &PathNode) -> ControlFlow<(), bool> {
        self.step()?;
        ControlFlow::Continue(
            node.classes.len() > MAX_CLASSES
                || node.classes.iter().any(|class| (self.wanted)(*class)),
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
