//! Random route tables, and requests whose paths resemble theirs.

use proptest::prelude::*;

use super::fuzz_bodies::body;

fn route() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        4 => Just("a"), 2 => Just("b"), 1 => Just("A"), 1 => Just("a.b"), 1 => Just("c%23"), 1 => Just("a;b"), 1 => Just("..."), 1 => Just("a%20"), 1 => Just("%20a")
    ];
    let segment = prop_oneof![4 => literal, 3 => Just("{}")];
    let segments = proptest::collection::vec(segment, 1..4);
    let end = prop_oneof![4 => Just(""), 1 => Just("/"), 2 => Just("/{*rest}")];
    let methods =
        prop_oneof![3 => Just("*"), 1 => Just("GET"), 1 => Just("POST,GET"), 1 => Just("DELETE")];
    let scope = prop_oneof![3 => Just(""), 2 => Just(" -"), 3 => Just(" a"), 3 => Just(" b")];
    (segments, end, methods, scope).prop_map(|(segments, end, methods, scope)| {
        let named = segments
            .iter()
            .enumerate()
            .map(|(place, segment)| segment.replace("{}", &format!("{{x{place}}}")));
        let path = named.fold(String::new(), |path, segment| path + "/" + &segment);
        format!("{methods} * {path}{end}{scope}\n")
    })
}

fn request() -> impl Strategy<Value = String> {
    let segment = "([abA]|[abA]|[abA]|[.]|[.]|:|%3A|%20|%23|%3Fx|;|%3Bx|[.]{3}){1,4}";
    let segments = proptest::collection::vec(segment.prop_map(|text| format!("/{text}")), 1..5);
    let method = prop_oneof![3 => Just("GET"), 1 => Just("POST"), 1 => Just("DELETE")];
    (method, segments, "/?")
        .prop_map(|(method, segments, end)| format!("? {method} h {}{end}\n", segments.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn no_reading_of_a_path_reaches_a_stricter_route(
        routes in proptest::collection::vec(route(), 1..10),
        requests in proptest::collection::vec(request(), 24),
    ) {
        body("routes")((routes.concat() + &requests.concat()).as_bytes());
    }
}
