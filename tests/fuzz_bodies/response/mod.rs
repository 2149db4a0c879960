//! Upstream responses, parsed by the gateway's HTTP/1.1 client and by hyper's.
//!
//! Ours accepts nothing that hyper refuses, reads the same content and trailers, and reuses no
//! connection that hyper would close. The result does not depend on where a response is cut.

use http::Method;

pub(crate) mod outcome;
pub(crate) mod with_hyper;
pub(crate) mod with_ours;

use outcome::{Kind, Outcome};

const CHUNKED_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A whole response. The first byte chooses GET or HEAD, and where the response is cut.
pub(crate) fn check(input: &[u8]) {
    let Some((first, response)) = input.split_first() else {
        return;
    };
    let method = if first % 2 == 0 {
        Method::GET
    } else {
        Method::HEAD
    };
    compare(&method, response, usize::from(first / 2));
}

/// Chunks, behind the head of a response. The first byte chooses where they are cut.
pub(crate) fn check_chunks(input: &[u8]) {
    let Some((first, chunks)) = input.split_first() else {
        return;
    };
    let cut = CHUNKED_HEAD.len() + usize::from(*first);
    compare(&Method::GET, &[CHUNKED_HEAD, chunks].concat(), cut);
}

/// Trailers, behind the last chunk. The first byte chooses where they are cut.
pub(crate) fn check_trailers(input: &[u8]) {
    let Some((first, trailers)) = input.split_first() else {
        return;
    };
    let before = [CHUNKED_HEAD, b"0\r\n"].concat();
    let cut = before.len() + usize::from(*first);
    compare(&Method::GET, &[&before, trailers].concat(), cut);
}

fn compare(method: &Method, response: &[u8], cut: usize) {
    let ours = with_ours::read(method, &[response]);
    let (before, after) = response.split_at(cut.min(response.len()));
    let cut = with_ours::read(method, &[before, after]);
    assert_eq!(cut, ours, "cut after {}", before.len());
    let of_hyper = with_hyper::read(method, &[response]);
    let differs = match Kind::of(&ours, &of_hyper) {
        Some(Kind::Laxer | Kind::ClosesLess) => true,
        // Repeated lengths and obs-text in a reason: listed in tests/fuzz_corpus.
        Some(Kind::ReadOtherwise) => !is_same_content(&ours, &of_hyper),
        Some(Kind::Stricter | Kind::ClosesMore) | None => false,
    };
    assert!(!differs, "ours {ours}\nhyper {of_hyper}");
}

fn is_same_content(ours: &Outcome, of_hyper: &Outcome) -> bool {
    let status = |outcome: &Outcome| outcome.head.as_ref().map(|head| head.status);
    status(ours) == status(of_hyper)
        && ours.content == of_hyper.content
        && ours.trailers == of_hyper.trailers
        && ours.interim.len() == of_hyper.interim.len()
}
