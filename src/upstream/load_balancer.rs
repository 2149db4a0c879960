//! One worker's endpoints, and which of them gets the next request.
//!
//! 1. An endpoint is available if it passes health checks and is not ejected. Those that have
//!    already failed this request come last.
//! 2. Among the available ones, `selector` balances the load.
//! 3. If none is available, an endpoint that is ejected because its responses failed is selected: it
//!    still connects, and others may have disappeared since.
//! 4. After that, an ejected endpoint is selected if active checks find it healthy: they are better
//!    evidence than the failures of one worker. Without active checks none is selected.

mod selector;

use std::cell::{Cell, RefCell};
use std::mem;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use selector::Selector;

use super::endpoint::ejection::{FailureKind, max_ejected};
use super::endpoint::state::{EndpointState, InFlight};
use super::settings::UpstreamSettings;
use super::shared::SharedUpstream;
use crate::clock::Ticker;

/// One worker's endpoints of an upstream.
pub(super) struct LoadBalancer {
    shared: Arc<SharedUpstream>,
    ticker: Rc<Ticker>,
    states: RefCell<Vec<Rc<EndpointState>>>,
    /// The generation of the endpoint list that `states` are of.
    generation: Cell<Option<u64>>,
    selector: Selector,
}

impl LoadBalancer {
    pub(super) fn new(shared: Arc<SharedUpstream>, ticker: Rc<Ticker>) -> Self {
        let settings = shared.settings();
        let selector = Selector::new(settings.balance, settings.is_weighted());
        Self {
            shared,
            ticker,
            states: RefCell::default(),
            generation: Cell::new(None),
            selector,
        }
    }

    pub(super) fn settings(&self) -> &UpstreamSettings {
        self.shared.settings()
    }

    /// Selects an endpoint for a request, preferably one that has not `failed`, and only of
    /// `target` where that is given.
    pub(super) fn select(
        &self,
        failed: &[Rc<EndpointState>],
        target: Option<usize>,
    ) -> Option<InFlight> {
        self.update();
        let states = self.states.borrow();
        let now = self.ticker.now();
        let count = states.len();
        let weight = |index: usize| states[index].endpoint.weight;
        let load = |index: usize| states[index].load(now);
        let is_available = |index: usize| states[index].is_available(now);
        let is_preferred = |index: usize| {
            is_available(index)
                && !contains(failed, &states[index])
                && target.is_none_or(|target| states[index].endpoint.target == target)
        };
        self.selector
            .select(count, is_preferred, weight, load)
            .or_else(|| self.selector.select(count, is_available, weight, load))
            .or_else(|| self.select_ejected(now))
            .map(|index| states[index].begin_request())
    }

    #[cold]
    fn select_ejected(&self, now: Instant) -> Option<usize> {
        let states = self.states.borrow();
        let is_healthy = |index: usize| states[index].endpoint.is_healthy();
        let serves = |index: usize| {
            is_healthy(index) && states[index].ejection.is_ejected_for_responses(now)
        };
        let weight = |index: usize| states[index].endpoint.weight;
        let load = |index: usize| states[index].load(now);
        self.selector
            .select(states.len(), serves, weight, load)
            .or_else(|| {
                self.settings().health_check.as_ref()?;
                self.selector.select(states.len(), is_healthy, weight, load)
            })
    }

    /// Whether the target has an available endpoint that has not `failed`.
    pub(super) fn has_other_address(&self, target: usize, failed: &[Rc<EndpointState>]) -> bool {
        let now = self.ticker.now();
        self.states.borrow().iter().any(|state| {
            state.endpoint.target == target && state.is_available(now) && !contains(failed, state)
        })
    }

    /// Whether this endpoint may be ejected too.
    pub(super) fn may_eject(&self, state: &EndpointState, kind: FailureKind, now: Instant) -> bool {
        let states = self.states.borrow();
        let leaves_another = || {
            let mut others = states.iter().filter(|other| !ptr::eq(&***other, state));
            others.any(|other| other.is_available(now))
        };
        let ejected = states
            .iter()
            .filter(|state| state.ejection.is_ejected(now))
            .count();
        ejected < max_ejected(states.len(), self.settings().outlier.as_ref(), kind)
            && (kind == FailureKind::Connect || leaves_another())
    }

    /// Closes the connections that cannot be reused.
    pub(super) fn prune(&self) {
        self.update();
        let now = self.ticker.now();
        self.states
            .borrow()
            .iter()
            .for_each(|state| state.prune(now));
    }

    // Takes over a new list of endpoints. Those in both lists keep their state.
    fn update(&self) {
        let endpoints = &self.shared.endpoints;
        let generation = Some(endpoints.generation());
        if self.generation.replace(generation) == generation {
            return;
        }
        self.selector.restart();
        let current = endpoints.current();
        let mut states = self.states.borrow_mut();
        let previous = mem::take(&mut *states);
        states.extend(current.iter().map(|endpoint| {
            let known = previous
                .iter()
                .find(|state| Arc::ptr_eq(&state.endpoint, endpoint));
            known.map_or_else(
                || EndpointState::new(Arc::clone(endpoint), self.shared.settings(), &self.ticker),
                Rc::clone,
            )
        }));
        previous
            .iter()
            .filter(|state| !contains(&states, state))
            .for_each(|state| state.close());
    }
}

fn contains(states: &[Rc<EndpointState>], searched: &Rc<EndpointState>) -> bool {
    states.iter().any(|state| Rc::ptr_eq(state, searched))
}
