//! The account for programs: one JSON object. Its names are an interface; README lists them.

use serde_json::{Value, json};

use super::account::{Account, RouteTold, ScopeTold, TokenTold, Verdict};
use crate::gateway::LeftOutClaim;
use crate::oauth::claims::{Check, Told};
use crate::policy::route_table::RouteMatch;
use crate::verify::jwt::Signer;
use crate::verify::{Examined, Shape, Signed};

pub(super) fn written(account: &Account) -> String {
    let others = account.others.iter().map(|(told, route_match)| {
        let mut other = route(told);
        other["why"] = json!(name_of(*route_match));
        other
    });
    let document = json!({
        "verdict": match account.verdict {
            Verdict::Passes => "passes",
            Verdict::Refused => "refused",
            Verdict::Unknown => "unknown",
        },
        "shadowed": account.is_shadowed(),
        "reason": account.reason,
        "cause": account.cause,
        "remedy": account.remedy,
        "request": {
            "method": account.asked.method,
            "url": account.asked.url,
            "host": account.asked.host,
            "path": account.asked.path,
            "time": account.now.as_seconds(),
        },
        "route": account.route.as_ref().map(route),
        "other_routes": others.collect::<Vec<_>>(),
        "other_routes_omitted": account.omitted,
        "token": token(&account.token),
        "issuer": issuer(&account.token),
        "key": key(&account.token),
        "claims": match &account.token {
            TokenTold::Examined(examined) => checks(&examined.checks),
            TokenTold::NotLookedAt | TokenTold::NotAskedFor | TokenTold::None(_) => json!([]),
        },
        "claims_of_answer": checks(&account.checks_of_answer),
        "required_scopes": account.sets.iter().map(|set| set.iter().map(scope).collect()).collect::<Vec<Vec<_>>>(),
        "granted_scopes": account.granted,
        "answer": account.head.as_ref().map(|head| json!({ "status": status(head), "head": head })),
        "upstream_request": account.sent.as_ref().map(|sent| json!({
            "upstream": sent.upstream,
            "targets": sent.targets,
            "method": sent.method,
            "path": sent.path,
            "headers_added": sent.added.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "headers_removed": sent.removed,
            "claim_headers_left_out": sent.left_out.iter().map(left_out).collect::<Vec<_>>(),
        })),
    });
    format!("{document:#}\n")
}

fn left_out(left_out: &LeftOutClaim) -> Value {
    json!({ "header": left_out.header.as_str(), "claim": left_out.claim, "found": left_out.found.to_string() })
}

fn route(told: &RouteTold) -> Value {
    let parameters = told
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    json!({
        "path": told.path,
        "methods": told.methods,
        "host": told.hosts,
        "place": told.place,
        "asks_for": told.asks_for,
        "parameters": Value::Object(parameters.collect()),
    })
}

fn name_of(route_match: RouteMatch) -> &'static str {
    match route_match {
        RouteMatch::Chosen => "chosen",
        RouteMatch::InDoubt => "in_doubt",
        RouteMatch::Lookalike => "lookalike",
        RouteMatch::OtherMethod => "other_method",
        RouteMatch::LessSpecificPath => "less_specific_path",
        RouteMatch::LessSpecificHost => "less_specific_host",
        RouteMatch::OtherHost => "other_host",
        RouteMatch::OtherPath => "other_path",
    }
}

fn token(told: &TokenTold) -> Value {
    match told {
        TokenTold::NotLookedAt => json!({ "kind": "not_looked_at" }),
        TokenTold::NotAskedFor => json!({ "kind": "not_asked_for" }),
        TokenTold::None(error) => json!({ "kind": "none", "why": error.to_string() }),
        TokenTold::Examined(examined) => {
            let (header, kind, reason) = match &examined.shape {
                Shape::TooLong { .. } => (None, "too_long", Some("too_long")),
                Shape::Malformed(error) => (None, "malformed", Some(error.reason())),
                Shape::NoClaims(header, error) => (Some(header), "malformed", Some(error.reason())),
                Shape::Jwt { header, .. } => (Some(header), "jwt", None),
                Shape::Opaque => (None, "opaque", None),
            };
            json!({
                "kind": kind,
                "reason": reason,
                "alg": header.map(|header| header.algorithm.name()),
                "kid": header.and_then(|header| header.kid.as_deref()),
                "typ": header.and_then(|header| header.token_type.as_deref()),
                "typ_ok": examined.token_type.as_ref().map(Result::is_ok),
            })
        }
    }
}

fn issuer(told: &TokenTold) -> Value {
    let TokenTold::Examined(examined) = told else {
        return Value::Null;
    };
    json!({
        "name": examined.issuer.as_ref().map(|issuer| &*issuer.settings.name),
        "iss": match &examined.shape {
            Shape::Jwt { iss, .. } => iss.as_deref(),
            Shape::TooLong { .. } | Shape::Malformed(_) | Shape::NoClaims(..) | Shape::Opaque => None,
        },
        "accepted": examined.accepted.iter().map(|issuer| &*issuer.settings.name).collect::<Vec<_>>(),
    })
}

fn key(told: &TokenTold) -> Value {
    let TokenTold::Examined(examined) = told else {
        return Value::Null;
    };
    let Examined { signed, .. } = &**examined;
    match signed {
        Signed::Unjudged => Value::Null,
        Signed::NotVerified => json!({ "signature": "not_verified" }),
        Signed::NoKeys { why } => json!({ "signature": "no_keys", "why": why }),
        Signed::Bad { error, kids } => {
            json!({ "signature": "bad", "reason": error.reason(), "kids": kids })
        }
        Signed::Good(Signer::Shared) => json!({ "signature": "good", "kid": null }),
        Signed::Good(Signer::Published(jwk)) => json!({ "signature": "good", "kid": jwk.kid }),
    }
}

fn checks(checks: &[Check]) -> Value {
    let one = |check: &Check| {
        let (found, seconds) = match &check.found {
            Told::Nothing => (None, None),
            Told::Json(text) => (Some(text.clone()), None),
            Told::Time { at: time, .. } => (Some(time.to_string()), Some(time.as_seconds())),
        };
        json!({
            "claim": check.claim,
            "found": found,
            "seconds": seconds,
            "expected": check.expected,
            "ok": check.broken.is_none(),
            "reason": check.broken.as_ref().map(|broken| broken.reason()),
        })
    };
    checks.iter().map(one).collect()
}

fn scope(told: &ScopeTold) -> Value {
    json!({
        "written": told.written,
        "scope": told.filled.as_ref().ok(),
        "unusable": told.filled.as_ref().err(),
        "met_by": told.met_by,
    })
}

fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}
