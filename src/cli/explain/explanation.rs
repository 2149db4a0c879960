//! Everything that explains what the gateway would do with a request, as data:
//! [`text`](super::text) and [`json`](super::json) render it.

use std::net::TcpStream;
use std::time::Duration;

use http::request::Parts;

use super::cors::CorsFinding;
use super::dry_run::DryRunResult;
use super::forwarded::ForwardedSummary;
use super::issuer_settings::IssuerSettings;
use super::response_headers::ResponseHeaderRules;
use super::sample_request::SampleRequest;
use crate::config::{self, Config, KeySource, Source};
use crate::gateway::{Preflight, RequestTarget, Snapshot};
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, ClaimCheck, Claims};
use crate::oauth::scope::ScopeSet;
use crate::oauth::tenant::Tenant;
use crate::policy::claim_rules::RequestParameters;
use crate::policy::mcp::RuleSource;
use crate::policy::requirement::{Requirement, ScopeRequirement};
use crate::policy::route_table::{MatchedRoute, RouteMatch};
use crate::policy::token_sources::{DecodedToken, TokenError};
use crate::rate_limits::LimitSettings;
use crate::telemetry::Outcome;
use crate::values::Validation;
use crate::verify::Examined;

/// How many routes are listed beside the chosen one.
const MAX_OTHER_ROUTES: usize = 6;
/// How long the development server of this host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

const START_DEVELOPMENT_SERVER: &str = "the server of [development] runs inside the gateway: start `scopegate run` in another terminal";

/// What the gateway would do with a request, and why.
pub(super) struct Explanation {
    pub(super) verdict: Verdict,
    /// As in the access log and the metrics. In shadow mode, what the refusal would be.
    pub(super) reason: Option<&'static str>,
    pub(super) cause: Option<String>,
    /// What to do, if an issuer was unavailable.
    pub(super) remedy: Option<String>,
    pub(super) request: RequestSummary,
    /// Whether the listener redirects every request to https, and serves no route.
    pub(super) is_redirected: bool,
    pub(super) route: Option<RouteSummary>,
    pub(super) others: Vec<(RouteSummary, RouteMatch)>,
    /// How many other routes are not listed.
    pub(super) omitted: usize,
    /// What answers a preflight; none for other requests.
    pub(super) cors: Option<CorsFinding>,
    pub(super) token: TokenFinding,
    /// What the file sets for the issuer that judges the token.
    pub(super) issuer_settings: Option<IssuerSettings>,
    /// The checks of the introspection response, if the token is active by it.
    pub(super) response_checks: Vec<ClaimCheck>,
    /// The required sets of scopes, of which one suffices.
    pub(super) sets: Vec<Vec<ScopeFinding>>,
    /// The operation that the request asks an MCP server for.
    pub(super) operation: Option<OperationFinding>,
    /// The rules of the route over claims, which must all be met.
    pub(super) rules: Vec<RuleFinding>,
    /// The granted scopes, if known.
    pub(super) granted: Option<Vec<String>>,
    /// The head of the response, if the gateway responds itself.
    pub(super) head: Option<String>,
    pub(super) sent: Option<ForwardedSummary>,
    /// What `response_headers` changes in the response.
    pub(super) response_headers: ResponseHeaderRules,
    pub(super) now: UnixTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is forwarded; in shadow mode with any token.
    Passes,
    Refused,
    /// The gateway responds itself, and this is no refusal.
    Replied,
    /// The decision needs an issuer that `--offline` leaves out.
    Unknown,
}

pub(super) struct RequestSummary {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    /// Whether its path is that for Security Event Tokens.
    pub(super) is_for_security_events: bool,
    /// The resource whose metadata it reads, if any.
    pub(super) metadata_of: Option<String>,
}

