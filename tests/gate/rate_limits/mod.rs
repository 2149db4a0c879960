//! `[limits]`: how many requests clients may send.

mod accuracy;
mod keys;
mod order;
mod reload;

use harness::{Gateway, Response, TestBed, eventually, send};
use serde_json::{Value, json};

/// Three requests at once, and one more every 36 seconds: none comes back during a test.
const SLOW: &str = "requests = 100\nper = \"1h\"\nburst = 3\n";

const PUBLIC: &str =
    "[[routes]]\npath = \"/public\"\npublic = true\nlimit = \"open\"\nrespond = { status = 204 }\n";

fn open_limit(rest: &str) -> String {
    format!("[limits.open]\n{SLOW}key = \"address\"\n{rest}")
}

/// A token with these claims instead of the usual ones; null removes one.
fn token(test_bed: &TestBed, changed: Value) -> String {
    let mut claims = test_bed.issuer.claims("read");
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let members = claims.as_object_mut().expect("an object");
    members.retain(|_, value| !value.is_null());
    test_bed.key.token(&claims)
}

/// How many of `count` requests pass.
fn passed(test_bed: &TestBed, count: usize, path: &str, token: &str) -> usize {
    let statuses = (0..count).map(|_| test_bed.get(path, Some(token)).status);
    statuses.filter(|status| *status != 429).count()
}

fn fields(response: &Response) -> (&str, &str) {
    let field = |name| response.header(name).unwrap_or_default();
    (field("ratelimit"), field("ratelimit-policy"))
}

/// `r` and `t` of a response with one limit.
fn state(response: &Response) -> (u64, u64) {
    let value = fields(response).0;
    let number = |name: &str| {
        let (_, rest) = value.split_once(name).expect("a parameter");
        let digits = rest.split([';', ',']).next().unwrap_or_default();
        digits.parse().expect("a number")
    };
    (number(";r="), number(";t="))
}

#[test]
fn request_above_the_limit_gets_429_that_says_when_to_come_back() {
    let gateway = Gateway::start(&open_limit(PUBLIC));
    let ask = || send(gateway.address, "GET /public HTTP/1.1\r\nHost: a\r\n\r\n");
    let policy = "\"open\";q=100;w=3600;scopegate-burst=3";
    let first = ask();
    assert_eq!(first.status, 204);
    assert_eq!(fields(&first), ("\"open\";r=2;t=36", policy));
    let (second, third) = (ask(), ask());
    assert_eq!((second.status, third.status), (204, 204));
    assert_eq!((state(&second).0, state(&third).0), (1, 0));
    assert!(
        (60..=72).contains(&state(&second).1),
        "{:?}",
        fields(&second)
    );
    let refused = ask();
    assert_eq!((refused.status, refused.challenge()), (429, None));
    assert_eq!(fields(&refused).1, policy);
    let (remaining, full_in) = state(&refused);
    assert_eq!(remaining, 0);
    assert!((96..=108).contains(&full_in), "{full_in}");
    let retry_after: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert_eq!(retry_after, full_in - 72);
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(
        problem,
        json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "More requests than are allowed; the Retry-After header says when to try again.",
            "violated-policies": ["open"],
        })
    );
}

#[test]
fn log_and_metrics_name_the_limit_and_no_client() {
    let test_bed = TestBed::routes(&format!(
        "[limits.standard]\n{SLOW}key = \"subject\"\n\
         [[routes]]\npath = \"/a\"\nlimit = \"standard\"\nupstream = \"up\"\n"
    ));
    let token = token(&test_bed, json!({ "sub": "secret-person" }));
    assert_eq!(passed(&test_bed, 5, "/a", &token), 3);
    let line = || {
        let mut lines = test_bed.requests.lines().into_iter();
        lines.find(|line| line["reason"] == "rate_limited")
    };
    eventually("the refusal is logged", || line().is_some());
    assert_eq!(
        line().expect("a line")["cause"],
        "expected at most 100 requests in 3600 s, burst 3, by subject, but found more (limit \"standard\")"
    );
    let metric = |series: &str| test_bed.metric(&format!("scopegate_rate_limit_{series}"));
    assert_eq!(
        metric("requests_total{limit=\"standard\",outcome=\"admitted\"}"),
        Some(3.0)
    );
    assert_eq!(
        metric("requests_total{limit=\"standard\",outcome=\"refused\"}"),
        Some(2.0)
    );
    assert_eq!(metric("buckets{limit=\"standard\"}"), Some(1.0));
    assert_eq!(metric("evictions_total{limit=\"standard\"}"), Some(0.0));
    let series = "scopegate_requests_total{route=\"/a\",method=\"GET\",status=\"4xx\",decision=\"refused\",reason=\"rate_limited\"}";
    assert_eq!(test_bed.metric(series), Some(2.0));
    let page = test_bed.get_admin("/metrics").text() + &test_bed.requests.text();
    assert!(!page.contains("secret-person"));
    assert_eq!(test_bed.hits(), 3);
}

#[test]
fn fields_of_the_upstream_are_replaced_where_a_limit_counts() {
    let test_bed = TestBed::routes(&format!(
        "{}[[routes]]\npath = \"/counted\"\nlimit = \"open\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/plain\"\nupstream = \"up\"\n",
        open_limit("")
    ));
    test_bed.upstream.script(|_| {
        harness::Reply::new(
            200,
            &[
                ("RateLimit", "\"own\";r=9"),
                ("ratelimit-policy", "\"own\";q=9"),
            ],
            "hello",
        )
    });
    let token = test_bed.token("");
    let ask = |path| test_bed.get(path, Some(&token));
    assert_eq!(
        fields(&ask("/counted")),
        (
            "\"open\";r=2;t=36",
            "\"open\";q=100;w=3600;scopegate-burst=3"
        )
    );
    assert_eq!(fields(&ask("/plain")), ("\"own\";r=9", "\"own\";q=9"));
}

#[test]
fn grpc_call_above_the_limit_is_resource_exhausted() {
    let gateway = Gateway::start(&format!(
        "{}[[routes]]\npath = \"/p.S/M\"\npublic = true\nlimit = \"open\"\nrespond = {{ status = 503 }}\n",
        open_limit("")
    ));
    let call = || {
        let head = "POST /p.S/M HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
        send(gateway.address, head)
    };
    for _ in 0..3 {
        assert_eq!(call().header("grpc-status"), Some("14"));
    }
    let refused = call();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("grpc-status"), Some("8"));
    assert_eq!(refused.header("content-type"), Some("application/grpc"));
    assert!(refused.body.is_empty());
    assert_eq!(state(&refused).0, 0);
}

#[test]
fn steps_of_the_wall_clock_change_no_limit() {
    let gateway = Gateway::start(&open_limit(PUBLIC));
    let ask = || send(gateway.address, "GET /public HTTP/1.1\r\nHost: a\r\n\r\n").status;
    for seconds in [0, -86_400, 86_400] {
        gateway.set_time(seconds);
        assert_eq!(ask(), 204);
    }
    for seconds in [-86_400, 0, 86_400, 100_000_000] {
        gateway.set_time(seconds);
        assert_eq!(ask(), 429, "{seconds}");
    }
}
