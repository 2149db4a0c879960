//! Clients that try to forge, flood or inflate the access log.

use serde_json::json;

use super::{ROUTES, lines};
use harness::{Connection, Key, Reply, TestBed, eventually, send};

#[test]
fn client_input_cannot_forge_a_line() {
    let test_bed = TestBed::toml("[server]\ntrusted_proxies = \"127.0.0.1\"", "", "", ROUTES);
    let forged = "\"}\n{\"decision\":\"forged\"}\r\n\u{1b}[2J\u{2028}\\";
    let mut claims = test_bed.issuer.claims(forged);
    for name in ["client_id", "sub", "iss", "aud", "kid"] {
        let mut claims = claims.clone();
        claims[name] = json!(forged);
        test_bed.get("/apps/7", Some(&test_bed.key.token(&claims)));
    }
    claims["client_id"] = json!(forged);
    let header = json!({ "typ": forged, "alg": "ES256", "kid": forged }).to_string();
    test_bed.get(
        "/apps/7",
        Some(&test_bed.key.sign(&header, &claims.to_string())),
    );
    let mut sent = 6;
    for field in [
        "X-Request-Id: \"}{\"decision\":\"forged\"}",
        "X-Request-Id: a\tb",
        "X-Forwarded-For: \"}{\"decision\":\"forged\"}",
        "X-Forwarded-For: 1.2.3.4\"}",
        "Authorization: Bearer \"},{\"decision\":\"forged",
        "Host: \"},{\"decision\":\"forged",
    ] {
        for line in [
            "GET /apps/7",
            "GE|T /apps/7",
            "GET /apps/\"},{\"decision\":\"forged\"",
            "GET /%22%7D%0A%7B",
        ] {
            let host = if field.starts_with("Host") {
                ""
            } else {
                "Host: api.test\r\n"
            };
            send(
                test_bed.address,
                format!("{line} HTTP/1.1\r\n{host}{field}\r\nConnection: close\r\n\r\n"),
            );
            sent += 1;
        }
    }
    // Some of these heads are malformed: hyper refuses them, and no line is written.
    let lines = lines(&test_bed, 10);
    assert!(lines.len() <= sent);
    assert!(
        lines
            .iter()
            .all(|line| line["decision"] == "refused" && line["message"] == "request"),
        "{lines:?}"
    );
    assert!(!test_bed.requests.text().contains('\u{1b}'));
}

#[test]
fn flood_of_refusals_is_throttled_and_counted() {
    const FLOOD: u64 = 300;
    let test_bed = TestBed::toml("[log]\nrefusals_per_second = 5", "", "", ROUTES);
    let began = std::time::Instant::now();
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..FLOOD {
        assert_eq!(
            connection
                .ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
                .status,
            404
        );
    }
    let seconds = began.elapsed().as_secs() + 2;
    // A permitted request is logged even while refusals are throttled.
    assert_eq!(
        test_bed
            .get("/apps/7", Some(&test_bed.token("write app.7 the.audit")))
            .status,
        200
    );
    let lines = || test_bed.requests.lines();
    eventually("the last request is logged", || {
        lines().iter().any(|line| line["route"] == "/apps/{id}")
    });
    let refused = lines()
        .iter()
        .filter(|line| line["reason"] == "no_route")
        .count() as u64;
    assert!(
        (1..=5 * seconds).contains(&refused),
        "{refused} lines in {seconds} s"
    );
    let suppressed: u64 = lines()
        .iter()
        .filter_map(|line| line["refusals_left_out"].as_u64())
        .sum();
    assert_eq!(refused + suppressed, FLOOD);
    let metrics = send(
        test_bed.admin,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .text();
    let expected = format!("scopegate_log_refusals_left_out_total{{}} {suppressed}");
    assert!(metrics.lines().any(|line| line == expected), "{metrics}");
}

#[test]
fn flood_of_disconnects_is_throttled_and_counted() {
    const FLOOD: u64 = 60;
    let test_bed = TestBed::toml(
        "[log]\nrefusals_per_second = 5",
        "unknown_key_cooldown = \"1s\"",
        "",
        ROUTES,
    );
    test_bed.issuer.fail(Reply::RawThenHang(Vec::new()));
    let unknown = Key::es256("second").token(&test_bed.issuer.claims("write"));
    let began = std::time::Instant::now();
    let waiting: Vec<_> = (0..FLOOD)
        .map(|_| {
            let mut connection = Connection::open(test_bed.address);
            connection.write(format!(
                "GET /apps/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {unknown}\r\n\r\n"
            ));
            connection
        })
        .collect();
    // No metric shows that the gateway has read these heads: give it time.
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(waiting);
    let series = "scopegate_requests_total{route=\"/apps/{id}\",method=\"GET\",status=\"none\",decision=\"undecided\",\
                  reason=\"client_went_away\"}";
    eventually("all disconnects are counted", || {
        test_bed.metric(series) == Some(FLOOD as f64)
    });
    let logged = test_bed
        .requests
        .lines()
        .iter()
        .filter(|line| line["reason"] == "client_went_away")
        .count() as u64;
    let seconds = began.elapsed().as_secs() + 2;
    assert!(
        (1..=5 * seconds).contains(&logged),
        "{logged} lines in {seconds} s"
    );
    assert_eq!(
        test_bed.metric("scopegate_log_refusals_left_out_total{}"),
        Some((FLOOD - logged) as f64)
    );
}

#[test]
fn long_method_or_connection_option_is_truncated_in_the_log() {
    let test_bed = TestBed::routes(ROUTES);
    let long = "m".repeat(20_000);
    send(
        test_bed.address,
        format!("{long} /apps/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    );
    let authorization = format!(
        "Authorization: Bearer {}\r\n",
        test_bed.token("write app.7 the.audit")
    );
    let nominated = format!("Connection: close, x-forwarded-{long}\r\n");
    send(
        test_bed.address,
        format!("GET /apps/7 HTTP/1.1\r\nHost: a\r\n{authorization}{nominated}\r\n"),
    );
    let lines = lines(&test_bed, 2);
    assert!(
        lines
            .iter()
            .any(|line| line["reason"] == "connection_nominates"),
        "{lines:?}"
    );
    assert!(
        lines.iter().all(|line| line.to_string().len() < 1000),
        "{lines:?}"
    );
}