pub(super) struct RouteSummary {
    pub(super) path: String,
    /// Empty for all.
    pub(super) methods: Vec<String>,
    pub(super) hosts: String,
    pub(super) place: String,
    pub(super) requires: String,
    /// Where its token may be; empty for the `Authorization` header alone.
    pub(super) token_from: Vec<String>,
    /// The networks of its clients; empty for all.
    pub(super) allow_from: Vec<String>,
    pub(super) parameters: Vec<(String, String)>,
    /// The resource that it belongs to.
    pub(super) resource: Option<ResourceSummary>,
    /// What the token must say about the sign-in of its user.
    pub(super) sign_in: Vec<SignInFinding>,
    /// The limits that its requests count in.
    pub(super) limits: Vec<LimitSummary>,
}

/// A rate limit of a route.
pub(super) struct LimitSummary {
    pub(super) settings: LimitSettings,
    pub(super) place: String,
    /// The parts of its key that the token does not have.
    pub(super) missing: Vec<String>,
}

/// One part of `step_up`.
pub(super) struct SignInFinding {
    pub(super) key: &'static str,
    pub(super) needed: String,
    /// Why it is not met; none if it is, or if the token is not active.
    pub(super) unmet: Option<String>,
    /// Whether the token was judged.
    pub(super) is_judged: bool,
}

/// A protected resource, whose tokens the route accepts.
pub(super) struct ResourceSummary {
    pub(super) url: String,
    pub(super) metadata_url: String,
    pub(super) audiences: Vec<String>,
}

pub(super) enum TokenFinding {
    /// The request was refused before.
    NotChecked,
    /// The route is public.
    NotRequired,
    None(TokenError),
    Examined(Box<Examined>),
}

impl TokenFinding {
    /// The tenant that the token names, if its issuer has tenants. Not verified.
    pub(super) fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Examined(examined) => examined.tenant(),
            Self::NotChecked | Self::NotRequired | Self::None(_) => None,
        }
    }
}

pub(super) struct ScopeFinding {
    pub(super) written: String,
    /// With parameters filled in, or why that is impossible.
    pub(super) filled: Result<String, String>,
    pub(super) met_by: Option<String>,
}

/// The rule of `tools` that matches a request.
pub(super) struct OperationFinding {
    /// The pattern of its method.
    pub(super) method: String,
    /// The pattern of its name.
    pub(super) name: Option<String>,
    /// Where it is written; none if the operation needs no rule.
    pub(super) place: Option<String>,
    /// What it requires beside the scopes of the route.
    pub(super) scopes: Vec<ScopeFinding>,
}

pub(super) struct RuleFinding {
    pub(super) claim: String,
    pub(super) operator: &'static str,
    /// Whether it is met, if there are claims.
    pub(super) is_met: Option<bool>,
    /// The type of the value, which is not shown.
    pub(super) found: Option<&'static str>,
}

impl Explanation {
    /// Explains the result of a dry run.
    pub(super) fn new(
        sample: &SampleRequest,
        result: DryRunResult,
        config: &Config,
        source: &Source,
    ) -> Self {
        let mut explanation = Self::outcome(sample, &result, config);
        if let Some(request) = &result.request {
            explanation.explain_request(request, &result, config, source);
        }
        explanation
    }

