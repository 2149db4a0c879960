//! An explanation as one JSON object. Its keys are an interface; docs/command-line.md lists them.

use serde_json::{Value, json};

use super::cors::CorsFinding;
use super::explanation::{
    Explanation, LimitSummary, OperationFinding, RouteSummary, RuleFinding, ScopeFinding,
    SignInFinding, TokenFinding, Verdict,
};
use super::issuer_settings::IssuerSettings;
use super::unread;
use crate::gateway::OmittedClaim;
use crate::oauth::claims::{ClaimCheck, FoundValue, LeewayUse, UnreadClaims};
use crate::policy::route_table::RouteMatch;
use crate::verify::jwt::Signer;
use crate::verify::{Examined, Shape, Signed};

pub(super) fn render(explanation: &Explanation) -> String {
    let others = explanation.others.iter().map(|(summary, route_match)| {
        let mut other = route(summary);
        other["why"] = json!(name_of(*route_match));
        other
    });
    let examined = match &explanation.token {
        TokenFinding::Examined(examined) => Some(&**examined),
        TokenFinding::NotChecked | TokenFinding::NotRequired | TokenFinding::None(_) => None,
    };
    let unread = examined.map(|examined| &examined.unread);
    let document = json!({
        "verdict": match explanation.verdict {
            Verdict::Passes => "passes",
            Verdict::Refused => "refused",
            Verdict::Replied => "replied",
            Verdict::Unknown => "unknown",
        },
        "shadowed": explanation.is_shadowed(),
        "reason": explanation.reason,
        "cause": explanation.cause,
        "remedy": explanation.remedy,
        "request": request(explanation),
        "redirected_to_https": explanation.is_redirected,
        "is_for_security_events": explanation.request.is_for_security_events,
        "metadata_of": explanation.request.metadata_of,
        "route": explanation.route.as_ref().map(route),
        "other_routes": others.collect::<Vec<_>>(),
        "other_routes_omitted": explanation.omitted,
        "cors": explanation.cors.as_ref().map(CorsFinding::to_json),
        "token": token(&explanation.token),
        "issuer": issuer(explanation),
        "key": key(&explanation.token),
        "claims": examined.map_or_else(|| json!([]), |examined| checks(&examined.checks)),
        "claims_not_checked": unread.map_or_else(Vec::new, unread::names),
        "scope_claims_not_read": unread.map_or_else(|| json!([]), scope_claims_not_read),
        "claims_of_answer": checks(&explanation.response_checks),
        "required_scopes": explanation.sets.iter().map(|set| set.iter().map(scope).collect()).collect::<Vec<Vec<_>>>(),
        "operation": explanation.operation.as_ref().map(operation),
        "required_claims": explanation.rules.iter().map(rule).collect::<Vec<_>>(),
        "granted_scopes": explanation.granted,
        "answer": explanation.head.as_ref().map(|head| json!({ "status": status(head), "head": head })),
        "response_headers": {
            "set": explanation.response_headers.set,
            "remove": explanation.response_headers.removed,
        },
        "upstream_request": explanation.sent.as_ref().map(|sent| json!({
            "upstream": sent.upstream,
            "targets": sent.targets,
            "method": sent.method,
            "path": sent.path,
            "response_timeout_seconds": sent.response_timeout.map(|timeout| timeout.as_secs_f64()),
            "max_body_size": sent.max_body_size,
            "headers_added": sent.added.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "headers_removed": sent.removed,
            "claim_headers_left_out": sent.omitted_claims.iter().map(omitted_claims).collect::<Vec<_>>(),
        })),
    });
    format!("{document:#}\n")
}

fn request(explanation: &Explanation) -> Value {
    let request = &explanation.request;
    json!({
        "method": request.method,
        "url": request.url,
        "host": request.host,
        "path": request.path,
        "time": explanation.now.as_seconds(),
    })
}

fn omitted_claims(omitted_claims: &OmittedClaim) -> Value {
    json!({ "header": omitted_claims.header.as_str(), "claim": omitted_claims.claim, "found": omitted_claims.found.to_string() })
}

fn route(summary: &RouteSummary) -> Value {
    let parameters = summary
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    json!({
        "path": summary.path,
        "methods": summary.methods,
        "host": summary.hosts,
        "place": summary.place,
        "asks_for": summary.requires,
        "allow_from": summary.allow_from,
        "token_from": summary.token_from,
        "parameters": Value::Object(parameters.collect()),
        "resource": summary.resource.as_ref().map(|resource| json!({
            "url": resource.url,
            "metadata_url": resource.metadata_url,
            "audiences": resource.audiences,
        })),
        "limits": summary.limits.iter().map(limit).collect::<Vec<_>>(),
        "sign_in": summary.sign_in.iter().map(sign_in).collect::<Vec<_>>(),
    })
}

