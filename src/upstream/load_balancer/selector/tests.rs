use super::*;

fn counts(
    selector: &Selector,
    rounds: usize,
    is_available: [bool; 4],
    loads: [u64; 4],
) -> [usize; 4] {
    weighted_counts(selector, rounds, is_available, [1; 4], loads)
}

fn weighted_counts(
    selector: &Selector,
    rounds: usize,
    is_available: [bool; 4],
    weights: [u32; 4],
    loads: [u64; 4],
) -> [usize; 4] {
    let mut counts = [0; 4];
    for _ in 0..rounds {
        let selected = selector
            .select(
                4,
                |index| is_available[index],
                |index| weights[index],
                |index| loads[index],
            )
            .expect("one is available");
        counts[selected] += 1;
    }
    counts
}

#[test]
fn round_robin_is_even_and_skips_unavailable_endpoints() {
    let selector = Selector::new(Balance::RoundRobin, false);
    assert_eq!(counts(&selector, 400, [true; 4], [9, 0, 0, 0]), [100; 4]);
    assert_eq!(
        counts(&selector, 400, [true, false, true, false], [0; 4]),
        [200, 0, 200, 0]
    );
}

#[test]
fn endpoints_with_equal_load_are_selected_equally_often() {
    for count in counts(
        &Selector::new(Balance::LeastRequests, false),
        40_000,
        [true; 4],
        [3; 4],
    ) {
        // Eight standard deviations.
        assert!((9_300..10_700).contains(&count), "{count}");
    }
}

#[test]
fn busiest_endpoint_is_never_selected_and_the_idlest_half_of_the_time() {
    let counts = counts(
        &Selector::new(Balance::LeastRequests, false),
        40_000,
        [true; 4],
        [0, 1, 2, 3],
    );
    assert_eq!(counts[3], 0, "the other one of the two has less load");
    // It is one of the two in half of the draws.
    assert!((19_200..20_800).contains(&counts[0]), "{counts:?}");
}

#[test]
fn of_two_endpoints_the_one_with_less_load_is_selected() {
    let selector = Selector::new(Balance::LeastRequests, false);
    assert_eq!(
        counts(&selector, 1000, [false, true, true, false], [0, 5, 4, 0]),
        [0, 0, 1000, 0]
    );
    assert_eq!(
        counts(&selector, 1000, [false, true, false, false], [0, 5, 4, 0]),
        [0, 1000, 0, 0]
    );
}

#[test]
fn nothing_is_selected_if_no_endpoint_is_available() {
    for balance in [Balance::LeastRequests, Balance::RoundRobin] {
        for is_weighted in [false, true] {
            let selector = Selector::new(balance, is_weighted);
            for count in 0..5 {
                assert_eq!(selector.select(count, |_| false, |_| 3, |_| 0), None);
            }
            assert_eq!(selector.select(1, |_| true, |_| 3, |_| 0), Some(0));
        }
    }
}

#[test]
fn weighted_round_robin_is_exact_in_every_round_and_spreads_the_heavy_endpoint() {
    let selector = Selector::new(Balance::RoundRobin, true);
    let (all, weights) = ([true; 4], [5, 1, 1, 3]);
    for round in 0..100 {
        let counts = weighted_counts(&selector, 10, all, weights, [9, 0, 0, 0]);
        assert_eq!(counts, [5, 1, 1, 3], "round {round}");
    }
    let turns: Vec<_> = (0..10)
        .map(|_| selector.select(4, |_| true, |index| weights[index], |_| 0))
        .collect();
    let longest = turns.chunk_by(|one, next| one == next).map(<[_]>::len);
    assert!(longest.max() <= Some(2), "{turns:?}");
}

#[test]
fn weighted_round_robin_shares_the_requests_of_an_unavailable_endpoint_by_weight() {
    let selector = Selector::new(Balance::RoundRobin, true);
    let weights = [4, 2, 1, 1];
    let without_the_first = [false, true, true, true];
    assert_eq!(
        weighted_counts(&selector, 400, without_the_first, weights, [0; 4]),
        [0, 200, 100, 100]
    );
    // It does not catch up on what it missed.
    let counts = weighted_counts(&selector, 8, [true; 4], weights, [0; 4]);
    assert_eq!(counts, [4, 2, 1, 1]);
}

#[test]
fn idle_endpoints_are_selected_in_proportion_to_their_weights() {
    let selector = Selector::new(Balance::LeastRequests, true);
    let counts = weighted_counts(&selector, 40_000, [true; 4], [1, 2, 3, 4], [0; 4]);
    for (count, expected) in counts.into_iter().zip([4000, 8000, 12_000, 16_000]) {
        // Seven standard deviations, of which the largest is 98.
        assert!(count.abs_diff(expected) < 700, "{counts:?}");
    }
}

#[test]
fn requests_in_flight_are_divided_by_the_weight() {
    let selector = Selector::new(Balance::LeastRequests, true);
    let (two, weights) = ([true, true, false, false], [1, 3, 1, 1]);
    let counts = |loads| weighted_counts(&selector, 1000, two, weights, loads);
    assert_eq!(counts([1, 2, 0, 0]), [0, 1000, 0, 0], "1 > 2 / 3");
    assert_eq!(counts([1, 4, 0, 0]), [1000, 0, 0, 0], "1 < 4 / 3");
    let tied = counts([1, 3, 0, 0]);
    // Ten standard deviations.
    assert!(tied[0].abs_diff(250) < 140, "1 = 3 / 3: {tied:?}");
}

#[test]
fn requests_that_stay_in_flight_settle_in_proportion_to_the_weights() {
    let selector = Selector::new(Balance::LeastRequests, true);
    let (weights, mut loads) = ([1, 2, 3, 4], [0; 4]);
    for _ in 0..10_000 {
        let selected = selector
            .select(4, |_| true, |index| weights[index], |index| loads[index])
            .expect("all are available");
        loads[selected] += 1;
    }
    for (load, expected) in loads.into_iter().zip([1000, 2000, 3000, 4000]) {
        // Two choices keep the loads much closer than chance would.
        assert!(load.abs_diff(expected) < 30, "{loads:?}");
    }
}
