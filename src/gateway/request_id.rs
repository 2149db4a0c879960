//! The id of each request, for its client, the log and its upstream (`X-Request-Id`).
//!
//! 1. An id from a trusted proxy is kept if it is safe in a header and a log: at most 128 letters,
//!    digits and a few signs. An id from anybody else is ignored, because it ends up in other
//!    people's logs.
//! 2. Any other request gets 32 random hexadecimal digits. A counter that is only mixed could be
//!    unmixed: two ids would reveal the number of requests between them, and all other ids.

use std::cell::RefCell;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue};

use crate::upstream::headers::X_REQUEST_ID;

const MAX_ID_LENGTH: usize = 128;
const DIGITS: usize = 32;
/// How many ids share one allocation.
const IDS_PER_ALLOCATION: usize = 32;

/// Makes the ids of one worker's requests.
pub(super) struct RequestIds {
    room: RefCell<BytesMut>,
    random: RefCell<Vec<u8>>,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self {
            room: RefCell::default(),
            random: RefCell::default(),
        }
    }

    /// The id that a request came with, if its client `is_trusted`; else a new one.
    pub(super) fn select(&self, headers: &HeaderMap, is_trusted: bool) -> HeaderValue {
        let given = if is_trusted { given(headers) } else { None };
        given.unwrap_or_else(|| self.make())
    }

    fn make(&self) -> HeaderValue {
        let mut room = self.room.borrow_mut();
        if room.capacity() < DIGITS {
            *room = BytesMut::with_capacity(DIGITS * IDS_PER_ALLOCATION);
        }
        let mut random = self.random.borrow_mut();
        if random.is_empty() {
            random.resize(DIGITS / 2 * IDS_PER_ALLOCATION, 0);
            // Without randomness ids are not unique, and nothing else is lost.
            let _ = aws_lc_rs::rand::fill(&mut random);
        }
        let rest = random.len() - DIGITS / 2;
        write_hex(&mut room, &random[rest..]);
        random.truncate(rest);
        // Hexadecimal digits are valid in any header.
        HeaderValue::from_maybe_shared(room.split().freeze())
            .unwrap_or(HeaderValue::from_static(""))
    }
}

fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = headers.get_all(X_REQUEST_ID).iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return None;
    };
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
    let is_good = (1..=MAX_ID_LENGTH).contains(&one.len()) && one.as_bytes().iter().all(is_safe);
    is_good.then(|| one.clone())
}

fn write_hex(room: &mut BytesMut, bytes: &[u8]) {
    let mut digits = [0; DIGITS];
    for (eight, four) in digits.as_chunks_mut().0.iter_mut().zip(bytes.as_chunks().0) {
        *eight = eight_digits(u32::from_be_bytes(*four));
    }
    room.extend_from_slice(&digits);
}

// All eight digits at once, each in a byte of its own: every request needs four times eight.
fn eight_digits(number: u32) -> [u8; 8] {
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let above_nine = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    // `a` stands 39 places further than ten places behind `0`.
    (digits + 0x3030_3030_3030_3030 + above_nine * 39).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |value: &&str| {
            (
                X_REQUEST_ID,
                HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
            )
        };
        values.iter().map(value).collect()
    }

    #[test]
    fn numbers_are_written_in_hexadecimal() {
        for number in [
            0,
            1,
            0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
            0x9f9f_a0a0_0909_f0f0,
            u128::MAX,
        ] {
            let mut room = BytesMut::new();
            write_hex(&mut room, &number.to_be_bytes());
            assert_eq!(room, format!("{number:032x}"));
        }
    }

    #[test]
    fn ids_are_unique_and_hexadecimal() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let made: Vec<_> = (0..50_000)
            .flat_map(|_| [one.make(), other.make()])
            .collect();
        assert!(made.iter().all(|id| {
            id.len() == 32
                && id
                    .as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
        }));
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
    }

    #[test]
    fn ids_do_not_reveal_the_number_of_requests() {
        let ids = RequestIds::new();
        let made: Vec<_> = (0..1000).map(|_| ids.make()).collect();
        let number = |id: &HeaderValue, half: std::ops::Range<usize>| {
            u64::from_str_radix(&id.to_str().expect("ASCII")[half], 16).expect("digits")
        };
        // What an id could reveal of its worker, or of a counter mixed without a key, differs in
        // each.
        let halves = [0..16, 16..32].map(|half| {
            made.iter()
                .map(|id| number(id, half.clone()))
                .collect::<HashSet<_>>()
        });
        assert_eq!(halves.map(|half| half.len()), [1000, 1000]);
        let steps: HashSet<_> = made
            .windows(2)
            .map(|two| {
                unmixed(number(&two[1], 16..32)).wrapping_sub(unmixed(number(&two[0], 16..32)))
            })
            .collect();
        assert_eq!(steps.len(), 999, "neighbours are as far apart as any two");
    }

    // The finalizer of MurmurHash3, undone.
    fn unmixed(mut number: u64) -> u64 {
        number ^= number >> 33;
        for inverse in [0x9cb4_b2f8_1293_37db, 0x4f74_430c_22a5_4005] {
            number = number.wrapping_mul(inverse);
            number ^= number >> 33;
        }
        number
    }

    #[test]
    fn id_is_kept_only_if_it_is_safe_and_from_a_trusted_proxy() {
        let ids = RequestIds::new();
        let longest = "a".repeat(MAX_ID_LENGTH);
        for good in ["1", "0192-ab.c_d~e+f/g=:@", &longest] {
            assert_eq!(ids.select(&headers(&[good]), true), good);
            assert_ne!(ids.select(&headers(&[good]), false), good);
        }
        let too_long = "a".repeat(MAX_ID_LENGTH + 1);
        for bad in [
            "",
            "two words",
            "a\"b",
            "a\\b",
            "a,b",
            "a;b",
            "<a>",
            "{a}",
            "ü",
            "\u{7f}1",
            &too_long,
        ] {
            let Ok(value) = HeaderValue::from_bytes(bad.as_bytes()) else {
                continue;
            };
            assert_eq!(
                ids.select(&HeaderMap::from_iter([(X_REQUEST_ID, value)]), true)
                    .len(),
                DIGITS,
                "{bad:?}"
            );
        }
        assert_eq!(
            ids.select(&headers(&["one", "another"]), true).len(),
            DIGITS,
            "which of them?"
        );
    }
}
