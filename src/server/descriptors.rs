//! How many connections this process has descriptors for.
//!
//! The usual soft limit is 1,024, for programs that use `select`; the hard one is what the machine's operator allows. Where
//! not even that suffices for `max_connections`, fewer connections are served: one that was accepted can then be forwarded.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A descriptor for the client, and one for the upstream.
const PER_CONNECTION: usize = 2;
/// What is left for everything else: idle connections to upstreams, connections to authorization servers and of the admin
/// listener, files that are read again. A quarter of a small limit, and no more than this of a large one.
const MAX_RESERVE: usize = 1024;
/// How many a process has open at its start, where the kernel does not say.
const OPEN_AT_START: usize = 32;

/// How many descriptors this process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    limit: usize,
}

impl Descriptors {
    /// Raises the process's limit as far as that is allowed.
    #[must_use]
    pub fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        // An error means that the kernel's own limit (fs.nr_open) has been lowered below the hard one.
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

    /// How many there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many connections there may be beside all that is open now.
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
    fn connection_takes_two_descriptors_and_some_are_left() {
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
