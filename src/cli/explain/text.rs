//! The account for people: from the route to the answer, and what is wrong is marked NO.

use std::fmt::Write;

use super::duration::format_duration;
use super::explanation::{
    Explanation, ForwardedSummary, RouteSummary, ScopeFinding, TokenFinding, Verdict,
};
use crate::gateway::OmittedClaim;
use crate::oauth::claims::{Check, Inexact, Told};
use crate::policy::route_table::RouteMatch;
use crate::verify::jwt::Signer;
use crate::verify::{Examined, Shape, Signed};

/// Where what is told begins, behind what it is about.
const INDENT: usize = 9;
pub(super) fn render(explanation: &Explanation) -> String {
    let mut report = TextReport::default();
    let asked = &explanation.asked;
    report.line(
        "request",
        format!("{} {}, at {}", asked.method, asked.url, explanation.now),
    );
    if asked.method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        report.line(
            "",
            format!(
                "methods are told apart by case: {} is another one",
                asked.method
            ),
        );
    }
    if let Some(path) = asked
        .path
        .as_ref()
        .filter(|path| !asked.url.ends_with(*path))
    {
        report.line("", format!("read as the path {path}"));
    }
    report.route(explanation);
    report.token(&explanation.token);
    report.checks("answer", &explanation.response_checks);
    report.scopes(explanation);
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

    fn route(&mut self, explanation: &Explanation) {
        match &explanation.route {
            Some(route) => {
                self.line(
                    "route",
                    format!(
                        "{} ({}), asks for {}",
                        summary(route),
                        route.place,
                        route.requires
                    ),
                );
                for (name, value) in &route.parameters {
                    self.line("", format!("{{{name}}} is {value:?}"));
                }
            }
            None if explanation.asked.host.is_none() || explanation.asked.path.is_none() => {
                self.line(
                    "route",
                    "none was looked for: the request can be read in more than one way, or in none",
                );
            }
            None => self.line("route", "none"),
        }
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
            (1, false) => self.line("", "nor one other, which is further off"),
            (1, true) => self.line("", "one other is further off"),
            (omitted, false) => {
                self.line("", format!("nor {omitted} others, which are further off"))
            }
            (omitted, true) => self.line("", format!("{omitted} others are further off")),
        }
    }

    fn token(&mut self, finding: &TokenFinding) {
        match finding {
            TokenFinding::NotLookedAt => self.line("token", "not looked at"),
            TokenFinding::NotAskedFor => self.line("token", "not looked at: the route is public"),
            TokenFinding::None(error) => self.line("token", format!("NO  {error}")),
            TokenFinding::Examined(examined) => self.examined(examined),
        }
    }

    fn examined(&mut self, examined: &Examined) {
        self.line("token", shape_of(examined));
        if let Some(Err(error)) = &examined.token_type {
            self.line("", format!("NO  {error}"));
        }
        let names = || {
            let names: Vec<_> = examined
                .accepted
                .iter()
                .map(|issuer| &*issuer.settings.name)
                .collect();
            if names.is_empty() {
                "none is declared".to_owned()
            } else {
                names.join(", ")
            }
        };
        // A slash at the end is what they differ by, more often than not.
        let called = || {
            let called = examined
                .accepted
                .iter()
                .flat_map(|issuer| &issuer.settings.expectation.issuers);
            let called: Vec<_> = called.map(|iss| format!("{iss:?}")).collect();
            if called.is_empty() {
                "none is declared".to_owned()
            } else {
                called.join(", ")
            }
        };
        match (&examined.issuer, &examined.shape) {
            (Some(issuer), Shape::Jwt { iss, .. }) => {
                self.line("issuer", format!("{}: iss is {}", issuer.settings.name, quoted(iss.as_deref())));
            }
            (Some(issuer), _) if issuer.settings.token_prefix.is_empty() => {
                self.line(
                    "issuer",
                    format!("{}: the issuer of the route that is asked about opaque tokens", issuer.settings.name),
                );
            }
            (Some(issuer), _) => {
                self.line("issuer", format!("{}: the token begins with {:?}", issuer.settings.name, issuer.settings.token_prefix));
            }
            (None, Shape::Jwt { iss, .. }) => self.line(
                "issuer",
                format!("NO  iss is {}, which is none of the route's issuers ({})", quoted(iss.as_deref()), called()),
            ),
            (None, Shape::Opaque) => self.line(
                "issuer",
                format!("NO  none of the route's ({}) is asked about opaque tokens that begin like this one", names()),
            ),
            (None, Shape::TooLong { .. } | Shape::Malformed(_) | Shape::NoClaims(..)) => {}
        }
        match &examined.signed {
            Signed::Unjudged => {}
            Signed::NotVerified => self.line("key", "none: the issuer's server is asked instead"),
            Signed::NoKeys { why } => self.line("key", format!("NO  {why}")),
            Signed::Bad { error, kids } if kids.is_empty() => {
                self.line("key", format!("NO  {error}"))
            }
            Signed::Bad { error, kids } => {
                let kids: Vec<_> = kids.iter().map(|kid| format!("{kid:?}")).collect();
                self.line(
                    "key",
                    format!("NO  {error}; the issuer's keys are {}", kids.join(", ")),
                );
            }
            Signed::Good(Signer::Shared) => {
                self.line("key", "ok  the signature is of the shared secret")
            }
            Signed::Good(Signer::Published(jwk)) => {
                self.line(
                    "key",
                    format!(
                        "ok  the signature is of the key {}",
                        quoted(jwk.kid.as_deref())
                    ),
                );
            }
        }
        let is_believed = matches!(examined.signed, Signed::Good(_));
        if !is_believed && !examined.checks.is_empty() {
            self.line(
                "claims",
                "as the token has them; nobody has vouched for them",
            );
        }
        self.checks(if is_believed { "claims" } else { "" }, &examined.checks);
    }

    // What is absent and may be is left out.
    fn checks(&mut self, about: &str, checks: &[Check]) {
        let mut about = about;
        for check in checks
            .iter()
            .filter(|check| check.found != Told::Nothing || check.broken.is_some())
        {
            let found = found(&check.found);
            let text = match &check.broken {
                None => format!("ok  {}: {found}", check.claim),
                Some(broken) => {
                    format!(
                        "NO  {}: {found}; expected {} [{}]",
                        check.claim,
                        check.expected,
                        broken.reason()
                    )
                }
            };
            self.line(std::mem::take(&mut about), text);
        }
    }

    fn scopes(&mut self, explanation: &Explanation) {
        for (index, set) in explanation.sets.iter().enumerate() {
            for (position, scope) in set.iter().enumerate() {
                let about = match (index, position) {
                    (0, 0) => "scopes",
                    (_, 0) => "     or",
                    _ => "",
                };
                self.line(about, met(scope, explanation.granted.is_some()));
            }
        }
        if let Some(granted) = explanation
            .granted
            .as_ref()
            .filter(|_| !explanation.sets.is_empty())
        {
            let granted = if granted.is_empty() {
                "nothing".to_owned()
            } else {
                granted.join(" ")
            };
            self.line("", format!("granted: {granted}"));
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
                self.0.push('\n');
                self.0.push_str(
                    &explanation
                        .head
                        .as_deref()
                        .unwrap_or_default()
                        .replace('\r', ""),
                );
            }
            Verdict::Unknown => {
                self.0
                    .push_str("Not known, because nobody was asked (--offline)\n");
                self.cause(explanation);
                self.fault_without_signature(&explanation.token);
                self.remedy(explanation);
            }
            Verdict::Passes => {
                if explanation.is_shadowed() {
                    self.0.push_str(&format!(
                        "Shadow mode (enforce = false): {reason} is told and not enforced\n"
                    ));
                    self.cause(explanation);
                }
                if let Some(sent) = &explanation.sent {
                    self.sent(sent);
                }
            }
        }
    }

    fn cause(&mut self, explanation: &Explanation) {
        if let Some(cause) = &explanation.cause {
            self.0.push_str(&format!("  {cause}\n"));
        }
    }

    // Keys that are not there cannot make good what its claims break.
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
                "  whatever its signature, it would not pass: {}\n",
                broken.reason()
            ));
        }
    }

    fn remedy(&mut self, explanation: &Explanation) {
        if let Some(remedy) = &explanation.remedy {
            self.0.push_str(&format!("  {remedy}\n"));
        }
    }

    fn sent(&mut self, sent: &ForwardedSummary) {
        let ForwardedSummary {
            upstream,
            targets,
            method,
            path,
            added,
            removed,
            omitted_claims,
        } = sent;
        self.0.push_str(&format!(
            "It would pass to upstream {upstream} ({}) as {method} {path}\n",
            targets.join(", ")
        ));
        for (name, value) in added {
            self.0.push_str(&format!("  {name}: {value}\n"));
        }
        if !removed.is_empty() {
            self.0
                .push_str(&format!("  without {}\n", removed.join(", ")));
        }
        for OmittedClaim {
            header,
            claim,
            found,
        } in omitted_claims
        {
            let remedy = if *found == Inexact::Number {
                ""
            } else {
                " (see format of claim_headers)"
            };
            self.0.push_str(&format!(
                "  without {header}: claim {claim:?} is or has {found}{remedy}\n"
            ));
        }
    }
}

