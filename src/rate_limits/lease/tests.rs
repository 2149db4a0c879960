//! Gateways that lease from one bucket, in simulated time.

use std::collections::VecDeque;

use super::*;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// The shared bucket, as Redis has it.
#[derive(Default)]
struct SharedBucket {
    full_at: u64,
}

impl SharedBucket {
    fn grant(&mut self, request: LeaseRequest, rate: Rate, now: u64) -> Grant {
        let full_at = self.full_at.max(now) + request.credit * rate.interval;
        let possible = (now + rate.capacity).saturating_sub(full_at) / rate.interval;
        let leased = request.wanted.min(possible);
        self.full_at = full_at + leased * rate.interval;
        Grant {
            leased,
            full_in: self.full_at - now,
        }
    }

    fn give_back(&mut self, unused: u64, rate: Rate, now: u64) {
        self.full_at = self.full_at.max(now).saturating_sub(unused * rate.interval);
    }
}

/// A fleet, whose leases arrive `delay` after they were requested.
struct Fleet {
    rate: Rate,
    terms: Terms,
    delay: u64,
    shared: SharedBucket,
    leases: Vec<Lease>,
    on_the_way: VecDeque<(u64, usize)>,
    leased: u64,
    admitted: u64,
}

impl Fleet {
    fn new(rate: Rate, gateways: usize, delay: u64) -> Self {
        Self {
            rate,
            terms: Terms::new(rate, gateways as u64),
            delay,
            shared: SharedBucket::default(),
            leases: (0..gateways).map(|_| Lease::default()).collect(),
            on_the_way: VecDeque::new(),
            leased: 0,
            admitted: 0,
        }
    }

    fn ask(&mut self, gateway: usize, now: u64) -> bool {
        self.receive(now);
        let lease = &self.leases[gateway];
        let is_admitted = lease.take(self.rate, self.terms, now).is_ok();
        self.admitted += u64::from(is_admitted);
        if lease.claim_request(self.terms, now) {
            self.on_the_way.push_back((now + self.delay, gateway));
        }
        is_admitted
    }

    fn receive(&mut self, now: u64) {
        while let Some(&(at, gateway)) = self.on_the_way.front().filter(|(at, _)| *at <= now) {
            self.on_the_way.pop_front();
            let lease = &self.leases[gateway];
            let request = lease.request(self.terms);
            let grant = self.shared.grant(request, self.rate, at);
            lease.grant(request, grant, self.rate, self.terms, at);
            self.leased += 1;
        }
    }

    fn give_back(&mut self, now: u64) {
        for lease in &self.leases {
            let unused = lease.take_unused();
            self.shared.give_back(unused, self.rate, now);
        }
    }
}

fn rate(requests: u32, seconds: u64, burst: u32) -> Rate {
    Rate::new(requests, std::time::Duration::from_secs(seconds), burst).expect("a short refill")
}

#[test]
fn fleet_admits_at_most_five_percent_too_much_from_a_burst_of_100_on() {
    for gateways in [1, 2, 4] {
        for (requests, seconds, burst) in [(100, 60, 100), (1_000, 1, 100), (10_000, 60, 1_000)] {
            let rate = rate(requests, seconds, burst);
            let mut fleet = Fleet::new(rate, gateways, MILLISECOND / 2);
            // Twenty times the limit, for ten seconds.
            let interval = rate.interval / 20;
            let duration = 10 * SECOND;
            let mut now = 0;
            let mut number = 0;
            while now < duration {
                fleet.ask(number % gateways, now);
                number += 1;
                now += interval;
            }
            let allowed = u64::from(burst) + duration / rate.interval;
            let case = format!(
                "{gateways} gateways, burst {burst}: {} of {allowed}",
                fleet.admitted
            );
            assert!(fleet.admitted * 100 <= allowed * 105, "{case}");
            assert!(fleet.admitted * 100 >= allowed * 95, "{case}");
        }
    }
}

