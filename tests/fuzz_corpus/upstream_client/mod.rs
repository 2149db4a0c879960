//! The gateway's HTTP/1.1 client and hyper's, given the same hostile responses.
//!
//! Ours exists because it is cheaper, so it must be at least as safe. `differences` lists every
//! difference with its reason. An unlisted difference fails, and so does a listed one that is gone.

mod differences;
mod responses;

use std::collections::BTreeMap;

use crate::fuzz_bodies::response::outcome::{Kind, Outcome};
use crate::fuzz_bodies::response::{with_hyper, with_ours};

use differences::DIFFERENCES;
use responses::Hostile;

/// Parses the pieces of a response to a request with this method.
type Read = fn(&http::Method, &[&[u8]]) -> Outcome;

#[test]
fn there_are_two_hundred_responses_and_eight_of_each_class() {
    let all = responses::all();
    assert!(all.len() >= 200, "{} responses", all.len());
    let mut classes = BTreeMap::<_, usize>::new();
    for hostile in &all {
        *classes.entry(hostile.class).or_default() += 1;
    }
    assert!(classes.values().all(|count| *count >= 8), "{classes:?}");
}

#[test]
fn parsing_does_not_depend_on_where_a_response_is_cut() {
    let faults: Vec<String> = responses::all()
        .iter()
        .filter_map(|hostile| depends_on_cut(hostile, with_ours::read))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_difference_from_hyper_is_listed_with_its_reason() {
    let mut found = BTreeMap::new();
    for hostile in responses::all() {
        let whole: &[&[u8]] = &[&hostile.bytes];
        let ours = with_ours::read(&hostile.method, whole);
        let of_hyper = with_hyper::read(&hostile.method, whole);
        for at in 1..hostile.bytes.len() {
            let (before, after) = hostile.bytes.split_at(at);
            let cut = with_hyper::read(&hostile.method, &[before, after]);
            assert_eq!(cut, of_hyper, "hyper, {}: cut at {at}", hostile.name());
        }
        if let Some(kind) = Kind::of(&ours, &of_hyper) {
            found.insert(hostile.name(), (kind, ours, of_hyper));
        }
    }
    let mut faults = Vec::new();
    for (name, (kind, ours, of_hyper)) in &found {
        let listed = DIFFERENCES.iter().find(|listed| listed.response == name);
        if listed.is_none_or(|listed| listed.kind != *kind) {
            faults.push(format!(
                "{name}: {kind:?}\n  ours  {ours}\n  hyper {of_hyper}"
            ));
        }
    }
    for listed in DIFFERENCES {
        assert!(
            !listed.reason.is_empty(),
            "{} has no reason",
            listed.response
        );
        if !found.contains_key(listed.response) {
            faults.push(format!(
                "{}: listed, but there is no difference",
                listed.response
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn depends_on_cut(hostile: &Hostile, read: Read) -> Option<String> {
    let whole = read(&hostile.method, &[&hostile.bytes]);
    (1..hostile.bytes.len()).find_map(|at| {
        let (before, after) = hostile.bytes.split_at(at);
        let cut = read(&hostile.method, &[before, after]);
        (cut != whole).then(|| format!("{}: cut at {at}: {cut:?}, whole {whole:?}", hostile.name()))
    })
}
