//! What responses say about a limit: a member of `RateLimit`, and one of `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers-11).
//!
//! Each worker has values of its own. Copies of a value count their references, and workers that count
//! in the same place wait for each other.

use std::cell::RefCell;

use http::HeaderValue;

use super::limit::LimitSettings;
use super::rate::Level;

/// Digits of two numbers, and what is between them.
const MAX_STATE: usize = 48;

/// The members for one limit.
pub(super) struct Fields {
    /// `"name";r=`
    prefix: Box<[u8]>,
    policy: HeaderValue,
    last: RefCell<State>,
}

/// A member of `RateLimit`.
struct State {
    remaining: u64,
    seconds: u64,
    value: HeaderValue,
}

impl Fields {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        let prefix = format!("\"{}\";r=", settings.name).into_bytes();
        Self {
            policy: policy(settings),
            last: RefCell::new(State::new(&prefix, 0, 0)),
            prefix: prefix.into(),
        }
    }

    /// What the limit allows.
    pub(super) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// What is left. The buckets of clients that send less than their limit allows are as good as full,
    /// so this is often the same as before.
    pub(super) fn state(&self, level: Level) -> HeaderValue {
        // Rounded up: a client that comes too early is refused.
        let seconds = level.full_in.div_ceil(1_000_000_000);
        let mut last = self.last.borrow_mut();
        if (last.remaining, last.seconds) != (level.remaining, seconds) {
            *last = State::new(&self.prefix, level.remaining, seconds);
        }
        last.value.clone()
    }
}

impl State {
    fn new(prefix: &[u8], remaining: u64, seconds: u64) -> Self {
        let mut text = Vec::with_capacity(prefix.len() + MAX_STATE);
        let mut digits = itoa::Buffer::new();
        text.extend_from_slice(prefix);
        text.extend_from_slice(digits.format(remaining).as_bytes());
        text.extend_from_slice(b";t=");
        text.extend_from_slice(digits.format(seconds).as_bytes());
        Self {
            remaining,
            seconds,
            value: field(text),
        }
    }
}

/// The members for several limits in one field.
pub(super) fn list(members: &[HeaderValue]) -> HeaderValue {
    let members: Vec<_> = members.iter().map(HeaderValue::as_bytes).collect();
    field(members.join(&b", "[..]))
}

fn policy(settings: &LimitSettings) -> HeaderValue {
    let (name, q, w) = (&settings.name, settings.requests, settings.per.as_secs());
    field(format!("\"{name}\";q={q};w={w};scopegate-burst={}", settings.burst).into_bytes())
}

// A name has only letters, digits, `-` and `_`, which a String of a structured field holds as they are.
// So the text is valid in a header.
fn field(text: Vec<u8>) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn fields_say_what_the_limit_allows_and_what_is_left_now() {
        let fields = Fields::new(&LimitSettings {
            name: "of-all_1".into(),
            requests: 1_000_000,
            per: Duration::from_secs(3600),
            burst: 7,
            key: Box::default(),
        });
        assert_eq!(
            fields.policy(),
            "\"of-all_1\";q=1000000;w=3600;scopegate-burst=7"
        );
        for (remaining, full_in, expected) in [
            (0, 0, "\"of-all_1\";r=0;t=0"),
            (0, 1, "\"of-all_1\";r=0;t=1"),
            (0, 1_000_000_000, "\"of-all_1\";r=0;t=1"),
            (6, 1_000_000_000, "\"of-all_1\";r=6;t=1"),
            (6, 1_000_000_001, "\"of-all_1\";r=6;t=2"),
            (
                u64::MAX,
                1_000_000_001,
                "\"of-all_1\";r=18446744073709551615;t=2",
            ),
            (0, u64::MAX, "\"of-all_1\";r=0;t=18446744074"),
        ] {
            let level = Level {
                remaining,
                full_in,
                wait: 0,
            };
            for _ in 0..2 {
                assert_eq!(fields.state(level), expected);
            }
        }
    }

    #[test]
    fn fields_of_several_limits_are_lists() {
        let members = ["\"a\";r=1;t=2", "\"b\";r=3;t=4"].map(HeaderValue::from_static);
        assert_eq!(list(&members), "\"a\";r=1;t=2, \"b\";r=3;t=4");
    }
}
