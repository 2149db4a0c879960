//! Weak choices of `[revocations] push`.

use crate::config::{Config, Fault};
use crate::gateway::Snapshot;
use crate::text::alternatives;

/// A path for Security Event Tokens that no issuer can send.
pub(super) fn weak_choices(config: &Config, snapshot: &Snapshot) -> Option<Fault> {
    let push = config.revocations.as_ref()?.push.as_ref()?;
    let mut issuers = snapshot.verifier.issuers().iter();
    if issuers.any(|issuer| issuer.accepts_security_events()) {
        return None;
    }
    let message = "no issuer has keys and an audience, so every Security Event Token is refused";
    let help = "set audience of an issuer whose signatures are verified, or remove push";
    Some(push.fault(message).with_help(help))
}

/// Issuers whose Security Event Tokens are refused, beside others.
pub(super) fn notes(config: &Config, snapshot: &Snapshot) -> Option<Fault> {
    let push = config.revocations.as_ref()?.push.as_ref()?;
    let issuers = snapshot.verifier.issuers();
    let (accepted, refused): (Vec<_>, Vec<_>) = issuers
        .iter()
        .partition(|issuer| issuer.accepts_security_events());
    if accepted.is_empty() || refused.is_empty() {
        return None;
    }
    let names = refused.iter().map(|issuer| &*issuer.settings.name);
    let message = format!(
        "Security Event Tokens of {} are refused: an issuer needs keys and an audience to send them",
        alternatives(names)
    );
    let help = "revoke tokens of these issuers with scopegate revoke";
    Some(push.fault(message).with_help(help))
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::gateway::compile;

    fn findings(issuers: &str) -> [usize; 2] {
        let toml = format!(
            "[revocations]\npush = \"/events\"\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{issuers}\n\
             [[routes]]\npath = \"/a\"\nupstream = \"up\"\n"
        );
        let (config, source) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        let snapshot =
            compile(&config).unwrap_or_else(|faults| panic!("{}", source.report(faults)));
        [
            super::weak_choices(&config, &snapshot),
            super::notes(&config, &snapshot),
        ]
        .map(|found| source.report(found.into_iter().collect()).lines().count())
    }

    #[test]
    fn issuers_that_cannot_send_events_are_reported() {
        let good = "[issuers.a]\nissuer = \"https://a.test\"\naudience = \"api\"\n";
        let any = "[issuers.b]\nissuer = \"https://b.test\"\naudience = \"any\"\n";
        assert_eq!(findings(good), [0, 0]);
        assert_eq!(findings(any), [1, 0]);
        assert_eq!(findings(&format!("{good}{any}")), [0, 1]);
    }
}
