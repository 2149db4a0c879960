//! The time as HTTP tells it.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use crate::oauth::UnixTime;

/// A time as `Date` tells it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(time: UnixTime) -> HeaderValue {
    let since_epoch = Duration::from_secs(u64::try_from(time.as_seconds()).unwrap_or_default());
    // What is written there is ASCII.
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + since_epoch)).unwrap_or(HeaderValue::from_static(""))
}

/// The same, written once a second.
#[derive(Debug)]
pub struct CachedHttpDate(RefCell<(UnixTime, HeaderValue)>);

impl CachedHttpDate {
    /// One that begins with a time.
    #[must_use]
    pub fn new(time: UnixTime) -> Self {
        Self(RefCell::new((time, http_date(time))))
    }

    /// A time as `Date` tells it, whether it is later or earlier than the one before.
    #[must_use]
    pub fn at(&self, time: UnixTime) -> HeaderValue {
        let mut cached = self.0.borrow_mut();
        if cached.0 != time {
            *cached = (time, http_date(time));
        }
        cached.1.clone()
    }
}
