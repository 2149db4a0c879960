//! Weak choices of `respond`: a status without the header that gives it its meaning.

use crate::config::{Config, Fault, Respond};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let responses = config
        .routes
        .iter()
        .filter_map(|route| route.respond.as_ref());
    responses.filter_map(missing_header).collect()
}

// RFC 9110 §15.4 and §15.5.6. Other statuses are complete without a header, or get it from nobody
// but the gateway.
fn missing_header(respond: &Respond) -> Option<Fault> {
    let status = respond.status.value;
    let (header, effect) = match status {
        301 | 302 | 303 | 307 | 308 => ("Location", "leads nowhere"),
        405 => ("Allow", "does not say which methods are allowed"),
        _ => return None,
    };
    let mut names = respond.headers.iter().map(|(name, _)| &name.value);
    (!names.any(|name| name.eq_ignore_ascii_case(header))).then(|| {
        let message = format!("a {status} without {header} {effect}");
        let help = format!("add headers = {{ {header} = \"…\" }}");
        respond.status.fault(message).with_help(help)
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(respond: &str) -> Vec<String> {
        let toml = format!("[[routes]]\npath = \"/a\"\npublic = true\nrespond = {{ {respond} }}\n");
        report_of(&toml, super::weak_choices)
    }

    #[test]
    fn redirect_without_location_is_warned_of() {
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(
                warnings(&format!("status = {status}")),
                [format!(
                    "gateway.toml:4: routes[0].respond.status: a {status} without Location leads nowhere (add headers = {{ Location = \"…\" }})"
                )]
            );
            let headers = "headers = { \"location\" = \"/b\" }";
            assert_eq!(warnings(&format!("status = {status}, {headers}")), [""; 0]);
        }
        for status in [200, 300, 304, 401, 404, 503] {
            assert_eq!(warnings(&format!("status = {status}")), [""; 0]);
        }
        assert_eq!(warnings("status = 405").len(), 1);
        assert_eq!(
            warnings("status = 405, headers = { Allow = \"GET\" }"),
            [""; 0]
        );
    }
}
