//! `[cors]` and `cors` of routes.

use std::sync::Arc;

use http::HeaderValue;

use super::header_name;
use crate::config::{self, Fault, RouteCors, Spanned};
use crate::policy::cors::{AllowedHeaders, CorsPolicy, OriginError, OriginList, joined};
use crate::policy::mcp;

/// Compiles a table; none where there is none, or where it is faulty.
pub(super) fn compile(
    written: Option<&config::Cors>,
    faults: &mut Vec<Fault>,
) -> Option<Arc<CorsPolicy>> {
    let written = written?;
    let before = faults.len();
    let names = written.headers.iter().chain(&written.expose);
    faults.extend(names.filter_map(|name| header_name(name).err().map(|fault| *fault)));
    let origins = written.origins.iter().map(|origin| origin.value.as_str());
    let mut policy = CorsPolicy::for_origins(origins, written.credentials)
        .map_err(|(index, error)| {
            let origin = &written.origins[index];
            faults.push(origin_fault(origin, &origin.value, &error));
        })
        .ok()?;
    if faults.len() > before {
        return None;
    }
    let headers = written.headers.iter().map(|name| name.value.as_str());
    let expose: Vec<_> = written
        .expose
        .iter()
        .map(|name| name.value.as_str())
        .collect();
    policy.headers = AllowedHeaders::parse(headers).ok()?;
    policy.expose = (!expose.is_empty()).then(|| joined(&expose));
    policy.max_age = HeaderValue::from(written.max_age.as_secs());
    Some(Arc::new(policy))
}

/// The policy of a route.
pub(super) fn of_route(
    written: &config::Route,
    inherited: Option<&Arc<CorsPolicy>>,
    faults: &mut Vec<Fault>,
) -> Option<Arc<CorsPolicy>> {
    let policy = match &written.cors {
        RouteCors::Inherited => inherited.cloned(),
        RouteCors::Off => None,
        RouteCors::Own(own) => compile(Some(own), faults),
    }?;
    Some(if written.mcp.is_some() {
        Arc::new(with_mcp_headers(&policy))
    } else {
        policy
    })
}

// Without them, no page could speak to the server.
fn with_mcp_headers(policy: &CorsPolicy) -> CorsPolicy {
    let mut policy = policy.clone();
    if let AllowedHeaders::Listed(listed) = &mut policy.headers {
        *listed = with_names(Some(listed), &mcp::HEADERS);
    }
    policy.expose = Some(with_names(policy.expose.as_ref(), &mcp::RESPONSE_HEADERS));
    policy
}

fn with_names(listed: Option<&HeaderValue>, further: &[&str]) -> HeaderValue {
    let listed = listed.and_then(|listed| listed.to_str().ok());
    let listed = listed.unwrap_or_default().split(',').map(str::trim);
    let mut names: Vec<_> = listed.filter(|name| !name.is_empty()).collect();
    for name in further {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    joined(&names)
}

/// The fault of an origin that cannot be listed at `place`.
pub(super) fn origin_fault<T>(place: &Spanned<T>, origin: &str, error: &OriginError) -> Fault {
    let is_origin = |proposed: &str| OriginList::parse([proposed].into_iter()).is_ok();
    let help = match error {
        OriginError::Malformed(_) | OriginError::Host(_) => config::url_hint(origin, is_origin),
        OriginError::AnyBesideOthers => Some("remove the others, or \"*\"".to_owned()),
        OriginError::AnyWithCredentials => {
            Some("list the origins whose pages may use cookies".to_owned())
        }
        OriginError::AnyPage(_) => Some("list the origins of your pages".to_owned()),
    };
    Fault {
        help,
        ..place.fault(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report_of;

    fn faults(keys: &str) -> Vec<String> {
        report_of(&format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/\"\nupstream = \"up\"\n{keys}\n"
        ))
    }

    #[test]
    fn fault_of_an_origin_proposes_the_probable_one() {
        let example = "expected an origin such as \"https://app.example.com\", but found";
        for (origin, fault) in [
            (
                "https://app.test/",
                format!("{example} \"https://app.test/\" (did you mean \"https://app.test\"?)"),
            ),
            (
                "https://app.test/login?next=a",
                format!(
                    "{example} \"https://app.test/login?next=a\" (did you mean \"https://app.test\"?)"
                ),
            ),
            (
                "app.test",
                format!("{example} \"app.test\" (did you mean \"https://app.test\"?)"),
            ),
            (
                "*.app.test",
                format!("{example} \"*.app.test\" (did you mean \"https://*.app.test\"?)"),
            ),
            (
                "localhost:5173",
                format!("{example} \"localhost:5173\" (did you mean \"http://localhost:5173\"?)"),
            ),
            ("file:///", format!("{example} \"file:///\"")),
        ] {
            let place = "gateway.toml:6: routes[0]";
            assert_eq!(
                faults(&format!("cors = {{ origins = {origin:?} }}")),
                [format!("{place}.cors.origins: {fault}")]
            );
            assert_eq!(
                faults(&format!(
                    "token_from = {{ cookie = \"at\", origins = {origin:?} }}"
                )),
                [format!("{place}.token_from: {fault}")]
            );
        }
        assert_eq!(
            faults("cors = { origins = [\"https://a.test\", \"*\"] }"),
            [
                "gateway.toml:6: routes[0].cors.origins[1]: expected \"*\" alone, but found it beside other origins (remove the others, or \"*\")"
            ]
        );
        assert_eq!(
            faults("cors = { origins = \"*\", credentials = true }"),
            [
                "gateway.toml:6: routes[0].cors.origins: expected listed origins with credentials = true, but found \"*\" (list the origins whose pages may use cookies)"
            ]
        );
    }
}