// In a few words.
fn shape_of(examined: &Examined) -> String {
    match &examined.shape {
        Shape::TooLong { bytes, most } => {
            format!("NO  {bytes} bytes, of which there may be {most} (max_token_size)")
        }
        Shape::Malformed(error) => format!("NO  meant as a JWT, but {error} [{}]", error.reason()),
        Shape::NoClaims(_, error) => format!("NO  a JWT, but {error} [{}]", error.reason()),
        Shape::Jwt { header, .. } => format!(
            "a JWT: alg {}, kid {}, typ {}",
            header.algorithm,
            quoted(header.kid.as_deref()),
            quoted(header.token_type.as_deref())
        ),
        Shape::Opaque => "no JWT, so an opaque one".to_owned(),
    }
}

fn found(told: &Told) -> String {
    match told {
        Told::Nothing => "none".to_owned(),
        Told::Json(text) => text.clone(),
        Told::Time {
            at: time,
            ahead,
            ago,
        } => match (ahead.is_zero(), ago.is_zero()) {
            (true, true) => format!("{}, now", time),
            (false, _) => format!("{}, in {}", time, format_duration(*ahead)),
            (true, false) => format!("{}, {} ago", time, format_duration(*ago)),
        },
    }
}

fn met(scope: &ScopeFinding, is_judged: bool) -> String {
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
    let host = explanation.asked.host.as_deref().unwrap_or_default();
    match route_match {
        RouteMatch::Chosen => "it is the one".to_owned(),
        RouteMatch::InDoubt => {
            "it would fit, but a server may read the path as another route's".to_owned()
        }
        RouteMatch::Lookalike => {
            "a server may read the path as this one's, which asks for more".to_owned()
        }
        RouteMatch::OtherMethod => format!("its methods are {}", other.methods.join(", ")),
        RouteMatch::LessSpecificPath => "it would fit, but is less specific".to_owned(),
        RouteMatch::LessSpecificHost => {
            format!("it would fit, but the host {host} has routes of its own")
        }
        RouteMatch::OtherHost => format!("its host is {}, not {host}", other.hosts),
        RouteMatch::OtherPath => "another path".to_owned(),
    }
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}

// A token and a path say what they like: nothing of it may move a cursor or turn a line round.
fn printable(text: &str) -> String {
    let is_harmless = |character: char| {
        let turns = matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        character == '\n' || !(character.is_control() || turns)
    };
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, character| {
            if is_harmless(character) {
                shown.push(character);
            } else {
                shown.extend(character.escape_unicode());
            }
            shown
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_stranger_moves_the_cursor() {
        assert_eq!(
            printable("a\u{1b}[2Jb\u{202E}c\nd\r"),
            "a\\u{1b}[2Jb\\u{202e}c\nd\\u{d}"
        );
    }
}
