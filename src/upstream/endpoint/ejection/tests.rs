use super::*;

#[test]
fn endpoint_is_ejected_after_failures_in_a_row_and_longer_each_time() {
    let (ejection, now) = (Ejection::default(), Instant::now());
    let fail = |now| ejection.record_connect_failure(now, || true);
    assert_eq!([fail(now), fail(now)], [None, None]);
    assert!(!ejection.is_ejected(now));
    assert_eq!(fail(now), Some(FIRST_EJECTION));
    assert!(ejection.is_ejected(now));
    let later = now + FIRST_EJECTION;
    assert!(!ejection.is_ejected(later));
    assert_eq!(fail(later), Some(2 * FIRST_EJECTION));
    assert!(ejection.is_ejected(later + FIRST_EJECTION));
    ejection.record_connect();
    assert!(!ejection.is_ejected(now));
    assert_eq!(fail(now), None);
}

#[test]
fn failures_during_an_ejection_do_not_lengthen_it() {
    let (ejection, now) = (Ejection::default(), Instant::now());
    let durations: Vec<_> = (0..1000)
        .filter_map(|_| ejection.record_connect_failure(now, || true))
        .collect();
    assert_eq!(durations, [FIRST_EJECTION]);
    assert!(!ejection.is_ejected(now + FIRST_EJECTION));
}

#[test]
fn no_ejection_is_longer_than_the_maximum() {
    let (ejection, mut now) = (Ejection::default(), Instant::now());
    let mut longest = Duration::ZERO;
    for _ in 0..1000 {
        let duration = ejection
            .record_connect_failure(now, || true)
            .unwrap_or_default();
        longest = longest.max(duration);
        now += duration;
    }
    assert_eq!(longest, MAX_EJECTION);
}

#[test]
fn endpoint_beyond_the_limit_is_deprioritized_but_not_ejected() {
    let (ejection, now) = (Ejection::default(), Instant::now());
    (0..3).for_each(|_| _ = ejection.record_connect_failure(now, || false));
    assert!(ejection.is_deprioritized(now) && !ejection.is_ejected(now));
}

#[test]
fn at_most_half_and_at_least_one_is_ejected() {
    let max = |endpoints| max_ejected(endpoints, None, FailureKind::Connect);
    assert_eq!([1, 2, 3, 4, 5, 10].map(max), [1, 1, 1, 2, 2, 5]);
}

fn outlier(consecutive: u32, max_ejected_percent: u8) -> Outlier {
    Outlier {
        consecutive,
        ejection_time: TIME,
        max_ejected_percent,
    }
}

const TIME: Duration = Duration::from_secs(10);

#[test]
fn failed_responses_never_eject_the_last_endpoint_and_a_share_bounds_both_kinds() {
    for (percent, of_responses, of_connects) in [
        (1, [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
        (50, [0, 1, 1, 2, 5], [1, 1, 1, 2, 5]),
        (100, [0, 1, 2, 3, 9], [1, 1, 2, 3, 9]),
    ] {
        let max = |kind| {
            [1, 2, 3, 4, 10]
                .map(|endpoints| max_ejected(endpoints, Some(&outlier(5, percent)), kind))
        };
        assert_eq!(max(FailureKind::Response), of_responses, "{percent} %");
        assert_eq!(max(FailureKind::Connect), of_connects, "{percent} %");
    }
}

#[test]
fn failed_responses_in_a_row_eject_and_a_success_begins_anew() {
    let (ejection, now, outlier) = (Ejection::default(), Instant::now(), outlier(3, 50));
    let fail = |now| ejection.record_response_failure(now, &outlier, || true);
    assert_eq!([fail(now), fail(now)], [None, None]);
    ejection.record_response(now);
    assert_eq!([fail(now), fail(now), fail(now)], [None, None, Some(3)]);
    assert!(ejection.is_ejected(now) && ejection.is_ejected_for_responses(now));
    // These belong to requests from before.
    ejection.record_response(now);
    assert!(!ejection.record_connect());
    assert_eq!(fail(now), None);
    assert!(ejection.is_ejected(now));
    let later = now + TIME;
    assert!(!ejection.is_ejected(later));
    assert_eq!(fail(later), Some(4), "one more failure is enough");
    ejection.record_response(later + TIME);
    assert_eq!(fail(later + TIME), None, "a success clears the failures");
}

#[test]
fn endpoint_that_may_not_be_ejected_for_its_responses_is_not_even_deprioritized() {
    let (ejection, now, outlier) = (Ejection::default(), Instant::now(), outlier(2, 50));
    let fail = || ejection.record_response_failure(now, &outlier, || false);
    assert_eq!([fail(), fail(), fail()], [None, Some(2), None]);
    assert!(!ejection.is_ejected(now) && !ejection.is_deprioritized(now));
}

#[test]
fn responses_and_connects_are_counted_apart() {
    let (ejection, now, outlier) = (Ejection::default(), Instant::now(), outlier(3, 50));
    for _ in 0..2 {
        assert_eq!(
            ejection.record_response_failure(now, &outlier, || true),
            None
        );
        assert_eq!(ejection.record_connect_failure(now, || true), None);
    }
    // A connection that opens says nothing about responses, and a response nothing about connects.
    ejection.record_connect();
    assert_eq!(
        ejection.record_response_failure(now, &outlier, || true),
        Some(3)
    );
}