    // The verdict and its cause. The route and the token follow in `explain_request`.
    fn outcome(sample: &SampleRequest, result: &DryRunResult, config: &Config) -> Self {
        let report = result.report.as_ref();
        let outcome = report.map(|report| report.outcome);
        let is_shadowed = matches!(outcome, Some(Outcome::Shadowed(_)));
        let reason = outcome.and_then(reason_of);
        let sent = sent(result, config);
        // The keys or the introspection response may be missing only because of --offline. Then
        // the gateway may well decide otherwise.
        let is_unknown = sample.offline && reason == Some("issuer_unavailable") && !is_shadowed;
        let is_replied = report.is_some_and(|report| report.is_reply);
        let verdict = match (is_unknown, &sent) {
            (true, _) => Verdict::Unknown,
            (false, Some(_)) => Verdict::Passes,
            (false, None) if is_replied => Verdict::Replied,
            (false, None) => Verdict::Refused,
        };
        let mut cause = report.and_then(|report| report.cause.clone());
        if is_unknown && let Some(cause) = &mut cause {
            cause.push_str(" (--offline)");
        }
        let issuer = report.and_then(|report| report.issuer.as_ref());
        let remedy = match (issuer, &cause) {
            (Some(issuer), _) if is_unknown => Some(remedy(issuer, config)),
            (Some(_), Some(cause))
                if reason == Some("issuer_unavailable")
                    && is_development_server_down(cause, config) =>
            {
                Some(START_DEVELOPMENT_SERVER.to_owned())
            }
            (Some(_) | None, _) => missing_message(sample, reason),
        };
        Self {
            verdict,
            reason,
            cause,
            remedy,
            request: RequestSummary::of(sample),
            is_redirected: result.is_redirected,
            route: None,
            others: Vec::new(),
            omitted: 0,
            cors: None,
            token: TokenFinding::NotChecked,
            issuer_settings: None,
            response_checks: Vec::new(),
            sets: Vec::new(),
            operation: None,
            rules: Vec::new(),
            granted: None,
            head: matches!(verdict, Verdict::Refused | Verdict::Replied)
                .then(|| result.head.clone()),
            sent,
            response_headers: ResponseHeaderRules::of(report, &result.snapshot),
            now: result.now,
        }
    }

    // The route of the request, and what its token means there.
    fn explain_request(
        &mut self,
        request: &Parts,
        result: &DryRunResult,
        config: &Config,
        source: &Source,
    ) {
        let snapshot = &*result.snapshot;
        let target = RequestTarget::of(request, snapshot);
        self.request.host = target.host.as_ref().map(ToString::to_string);
        self.request.path = target.path.as_ref().map(|path| path.as_str().to_owned());
        let (Some(host), Some(path), false) = (&target.host, &target.path, self.is_redirected)
        else {
            return;
        };
        let receiver = snapshot.security_events.as_ref();
        if receiver.is_some_and(|receiver| *receiver.path == *path.as_str()) {
            self.request.is_for_security_events = true;
            return;
        }
        let documents = snapshot.resource_documents.as_ref();
        let document = documents.and_then(|all| all.find(&snapshot.routes, host, path.as_str()));
        if let Some(document) = document {
            self.request.metadata_of = Some(document.url.to_string());
            return;
        }
        let preflight = Preflight::of(request, snapshot, host, path);
        self.cors = CorsFinding::of(request, preflight.as_ref(), snapshot, config, source);
        // The route of a preflight is that of the request that follows.
        let method = preflight
            .as_ref()
            .map_or(&request.method, |preflight| &preflight.method);
        let summary = |index: usize| RouteSummary::of(index, snapshot, config, source);
        self.add_other_routes(
            snapshot.routes.route_matches(host, path, method),
            |index| common_segments(snapshot.routes.routes()[index].path.as_str(), path.as_str()),
            summary,
        );
        let Ok(found) = snapshot.routes.find(host, path, method) else {
            return;
        };
        let parameters = found
            .parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), value.into_owned()));
        self.route = Some(RouteSummary {
            parameters: parameters.collect(),
            ..summary(found.index)
        });
        if preflight.is_some() {
            return;
        }
        self.explain_token(request, &found, result, config, source);
    }

    fn explain_token(
        &mut self,
        request: &Parts,
        found: &MatchedRoute<'_, '_>,
        result: &DryRunResult,
        config: &Config,
        source: &Source,
    ) {
        self.token = token(request, found, &result.snapshot, result.now);
        let active = result.report.as_ref();
        let active = active.and_then(|report| report.token.as_ref());
        if let Some(route) = &mut self.route {
            route.sign_in = sign_in(found, active.map(|token| &**token), result.now);
            for limit in &mut route.limits {
                let parts = limit.settings.key.iter();
                let missing = parts.filter(|part| active.is_some_and(|token| !part.is_in(token)));
                limit.missing = missing.map(ToString::to_string).collect();
            }
        }
        let mut granted = active.map(|token| token.scopes().clone());
        if let TokenFinding::Examined(examined) = &self.token {
            let issuer = examined.issuer.as_ref().map(|issuer| &issuer.settings);
            self.issuer_settings =
                issuer.map(|issuer| IssuerSettings::of(&issuer.name, config, source));
            if let (Some(issuer), Some(token)) = (&examined.issuer, active) {
                let audiences = audiences(found);
                self.response_checks =
                    issuer.checks_of_response(examined, token, audiences, result.now);
            }
            granted = granted.or_else(|| examined.granted.clone());
        }
        self.sets = sets(found, granted.as_ref());
        let operation = result.report.as_ref().and_then(|report| report.operation);
        self.operation = operation.and_then(|index| {
            let (written, _) = result.snapshot.declaration(found.index, config);
            operation_finding(index, found, written, granted.as_ref(), source)
        });
        let claims = active.map(|token| Claims::from_token(token));
        let claims = claims.as_ref().or(match &self.token {
            TokenFinding::Examined(examined) => examined.claims.as_ref(),
            TokenFinding::NotChecked | TokenFinding::NotRequired | TokenFinding::None(_) => None,
        });
        self.rules = rules(found, claims, self.token.tenant());
        self.granted = granted.map(|granted| granted.iter().map(str::to_owned).collect());
    }

    // Only the nearest routes. Those of another path help only if no route is found: then the ones
    // with the most alike paths.
    fn add_other_routes(
        &mut self,
        route_matches: Vec<RouteMatch>,
        alike: impl Fn(usize) -> usize,
        summary: impl Fn(usize) -> RouteSummary,
    ) {
        let is_found = route_matches.contains(&RouteMatch::Chosen);
        let mut others: Vec<_> = route_matches.into_iter().enumerate().collect();
        others.retain(|(_, route_match)| *route_match != RouteMatch::Chosen);
        others.sort_by_key(|&(index, route_match)| (route_match, std::cmp::Reverse(alike(index))));
        let is_helpful = |(_, route_match): &&(usize, RouteMatch)| {
            *route_match != RouteMatch::OtherPath || !is_found
        };
        let near = others
            .iter()
            .take(MAX_OTHER_ROUTES)
            .filter(is_helpful)
            .count();
        self.omitted = others.len() - near;
        self.others = others[..near]
            .iter()
            .map(|&(index, route_match)| (summary(index), route_match))
            .collect();
    }

    /// Whether shadow mode permits a request that would be refused otherwise.
    pub(super) fn is_shadowed(&self) -> bool {
        matches!(self.verdict, Verdict::Passes | Verdict::Replied) && self.reason.is_some()
    }
}

