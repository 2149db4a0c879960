//! Scopes in nested claims: JSON Pointers and tables in `scope_claims`.

use serde_json::{Value, json};

use harness::TestBed;

const ROUTES: &str = "[[routes]]
path = \"/plain\"
scope = \"editor\"
upstream = \"up\"
[[routes]]
path = \"/app\"
scope = \"app:editor\"
upstream = \"up\"
[[routes]]
path = \"/wild\"
scope = \"edit*\"
upstream = \"up\"
[[routes]]
path = \"/items/{id}\"
scope = \"item.{id}\"
upstream = \"up\"
";

/// The roles of Keycloak: those of the realm as they are, those of a client with a prefix.
const KEYCLOAK: &str = "scope_claims = [\"scope\", \"scp\", \"/realm_access/roles\", \
                        { claim = \"/resource_access/app/roles\", prefix = \"app:\" }]";

/// The statuses of /plain, /app, /wild and /items/7 for a token with these claims.
fn statuses(test_bed: &TestBed, changed: &Value) -> [u16; 4] {
    let mut claims = test_bed.issuer.claims("");
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let token = test_bed.key.token(&claims);
    // Twice: the second request is a cache hit.
    ["/plain", "/app", "/wild", "/items/7"].map(|path| {
        let [first, second] = [(); 2].map(|()| test_bed.get(path, Some(&token)).status);
        assert_eq!(first, second, "{path} {changed}");
        first
    })
}

#[test]
fn roles_in_nested_claims_count_beside_the_scope() {
    let test_bed = TestBed::toml("", KEYCLOAK, "", ROUTES);
    let realm = |roles: Value| json!({ "realm_access": { "roles": roles } });
    let app = |roles: Value| json!({ "resource_access": { "app": { "roles": roles } } });
    let nothing = [403; 4];
    for (claims, expected) in [
        (json!({}), nothing),
        (realm(json!(["editor"])), [200, 403, 200, 403]),
        (app(json!(["editor"])), [403, 200, 403, 403]),
        (
            json!({ "realm_access": { "roles": ["editor"] }, "resource_access": { "app": { "roles": ["editor"] } }, "scope": "item.7" }),
            [200; 4],
        ),
        // The scope itself still counts, and so does `scp` without it.
        (json!({ "scope": "editor" }), [200, 403, 200, 403]),
        // A role is not a role of another source.
        (realm(json!(["app:editor"])), [403, 200, 403, 403]),
        (app(json!(["app:editor", ":editor", ""])), nothing),
        (
            json!({ "resource_access": { "other": { "roles": ["editor"] } } }),
            nothing,
        ),
        (
            json!({ "resource_access/app/roles": ["editor"], "/realm_access/roles": ["editor"] }),
            nothing,
        ),
        (json!({ "realm_access.roles": ["editor"] }), nothing),
        // A text is split at its spaces, an element of a list is not.
        (realm(json!("viewer editor")), [200, 403, 200, 403]),
        (app(json!("viewer editor")), [403, 200, 403, 403]),
        (realm(json!(["viewer editor"])), nothing),
        (
            realm(json!([" editor", "editor\t", "editor\u{a0}"])),
            nothing,
        ),
        // The members of an object are the roles, unless they are null or false.
        (realm(json!({ "editor": {} })), [200, 403, 200, 403]),
        (
            realm(json!({ "editor": true, "viewer": false })),
            [200, 403, 200, 403],
        ),
        (realm(json!({ "editor": 0 })), [200, 403, 200, 403]),
        (realm(json!({ "editor": false })), nothing),
        (realm(json!({ "editor": null })), nothing),
        (realm(json!({ "viewer editor": true })), nothing),
        (
            app(json!({ "editor": { "org": "acme" } })),
            [403, 200, 403, 403],
        ),
        // Other types grant nothing, and do not hide the other roles.
        (realm(json!(true)), nothing),
        (realm(json!(7)), nothing),
        (realm(Value::Null), nothing),
        (
            realm(json!([["editor"], { "editor": true }, 7, null, "editor"])),
            [200, 403, 200, 403],
        ),
        (json!({ "realm_access": ["editor"] }), nothing),
        (json!({ "realm_access": "editor" }), nothing),
        (json!({ "realm_access": null }), nothing),
    ] {
        assert_eq!(statuses(&test_bed, &claims), expected, "{claims}");
    }
}

#[test]
fn star_in_a_role_is_no_wildcard_unless_the_table_says_so() {
    let stars = json!(["*", "edit*", "app:*", "item.*", "e*r", "**"]);
    let claims = json!({ "realm_access": { "roles": stars }, "resource_access": { "app": { "roles": stars } } });
    let literal = TestBed::toml("", KEYCLOAK, "", ROUTES);
    // The required pattern `edit*` is met by the role `edit*`, in which the star is a character.
    assert_eq!(statuses(&literal, &claims), [403, 403, 200, 403]);
    let names = json!({ "scope": "*" });
    assert_eq!(
        statuses(&literal, &names),
        [200; 4],
        "a granted scope may have wildcards"
    );

    let wild = "scope_claims = [\"scope\", { claim = \"/resource_access/app/roles\", prefix = \"app:\", wildcards = true }]";
    let wild = TestBed::toml("", wild, "", ROUTES);
    assert_eq!(statuses(&wild, &claims), [403, 200, 403, 403]);

    let off = format!("{KEYCLOAK}\ngranted_wildcards = false");
    let off = TestBed::toml("", &off, "", ROUTES);
    assert_eq!(statuses(&off, &claims), [403, 403, 200, 403]);
    assert_eq!(statuses(&off, &names), [403; 4]);
}

#[test]
fn table_with_a_name_counts_in_addition() {
    let tables = "scope_claims = [\"scope\", \"scp\", { claim = \"roles\" }, { claim = \"a.b/c\", prefix = \"app:\" }]";
    let test_bed = TestBed::toml("", tables, "", ROUTES);
    for (claims, expected) in [
        (json!({ "roles": ["editor"] }), [200, 403, 200, 403]),
        (json!({ "a.b/c": ["editor"] }), [403, 200, 403, 403]),
        // `scope` is there and empty, so `scp` does not count, but the tables do.
        (
            json!({ "scp": "editor", "roles": "item.7" }),
            [403, 403, 403, 200],
        ),
    ] {
        assert_eq!(statuses(&test_bed, &claims), expected, "{claims}");
    }
}

#[test]
fn scopes_of_all_claims_share_one_limit() {
    let test_bed = TestBed::toml("", KEYCLOAK, "", ROUTES);
    let roles = |count: usize| {
        (0..count)
            .map(|role| format!("r{role}"))
            .collect::<Vec<_>>()
    };
    let claims = |realm: usize, app: usize| {
        json!({
            "realm_access": { "roles": roles(realm) },
            "resource_access": { "app": { "roles": roles(app) } },
            "scope": "editor",
        })
    };
    assert_eq!(statuses(&test_bed, &claims(400, 623)), [200, 403, 200, 403]);
    assert_eq!(statuses(&test_bed, &claims(400, 624)), [401; 4]);
    assert_eq!(statuses(&test_bed, &claims(1024, 0)), [401; 4]);
}
