use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::worker_limits::REMEMBERED_FOR;
use super::*;

const SECOND: u64 = 1_000_000_000;
static ROUTE: LazyLock<Arc<str>> = LazyLock::new(|| "/a".into());

pub(super) fn settings(requests: u32, burst: u32, key: &[KeyPart]) -> LimitSettings {
    LimitSettings {
        name: "standard".into(),
        requests,
        per: Duration::from_secs(1),
        burst,
        key: key.into(),
    }
}

pub(super) fn by_address(address: IpAddr) -> ClientIdentity<'static> {
    ClientIdentity {
        token: None,
        address: Some(address),
        route: &ROUTE,
    }
}

pub(super) fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

#[test]
fn bucket_admits_its_burst_and_then_its_rate() {
    let rate = Rate::new(10, Duration::from_secs(1), 3).expect("a rate");
    let bucket = Bucket::default();
    let now = 5 * SECOND;
    for remaining in [2, 1, 0] {
        let level = bucket.take(rate, now).expect("admitted");
        assert_eq!(level.remaining, remaining);
    }
    let level = bucket.take(rate, now).expect_err("refused");
    assert_eq!((level.wait, level.full_in), (SECOND / 10, SECOND * 3 / 10));
    assert!(bucket.take(rate, now + SECOND / 10 - 1).is_err());
    assert!(bucket.take(rate, now + SECOND / 10).is_ok());
    // An hour later it is full, and not fuller.
    let later = now + 3600 * SECOND;
    assert_eq!(bucket.level(rate, later).remaining, 3);
    assert_eq!(
        (0..9).filter(|_| bucket.take(rate, later).is_ok()).count(),
        3
    );
}

#[test]
fn request_that_is_put_back_is_possible_again() {
    let rate = Rate::new(1, Duration::from_secs(1), 2).expect("a rate");
    let bucket = Bucket::default();
    for _ in 0..100 {
        assert!(bucket.take(rate, SECOND).is_ok());
        bucket.put_back(rate.interval);
    }
    assert_eq!(bucket.level(rate, SECOND).remaining, 2);
}

#[test]
fn time_that_goes_back_admits_nothing_more() {
    let rate = Rate::new(1, Duration::from_secs(1), 2).expect("a rate");
    let bucket = Bucket::default();
    assert!(bucket.take(rate, 9 * SECOND).is_ok());
    assert!(bucket.take(rate, 9 * SECOND).is_ok());
    for earlier in [8, 1, 0] {
        assert!(bucket.take(rate, earlier * SECOND).is_err());
    }
}

#[test]
fn workers_together_admit_what_one_would() {
    let rate = Rate::new(1000, Duration::from_secs(1), 500).expect("a rate");
    let bucket = Bucket::default();
    let admitted: usize = thread::scope(|scope| {
        let worker = || {
            let times = (0..20_000).map(|number| number * 100_000);
            times.filter(|now| bucket.take(rate, *now).is_ok()).count()
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(worker)).collect();
        let counts = workers.into_iter().map(|one| one.join().expect("a count"));
        counts.sum()
    });
    // Two seconds, and the burst.
    assert!((2498..=2500).contains(&admitted), "{admitted}");
}

#[test]
fn request_that_one_limit_refuses_is_spent_in_none() {
    let now = Instant::now();
    let wide = Limit::new(settings(10, 10, &[KeyPart::Address]), None, now).expect("a limit");
    let narrow = Limit::new(settings(1, 1, &[KeyPart::Route]), None, now).expect("a limit");
    let all = [Arc::new(wide), Arc::new(narrow)];
    let limits = WorkerLimits::new(&all);
    let mut refused = 0;
    for _ in 0..50 {
        // The first limit counts before the token, the second one after it.
        let mut counted = None;
        let client = by_address(v4(1));
        Counted::count(&mut counted, &[0], &limits, client, now).expect("admitted");
        refused += usize::from(Counted::count(&mut counted, &[1], &limits, client, now).is_err());
    }
    assert_eq!(refused, 49);
    let reports = all.each_ref().map(|limit| limit.report());
    // Counters never go back, although the requests were put back.
    assert_eq!((reports[0].admitted, reports[0].refused), (50, 0));
    assert_eq!((reports[1].admitted, reports[1].refused), (1, 49));
    let mut counted = None;
    for _ in 0..9 {
        counted = None;
        let admitted = Counted::count(&mut counted, &[0], &limits, by_address(v4(1)), now);
        assert_eq!(admitted, Ok(()));
    }
    let mut response = http::HeaderMap::new();
    let counted = counted.expect("a count");
    counted.set_fields(&limits, &mut response);
    assert_eq!(response["ratelimit"], "\"standard\";r=0;t=1");
    assert_eq!(
        response["ratelimit-policy"],
        "\"standard\";q=10;w=1;scopegate-burst=10"
    );
}

