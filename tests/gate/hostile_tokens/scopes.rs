//! Scopes that look like the required one (RFC 6749 §3.3, and docs/tokens-and-scopes.md).

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
    let (most, too_many) = (
        list(1023, "\"a\"", "\"read\""),
        list(1024, "\"a\"", "\"read\""),
    );
    let (text_of_most, text_of_too_many) = (
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
        // What is needed, alone and among others.
        ("\"read\"", plain),
        ("\"a read b\"", plain),
        ("\"files.read\"", dotted),
        ("\"read files.read\"", all),
        ("[\"read\"]", plain),
        ("[\"read\",\"files.read\"]", all),
        ("\"\\u0072ead\"", plain),
        // Parts of it, and more than it.
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
        // Characters that look like those.
        ("\"r\u{435}ad\"", no),
        ("\"re\u{430}d\"", no),
        ("\"\u{ff52}\u{ff45}\u{ff41}\u{ff44}\"", no),
        ("\"read\u{301}\"", no),
        ("\"read\u{200b}\"", no),
        ("\"\u{feff}read\"", no),
        ("\"\u{202e}daer\"", no),
        ("\"files\u{2024}read\"", no),
        ("\"files\u{3002}read\"", no),
        // Only spaces separate; what holds another character is no scope-token and grants nothing.
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
        // A star stands for one or more characters, dots included.
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
        // The same in arrays, each element of which is one scope-token.
        ("[\"*\"]", all),
        ("[\"*\",\"a\"]", all),
        ("[\"files.*\"]", dotted),
        ("[\"re*\",\"x\"]", plain),
        ("[\"read files.read\"]", no),
        ("[\" read\"]", no),
        ("[\"\"]", no),
        ("[]", no),
        // What is no text grants nothing and takes nothing from the others.
        ("[\"read\",7]", plain),
        ("[7,null,true,\"read\",{}]", plain),
        ("[[\"read\"]]", no),
        ("[{\"read\":\"read\"}]", no),
        ("[null]", no),
        ("[7,null,true,[\"read\"],{\"read\":\"read\"}]", no),
        // A claim of every other type.
        ("null", no),
        ("true", no),
        ("7", no),
        ("1.5", no),
        ("{}", no),
        ("{\"read\":true}", no),
        ("{\"scope\":\"read\"}", no),
        // 1024 are the most; what is empty or no text is not counted.
        (&*most, plain),
        (&*too_many, invalid),
        (&*ones, invalid),
        (&*empties, plain),
        (&*numbers, plain),
        (&*text_of_most, plain),
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
    // The first of scope_claims that is there counts, also where it says nothing.
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
