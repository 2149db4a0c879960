//! Whether a failed request is sent again, and to which endpoint.
//!
//! 1. A request is sent again only if it is whole and cannot have an effect twice: nothing of it
//!    was sent, or it is a GET, HEAD or OPTIONS without a body and no byte of a response came (RFC
//!    9110 §9.2.2).
//! 2. At most `retries` times, and within the [budget](budget::RetryBudget). A retry caused by a
//!    stale pooled connection does not count against the budget.
//! 3. If an address refuses, up to [`MAX_OTHER_ADDRESSES`] others of the same name are tried
//!    first, as parts of one attempt. One address that refuses (IPv6 of a server that listens on
//!    IPv4 only, say) is not yet a target that does. After a timeout no other address is tried: the
//!    client has waited long enough.

pub(super) mod budget;

use std::rc::Rc;
use std::time::Instant;

use budget::RetryBudget;

use super::endpoint::state::EndpointState;
use super::error::UpstreamError;
use super::load_balancer::LoadBalancer;
use super::local_error::{LocalError, local_error};

/// How many other addresses of a name are tried beside the retries.
const MAX_OTHER_ADDRESSES: u32 = 3;

/// The attempts at one request so far.
pub(super) struct Attempts {
    retries_left: u32,
    /// The endpoints that failed. It allocates only after a failure.
    failed: Vec<Rc<EndpointState>>,
    /// The target whose other addresses are tried.
    same_target: Option<usize>,
    other_addresses_left: u32,
}

/// A failed attempt.
pub(super) struct AttemptError {
    pub(super) error: UpstreamError,
    /// Whether the request is whole, and sending it again cannot have an effect twice.
    pub(super) can_retry: bool,
    /// Whether it was sent on a pooled connection, which the upstream may close at any time.
    pub(super) is_stale: bool,
    /// Whether it shows that the endpoint serves badly, if the client has sent its whole request.
    pub(super) blames_endpoint: bool,
}

impl Attempts {
    pub(super) fn new(retries: u32) -> Self {
        Self {
            retries_left: retries,
            failed: Vec::new(),
            same_target: None,
            other_addresses_left: MAX_OTHER_ADDRESSES,
        }
    }

    /// The endpoints that failed.
    pub(super) fn failed(&self) -> &[Rc<EndpointState>] {
        &self.failed
    }

    /// The only target that may be selected, if any.
    pub(super) fn same_target(&self) -> Option<usize> {
        self.same_target
    }

    pub(super) fn is_first(&self) -> bool {
        self.failed.is_empty()
    }

    pub(super) fn may_retry(&self) -> bool {
        self.retries_left > 0
    }

    /// Records a failure. Returns whether there is another attempt, and charges it to the budget.
    pub(super) fn retry_after(
        &mut self,
        failure: &AttemptError,
        state: &Rc<EndpointState>,
        balancer: &LoadBalancer,
        budget: &RetryBudget,
        now: Instant,
    ) -> bool {
        if !failure.can_retry {
            return false;
        }
        self.failed.push(Rc::clone(state));
        if let UpstreamError::LocalSocket { source, .. } = &failure.error
            && !local_error(source).is_some_and(LocalError::is_port_shortage)
        {
            // This machine lacks it for every endpoint.
            return false;
        }
        let target = state.endpoint.target;
        let is_refused = matches!(
            failure.error,
            UpstreamError::Connect { .. } | UpstreamError::LocalSocket { .. }
        );
        if is_refused
            && self.other_addresses_left > 0
            && balancer.has_other_address(target, &self.failed)
        {
            self.same_target = Some(target);
            self.other_addresses_left -= 1;
            return true;
        }
        self.same_target = None;
        if self.retries_left == 0 || !(failure.is_stale || budget.spend(now)) {
            return false;
        }
        self.retries_left -= 1;
        true
    }
}

impl AttemptError {
    /// A failure before anything was sent.
    pub(super) fn unsent(error: UpstreamError) -> Self {
        Self {
            error,
            can_retry: true,
            is_stale: false,
            blames_endpoint: false,
        }
    }

    /// A failure after which the request must not be sent again.
    pub(super) fn no_retry(error: UpstreamError) -> Self {
        Self {
            error,
            can_retry: false,
            is_stale: false,
            blames_endpoint: false,
        }
    }
}
