//! The revisions of the protocol that have one endpoint.

use std::fmt;

/// A revision, in the order of their dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revision {
    /// The first with one endpoint, and the one of requests that name none.
    V2025_03_26,
    /// The first with `MCP-Protocol-Version`.
    V2025_06_18,
    /// The last with sessions.
    V2025_11_25,
    /// The first with `Mcp-Method` and `Mcp-Name`.
    V2026_07_28,
}

impl Revision {
    /// Every revision that is known.
    pub const KNOWN: [Self; 4] = [
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// The revision of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::KNOWN
            .into_iter()
            .find(|revision| revision.name() == name)
    }

    /// Its date.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether headers mirror the message.
    #[must_use]
    pub fn mirrors_messages(self) -> bool {
        self >= Self::V2026_07_28
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
