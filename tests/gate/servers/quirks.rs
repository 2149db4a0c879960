//! Behaviour that only one of the servers has.

use serde_json::json;

use super::vendors::{Kind, TokenRequest, VENDORS};
use super::{INVALID, TestBed, aidbox, wso2};
use harness::Key;

#[test]
fn phantom_token_of_curity_is_forwarded_to_the_upstream() {
    let test_bed = TestBed::start(&VENDORS[1]);
    assert_eq!(
        test_bed.status(&test_bed.token(Kind::Opaque, "orders.read")),
        200
    );
    let sent = test_bed.upstream.received().pop().expect("a request");
    let [authorization] = sent.header("authorization")[..] else {
        panic!("expected one Authorization header")
    };
    assert_eq!(
        authorization
            .strip_prefix("Bearer ")
            .map(|jwt| jwt.split('.').count()),
        Some(3),
        "{authorization}"
    );
    assert_eq!(sent.header("x-subject"), ["app"]);
}

#[test]
fn refresh_token_of_aidbox_is_no_access_token() {
    let test_bed = TestBed::start(&VENDORS[2]);
    let request = TokenRequest {
        kind: Kind::Jwt,
        scope: "system/Patient.read",
        for_another: false,
    };
    let session = aidbox::session(test_bed.server.address, &request);
    assert_eq!(
        test_bed.status(session["access_token"].as_str().expect("a token")),
        200
    );
    let response = test_bed.ask(session["refresh_token"].as_str());
    assert_eq!((response.status, response.challenge()), (401, INVALID));
}

#[test]
fn wso2_tokens_may_never_expire_and_may_list_scopes_in_an_array() {
    let test_bed = TestBed::start(&VENDORS[3]);
    for kind in [Kind::Jwt, Kind::Opaque] {
        for more in [
            &[("validity_period", "-1")][..],
            &[("array", "true")],
            &[("validity_period", "3200")],
        ] {
            let request = TokenRequest {
                kind,
                scope: "orders.read orders.write",
                for_another: false,
            };
            let token = wso2::ask_with(test_bed.server.address, &request, more);
            assert_eq!(test_bed.status(&token), 200, "{kind:?} {more:?}");
            if more[0].1 == "-1" {
                test_bed.set_time(10 * 365 * 24 * 3600);
                assert_eq!(test_bed.status(&token), 200, "{kind:?} in ten years");
                test_bed.set_time(0);
            }
        }
    }
}

#[test]
fn own_token_that_mobile_first_no_longer_accepts_is_replaced() {
    let test_bed = TestBed::start(&VENDORS[0]);
    let last_introspection = || {
        let received = test_bed.server.received();
        received
            .into_iter()
            .rfind(|request| request.target.ends_with("introspection"))
            .expect("an introspection request")
    };
    let own = last_introspection().header("authorization")[0].to_owned();
    test_bed
        .authorization_server
        .revoke(own.strip_prefix("Bearer ").expect("a token"));
    assert_eq!(
        test_bed.status(&test_bed.token(Kind::Jwt, test_bed.vendor.scope)),
        200
    );
    assert_ne!(last_introspection().header("authorization"), [own]);
}

#[test]
fn embedded_key_of_a_mobile_first_jwt_is_not_trusted() {
    let test_bed = TestBed::start(&VENDORS[0]);
    let (key, mut jwk) = (Key::es256("test"), Key::es256("test").jwk());
    jwk["kid"] = json!("test");
    let claims = json!({
        "iss": "com.ibm.mfp", "sub": "app", "aud": "com.ibm.mfp", "scope": test_bed.vendor.scope,
        "exp": (harness::NOW + 600) * 1000,
    });
    let response = test_bed.ask(Some(
        &key.token_with(&json!({ "alg": "ES256", "jwk": jwk }), &claims),
    ));
    assert_eq!((response.status, response.challenge()), (401, INVALID));
}