#[test]
fn addresses_of_one_network_share_a_bucket() {
    let now = Instant::now();
    let limit = Limit::new(settings(1, 1, &[KeyPart::Address]), None, now).expect("a limit");
    let key = |address: &str| limit.key(by_address(address.parse().expect("an address")));
    assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
    assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_ne!(
        key("0.0.0.0"),
        limit.key(by_address(Ipv6Addr::UNSPECIFIED.into()))
    );
}

#[test]
fn hashes_of_two_limits_are_not_comparable() {
    let now = Instant::now();
    let keys = [0, 1].map(|_| {
        let limit = Limit::new(settings(1, 1, &[KeyPart::Address]), None, now).expect("a limit");
        limit.key(by_address(v4(1)))
    });
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn flood_of_new_keys_is_bounded_and_keeps_the_bucket_in_use() {
    let begin = Instant::now();
    let settings = LimitSettings {
        per: Duration::from_secs(3600),
        ..settings(1, 5, &[KeyPart::Address])
    };
    let limit = Limit::with_capacity(settings, None, 1000, begin).expect("a limit");
    let all = [Arc::new(limit)];
    let limits = WorkerLimits::new(&all);
    let ask = |client: u32, number: u32| {
        let now = begin + number * REMEMBERED_FOR / 100;
        Counted::count(&mut None, &[0], &limits, by_address(v4(client)), now).is_ok()
    };
    let admitted = (0..20_000).filter(|number| {
        ask(1_000_000 + number, *number);
        // An emptied bucket stays in use by requests that it refuses, too.
        number % 100 == 0 && ask(7, *number)
    });
    assert_eq!(admitted.count(), 5);
    let report = all[0].report();
    assert!(report.buckets <= 1000, "{report:?}");
    assert!(report.evictions >= 18_000, "{report:?}");
    assert_eq!(report.admitted, 20_005);
}

#[test]
fn refill_time_is_bounded() {
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(Rate::new(1, day, 1_000_000), None);
    assert_eq!(Rate::new(1, day, 366), None);
    let longest = Rate::new(1, day, 365).expect("a rate");
    assert_eq!(longest.refill_time(), MAX_REFILL_TIME);
    let fastest = Rate::new(1_000_000, Duration::from_secs(1), 1).expect("a rate");
    assert_eq!(fastest.refill_time(), Duration::from_micros(1));
}

#[test]
fn gateways_of_a_fleet_share_a_limit_and_have_a_part_of_it_while_they_are_cut_off() {
    let now = Instant::now();
    let gateways = [(); 2].map(|()| {
        let (sharing, asked) = Sharing::new([7; 16]);
        sharing.set_gateways(2);
        let limit = Limit::new(settings(1, 100, &[KeyPart::Route]), Some(&sharing), now);
        (sharing, asked, Arc::new(limit.expect("a limit")))
    });
    let admitted = |limit: &Arc<Limit>| {
        let limits = WorkerLimits::new(&[Arc::clone(limit)]);
        let is_admitted =
            |_: &usize| Counted::count(&mut None, &[0], &limits, by_address(v4(1)), now).is_ok();
        (0..200).filter(is_admitted).count()
    };
    let [(first, _, one), (second, _, _)] = &gateways;
    assert_eq!(admitted(one), 50, "half of the limit");
    for sharing in [first, second] {
        sharing.set_connected(true);
    }
    let mut gateways = gateways;
    let asked =
        |gateway: usize, gateways: &mut [(_, tokio::sync::mpsc::Receiver<SharedBucket>, _)]| {
            gateways[gateway]
                .1
                .try_recv()
                .expect("a lease was requested")
        };
    let credit = admitted(&gateways[0].2) + admitted(&gateways[1].2);
    assert_eq!(credit, 4, "five percent of the burst, over two gateways");
    let (one, other) = (asked(0, &mut gateways), asked(1, &mut gateways));
    assert_eq!(one.name(), other.name(), "both mean one bucket");
    let request = one.request();
    assert!(one.max_refill_time() >= one.interval_and_capacity().1);
    let grant = Grant {
        leased: request.wanted,
        full_in: 0,
    };
    one.grant(request, grant, now);
    assert_eq!(request.credit, 2);
    let leased = usize::try_from(request.wanted).expect("a small number");
    assert_eq!(admitted(&gateways[0].2), leased + 2, "and new credit");
}

#[test]
fn bucket_in_debt_to_the_fleet_is_not_forgotten_when_an_undivided_one_would_be_full() {
    let now = Instant::now();
    let (sharing, _asked) = Sharing::new([7; 16]);
    sharing.set_gateways(2);
    let limit = |sharing| {
        let settings = settings(1, 1, &[KeyPart::Route]);
        Limit::new(settings, sharing, now).expect("a limit")
    };
    let limits = [limit(None), limit(Some(&sharing))];
    let find = || {
        limits
            .each_ref()
            .map(|limit| limit.find(by_address(v4(1))).bucket)
    };
    let before = find();
    // Longer than the second in which one request comes back, and a second more.
    std::thread::sleep(Duration::from_millis(2300));
    let [alone, shared] = find();
    assert!(!Arc::ptr_eq(&before[0], &alone));
    assert!(Arc::ptr_eq(&before[1], &shared));
}

#[test]
fn client_whose_lease_failed_is_not_locked_out() {
    let now = Instant::now();
    let (sharing, mut asked) = Sharing::new([7; 16]);
    sharing.set_connected(true);
    let limit = Limit::new(settings(1, 1, &[KeyPart::Route]), Some(&sharing), now);
    let limits = WorkerLimits::new(&[Arc::new(limit.expect("a limit"))]);
    let ask = || Counted::count(&mut None, &[0], &limits, by_address(v4(1)), now).is_ok();
    assert!(ask() && !ask(), "one request on credit");
    asked.try_recv().expect("a lease was requested").fail();
    assert!(!ask(), "no more credit");
    let again = asked.try_recv().expect("another lease is requested");
    let request = again.request();
    let grant = Grant {
        leased: request.wanted,
        full_in: 0,
    };
    again.grant(request, grant, now);
    assert!(ask());
}

#[test]
fn request_is_put_back_where_it_was_taken_from() {
    let now = Instant::now();
    let (sharing, _asked) = Sharing::new([7; 16]);
    let shared = |requests| {
        let settings = settings(requests, 2, &[KeyPart::Route]);
        Limit::new(settings, Some(&sharing), now).expect("a limit")
    };
    let limit = Arc::new(shared(1));
    let found = limit.find(by_address(v4(1)));
    let later = limit.time(now + Duration::from_secs(1));
    // Its own part, while gateways come; and a lease, while Redis goes.
    for (is_connected, gateways) in [(false, 1000), (true, 1000)] {
        sharing.set_gateways(1);
        sharing.set_connected(is_connected);
        let (_, taken) = limit.take(&found, later).expect("admitted");
        sharing.set_gateways(gateways);
        sharing.set_connected(false);
        limit.put_back(&found.bucket, taken);
    }
    sharing.set_gateways(1);
    assert_eq!(
        limit.level(&found.bucket, later).remaining,
        2,
        "nothing is spent"
    );
}

#[test]
fn longest_interval_of_the_largest_fleet_is_no_overflow() {
    let rate = Rate::new(1, MAX_REFILL_TIME, 1)
        .expect("a rate")
        .divided_by(4097);
    let bucket = Bucket::default();
    let now = 5 * SECOND;
    assert!(bucket.take(rate, now).is_ok());
    assert!(bucket.take(rate, now).is_err(), "one request, and no more");
    assert!(bucket.level(rate, u64::MAX / 2).remaining <= 1);
}

#[test]
fn request_that_is_refused_before_the_first_lease_is_told_that_none_remain() {
    let now = Instant::now();
    // Nobody grants a lease.
    let (sharing, _requested) = Sharing::new([7; 16]);
    sharing.set_connected(true);
    let limit = Limit::new(settings(1, 20, &[KeyPart::Route]), Some(&sharing), now);
    let limits = WorkerLimits::new(&[Arc::new(limit.expect("a limit"))]);
    let mut counted = None;
    let mut count = || {
        counted = None;
        let outcome = Counted::count(&mut counted, &[0], &limits, by_address(v4(1)), now);
        let mut response = http::HeaderMap::new();
        let counted = counted.as_ref().expect("a count");
        counted.set_fields(&limits, &mut response);
        (outcome.is_ok(), response["ratelimit"].clone())
    };
    let (is_admitted, _) = count();
    assert!(is_admitted, "on credit");
    assert_eq!(
        count(),
        (false, "\"standard\";r=0;t=1".parse().expect("a value"))
    );
}
