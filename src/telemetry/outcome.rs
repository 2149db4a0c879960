//! What was decided about a request.

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the client went away first.
    Undecided,
    /// Forwarded by leave of a token.
    Permitted,
    /// Forwarded by a route that asks for no token.
    Public,
    /// Forwarded by a route in shadow mode, which would have refused it otherwise. The reason is from a closed set of names.
    Shadowed(&'static str),
    /// Answered by the gateway, and not refused.
    Replied,
    /// Answered by the gateway. The reason is from a closed set of names.
    Refused(&'static str),
    /// Forwarded, but the upstream's answer broke off. The reason is from a closed set of names.
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
