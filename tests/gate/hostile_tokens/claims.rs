//! Claims of the wrong type (R15-R17, R19, R43, RFC 7519 §4).

use super::*;

/// JSON values that do not belong into most claims.
const VALUES: [&str; 22] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e400",
    "-1e400",
    "9223372036854775808",
    "18446744073709551616",
    "1e19",
    "\"\"",
    "\" \"",
    "\"x\"",
    "\"\\u0000\"",
    "[]",
    "[\"x\"]",
    "[[\"x\"]]",
    "{}",
    "{\"x\":{\"x\":[{\"x\":null}]}}",
    "\"\\r\\nX-Evil: 1\"",
];

/// Valid JSON, but numbers beyond the range of a double.
const OUT_OF_RANGE: [&str; 2] = ["1e400", "-1e400"];

const MATRIX: &str = "[[routes]]
path = \"/things\"
upstream = \"up\"
claim_headers = { \"X-Sub\" = \"sub\", \"X-Client\" = \"client_id\", \"X-Jti\" = \"jti\", \"X-Azp\" = \"azp\" }
[[routes]]
path = \"/scoped\"
scope = \"x\"
upstream = \"up\"
";

#[test]
fn claim_of_the_wrong_type_is_refused_or_ignored() {
    let test_bed = TestBed::routes(MATRIX);
    let any: Vec<&str> = VALUES
        .into_iter()
        .filter(|value| !OUT_OF_RANGE.contains(value))
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    for (claim, allowed) in [
        // Compared byte for byte; none of these values is the expected one.
        ("iss", &[][..]),
        ("aud", &[]),
        // In the past, or no valid time.
        ("exp", &[]),
        // A fraction of a second is truncated.
        ("nbf", &["0", "-0", "1.5"]),
        ("iat", &["0", "-0", "1.5"]),
        // Never judged; a claim header is set from a string and otherwise omitted.
        ("sub", &any),
        ("jti", &any),
        ("client_id", &any),
        ("azp", &any),
        // Only "x" grants the required scope.
        ("scope", &any),
        // Any `cnf` binds the token to a key.
        ("cnf", &[]),
        // Names another token type.
        ("typ", &[]),
    ] {
        for value in VALUES {
            let token = test_bed
                .key
                .sign(&header(""), &claims_with(&test_bed, claim, value));
            let name = format!("{claim} = {value}");
            let hits = test_bed.hits();
            let response = test_bed.get("/things", Some(&token));
            if allowed.contains(&value) {
                accepted += 1;
                assert_eq!(
                    (response.status, test_bed.hits() - hits),
                    (200, 1),
                    "{name}"
                );
                assert!(test_bed.last().header("x-evil").is_empty(), "{name}");
            } else {
                refused += 1;
                assert_eq!(
                    (
                        response.status,
                        response.challenge(),
                        test_bed.hits() - hits
                    ),
                    without_hits(INVALID_TOKEN),
                    "{name}"
                );
            }
            let scoped = test_bed.get("/scoped", Some(&token)).status;
            let expected = match allowed.contains(&value) {
                true if claim == "scope" && ["\"x\"", "[\"x\"]"].contains(&value) => 200,
                true => 403,
                false => 401,
            };
            assert_eq!(scoped, expected, "{name}, with a required scope");
        }
    }
    assert_eq!((accepted, refused), (106, 158));
}

fn without_hits((status, challenge): Refused) -> (u16, Option<&'static str>, usize) {
    (status, challenge, 0)
}

// R19
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn malformed_time_neither_wraps_nor_rounds_into_validity() {
    let test_bed = TestBed::routes(ROUTES);
    let mut hits = 0;
    for (claim, value, status) in [
        ("exp", "1800000600", 200),
        ("exp", "1800000600.9", 200),
        ("exp", "18000006e2", 200),
        ("exp", "1.8000006E9", 200),
        ("exp", "1800000600000e-3", 200),
        ("exp", "-1800000600", 401),
        ("exp", "-0.0", 401),
        ("exp", "-1", 401),
        ("exp", "-9223372036854775808", 401),
        ("exp", "-9223372036854775809", 401),
        ("exp", "1e-400", 401),
        ("exp", "1e400", 401),
        ("exp", "-1e400", 401),
        ("exp", "1e308", 401),
        ("exp", "9007199254740993", 401),
        ("exp", "9223372036854775807", 401),
        ("exp", "9223372036854775808", 401),
        ("exp", "9223372036854775808.0", 401),
        ("exp", "18446744073709551615", 401),
        // A valid time plus 2^64: truncation to 64 bits would accept it.
        ("exp", "18446744075509552216", 401),
        ("exp", "36893488149219104432", 401),
        ("exp", "4294967296", 401),
        // A valid time within ten years.
        ("exp", "2100000000", 200),
        ("exp", "\"1800000600\"", 401),
        ("exp", "[1800000600]", 401),
        ("exp", "{\"$numberLong\":\"1800000600\"}", 401),
        ("exp", "\"2027-01-15T08:10:00Z\"", 401),
        ("nbf", "1800000000", 200),
        ("nbf", "1800000030.9", 200),
        ("nbf", "1800000031", 401),
        ("nbf", "-1", 401),
        ("nbf", "-1e308", 401),
        ("nbf", "1e400", 401),
        ("nbf", "9223372036854775807", 401),
        ("nbf", "9223372036854775808", 401),
        ("nbf", "18446744073709551616", 401),
        ("nbf", "18446744073709551615", 401),
        ("nbf", "1e-400", 200),
        ("iat", "1800000030.9", 200),
        ("iat", "1800000031", 401),
        ("iat", "-1", 401),
        ("iat", "-0.5", 401),
        ("iat", "1e400", 401),
        ("iat", "9223372036854775807", 401),
        ("iat", "9223372036854775808", 401),
        ("iat", "18446744073709551616", 401),
        ("iat", "1e-400", 200),
    ] {
        let token = test_bed
            .key
            .sign(&header(""), &claims_with(&test_bed, claim, value));
        let response = test_bed.get("/things", Some(&token));
        assert_eq!(response.status, status, "{claim} = {value}");
        assert_eq!(
            response.challenge(),
            INVALID_TOKEN.1.filter(|_| status == 401),
            "{claim} = {value}"
        );
        hits += usize::from(status == 200);
        assert_eq!(test_bed.hits(), hits, "{claim} = {value}");
    }
}
