//! `[revocations]`: what is forgotten, and what nobody can revoke.

use crate::config::{Config, Fault};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let Some(revocations) = &config.revocations else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if revocations.file.is_none() {
        let message = "a restart forgets what was revoked, and such tokens pass again";
        found.push(fault("revocations.file", message).with_help("set file"));
    }
    let has_token = |admin: &crate::config::Admin| admin.token.is_some();
    if !config.admin.as_ref().is_some_and(has_token) {
        let message = "without token in [admin], nobody can revoke a token by scopegate revoke or POST /revocations";
        found.push(fault("revocations", message).with_help("set listen and token in [admin]"));
    }
    found
}

fn fault(key: &str, message: &str) -> Fault {
    Fault {
        key: key.to_owned(),
        span: None,
        message: message.to_owned(),
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::warnings::report_of;

    #[test]
    fn revocations_that_a_restart_forgets_are_warned_of() {
        let found = report_of("[revocations]\n", weak_choices);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("a restart forgets what was revoked"));
        assert!(found[1].contains("nobody can revoke"));
        let complete = "[admin]\nlisten = \"127.0.0.1:9090\"\ntoken = \"secret\"\n[revocations]\nfile = \"a\"\n";
        assert_eq!(report_of(complete, weak_choices), Vec::<String>::new());
    }
}