fn limit(limit: &LimitSummary) -> Value {
    let settings = &limit.settings;
    json!({
        "name": &*settings.name,
        "place": limit.place,
        "requests": settings.requests,
        "per_seconds": settings.per.as_secs(),
        "burst": settings.burst,
        "key": settings.key.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "missing": limit.missing,
    })
}

fn sign_in(finding: &SignInFinding) -> Value {
    json!({
        "claim": finding.key,
        "needed": finding.needed,
        "met": finding.is_judged.then_some(finding.unmet.is_none()),
        "unmet": finding.unmet,
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

fn token(finding: &TokenFinding) -> Value {
    match finding {
        TokenFinding::NotChecked => json!({ "kind": "not_looked_at" }),
        TokenFinding::NotRequired => json!({ "kind": "not_asked_for" }),
        TokenFinding::None(error) => json!({ "kind": "none", "why": error.to_string() }),
        TokenFinding::Examined(examined) => {
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

fn issuer(explanation: &Explanation) -> Value {
    let TokenFinding::Examined(examined) = &explanation.token else {
        return Value::Null;
    };
    let settings = explanation.issuer_settings.as_ref();
    json!({
        "name": examined.issuer.as_ref().map(|issuer| &*issuer.settings.name),
        "iss": match &examined.shape {
            Shape::Jwt { iss, .. } => iss.as_deref(),
            Shape::TooLong { .. } | Shape::Malformed(_) | Shape::NoClaims(..) | Shape::Opaque => None,
        },
        "tenant": examined.tenant().map(|tenant| tenant.name.as_str()),
        "accepted": examined.accepted.iter().map(|issuer| &*issuer.settings.name).collect::<Vec<_>>(),
        "provider": settings.map(IssuerSettings::provider_to_json),
        "jwks_token": settings.map(IssuerSettings::has_jwks_token),
    })
}

fn key(finding: &TokenFinding) -> Value {
    let TokenFinding::Examined(examined) = finding else {
        return Value::Null;
    };
    let Examined { signed, .. } = &**examined;
    match signed {
        Signed::Unknown => Value::Null,
        Signed::NotVerified => json!({ "signature": "not_verified" }),
        Signed::NoKeys { why } => json!({ "signature": "no_keys", "why": why }),
        Signed::Bad { error, kids } => {
            json!({ "signature": "bad", "reason": error.reason(), "kids": kids })
        }
        Signed::Good(Signer::Shared) => json!({ "signature": "good", "kid": null }),
        Signed::Good(Signer::Published(jwk)) => json!({ "signature": "good", "kid": jwk.kid }),
    }
}

fn checks(checks: &[ClaimCheck]) -> Value {
    let one = |check: &ClaimCheck| {
        let (found, seconds, leeway) = match &check.found {
            FoundValue::Nothing => (None, None, None),
            FoundValue::Json(text) => (Some(text.clone()), None, None),
            FoundValue::Kind(kind) => (Some((*kind).to_owned()), None, None),
            FoundValue::Time {
                at: time, leeway, ..
            } => (
                Some(time.to_string()),
                Some(time.as_seconds()),
                match leeway {
                    LeewayUse::NotNeeded => None,
                    LeewayUse::Within(_) => Some("within"),
                    LeewayUse::Exceeded { .. } => Some("exceeded"),
                },
            ),
        };
        json!({
            "claim": check.claim,
            "found": found,
            "seconds": seconds,
            "leeway": leeway,
            "expected": check.expected,
            "ok": check.broken.is_none(),
            "reason": check.broken.as_ref().map(|broken| broken.reason()),
        })
    };
    checks.iter().map(one).collect()
}

fn scope_claims_not_read(unread: &UnreadClaims) -> Value {
    unread::scope_names(unread)
        .into_iter()
        .map(|(claim, read)| json!({ "claim": claim, "read_instead": read }))
        .collect()
}

fn scope(scope: &ScopeFinding) -> Value {
    json!({
        "written": scope.written,
        "scope": scope.filled.as_ref().ok(),
        "unusable": scope.filled.as_ref().err(),
        "met_by": scope.met_by,
    })
}

fn operation(operation: &OperationFinding) -> Value {
    json!({
        "mcp_method": operation.method,
        "mcp_name": operation.name,
        "place": operation.place,
        "required_scopes": operation.scopes.iter().map(scope).collect::<Vec<_>>(),
    })
}

fn rule(rule: &RuleFinding) -> Value {
    json!({
        "claim": rule.claim,
        "operator": rule.operator,
        "met": rule.is_met,
        "found": rule.found,
    })
}

fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}
