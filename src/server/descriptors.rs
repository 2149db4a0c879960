//! How many connections this process has file descriptors for.
//!
//! The usual soft limit is 1,024, for programs that use `select`. The hard limit is what the
//! operator of the machine allows. If even that is too low for `max_connections`, fewer connections
//! are accepted, so that each of them can be forwarded.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A descriptor for the client, and one for the upstream.
const PER_CONNECTION: usize = 2;
/// Maximum descriptors that are reserved for everything else: idle upstream connections,
/// connections to authorization servers, the admin listener, and files of a reload. Of a small
/// limit, a quarter is reserved.
const MAX_RESERVE: usize = 1024;
/// Open descriptors at the start, if `/proc` cannot be read.
const OPEN_AT_START: usize = 32;

/// The limit of open file descriptors of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    limit: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard limit.
    #[must_use]
    pub fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        // An error means that fs.nr_open is below the hard limit.
        let limit = if setrlimit(Resource::Nofile, raised).is_ok() {
            maximum
        } else {
            current
        };
        Self {
            limit: limit
                .and_then(|limit| limit.try_into().ok())
                .unwrap_or(usize::MAX),
        }
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many connections fit beside the descriptors that are open now.
    pub(super) fn connections(&self) -> usize {
        let open = fs::read_dir(Path::new("/proc/self/fd")).map_or(OPEN_AT_START, Iterator::count);
        self.connections_beside(open)
    }

    fn connections_beside(&self, open: usize) -> usize {
        let free = self.limit.saturating_sub(open);
        ((free - (free / 4).min(MAX_RESERVE)) / PER_CONNECTION).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_takes_two_descriptors_and_some_are_reserved() {
        for (limit, connections) in [
            (1024, 372),
            (20_000, 9472),
            (65_536, 32_240),
            (33, 1),
            (0, 1),
        ] {
            assert_eq!(
                Descriptors { limit }.connections_beside(32),
                connections,
                "{limit}"
            );
        }
    }

    #[test]
    fn soft_limit_is_raised_to_the_hard_one() {
        let descriptors = Descriptors::raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert!(maximum.is_none_or(|maximum| maximum == descriptors.limit as u64));
        assert!(descriptors.connections() < descriptors.limit);
    }
}