#[test]
fn fleet_admits_at_most_one_request_too_much_for_each_gateway_below_that() {
    for burst in [1, 5, 20] {
        let rate = rate(60, 60, burst);
        let mut fleet = Fleet::new(rate, 4, MILLISECOND);
        for at in 0..1_000 {
            fleet.ask(at % 4, at as u64 * MILLISECOND / 100);
        }
        assert!(
            fleet.admitted <= u64::from(burst) + 4,
            "{burst}: {}",
            fleet.admitted
        );
        assert!(
            fleet.admitted >= u64::from(burst),
            "{burst}: {}",
            fleet.admitted
        );
    }
}

#[test]
fn credit_is_repaid_and_not_given_while_the_bucket_is_empty() {
    let rate = rate(60, 60, 4);
    let mut fleet = Fleet::new(rate, 4, MILLISECOND);
    // A minute of attempts, each tenth of a second at each gateway.
    for tenth in 0..600 {
        for gateway in 0..4 {
            fleet.ask(gateway, tenth * SECOND / 10);
        }
    }
    let allowed = 4 + 59;
    assert!(fleet.admitted <= allowed + 4, "{}", fleet.admitted);
}

#[test]
fn hot_client_does_not_take_a_lease_for_each_request() {
    let rate = rate(10_000, 1, 10_000);
    let mut fleet = Fleet::new(rate, 4, MILLISECOND);
    let mut refused = 0;
    for number in 0..40_000_u64 {
        let is_admitted = fleet.ask(number as usize % 4, number * SECOND / 8_000);
        refused += u64::from(!is_admitted);
    }
    assert!(fleet.leased < 40_000 / 50, "{} leases", fleet.leased);
    assert!(
        refused < 10,
        "{refused} refused of a client within its limit"
    );
}

#[test]
fn unused_balance_is_given_back() {
    let rate = rate(60, 60, 100);
    let mut fleet = Fleet::new(rate, 4, MILLISECOND);
    for gateway in 0..4 {
        fleet.ask(gateway, 0);
    }
    fleet.receive(SECOND);
    // Used since the last lease: no. The grant has reset it.
    fleet.give_back(SECOND);
    let mut admitted = 0;
    for number in 0..200 {
        admitted += u64::from(fleet.ask(0, SECOND + number * MILLISECOND * 2));
    }
    assert!(admitted >= 95, "{admitted} of 100 at one gateway");
}

#[test]
fn lease_is_requested_for_once_until_it_arrives_or_fails() {
    let rate = rate(60, 60, 100);
    let terms = Terms::new(rate, 2);
    let lease = Lease::default();
    let level = lease.take(rate, terms, 0).expect("on credit");
    assert_eq!(level.remaining, 99);
    assert!(lease.claim_request(terms, 0) && !lease.claim_request(terms, 0));
    lease.fail();
    assert!(lease.claim_request(terms, 0));
    let request = lease.request(terms);
    assert_eq!(request.credit, 1);
    let grant = Grant {
        leased: 0,
        full_in: rate.capacity + rate.interval,
    };
    lease.grant(request, grant, rate, terms, 0);
    assert!(
        !lease.claim_request(terms, 0),
        "the bucket is known to be empty"
    );
    let level = lease.take(rate, terms, 0).expect_err("no credit now");
    assert_eq!(level.wait, 2 * rate.interval);
    assert!(lease.take(rate, terms, 2 * rate.interval).is_ok());
}

#[test]
fn no_reply_makes_a_client_wait_longer_than_for_an_overdrawn_bucket() {
    let rate = rate(60, 60, 10);
    let terms = Terms::new(rate, 4);
    for full_in in [u64::MAX, u64::MAX - 1, 1 << 60] {
        let lease = Lease::default();
        assert!(lease.take(rate, terms, 5 * SECOND).is_ok());
        let grant = Grant { leased: 0, full_in };
        lease.grant(lease.request(terms), grant, rate, terms, 5 * SECOND);
        let level = lease.take(rate, terms, 5 * SECOND).expect_err("empty");
        assert_eq!(
            level.wait,
            9 * SECOND,
            "eight requests on credit, and its own"
        );
        assert!(lease.take(rate, terms, 14 * SECOND).is_ok());
    }
}
