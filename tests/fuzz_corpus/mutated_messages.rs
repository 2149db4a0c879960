//! MCP messages with pieces inserted, removed and doubled. What is still accepted has one reading.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use scopegate::policy::mcp::Message;

use super::fuzz_bodies::body;

const MESSAGES: [&str; 4] = [
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":[1]}}}"#,
    r#"{"jsonrpc":"2.0","id":"a","method":"resources/read","params":{"uri":"file:///a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    r#"{"jsonrpc":"2.0","id":7,"error":{"code":1}}"#,
];

const PIECES: [&str; 28] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "\n",
    "\0",
    "\u{feff}",
    "1",
    "null",
    "\\u0061",
    "\\u0000",
    "\"name\":\"delete\",",
    "\"Name\":\"delete\",",
    "\"n\\u0061me\":\"delete\",",
    "\"name\\u0000\":\"delete\",",
    "\"uri\":\"x\",",
    "\"ur\u{131}\":\"x\",",
    "\"method\":\"tools/call\",",
    "\"METHOD\":\"tools/call\",",
    "\"params\":{\"name\":\"delete\"},",
    "\"param\u{17f}\":{\"name\":\"delete\"},",
    "\"result\":{},",
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"1\"},",
];

/// One change: where, how many bytes go, and what comes in their place.
fn change() -> impl Strategy<Value = (prop::sample::Index, usize, &'static str)> {
    let removed = prop_oneof![4 => Just(0_usize), 1 => 1..6_usize];
    (any::<prop::sample::Index>(), removed, select(&PIECES[..]))
}

fn changed(message: &str, changes: &[(prop::sample::Index, usize, &str)]) -> Vec<u8> {
    let mut bytes = message.as_bytes().to_vec();
    for (place, removed, piece) in changes {
        // Behind a brace or a comma a whole member fits.
        let fits: Vec<usize> = (0..=bytes.len())
            .filter(|&end| !piece.ends_with(',') || end > 0 && b"{,".contains(&bytes[end - 1]))
            .collect();
        let Some(start) = (!fits.is_empty()).then(|| *place.get(&fits)) else {
            continue;
        };
        let end = bytes.len().min(start + removed);
        bytes.splice(start..end, piece.bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn mutated_message_that_is_accepted_has_one_reading(
        message in select(&MESSAGES[..]),
        changes in vec(change(), 0..5),
    ) {
        body("mcp")(&changed(message, &changes));
    }

    #[test]
    fn message_cut_off_is_refused(message in select(&MESSAGES[..]), place in any::<prop::sample::Index>()) {
        let end = place.index(message.len());
        prop_assert!(Message::parse(&message.as_bytes()[..end]).is_err());
    }
}