impl RequestSummary {
    fn of(sample: &SampleRequest) -> Self {
        let scheme = if sample.is_tls { "https" } else { "http" };
        Self {
            method: sample.method.to_string(),
            url: format!("{scheme}://{}{}", sample.host(), sample.path()),
            host: None,
            path: None,
            is_for_security_events: false,
            metadata_of: None,
        }
    }
}

impl RouteSummary {
    fn of(index: usize, snapshot: &Snapshot, config: &Config, source: &Source) -> Self {
        let route = &snapshot.routes.routes()[index];
        let (written, path) = snapshot.declaration(index, config);
        Self {
            path: route.path.as_str().to_owned(),
            methods: route
                .methods
                .listed()
                .unwrap_or_default()
                .iter()
                .map(ToString::to_string)
                .collect(),
            hosts: crate::cli::check::join_or(&route.hosts, "any"),
            place: source.location(path),
            requires: crate::cli::check::requirement_text(route),
            token_from: crate::cli::check::token_sources(written)
                .iter()
                .map(ToString::to_string)
                .collect(),
            allow_from: written.allow_from.iter().map(ToString::to_string).collect(),
            parameters: Vec::new(),
            resource: route.resource.as_ref().map(|resource| ResourceSummary {
                url: resource.url.to_string(),
                metadata_url: resource.metadata_url.to_string(),
                audiences: resource.audiences.clone(),
            }),
            sign_in: Vec::new(),
            limits: limits(written, snapshot, config, source),
        }
    }
}

