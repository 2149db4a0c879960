//! The paths of an upstream as a tree, and the search for those that overlap a path.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::policy::pattern::Segment;

/// Maximum number of classes that a node records; with more, it does not distinguish them.
const MAX_CLASSES: usize = 8;

/// Indices of routes by the class of their requirement.
type Routes = BTreeMap<u32, Vec<usize>>;

/// A node of the tree.
#[derive(Debug, Default)]
pub(super) struct PathNode {
    literals: BTreeMap<Box<str>, Self>,
    parameter: Option<Box<Self>>,
    here: Routes,
    rest: Routes,
    /// The classes of all routes here and below; one more than the limit if there are too many.
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

/// How specific the paths searched for are, compared with the given one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Specificity {
    /// Equal so far; at the first difference, the other must be more specific.
    SameOrMore,
    /// Equal so far; at the first difference, the other must be less specific.
    SameOrLess,
    /// Already different: the remaining segments do not matter.
    Decided,
}

impl PathSearch<'_> {
    /// Visits the routes whose paths overlap `path` and are equally or more specific.
    pub(super) fn as_specific(&mut self, root: &PathNode, path: &[Segment]) -> ControlFlow<()> {
        self.overlapping(root, path, Specificity::SameOrMore)
    }

    /// Visits the routes whose paths overlap `path` and are equally or less specific.
    pub(super) fn less_specific(&mut self, root: &PathNode, path: &[Segment]) -> ControlFlow<()> {
        self.overlapping(root, path, Specificity::SameOrLess)
    }

    fn overlapping(
        &mut self,
        node: &PathNode,
        path: &[Segment],
        specificity: Specificity,
    ) -> ControlFlow<()> {
        if !self.may_have_wanted(node)? {
            return ControlFlow::Continue(());
        }
        let more = specificity != Specificity::SameOrLess;
        let less = specificity != Specificity::SameOrMore;
        let parameter = || node.parameter.as_deref().into_iter();
        match path.split_first() {
            None => {
                self.routes(&node.here)?;
                // A path includes its form with a trailing slash, which another route may declare.
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
                    .try_for_each(|node| self.overlapping(node, further, Specificity::Decided))?;
                parameter().try_for_each(|node| self.overlapping(node, further, specificity))?;
            }
            Some((Segment::Literal(text), further)) => {
                node.literals
                    .get(text)
                    .into_iter()
                    .try_for_each(|node| self.overlapping(node, further, specificity))?;
                match (less, text.is_empty()) {
                    (true, true) => self.routes(&node.here)?,
                    (true, false) => parameter().try_for_each(|node| {
                        self.overlapping(node, further, Specificity::Decided)
                    })?,
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
        if !self.may_have_wanted(node)? {
            return ControlFlow::Continue(());
        }
        self.routes(&node.here)?;
        self.routes(&node.rest)?;
        node.literals
            .values()
            .chain(node.parameter.as_deref())
            .try_for_each(|node| self.everything(node))
    }

    // Whether the routes here or below may be of a wanted class.
    fn may_have_wanted(&mut self, node: &PathNode) -> ControlFlow<(), bool> {
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
