//! An explanation as text, from the route to the response. What is wrong is marked NO.
//!
//! - `token`: the token, its issuer and its key. `forwarded`: what the upstream gets.

mod forwarded;
mod token;

use std::fmt::Write;

use super::cors::CorsFinding;
use super::duration::format_duration;
use super::explanation::{
    Explanation, LimitSummary, RouteSummary, RuleFinding, ScopeFinding, TokenFinding, Verdict,
};
use super::issuer_settings::IssuerSettings;
use super::response_headers::ResponseHeaderRules;
use super::unread;
use crate::oauth::claims::{ClaimCheck, FoundValue, LeewayUse};
use crate::policy::route_table::RouteMatch;
use crate::verify::{Examined, Signed};

/// The column of the texts, after their labels.
const INDENT: usize = 9;

pub(super) fn render(explanation: &Explanation) -> String {
    let mut report = TextReport::default();
    let request = &explanation.request;
    report.line(
        "request",
        format!("{} {}, at {}", request.method, request.url, explanation.now),
    );
    if request.method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        report.line(
            "",
            format!(
                "methods are case-sensitive: {} is a method of its own",
                request.method
            ),
        );
    }
    if let Some(path) = request
        .path
        .as_ref()
        .filter(|path| !request.url.ends_with(*path))
    {
        report.line("", format!("read as the path {path}"));
    }
    report.route(explanation);
    report.lines("cors", explanation.cors.iter().flat_map(CorsFinding::lines));
    report.token(explanation);
    report.checks("response", &explanation.response_checks);
    report.operation(explanation);
    report.sign_in(explanation.route.as_ref());
    report.scopes(explanation);
    report.rules(&explanation.rules);
    report.end(explanation);
    printable(&report.0)
}

#[derive(Default)]
struct TextReport(String);

impl TextReport {
    fn line(&mut self, about: &str, text: impl AsRef<str>) {
        // Into a String, which is never full.
        let _ = writeln!(self.0, "{about:INDENT$}{}", text.as_ref());
    }

    fn lines(&mut self, about: &str, lines: impl IntoIterator<Item = String>) {
        let mut about = about;
        for line in lines {
            self.line(std::mem::take(&mut about), line);
        }
    }

    fn route(&mut self, explanation: &Explanation) {
        match &explanation.route {
            Some(route) => {
                self.line(
                    "route",
                    format!(
                        "{} ({}), requires {}",
                        summary(route),
                        route.place,
                        route.requires
                    ),
                );
                if !route.allow_from.is_empty() {
                    self.line(
                        "",
                        format!("for clients of {}", route.allow_from.join(", ")),
                    );
                }
                if !route.token_from.is_empty() {
                    self.line("", format!("token from {}", route.token_from.join(", ")));
                }
                for (name, value) in &route.parameters {
                    self.line("", format!("{{{name}}} is {value:?}"));
                }
            }
            None if explanation.is_redirected => self.line(
                "route",
                "none is served here: the listener redirects to https (redirect_to_https)",
            ),
            None if explanation.request.is_for_security_events => self.line(
                "route",
                "none: authorization servers push Security Event Tokens to this path (push)",
            ),
            None if explanation.request.metadata_of.is_some() => self.line(
                "route",
                format!(
                    "none is needed: the gateway answers with the metadata of {}",
                    explanation
                        .request
                        .metadata_of
                        .as_deref()
                        .unwrap_or_default()
                ),
            ),
            None if explanation.request.host.is_none() || explanation.request.path.is_none() => {
                self.line(
                    "route",
                    "not looked up: the request is malformed or ambiguous",
                );
            }
            None => self.line("route", "none"),
        }
        self.other_routes(explanation);
        if let Some(route) = &explanation.route {
            self.limits(&route.limits);
            self.resource(route);
        }
    }

    fn resource(&mut self, route: &RouteSummary) {
        if let Some(resource) = &route.resource {
            self.line("resource", &resource.url);
            self.line("", format!("metadata at {}", resource.metadata_url));
            let audiences = resource.audiences.join(" or ");
            self.line("", format!("tokens for {audiences}"));
        }
    }