fn limits(
    route: &config::Route,
    snapshot: &Snapshot,
    config: &Config,
    source: &Source,
) -> Vec<LimitSummary> {
    // Compiled in the order of the file.
    let declared = || config.limits.iter().zip(&snapshot.limits);
    let summary = |name: &config::Spanned<String>| {
        let (written, limit) = declared().find(|(written, _)| written.name == *name)?;
        Some(LimitSummary {
            settings: limit.settings().clone(),
            place: source.location(&written.name),
            missing: Vec::new(),
        })
    };
    route.limit.iter().filter_map(summary).collect()
}

fn reason_of(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Refused(reason) | Outcome::Shadowed(reason) => Some(reason),
        Outcome::Permitted
        | Outcome::Public
        | Outcome::Undecided
        | Outcome::Replied
        | Outcome::Broken(_) => None,
    }
}

fn sent(result: &DryRunResult, config: &Config) -> Option<ForwardedSummary> {
    let outgoing = result.report.as_ref()?.outgoing.as_ref()?;
    let received = &result.request.as_ref()?.headers;
    let (route, _) = result.snapshot.declaration(outgoing.route, config);
    Some(ForwardedSummary::of(outgoing, received, route, config))
}

fn token(
    request: &Parts,
    found: &MatchedRoute<'_, '_>,
    snapshot: &Snapshot,
    now: UnixTime,
) -> TokenFinding {
    if found.route.requirement.is_public() {
        return TokenFinding::NotRequired;
    }
    let decoded = DecodedToken::new();
    match snapshot.forwarding[found.index].token(request, &decoded, None) {
        Ok(token) => {
            let accepts = |issuer: &str| found.route.accepts_issuer(issuer);
            let token = token.as_str();
            let mut examined = snapshot
                .verifier
                .examine(token, &accepts, audiences(found), now);
            let rules = found.route.claims.iter();
            examined
                .unread
                .remove(rules.map(|rule| rule.claim().claim()));
            TokenFinding::Examined(Box::new(examined))
        }
        Err(error) => TokenFinding::None(error),
    }
}

fn sign_in(
    found: &MatchedRoute<'_, '_>,
    token: Option<&ActiveToken>,
    now: UnixTime,
) -> Vec<SignInFinding> {
    let Some(step_up) = &found.route.step_up else {
        return Vec::new();
    };
    let finding = |key, needed, unmet: Option<String>| SignInFinding {
        key,
        needed,
        unmet,
        is_judged: token.is_some(),
    };
    let acr = (!step_up.acr().is_empty()).then(|| {
        let unmet = token.and_then(|token| step_up.unmet_acr(token));
        finding("acr", step_up.acr().join(" or "), unmet)
    });
    let max_age = step_up.max_age().map(|age| {
        let unmet = token.and_then(|token| step_up.unmet_age(token, now));
        finding("auth_time", format!("within {} s", age.as_secs()), unmet)
    });
    acr.into_iter().chain(max_age).collect()
}

/// The audiences that the route accepts instead of its issuers'.
fn audiences<'t>(found: &MatchedRoute<'t, '_>) -> Option<&'t [String]> {
    let resource = found.route.resource.as_ref()?;
    Some(&resource.audiences)
}

fn sets(found: &MatchedRoute<'_, '_>, granted: Option<&ScopeSet>) -> Vec<Vec<ScopeFinding>> {
    let any_of = match &found.route.requirement {
        Requirement::Public => return Vec::new(),
        Requirement::Token { any_of } => any_of,
    };
    let each = |set: &ScopeRequirement| scope_findings(set, found, granted);
    any_of.iter().map(each).collect()
}

fn scope_findings(
    set: &ScopeRequirement,
    found: &MatchedRoute<'_, '_>,
    granted: Option<&ScopeSet>,
) -> Vec<ScopeFinding> {
    let nothing = ScopeSet::empty();
    set.check_each(granted.unwrap_or(&nothing), &found.parameters)
        .into_iter()
        .map(|scope| ScopeFinding {
            written: scope.written,
            filled: scope.filled.map_err(|unusable| unusable.to_string()),
            met_by: scope.met_by.map(str::to_owned),
        })
        .collect()
}

