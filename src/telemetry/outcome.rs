//! What was decided about a request.

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No decision: the client disconnected first.
    Undecided,
    /// Forwarded with a sufficient token.
    Permitted,
    /// Forwarded by a route that requires no token.
    Public,
    /// Forwarded by a route in shadow mode that would have refused it. The reason is from a closed set.
    Shadowed(&'static str),
    /// The gateway responded itself without refusing.
    Replied,
    /// Refused by the gateway. The reason is from a closed set.
    Refused(&'static str),
    /// Forwarded, but the response broke off. The reason is from a closed set.
    Broken(&'static str),
}

impl Outcome {
    /// From a closed set of names.
    pub(super) fn decision(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Permitted => "permitted",
            Self::Public => "public",
            Self::Shadowed(_) => "shadowed",
            Self::Replied => "replied",
            Self::Refused(_) => "refused",
            Self::Broken(_) => "broken",
        }
    }

    /// From a closed set of names.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Undecided => Some("client_went_away"),
            Self::Permitted | Self::Public | Self::Replied => None,
            Self::Shadowed(reason) | Self::Refused(reason) | Self::Broken(reason) => Some(reason),
        }
    }
}
