//! How the user of a token must have signed in (RFC 9470).
//!
//! 1. `acr` must be one of the accepted values, and `auth_time` no longer ago than the maximum age.
//!    A missing or malformed claim meets neither.
//! 2. The age is judged for each request, also of a cached token: it only ever grows.
//! 3. The maximum age has no leeway: the operator wrote how old a sign-in may be. A time in the
//!    future is accepted within the leeway of the issuer.

use std::fmt;
use std::time::Duration;

use crate::oauth::UnixTime;
use crate::oauth::claims::ActiveToken;
use crate::text::truncated;

/// What a token must say about the sign-in of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    acr: Vec<Box<str>>,
    max_age: Option<Duration>,
}

/// What a token lacks, and what the client must ask the authorization server for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause} (see step_up of the route)")]
pub struct UnmetStepUp {
    /// The accepted values of `acr`, separated by spaces.
    pub acr_values: Option<String>,
    /// The maximum age in seconds.
    pub max_age: Option<String>,
    /// The scopes that the request needs, if the challenge is to name them.
    pub scope: Option<String>,
    /// For the operator.
    pub cause: String,
}

impl StepUp {
    /// Accepts these values of `acr`, or any if there are none, and sign-ins up to this age.
    #[must_use]
    pub fn new(acr: Vec<Box<str>>, max_age: Option<Duration>) -> Self {
        Self { acr, max_age }
    }

    /// The accepted values of `acr`; empty for any.
    #[must_use]
    pub fn acr(&self) -> &[Box<str>] {
        &self.acr
    }

    /// The maximum time since the user signed in.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Checks a token at this time.
    ///
    /// # Errors
    /// What the token lacks.
    pub fn check(&self, token: &ActiveToken, now: UnixTime) -> Result<(), Box<UnmetStepUp>> {
        let cause = self.unmet_acr(token).or_else(|| self.unmet_age(token, now));
        cause.map_or(Ok(()), |cause| Err(Box::new(self.unmet(cause))))
    }

    /// Whether every token that meets this certainly meets `other`.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        let has_acr = other.acr.is_empty()
            || !self.acr.is_empty() && self.acr.iter().all(|acr| other.acr.contains(acr));
        let has_age = match (self.max_age, other.max_age) {
            (_, None) => true,
            (Some(ours), Some(theirs)) => ours <= theirs,
            (None, Some(_)) => false,
        };
        has_acr && has_age
    }

    /// Why `acr` is not accepted, if it is not.
    #[must_use]
    pub fn unmet_acr(&self, token: &ActiveToken) -> Option<String> {
        if self.acr.is_empty() {
            return None;
        }
        let found = match token.acr() {
            Some(acr) if self.acr.iter().any(|accepted| **accepted == *acr) => return None,
            Some(acr) => format!("{:?}", truncated(acr)),
            None => "none".to_owned(),
        };
        let accepted: Vec<_> = self.acr.iter().map(|acr| format!("{acr:?}")).collect();
        let accepted = accepted.join(" or ");
        Some(format!("expected {accepted} as acr, but found {found}"))
    }

    /// Why the time of the sign-in is not accepted, if it is not.
    #[must_use]
    pub fn unmet_age(&self, token: &ActiveToken, now: UnixTime) -> Option<String> {
        let max_age = self.max_age?;
        let expected = format_args!(
            "expected a sign-in within {} s (auth_time)",
            max_age.as_secs()
        );
        match token.auth_time() {
            None => Some(format!("{expected}, but found no time")),
            Some(at) if at > now.later_by(token.leeway()) => {
                Some(format!("{expected}, but found one in the future, {at}"))
            }
            Some(at) if now > at.later_by(max_age) => Some(format!("{expected}, but found {at}")),
            Some(_) => None,
        }
    }

    #[cold]
    fn unmet(&self, cause: String) -> UnmetStepUp {
        UnmetStepUp {
            acr_values: Some(self.acr.join(" ")).filter(|values| !values.is_empty()),
            max_age: self.max_age.map(|age| age.as_secs().to_string()),
            scope: None,
            cause,
        }
    }
}

impl fmt::Display for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.acr.is_empty() { "" } else { " " };
        if !self.acr.is_empty() {
            write!(f, "acr {}", self.acr.join(" or "))?;
        }
        match self.max_age {
            Some(age) => write!(f, "{separator}within {} s", age.as_secs()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