fn operation_finding(
    index: usize,
    found: &MatchedRoute<'_, '_>,
    written: &config::Route,
    granted: Option<&ScopeSet>,
    source: &Source,
) -> Option<OperationFinding> {
    let rule = found.route.mcp.as_ref()?.rules.all().get(index)?;
    let tool = match rule.source {
        RuleSource::File(index) => written.tools.get(index),
        RuleSource::Default => None,
    };
    let scopes = rule.scope.as_ref();
    Some(OperationFinding {
        method: rule.label.method.to_string(),
        name: rule.label.name.as_ref().map(ToString::to_string),
        place: tool.and_then(|tool| Some(source.location(tool.method.first()?))),
        scopes: scopes.map_or_else(Vec::new, |scopes| scope_findings(scopes, found, granted)),
    })
}

// A request to an MCP server without its message says nothing about any operation.
fn missing_message(sample: &SampleRequest, reason: Option<&str>) -> Option<String> {
    let is_missing = sample.body.is_none()
        && reason.is_some_and(|reason| {
            ["malformed_message", "unsupported_media_type"].contains(&reason)
        });
    is_missing.then(|| "give the message that the client sends with --body @FILE".to_owned())
}

fn rules(
    found: &MatchedRoute<'_, '_>,
    claims: Option<&Claims>,
    tenant: Option<&Tenant>,
) -> Vec<RuleFinding> {
    let parameters = RequestParameters {
        path: &found.parameters,
        tenant,
    };
    let of_tenant = tenant.zip(parameters.names_the_tenant());
    let of_tenant = of_tenant.map(|(tenant, is_met)| RuleFinding {
        claim: format!("{{{}}} of the path", tenant.parameter),
        operator: "is the tenant",
        is_met: Some(is_met),
        found: (!is_met).then_some("another tenant"),
    });
    let rules = found.route.claims.iter().map(|rule| RuleFinding {
        claim: rule.claim().to_string(),
        operator: rule.operator(),
        is_met: claims.map(|claims| rule.fits(claims, &parameters)),
        found: claims.map(|claims| rule.kind_in(claims)),
    });
    of_tenant.into_iter().chain(rules).collect()
}

// How many leading segments of a route's path match the request's.
fn common_segments(pattern: &str, path: &str) -> usize {
    pattern
        .split('/')
        .zip(path.split('/'))
        .take_while(|(one, other)| one == other || one.starts_with('{'))
        .count()
}

// Whether the failed request went to the development server, and nothing listens there.
fn is_development_server_down(cause: &str, config: &Config) -> bool {
    let Some(development) = &config.development else {
        return false;
    };
    let address = development.listen.value;
    cause.contains(&format!("http://{address}/"))
        && TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_err()
}

fn remedy(issuer: &str, config: &Config) -> String {
    let written = config
        .issuers
        .iter()
        .find(|written| written.name.value == issuer);
    if written
        .and_then(|issuer| issuer.keys.as_ref())
        .is_some_and(KeySource::is_missing)
    {
        return format!(
            "tokens of {issuer:?} cannot be verified without its shared_secret, which is missing"
        );
    }
    let has_keys = written.is_some_and(|issuer| {
        matches!(
            issuer.keys,
            Some(KeySource::File(_) | KeySource::SharedSecret(_))
        )
    });
    let is_either =
        |issuer: &config::Issuer| issuer.validation.value == Validation::JwksOrIntrospection;
    if written.is_some_and(is_either) {
        return format!(
            "leave out --offline: JWTs of {issuer:?} need its keys, and its other tokens introspection"
        );
    }
    if written.is_some_and(|issuer| issuer.introspection.is_some())
        && (has_keys || written.is_some_and(|issuer| issuer.keys.is_none()))
    {
        return format!(
            "tokens of {issuer:?} need introspection: leave out --offline to introspect this one"
        );
    }
    format!(
        "give the keys of {issuer:?} with --jwks FILE (the document at its jwks_uri), or leave out --offline to fetch them"
    )
}