    // Whether a bucket is empty is not known here: this process counts nothing.
    fn limits(&mut self, limits: &[LimitSummary]) {
        let mut about = "limits";
        for limit in limits {
            let (settings, place) = (&limit.settings, &limit.place);
            let text = format!("{}: {settings} ({place})", settings.name);
            self.line(std::mem::take(&mut about), text);
            for part in &limit.missing {
                let text = format!("the token has no {part}: it counts with others without one");
                self.line("", text);
            }
        }
    }

    fn other_routes(&mut self, explanation: &Explanation) {
        for (other, route_match) in &explanation.others {
            self.line(
                "",
                format!(
                    "not {} ({}): {}",
                    summary(other),
                    other.place,
                    why_not_chosen(other, *route_match, explanation)
                ),
            );
        }
        match (explanation.omitted, explanation.others.is_empty()) {
            (0, _) => {}
            (1, false) => self.line("", "nor one other route"),
            (1, true) => self.line("", "one other route does not match"),
            (omitted, false) => self.line("", format!("nor {omitted} other routes")),
            (omitted, true) => self.line("", format!("{omitted} other routes do not match")),
        }
    }

    fn token(&mut self, explanation: &Explanation) {
        match &explanation.token {
            TokenFinding::NotChecked => self.line("token", "not checked"),
            TokenFinding::NotRequired => self.line("token", "not checked: the route is public"),
            TokenFinding::None(error) => self.line("token", format!("NO  {error}")),
            TokenFinding::Examined(examined) => {
                self.examined(examined, explanation.issuer_settings.as_ref());
            }
        }
    }

    fn examined(&mut self, examined: &Examined, settings: Option<&IssuerSettings>) {
        self.line("token", token::shape(examined));
        if let Some(Err(error)) = &examined.token_type {
            self.line("", format!("NO  {error}"));
        }
        if let Some(issuer) = token::issuer(examined) {
            self.line("issuer", issuer);
        }
        self.lines("", settings.into_iter().flat_map(IssuerSettings::lines));
        if let Some(key) = token::key(&examined.signed) {
            self.line("key", key);
        }
        let is_verified = matches!(examined.signed, Signed::Good(_));
        if !is_verified && !examined.checks.is_empty() {
            self.line(
                "claims",
                "as the token has them; its signature is not verified",
            );
        }
        self.checks(if is_verified { "claims" } else { "" }, &examined.checks);
        let about = if examined.checks.is_empty() {
            "claims"
        } else {
            ""
        };
        let has_issuer = examined.issuer.is_some();
        self.lines(about, unread::lines(&examined.unread, has_issuer));
    }

    // Claims that are absent, and may be, are left out.
    fn checks(&mut self, about: &str, checks: &[ClaimCheck]) {
        let mut about = about;
        for check in checks
            .iter()
            .filter(|check| check.found != FoundValue::Nothing || check.broken.is_some())
        {
            let found = format_value(&check.found);
            let text = match &check.broken {
                None => format!("ok  {}: {found}", check.claim),
                Some(broken) => {
                    format!(
                        "NO  {}: {found}; expected {}{} [{}]",
                        check.claim,
                        check.expected,
                        excess(&check.found),
                        broken.reason()
                    )
                }
            };
            self.line(std::mem::take(&mut about), text);
        }
    }

    // By its patterns, as the log names it.
    fn operation(&mut self, explanation: &Explanation) {
        let Some(operation) = &explanation.operation else {
            return;
        };
        let name = operation.name.as_ref();
        let name = name.map_or_else(String::new, |name| format!(" of {name}"));
        let place = operation.place.as_deref();
        let place = place.unwrap_or("no rule is needed, the scopes of the route suffice");
        self.line("mcp", format!("{}{name} ({place})", operation.method));
    }

    fn scopes(&mut self, explanation: &Explanation) {
        for (index, set) in explanation.sets.iter().enumerate() {
            for (position, scope) in set.iter().enumerate() {
                let about = match (index, position) {
                    (0, 0) => "scopes",
                    (_, 0) => "     or",
                    _ => "",
                };
                self.line(about, format_scope(scope, explanation.granted.is_some()));
            }
        }
        let of_operation = explanation.operation.iter();
        let of_operation: Vec<_> = of_operation.flat_map(|found| &found.scopes).collect();
        for (position, scope) in of_operation.iter().enumerate() {
            let about = match (explanation.sets.is_empty(), position) {
                (true, 0) => "scopes",
                (false, 0) => "    and",
                _ => "",
            };
            self.line(about, format_scope(scope, explanation.granted.is_some()));
        }
        let has_scopes = !explanation.sets.is_empty() || !of_operation.is_empty();
        if let Some(granted) = explanation.granted.as_ref().filter(|_| has_scopes) {
            let granted = if granted.is_empty() {
                "nothing".to_owned()
            } else {
                granted.join(" ")
            };
            self.line("", format!("granted: {granted}"));
        }
    }

