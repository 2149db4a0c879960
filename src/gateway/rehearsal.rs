//! A request that goes all the way that any other goes, up to the upstream's door and no further: for whoever wants to
//! know what would become of it.
//!
//! What it came to is taken from its [`Record`], as the access log and the metrics take it, and from the request that was
//! ready to be sent. So nothing that is told of it can differ from what the gateway does.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;

use super::admission;
use super::claim_headers::LeftOutClaim;
use super::snapshot::Snapshot;
use crate::oauth::claims::ActiveToken;
use crate::policy::path::NormalPath;
use crate::telemetry::{Outcome, Record};
use crate::upstream;

/// Where it is written down what becomes of a request.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal(Rc<RefCell<Rehearsed>>);

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Rehearsed {
    /// What was decided; `None` where it was not even judged.
    pub outcome: Option<Outcome>,
    /// What stood behind a refusal.
    pub cause: Option<String>,
    /// The issuer that a refusal has to do with.
    pub issuer: Option<Arc<str>>,
    /// The token that it was judged by, where that is good.
    pub token: Option<Arc<ActiveToken>>,
    /// What would have been sent.
    pub outgoing: Option<Outgoing>,
}

/// A request, ready for its upstream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The name of the upstream in gateway.toml.
    pub upstream: Arc<str>,
    /// What it would get; its `Host`, where that is not the client's, is up to the target that is chosen.
    pub parts: Parts,
    /// The claim headers that it does not get, because they cannot tell their claims.
    pub left_out: Vec<LeftOutClaim>,
}

/// What a request asks for, as the gateway reads it; each is `None` where it can be read in more than one way.
#[derive(Debug)]
pub struct Seen<'r> {
    /// In lower case, without port.
    pub host: Option<Cow<'r, str>>,
    /// In normal form.
    pub path: Option<NormalPath<'r>>,
}

impl Rehearsal {
    /// What became of the last request.
    #[must_use]
    pub fn rehearsed(&self) -> Rehearsed {
        self.0.borrow().clone()
    }

    pub(super) fn write_down(&self, record: &Record) {
        let mut rehearsed = self.0.borrow_mut();
        rehearsed.outcome = Some(record.outcome);
        rehearsed.cause = record.cause.clone();
        rehearsed.issuer = record.issuer.clone();
        rehearsed.token = record.token.clone();
    }

    pub(super) fn would_send(
        &self,
        upstream: &upstream::Settings,
        parts: Parts,
        left_out: Vec<LeftOutClaim>,
    ) {
        self.0.borrow_mut().outgoing = Some(Outgoing {
            upstream: Arc::clone(&upstream.name),
            parts,
            left_out,
        });
    }
}

impl<'r> Seen<'r> {
    /// Reads what a request asks for.
    #[must_use]
    pub fn of(parts: &'r Parts, snapshot: &Snapshot) -> Self {
        Self {
            host: admission::host(parts).ok(),
            path: NormalPath::parse(parts.uri.path(), snapshot.path_parameters).ok(),
        }
    }
}
