//! Tokens and issuers that do not meet: an `iss` that no token has, and a development server whose
//! tokens no issuer accepts.

use url::Url;

use crate::config::{Audience, Config, Development, Fault, Issuer, Spanned};

/// Hosts of Microsoft Entra ID.
const ENTRA_HOSTS: [&str; 6] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.microsoft.com",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
    "sts.windows.net",
];
/// First path segments of Entra's addresses that stand for several tenants. A token has the ID of
/// one tenant in their place.
const SEVERAL_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let issuers = config.issuers.iter();
    let mut found: Vec<_> = issuers
        .flat_map(|issuer| &issuer.issuer)
        .filter_map(never_issued)
        .collect();
    let development = config.development.as_ref();
    found.extend(development.and_then(|development| unaccepted_tokens(development, config)));
    found
}

// `iss` is compared as a string, so a pattern matches no token.
fn never_issued(iss: &Spanned<String>) -> Option<Fault> {
    let one_for_each =
        "write {tenant} in its place, and list the IDs in tenants, or set tenants = \"any\"";
    let (placeholder, help) = if let Some(tenants) = several_tenants(&iss.value) {
        (tenants, one_for_each)
    } else if iss.value.contains('*') {
        (
            "*",
            "list each value that the tokens have, or write {tenant} for a segment that varies, with tenants",
        )
    } else {
        return None;
    };
    let message = format!("no token has this iss: {placeholder:?} is matched literally");
    Some(iss.fault(message).with_help(help))
}

fn several_tenants(iss: &str) -> Option<&'static str> {
    let url = Url::parse(iss).ok()?;
    let host = url.host_str()?;
    let first = url.path_segments()?.next()?;
    ENTRA_HOSTS
        .contains(&host)
        .then(|| SEVERAL_TENANTS.into_iter().find(|name| *name == first))?
}

// The development server would issue tokens that the gateway refuses.
fn unaccepted_tokens(development: &Development, config: &Config) -> Option<Fault> {
    let address = development.listen.value;
    let (iss, aud) = (format!("http://{address}"), &development.audience);
    let is_named = |issuer: &&Issuer| issuer.issuer.iter().any(|one| one.value == iss);
    let mut named = config.issuers.iter().filter(is_named).peekable();
    let Some(first) = named.peek().map(|issuer| &issuer.name.value) else {
        let message = format!("no issuer of this file accepts its tokens, whose iss is {iss:?}");
        let help = format!("add an issuer with issuer = {iss:?} and audience = {aud:?}");
        return Some(development.listen.fault(message).with_help(help));
    };
    let message = format!("issuer {first:?} refuses its tokens, whose aud is {aud:?}");
    let accepts = |issuer: &Issuer| match &issuer.audience {
        Audience::Any(_) | Audience::OfResources => true,
        Audience::OneOf(names) => names.iter().any(|name| name.value == *aud),
    };
    if named.any(accepts) {
        return None;
    }
    let help = format!("set audience = {aud:?} there, or change audience of [development]");
    Some(development.listen.fault(message).with_help(help))
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(toml: &str) -> Vec<String> {
        let toml = format!("[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{toml}");
        report_of(&toml, super::weak_choices)
    }

    #[test]
    fn iss_that_no_token_has_is_warned_of() {
        let entra = "https://login.microsoftonline.com";
        for (iss, placeholder) in [
            (
                format!("{entra}/11111111-1111-1111-1111-111111111111/v2.0"),
                None,
            ),
            ("https://id.test/common".to_owned(), None),
            ("https://id.test/realms/{realm}".to_owned(), None),
            (format!("{entra}/{{tenantid}}/v2.0"), None),
            (format!("{entra}/common/v2.0"), Some("common")),
            (format!("{entra}/organizations/v2.0"), Some("organizations")),
            (
                "https://sts.windows.net/consumers/".to_owned(),
                Some("consumers"),
            ),
            (format!("{entra}/*/v2.0"), Some("*")),
            ("https://*.id.test".to_owned(), Some("*")),
            ("*".to_owned(), Some("*")),
        ] {
            // Discovery would refuse some of them at once.
            let found = warnings(&format!(
                "[issuers.corp]\nissuer = {iss:?}\naudience = \"a\"\njwks_uri = \"https://id.test/keys\"\n"
            ));
            let Some(placeholder) = placeholder else {
                assert_eq!(found, [""; 0], "{iss}");
                continue;
            };
            let message = format!("no token has this iss: {placeholder:?} is matched literally (");
            assert!(found[0].contains(&message), "{iss}: {found:?}");
            assert_eq!(
                (found.len(), found[0].contains("list the IDs in tenants")),
                (1, placeholder != "*"),
                "{iss}"
            );
            assert!(found[0].contains("tenants"), "{iss}");
        }
    }

    #[test]
    fn development_server_whose_tokens_no_issuer_accepts_is_warned_of() {
        let issuer = |keys: &str| {
            warnings(&format!(
                "[development]\nlisten = \"127.0.0.1:9180\"\n[issuers.corp]\njwks_uri = \"https://id.test/keys\"\n{keys}"
            ))
        };
        let iss = "issuer = \"http://127.0.0.1:9180\"\n";
        for accepted in [
            "audience = \"scopegate-development\"\n",
            "audience = [\"a\", \"scopegate-development\"]\n",
            "audience = \"any\"\n",
        ] {
            assert_eq!(issuer(&format!("{iss}{accepted}")), [""; 0], "{accepted}");
        }
        assert_eq!(
            issuer(&format!("{iss}audience = \"a\"\n")),
            [
                "gateway.toml:4: development.listen: issuer \"corp\" refuses its tokens, whose aud is \
              \"scopegate-development\" (set audience = \"scopegate-development\" there, or change audience of \
              [development])"
            ]
        );
        assert_eq!(
            issuer("issuer = \"http://127.0.0.1:9080\"\naudience = \"any\"\n"),
            [
                "gateway.toml:4: development.listen: no issuer of this file accepts its tokens, whose iss is \
              \"http://127.0.0.1:9180\" (add an issuer with issuer = \"http://127.0.0.1:9180\" and audience = \
              \"scopegate-development\")"
            ]
        );
    }
}
