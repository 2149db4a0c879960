//! The limits as one worker uses them: with response fields of its own.

use std::fmt;
use std::sync::Arc;

use super::fields::Fields;
use super::limit::Limit;

/// All limits, and the fields of this worker's responses about them.
pub struct WorkerLimits {
    limits: Box<[(Arc<Limit>, Fields)]>,
}

impl WorkerLimits {
    /// For one worker and one configuration.
    #[must_use]
    pub fn new(limits: &[Arc<Limit>]) -> Self {
        let with_fields = |limit: &Arc<Limit>| (Arc::clone(limit), Fields::new(limit.settings()));
        Self {
            limits: limits.iter().map(with_fields).collect(),
        }
    }

    pub(super) fn limit(&self, index: usize) -> &Limit {
        &self.limits[index].0
    }

    pub(super) fn fields(&self, index: usize) -> &Fields {
        &self.limits[index].1
    }
}

impl fmt::Debug for WorkerLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLimits").finish_non_exhaustive()
    }
}
