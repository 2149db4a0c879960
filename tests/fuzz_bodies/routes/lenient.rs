//! How lenient servers may read a path: every reading of an ASCII path.

use scopegate::policy::route::Route;

use super::{Segment, decoded, shape};

// Bounds the running time.
const MAX_READINGS: usize = 4096;

/// One reading of a path: the names of its segments.
pub(super) type Reading = Vec<String>;

/// Every reading of `path`, which the gateway routes to `chosen`. `None` if there are too many, or
/// for non-ASCII.
pub(super) fn readings(path: &str, chosen: &Route) -> Option<Vec<Reading>> {
    let segments: Vec<String> = path
        .split('/')
        .skip(1)
        .map(|text| String::from_utf8_lossy(&decoded(text)).into())
        .collect();
    if !segments.iter().all(|segment| segment.is_ascii()) {
        return None;
    }
    let shape = shape(chosen);
    let mut whole: Vec<Reading> = vec![Vec::new()];
    let mut all = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        let is_written = matches!(shape.get(place), Some(Segment::Literal(_)));
        let end = if is_written {
            None
        } else {
            segment.find(['?', '#'])
        };
        if let Some(end) = end {
            all.extend(with_each(
                &whole,
                &names(&segment[..end], is_written),
                Some(""),
            ));
        }
        let is_last = place + 1 == segments.len();
        whole = if is_last && segment.is_empty() {
            with_each(&whole, &[String::new()], None)
        } else {
            with_each(&whole, &names(segment, is_written), is_last.then_some(""))
        };
        if whole.len() + all.len() > MAX_READINGS {
            return None;
        }
    }
    all.extend(whole);
    Some(all)
}

// A segment without a name is skipped; `at_end` replaces it at the end of a path.
fn with_each(begun: &[Reading], names: &[String], at_end: Option<&str>) -> Vec<Reading> {
    let with = |reading: &Reading, name: &str| {
        reading
            .iter()
            .cloned()
            .chain([name.to_owned()])
            .collect::<Reading>()
    };
    match (names, at_end) {
        ([], Some(name)) => begun.iter().map(|reading| with(reading, name)).collect(),
        ([], None) => begun.to_vec(),
        (names, _) => names
            .iter()
            .flat_map(|name| begun.iter().map(move |reading| with(reading, name)))
            .collect(),
    }
}

fn names(segment: &str, is_written: bool) -> Vec<String> {
    let Some(name) = bare(segment) else {
        return Vec::new();
    };
    let mut names = vec![name.clone()];
    for (end, _) in name.match_indices(['.', ':']).filter(|_| !is_written) {
        let shorter = name[..end].trim_end_matches(['.', ' ']);
        if !shorter.is_empty() && !names.iter().any(|known| known == shorter) {
            names.push(shorter.to_owned());
        }
    }
    names
}

fn bare(segment: &str) -> Option<String> {
    let name = segment
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_end_matches(['.', ' '])
        .trim_start_matches(' ');
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// The rank of a route for a reading; greater is more specific. `None` if it does not match.
pub(super) fn fit(route: &Route, reading: &Reading) -> Option<Vec<u8>> {
    let mut rank = Vec::new();
    let mut names = reading.iter();
    for expected in shape(route) {
        let literal = match &expected {
            Segment::Rest => {
                rank.push(0);
                return Some(rank);
            }
            Segment::Name => None,
            Segment::Literal(text) if text.is_empty() => Some(String::new()),
            Segment::Literal(text) => match bare(&String::from_utf8_lossy(text)) {
                Some(name) => Some(name),
                None => continue,
            },
        };
        let name = names.next()?;
        match literal {
            Some(literal) if *name == literal => rank.push(4),
            None if !name.is_empty() => rank.push(3),
            _ => return None,
        }
    }
    match names.as_slice() {
        [] => rank.push(2),
        [last] if last.is_empty() => rank.push(1),
        _ => return None,
    }
    Some(rank)
}
