//! Behaviour that only one of the servers has.

use serde_json::json;

use super::vendors::{Kind, VENDORS, Want};
use super::{INVALID, TestBed, aidbox, wso2};
use harness::Key;

#[test]
fn phantom_token_of_curity_goes_on_to_the_api() {
    let test_bed = TestBed::start(&VENDORS[1]);
    assert_eq!(
        test_bed.status(&test_bed.token(Kind::Opaque, "orders.read")),
        200
    );
    let sent = test_bed.upstream.received().pop().expect("a request");
    let [authorization] = sent.header("authorization")[..] else {
        panic!("one Authorization header")
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
    let want = Want {
        kind: Kind::Jwt,
        scope: "system/Patient.read",
        for_another: false,
    };
    let session = aidbox::session(test_bed.server.address, &want);
    assert_eq!(
        test_bed.status(session["access_token"].as_str().expect("a token")),
        200
    );
    let answer = test_bed.ask(session["refresh_token"].as_str());
    assert_eq!((answer.status, answer.challenge()), (401, INVALID));
}

#[test]
fn tokens_of_wso2_may_live_for_ever_and_list_their_scopes_in_an_array() {
    let test_bed = TestBed::start(&VENDORS[3]);
    for kind in [Kind::Jwt, Kind::Opaque] {
        for more in [
            &[("validity_period", "-1")][..],
            &[("array", "true")],
            &[("validity_period", "3200")],
        ] {
            let want = Want {
                kind,
                scope: "orders.read orders.write",
                for_another: false,
            };
            let token = wso2::ask_with(test_bed.server.address, &want, more);
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
fn own_token_of_mobile_first_is_replaced_when_the_server_has_forgotten_it() {
    let test_bed = TestBed::start(&VENDORS[0]);
    let last_question = || {
        let received = test_bed.server.received();
        received
            .into_iter()
            .rfind(|request| request.target.ends_with("introspection"))
            .expect("a question")
    };
    let own = last_question().header("authorization")[0].to_owned();
    test_bed
        .authorization_server
        .revoke(own.strip_prefix("Bearer ").expect("a token"));
    assert_eq!(
        test_bed.status(&test_bed.token(Kind::Jwt, test_bed.vendor.scope)),
        200
    );
    assert_ne!(last_question().header("authorization"), [own]);
}

#[test]
fn jwt_of_mobile_first_is_not_believed_for_the_key_that_it_brings() {
    let test_bed = TestBed::start(&VENDORS[0]);
    let (key, mut jwk) = (Key::es256("test"), Key::es256("test").jwk());
    jwk["kid"] = json!("test");
    let claims = json!({
        "iss": "com.ibm.mfp", "sub": "app", "aud": "com.ibm.mfp", "scope": test_bed.vendor.scope,
        "exp": (harness::NOW + 600) * 1000,
    });
    let answer = test_bed.ask(Some(
        &key.token_with(&json!({ "alg": "ES256", "jwk": jwk }), &claims),
    ));
    assert_eq!((answer.status, answer.challenge()), (401, INVALID));
}
