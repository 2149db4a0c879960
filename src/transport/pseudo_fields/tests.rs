//! Field blocks, octet by octet.

use proptest::prelude::*;

use super::*;

/// Literals without indexing, without the Huffman code.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    fields
        .iter()
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect()
}

/// The streams with a malformed block, when reads return `piece` octets each.
fn malformed(sender: Sender, blocks: &[(u32, bool, &[u8])], piece: usize) -> Vec<u32> {
    let mut fields = PseudoFields::of(sender);
    let mut found = Vec::new();
    for (stream, ends_stream, block) in blocks {
        fields.begin(*stream, *ends_stream);
        block.chunks(piece).for_each(|piece| fields.read(piece));
        found.extend(fields.end());
    }
    found
}

#[test]
fn request_pseudo_field_in_a_response_is_malformed() {
    let long = "x".repeat(100);
    for (block, expected) in [
        (literals(&[(":status", "200"), ("a", "b")]), false),
        // :status: 200 of the static table; a literal status with an indexed name.
        (vec![0x88], false),
        (vec![0x08, 3, b'2', b'9', b'9'], false),
        // The same in the Huffman code, name and value (RFC 7541 §C.6.1: 302).
        (vec![0x48, 0x82, 0x64, 0x02], false),
        (
            [&[0x00, 0x85], STATUS_CODED, &[0x82, 0x64, 0x02]].concat(),
            false,
        ),
        (literals(&[(":status", "200"), (":path", "/")]), true),
        (literals(&[(":path", "/"), (":status", "200")]), true),
        (vec![0x88, 0x84], true),
        (vec![0x88, 0x82], true),
        (vec![0x88, 0x87], true),
        (vec![0x88, 0x41, 1, b'a'], true),
        // `:path` in the Huffman code.
        (
            vec![0x88, 0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/'],
            true,
        ),
        (literals(&[(":status", "200"), (":protocol", "x")]), true),
        (literals(&[(":status", "200"), (":statuses", "x")]), true),
        (
            literals(&[(":status", "200"), (&long, &long), (&long, ""), ("", "")]),
            false,
        ),
        (
            literals(&[(":status", "200"), (&long, &long), (":path", "")]),
            true,
        ),
        // A value that looks like a field.
        (
            literals(&[(":status", "200"), ("x", "\u{4}\u{4}:path")]),
            false,
        ),
    ] {
        for piece in 1..=block.len() {
            let found = malformed(Sender::Server, &[(1, true, &block)], piece);
            assert_eq!(found == [1], expected, "{block:?} in pieces of {piece}");
        }
    }
}

#[test]
fn any_pseudo_field_in_trailers_is_malformed() {
    let (request, response) = (vec![0x82, 0x86, 0x84, 0x41, 1, b'a'], vec![0x88]);
    for (trailers, expected) in [
        (literals(&[("x-sum", "1")]), false),
        (Vec::new(), false),
        (vec![0x84], true),
        (vec![0x88], true),
        (literals(&[(":path", "/")]), true),
        (literals(&[(":status", "103")]), true),
        (literals(&[("x-sum", "1"), (":authority", "a")]), true),
    ] {
        for (sender, head) in [(Sender::Client, &request), (Sender::Server, &response)] {
            // Beside another stream, and one that ended with its head.
            let blocks: [(u32, bool, &[u8]); 5] = [
                (1, false, head),
                (3, true, head),
                (5, false, head),
                (1, true, &trailers),
                (5, true, &literals(&[])),
            ];
            assert_eq!(
                malformed(sender, &blocks, 7) == [1],
                expected,
                "{sender:?}: {trailers:?}"
            );
        }
    }
}

#[test]
fn interim_response_does_not_count_as_final() {
    let coded_103 = vec![0x08, 0x82, 0x08, 0x0c];
    for interim in [
        literals(&[(":status", "103")]),
        coded_103,
        vec![0x48, 3, b'1', b'0', b'3'],
    ] {
        let blocks: [(u32, bool, &[u8]); 4] = [
            (1, false, &interim),
            (1, false, &interim),
            (1, false, &[0x88]),
            (1, true, &literals(&[("a", "b")])),
        ];
        assert_eq!(malformed(Sender::Server, &blocks, 3), [0; 0], "{interim:?}");
    }
}

#[test]
fn entries_of_the_dynamic_table_keep_their_kind() {
    // What each block adds to the table: a status, a path, a field, and interim statuses.
    let learns = [
        vec![0x48, 3, b'2', b'9', b'9'],
        [vec![0x88, 0x44], vec![2, b'/', b'x']].concat(),
        vec![0x88, 0x40, 1, b'a', 1, b'b'],
        vec![0x48, 3, b'1', b'0', b'3'],
    ];
    let mut fields = PseudoFields::of(Sender::Server);
    let mut next = |stream: u32, block: &[u8]| {
        fields.begin(stream, true);
        fields.read(block);
        fields.end().is_some()
    };
    assert_eq!(
        learns.map(|block| next(1, &block)),
        [false, true, false, false]
    );
    // From the newest: 103, a, :path, 299. A reference adds nothing.
    for (index, is_malformed) in [(62, false), (63, false), (64, true), (65, false)] {
        assert_eq!(next(3, &[0x88, 0x80 | index]), is_malformed, "{index}");
        // As the name of a literal without indexing: 15 and the rest.
        assert_eq!(
            next(5, &[0x88, 0x0f, index - 15, 1, b'x']),
            is_malformed,
            "{index}"
        );
    }
    // Another table size changes no index of the remaining entries; 100 new entries shift them.
    assert!(next(7, &[0x3f, 0x10, 0x88, 0x80 | 64]));
    for _ in 0..60 {
        assert!(!next(9, &[0x40, 1, b'a', 1, b'b']));
    }
    assert!(!next(11, &[0x88, 0x80 | 64]) && next(11, &[0x88, 0x80 | 124]));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        blocks in prop::collection::vec((0..9_u32, any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
        piece in 1..9_usize,
        of_server in any::<bool>(),
    ) {
        let sender = if of_server { Sender::Server } else { Sender::Client };
        let blocks: Vec<_> = blocks.iter().map(|(stream, ends, block)| (*stream, *ends, &**block)).collect();
        prop_assert!(malformed(sender, &blocks, piece).len() <= blocks.len());
    }
}