    fn sign_in(&mut self, route: Option<&RouteSummary>) {
        let findings = route.map(|route| &*route.sign_in).unwrap_or_default();
        let lines = findings.iter().map(|finding| {
            let (key, needed) = (finding.key, &finding.needed);
            match (&finding.unmet, finding.is_judged) {
                (Some(unmet), _) => format!("NO  {unmet}"),
                (None, true) => format!("ok  {key}: {needed}"),
                (None, false) => format!("--  {key}: {needed} is needed"),
            }
        });
        self.lines("sign-in", lines);
    }

    // A value is not shown: it may name a person. `claims` has those of the token.
    fn rules(&mut self, rules: &[RuleFinding]) {
        let mut about = "rules";
        for rule in rules {
            let name = format!("{} {}", rule.claim, rule.operator);
            let text = match (rule.is_met, rule.found) {
                (Some(true), _) => format!("ok  {name}: met"),
                (Some(false), Some(found)) => format!("NO  {name}: not met, found {found}"),
                (Some(false), None) => format!("NO  {name}: not met"),
                (None, _) => format!("--  {name}: needed"),
            };
            self.line(std::mem::take(&mut about), text);
        }
    }

    fn end(&mut self, explanation: &Explanation) {
        let reason = explanation.reason.unwrap_or("not read");
        self.0.push('\n');
        match explanation.verdict {
            Verdict::Refused => {
                self.0.push_str(&format!("Refused: {reason}\n"));
                self.cause(explanation);
                self.remedy(explanation);
                self.head(explanation);
            }
            Verdict::Replied => {
                self.0.push_str("Answered by the gateway\n");
                self.shadow(explanation);
                self.head(explanation);
            }
            Verdict::Unknown => {
                self.0
                    .push_str("Unknown: no request was sent to the issuer (--offline)\n");
                self.cause(explanation);
                self.fault_without_signature(&explanation.token);
                self.remedy(explanation);
            }
            Verdict::Passes => {
                self.shadow(explanation);
                if let Some(sent) = &explanation.sent {
                    self.0.push_str(&forwarded::render(sent));
                    self.response_headers(&explanation.response_headers);
                }
            }
        }
    }

    // Those of a refusal are in its head.
    fn response_headers(&mut self, rules: &ResponseHeaderRules) {
        if rules.set.is_empty() && rules.removed.is_empty() {
            return;
        }
        self.0.push_str("Its response would pass to the client\n");
        for (name, value) in &rules.set {
            self.0.push_str(&format!("  with {name}: {value}\n"));
        }
        if !rules.removed.is_empty() {
            self.0
                .push_str(&format!("  without {}\n", rules.removed.join(", ")));
        }
    }

    fn head(&mut self, explanation: &Explanation) {
        let head = explanation.head.as_deref().unwrap_or_default();
        self.0.push('\n');
        self.0.push_str(&head.replace('\r', ""));
    }

    fn shadow(&mut self, explanation: &Explanation) {
        if explanation.is_shadowed() {
            let reason = explanation.reason.unwrap_or_default();
            self.0.push_str(&format!(
                "Shadow mode (enforce = false): {reason} is logged and not enforced\n"
            ));
            self.cause(explanation);
        }
    }

    fn cause(&mut self, explanation: &Explanation) {
        if let Some(cause) = &explanation.cause {
            self.0.push_str(&format!("  {cause}\n"));
        }
    }

    // A claim that breaks a rule refuses the token, whatever the missing keys would verify.
    fn fault_without_signature(&mut self, finding: &TokenFinding) {
        let TokenFinding::Examined(examined) = finding else {
            return;
        };
        if let Some(broken) = examined
            .checks
            .iter()
            .find_map(|check| check.broken.as_ref())
        {
            self.0.push_str(&format!(
                "  whatever its signature, the token would be refused: {}\n",
                broken.reason()
            ));
        }
    }

