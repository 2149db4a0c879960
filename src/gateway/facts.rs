//! What the steps of the judgement learn of one request.
//!
//! The access record of a request is made from its [`Facts`] in every case: when it is permitted or
//! refused, when a step panics, and when the client disconnects while a step waits. For the last
//! two, [`RecordedFacts`] writes them when it is dropped.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;

use super::refusal::Refusal;
use super::worker_snapshot::WorkerSnapshot;
use crate::oauth::claims::ActiveToken;
use crate::policy::path::NormalPath;
use crate::policy::route_table::MatchedRoute;
use crate::policy::token_sources::DecodedToken;
use crate::rate_limits::Counted;
use crate::telemetry::{Outcome, Record};
use crate::verify::VerifiedToken;

/// The head of a request, and what the steps parse from it. Facts borrow from here.
pub(super) struct RequestHead<'r> {
    pub(super) parts: &'r Parts,
    /// How many bytes of the request line precede a `#`, where it has one.
    pub(super) fragment_offset: Option<usize>,
    pub(super) host: OnceCell<Cow<'r, str>>,
    pub(super) path: OnceCell<NormalPath<'r>>,
    pub(super) decoded_token: DecodedToken,
}

/// What is known of a request so far.
#[derive(Default)]
pub(super) struct Facts<'h> {
    /// In lower case, without port.
    pub(super) host: Option<&'h str>,
    /// In normal form.
    pub(super) path: Option<&'h NormalPath<'h>>,
    /// The index of the route that has this path, even if it does not allow the method.
    pub(super) route: Option<usize>,
    /// The route that the request belongs to.
    pub(super) matched: Option<MatchedRoute<'h, 'h>>,
    /// The access token, if it is active.
    pub(super) token: Option<Arc<ActiveToken>>,
    /// The entry of the token cache that `token` comes from.
    pub(super) verified: Option<Arc<VerifiedToken>>,
    /// The index of the rule for the operation, if the request asks an MCP server for one.
    pub(super) operation: Option<usize>,
    /// The limits that the request was counted in, or refused by.
    pub(super) counted: Option<Box<Counted>>,
    pub(super) decision: Decision,
}

/// What was decided about a request that was not refused.
#[derive(Default)]
pub(super) enum Decision {
    /// Nothing yet.
    #[default]
    Undecided,
    /// Its token suffices.
    Permitted,
    /// Its route is public.
    Public,
    /// Its route is in shadow mode. This is what it would have been refused for.
    Shadowed(Refusal),
    /// A step responded to it.
    Replied,
}

/// What the response depends on, beside the judgement.
#[derive(Default)]
pub(super) struct ResponseFacts {
    /// The index of the route.
    pub(super) route: Option<usize>,
    /// The limits that the request was counted in, or refused by.
    pub(super) counted: Option<Box<Counted>>,
}

/// Facts that are written to the record of their request when they are dropped.
pub(super) struct RecordedFacts<'r, 'h> {
    pub(super) facts: Facts<'h>,
    pub(super) record: &'r mut Record,
    for_response: &'r mut ResponseFacts,
    worker: &'r WorkerSnapshot,
}

impl<'r> RequestHead<'r> {
    pub(super) fn new(parts: &'r Parts, fragment_offset: Option<usize>) -> Self {
        Self {
            parts,
            fragment_offset,
            host: OnceCell::new(),
            path: OnceCell::new(),
            decoded_token: DecodedToken::new(),
        }
    }
}

impl Facts<'_> {
    /// The decision as logs and metrics name it.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.decision {
            Decision::Undecided => Outcome::Undecided,
            Decision::Permitted => Outcome::Permitted,
            Decision::Public => Outcome::Public,
            Decision::Shadowed(refusal) => Outcome::Shadowed(refusal.reason()),
            Decision::Replied => Outcome::Replied,
        }
    }
}

impl<'r> RecordedFacts<'r, '_> {
    /// No facts yet. `worker` has the names of the routes.
    pub(super) fn new(
        worker: &'r WorkerSnapshot,
        record: &'r mut Record,
        for_response: &'r mut ResponseFacts,
    ) -> Self {
        Self {
            facts: Facts::default(),
            record,
            for_response,
            worker,
        }
    }
}

impl Drop for RecordedFacts<'_, '_> {
    fn drop(&mut self) {
        let (facts, record) = (&mut self.facts, &mut *self.record);
        if let Some(host) = facts.host
            && let Some(trace) = record.trace.as_mut().filter(|trace| trace.is_sampled())
        {
            trace.host = Some(host.into());
        }
        if let Some(path) = facts.path {
            record.set_path(path.as_str());
        }
        self.for_response.route = facts.route;
        self.for_response.counted = facts.counted.take();
        // Nothing here may panic: this also runs while a panic of a step unwinds.
        if let Some(route) = facts
            .route
            .and_then(|route| self.worker.route_telemetry(route))
        {
            record.route = Rc::clone(route.requests(facts.operation));
            record.names = Some(Rc::clone(&route.names));
        }
        record.token = facts.token.take();
        match &facts.decision {
            Decision::Shadowed(refusal) => {
                record.refuse(facts.outcome(), refusal.issuer(), || refusal.why());
            }
            Decision::Undecided | Decision::Permitted | Decision::Public | Decision::Replied => {
                record.outcome = facts.outcome();
            }
        }
    }
}
