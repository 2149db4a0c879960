//! Scopes that resemble the required one (RFC 6749 §3.3, docs/tokens-and-scopes.md).

use super::*;

const SCOPED: &str = "[[routes]]
path = \"/plain\"
scope = \"read\"
upstream = \"up\"
[[routes]]
path = \"/dotted\"
scope = \"files.read\"
upstream = \"up\"
[[routes]]
path = \"/wild\"
scope = \"files.*\"
upstream = \"up\"
[[routes]]
path = \"/two\"
scope = \"read files.read\"
upstream = \"up\"
";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn scope_claim_grants_exactly_its_scope_tokens() {
    let test_bed = TestBed::toml(WIDE, "", "", SCOPED);
    let list = |count: usize, element: &str, last: &str| {
        format!("[{}{last}]", format!("{element},").repeat(count))
    };
    let (ones, empties, numbers) = (
        list(10_000, "\"a\"", "\"read\""),
        list(10_000, "\"\"", "\"read\""),
        list(10_000, "7", "\"read\""),
    );
    let (max, too_many) = (
        list(1023, "\"a\"", "\"read\""),
        list(1024, "\"a\"", "\"read\""),
    );
    let (text_of_max, text_of_too_many) = (
        format!("\"{}read\"", "a ".repeat(1023)),
        format!("\"{}read\"", "a ".repeat(1024)),
    );
    let spaces = format!("\"{}read\"", " ".repeat(10_000));
    let [no, plain, dotted, wild] = [
        [403; 4],
        [200, 403, 403, 403],
        [403, 200, 200, 403],
        [403, 403, 200, 403],
    ];
    let (all, invalid) = ([200; 4], [401; 4]);
    let mut hits = 0;
    for (scope, expected) in [
        // The required scope, alone and among others.
        ("\"read\"", plain),
        ("\"a read b\"", plain),
        ("\"files.read\"", dotted),
        ("\"read files.read\"", all),
        ("[\"read\"]", plain),
        ("[\"read\",\"files.read\"]", all),
        ("\"\\u0072ead\"", plain),
        // Parts and extensions of it.
        ("\"rea\"", no),
        ("\"ead\"", no),
        ("\"r\"", no),
        ("\"reads\"", no),
        ("\"xread\"", no),
        ("\"readread\"", no),
        ("\"READ\"", no),
        ("\"Read\"", no),
        ("\"read.\"", no),
        ("\".read\"", no),
        ("\"read.write\"", no),
        ("\"read:all\"", no),
        ("\"read/all\"", no),
        ("\"-read\"", no),
        ("\"!read\"", no),
        // Dots are ordinary characters.
        ("\"files\"", no),
        ("\"files.\"", no),
        ("\"files.rea\"", wild),
        ("\"files.reads\"", wild),
        ("\"files.read.all\"", wild),
        ("\"files..read\"", wild),
        ("\"filesxread\"", no),
        ("\"file.read\"", no),
        ("\"Files.read\"", no),
        ("\"my.files.read\"", no),
        // Lookalike characters.
        ("\"r\u{435}ad\"", no),
        ("\"re\u{430}d\"", no),
        ("\"\u{ff52}\u{ff45}\u{ff41}\u{ff44}\"", no),
        ("\"read\u{301}\"", no),
        ("\"read\u{200b}\"", no),
        ("\"\u{feff}read\"", no),
        ("\"\u{202e}daer\"", no),
        ("\"files\u{2024}read\"", no),
        ("\"files\u{3002}read\"", no),
        // Only spaces separate; text with any other character is no scope-token and grants nothing.
        ("\"\"", no),
        ("\" \"", no),
        ("\"  read  \"", plain),
        ("\"read  files.read\"", all),
        ("\"a\\tread\"", no),
        ("\"a\\nread\"", no),
        ("\"read\\n\"", no),
        ("\"a\\r\\nread\"", no),
        ("\"read\\u0000\"", no),
        ("\"read\\u0000x\"", no),
        ("\"\\u0000 read\"", plain),
        ("\"a\u{a0}read\"", no),
        ("\"a\u{2028}read\"", no),
        ("\"a\u{3000}read\"", no),
        ("\"read,files.read\"", no),
        ("\"read;files.read\"", no),
        ("\"read+files.read\"", no),
        ("\"read%20files.read\"", no),
        ("\"\\\"read\\\"\"", no),
        ("\"re\\\\ad\"", no),
        ("\"[\\\"read\\\"]\"", no),
        // A star matches one or more characters, including dots.
        ("\"*\"", all),
        ("\"****\"", all),
        ("\"*****\"", [403, 200, 200, 403]),
        ("\"r*d\"", plain),
        ("\"re*ad\"", no),
        ("\"read*\"", no),
        ("\"*read\"", dotted),
        ("\"files.*\"", dotted),
        ("\"files*\"", dotted),
        ("\"files.read*\"", wild),
        ("\"*.read\"", dotted),
        ("\"*.*\"", dotted),
        ("\"\u{2217}\"", no),
        ("\"?\"", no),
        ("\".*\"", no),
        ("\"%\"", no),
        // Arrays: each element is one scope-token.
        ("[\"*\"]", all),
        ("[\"*\",\"a\"]", all),
        ("[\"files.*\"]", dotted),
        ("[\"re*\",\"x\"]", plain),
        ("[\"read files.read\"]", no),
        ("[\" read\"]", no),
        ("[\"\"]", no),
        ("[]", no),
        // An element that is not a string grants nothing and does not affect the others.
        ("[\"read\",7]", plain),
        ("[7,null,true,\"read\",{}]", plain),
        ("[[\"read\"]]", no),
        ("[{\"read\":\"read\"}]", no),
        ("[null]", no),
        ("[7,null,true,[\"read\"],{\"read\":\"read\"}]", no),
        // Claims of other types.
        ("null", no),
        ("true", no),
        ("7", no),
        ("1.5", no),
        ("{}", no),
        ("{\"read\":true}", no),
        ("{\"scope\":\"read\"}", no),
        // At most 1024 scope-tokens; empty elements and other types do not count.
        (&*max, plain),
        (&*too_many, invalid),
        (&*ones, invalid),
        (&*empties, plain),
        (&*numbers, plain),
        (&*text_of_max, plain),
        (&*text_of_too_many, invalid),
        (&*spaces, plain),
    ] {
        let token = test_bed
            .key
            .sign(&header(""), &claims_with(&test_bed, "scope", scope));
        let found = ["/plain", "/dotted", "/wild", "/two"]
            .map(|path| test_bed.get(path, Some(&token)).status);
        assert_eq!(found, expected, "{scope:.60}");
        hits += expected.into_iter().filter(|status| *status == 200).count();
        assert_eq!(test_bed.hits(), hits, "{scope:.60}");
    }
}

#[test]
fn other_claims_grant_no_scope() {
    let test_bed = TestBed::routes(SCOPED);
    for claim in [
        "scopes",
        "Scope",
        "SCOPE",
        "scope ",
        "roles",
        "permissions",
        "authorities",
        "granted_scopes",
        "",
    ] {
        let token = test_bed.key.sign(
            &header(""),
            &claims(&test_bed, &format!(",\"{claim}\":\"read *\"")),
        );
        assert_eq!(
            test_bed.get("/plain", Some(&token)).status,
            403,
            "{claim:?}"
        );
    }
    // The first present claim of scope_claims counts, even if it grants nothing.
    for first in ["null", "\"\"", "[]", "7", "{}"] {
        let claims = claims_with(&test_bed, "scope", &format!("{first},\"scp\":\"read\""));
        assert_eq!(
            test_bed
                .get("/plain", Some(&test_bed.key.sign(&header(""), &claims)))
                .status,
            403,
            "scope {first}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}