    fn remedy(&mut self, explanation: &Explanation) {
        if let Some(remedy) = &explanation.remedy {
            self.0.push_str(&format!("  {remedy}\n"));
        }
    }
}

fn format_value(found: &FoundValue) -> String {
    match found {
        FoundValue::Nothing => "none".to_owned(),
        FoundValue::Json(text) => text.clone(),
        FoundValue::Kind(kind) => (*kind).to_owned(),
        FoundValue::Time {
            at: time,
            ahead,
            ago,
            leeway,
        } => {
            let distance = match (ahead.is_zero(), ago.is_zero()) {
                (true, true) => "now".to_owned(),
                (false, _) => format!("in {}", format_duration(*ahead)),
                (true, false) => format!("{} ago", format_duration(*ago)),
            };
            let within = match leeway {
                LeewayUse::Within(leeway) => {
                    format!(", within the leeway of {} s", leeway.as_secs())
                }
                LeewayUse::NotNeeded | LeewayUse::Exceeded { .. } => String::new(),
            };
            format!("{time}, {distance}{within}")
        }
    }
}

// By how much a time is beyond the leeway.
fn excess(found: &FoundValue) -> String {
    match found {
        FoundValue::Time {
            leeway: LeewayUse::Exceeded { by },
            ..
        } => format!(", exceeded by {}", format_duration(*by)),
        FoundValue::Time { .. }
        | FoundValue::Nothing
        | FoundValue::Json(_)
        | FoundValue::Kind(_) => String::new(),
    }
}

fn format_scope(scope: &ScopeFinding, is_judged: bool) -> String {
    let as_written = |filled: &str| {
        if filled == scope.written {
            String::new()
        } else {
            format!(" ({})", scope.written)
        }
    };
    match (&scope.filled, &scope.met_by) {
        (Err(unusable), _) => format!("NO  {}: {unusable}", scope.written),
        (Ok(filled), Some(granted)) if granted == filled => {
            format!("ok  {filled}{}: granted", as_written(filled))
        }
        (Ok(filled), Some(granted)) => {
            format!("ok  {filled}{}: met by {granted}", as_written(filled))
        }
        (Ok(filled), None) if is_judged => format!("NO  {filled}{}: missing", as_written(filled)),
        (Ok(filled), None) => format!("--  {filled}{}: needed", as_written(filled)),
    }
}

fn summary(route: &RouteSummary) -> String {
    let hosts = if route.hosts == "any" {
        String::new()
    } else {
        format!(" on {}", route.hosts)
    };
    let methods = if route.methods.is_empty() {
        String::new()
    } else {
        format!(" for {}", route.methods.join(", "))
    };
    format!("{}{methods}{hosts}", route.path)
}

fn why_not_chosen(
    other: &RouteSummary,
    route_match: RouteMatch,
    explanation: &Explanation,
) -> String {
    let host = explanation.request.host.as_deref().unwrap_or_default();
    match route_match {
        RouteMatch::Chosen => "it is chosen".to_owned(),
        RouteMatch::InDoubt => {
            "it matches, but a server may read the path as another route's".to_owned()
        }
        RouteMatch::Lookalike => {
            "a server may read the path as this route's, which requires more".to_owned()
        }
        RouteMatch::OtherMethod => format!("its methods are {}", other.methods.join(", ")),
        RouteMatch::LessSpecificPath => "it matches, but is less specific".to_owned(),
        RouteMatch::LessSpecificHost => {
            format!("it matches, but the host {host} has routes of its own")
        }
        RouteMatch::OtherHost => format!("its host is {}, not {host}", other.hosts),
        RouteMatch::OtherPath => "another path".to_owned(),
    }
}

// A token and a path are untrusted text: they must not move the cursor or reorder a line.
fn printable(text: &str) -> String {
    let is_harmless = |character: char| {
        let turns = matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        character == '\n' || !(character.is_control() || turns)
    };
    text.chars().fold(
        String::with_capacity(text.len()),
        |mut printable, character| {
            if is_harmless(character) {
                printable.push(character);
            } else {
                printable.extend(character.escape_unicode());
            }
            printable
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_move_the_cursor() {
        assert_eq!(
            printable("a\u{1b}[2Jb\u{202E}c\nd\r"),
            "a\\u{1b}[2Jb\\u{202e}c\nd\\u{d}"
        );
    }
}
