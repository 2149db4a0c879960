//! Required and granted scopes, with path parameters and wildcards.

use harness::TestBed;

const ROUTES: &str = "
[[routes]]
path = \"/apps/{app}/messages\"
scope = \"messages.write push.application.{app}\"
upstream = \"up\"
[[routes]]
path = \"/any\"
any_scope = [\"messages.read\", \"audit admin\"]
upstream = \"up\"
[[routes]]
path = \"/wild\"
scope = \"files.*.read\"
upstream = \"up\"
[[routes]]
path = \"/plain\"
upstream = \"up\"
";

#[test]
fn granted_scopes_meet_required_ones_with_wildcards_on_both_sides() {
    let test_bed = TestBed::routes(ROUTES);
    for (path, scope, is_sufficient) in [
        (
            "/apps/com.acme/messages",
            "messages.write push.application.com.acme",
            true,
        ),
        (
            "/apps/com.acme/messages",
            "push.application.* messages.*",
            true,
        ),
        ("/apps/com.acme/messages", "*", true),
        (
            "/apps/com.acme/messages",
            "messages.write push.application.com.acme2",
            false,
        ),
        (
            "/apps/com.acme/messages",
            "messages.write push.application.",
            false,
        ),
        (
            "/apps/com.acme/messages",
            "messages.writ push.application.com.acme",
            false,
        ),
        (
            "/apps/com.acme/messages",
            "Messages.Write push.application.com.acme",
            false,
        ),
        ("/any", "messages.read", true),
        ("/any", "admin audit", true),
        ("/any", "admin", false),
        ("/wild", "files.a.b.read", true),
        ("/wild", "files.*", true),
        ("/wild", "files..read", false),
        ("/wild", "files.read", false),
        ("/plain", "", true),
    ] {
        let hits = test_bed.hits();
        let status = test_bed.get(path, Some(&test_bed.token(scope))).status;
        assert_eq!(
            status,
            if is_sufficient { 200 } else { 403 },
            "{path} {scope:?}"
        );
        assert_eq!(
            test_bed.hits() - hits,
            usize::from(is_sufficient),
            "{path} {scope:?}"
        );
    }
}

#[test]
fn refusal_names_the_scope_that_this_request_requires() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("");
    for (path, scope) in [
        (
            "/apps/com.acme/messages",
            "messages.write push.application.com.acme",
        ),
        (
            "/apps/com%2Eother/messages",
            "messages.write push.application.com.other",
        ),
        ("/any", "messages.read"),
        ("/wild", "files.*.read"),
    ] {
        let response = test_bed.get(path, Some(&token));
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(
            (response.status, response.challenge()),
            (403, Some(&*challenge)),
            "{path}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn path_parameter_that_is_no_literal_scope_character_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for path in [
        "/apps/*/messages",
        "/apps/a%20b/messages",
        "/apps/a%22/messages",
        "/apps/com.*/messages",
    ] {
        let response = test_bed.get(path, Some(&test_bed.token("*")));
        assert_eq!(
            (response.status, response.challenge()),
            (400, None),
            "{path}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn granted_wildcards_can_be_disabled() {
    let test_bed = TestBed::toml("", "granted_wildcards = false", "", ROUTES);
    assert_eq!(test_bed.get("/any", Some(&test_bed.token("*"))).status, 403);
    assert_eq!(
        test_bed
            .get("/any", Some(&test_bed.token("messages.read")))
            .status,
        200
    );
}

#[test]
fn scope_may_be_an_array_or_the_claim_scp() {
    let test_bed = TestBed::routes(ROUTES);
    let mut claims = test_bed.issuer.claims("");
    claims["scope"] = serde_json::json!(["messages.read", 7, "x y"]);
    assert_eq!(
        test_bed
            .get("/any", Some(&test_bed.key.token(&claims)))
            .status,
        200
    );
    let members = claims.as_object_mut().expect("claims are an object");
    members.remove("scope");
    members.insert("scp".to_owned(), serde_json::json!("messages.read"));
    assert_eq!(
        test_bed
            .get("/any", Some(&test_bed.key.token(&claims)))
            .status,
        200
    );
    // `scope` takes precedence over `scp`, even if it grants nothing.
    claims["scope"] = serde_json::json!("");
    assert_eq!(
        test_bed
            .get("/any", Some(&test_bed.key.token(&claims)))
            .status,
        403
    );
}
