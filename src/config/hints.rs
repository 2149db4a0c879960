//! Hints for refused values: the probable mistake and the remedy.
//!
//! 1. Every proposed value was checked: the reader accepts it.
//! 2. A hint never repeats a possible credential.
//! 3. Placeholders such as `${NAME}` are not replaced, so one in a value is always a mistake.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use toml::de::DeValue;

use super::names::nearest;

/// The delimiters of placeholders in templates.
const TEMPLATES: [(&str, &str); 3] = [("${", "}"), ("$(", ")"), ("{{", "}}")];

/// Schemes of other programs, with the scheme that scopegate uses.
const SCHEMES: [(&str, &str); 8] = [
    ("ws", "http"),
    ("wss", "https"),
    ("h2", "https"),
    ("h2c", "http"),
    ("grpc", "http"),
    ("grpcs", "https"),
    ("tcp", "http"),
    ("tls", "https"),
];

const TRUE: [&str; 4] = ["true", "yes", "on", "1"];
const FALSE: [&str; 4] = ["false", "no", "off", "0"];

/// The first `${NAME}`, `$(NAME)` or `{{ NAME }}` of a text.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    let found = TEMPLATES.iter().filter_map(|(opening, closing)| {
        let start = text.find(opening)?;
        let length = text[start..].find(closing)? + closing.len();
        let placeholder = &text[start..start + length];
        (length > opening.len() + closing.len()).then_some((start, placeholder))
    });
    found
        .min_by_key(|(start, _)| *start)
        .map(|(_, placeholder)| placeholder)
}

/// As [`placeholder`], also `<name>` and `$NAME`, for values in which they cannot be literal.
fn any_placeholder(text: &str) -> Option<&str> {
    let angled = || {
        let start = text.find('<')?;
        let length = text[start..].find('>')? + 1;
        Some(&text[start..start + length])
    };
    let bare = || {
        let (before, rest) = text.split_once('$')?;
        let is_name = |character: char| character.is_ascii_uppercase() || character == '_';
        let length = rest
            .find(|character: char| !is_name(character))
            .unwrap_or(rest.len());
        (length > 0).then(|| &text[before.len()..before.len() + 1 + length])
    };
    placeholder(text).or_else(angled).or_else(bare)
}

/// The remedy for a value with a placeholder.
pub(super) fn write_the_value(placeholder: &str) -> String {
    format!("placeholders such as {placeholder} are not replaced: write the value itself")
}

/// A hint for a text with a placeholder of another program.
#[must_use]
pub fn placeholder_hint(text: &str) -> Option<String> {
    placeholder(text).map(write_the_value)
}

/// A hint for an invalid URL, or one that `is_valid` refuses.
#[must_use]
pub fn url(text: &str, is_valid: impl Fn(&str) -> bool) -> Option<String> {
    if text.contains('@') {
        return None;
    }
    if let Some(placeholder) = any_placeholder(text) {
        return Some(write_the_value(placeholder));
    }
    let written = text.trim().replace('\\', "/");
    let absolute = match written.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = scheme.to_ascii_lowercase();
            let ours = SCHEMES
                .iter()
                .find(|(other, _)| *other == scheme)
                .map(|(_, ours)| *ours);
            let scheme = ours.or_else(|| nearest(&scheme, ["http", "https"]))?;
            format!("{scheme}://{}", rest.trim_start_matches('/'))
        }
        None => match ["https:", "http:"]
            .iter()
            .find_map(|scheme| Some((*scheme, written.strip_prefix(scheme)?)))
        {
            Some((scheme, rest)) => format!("{scheme}//{}", rest.trim_start_matches('/')),
            None => format!("{}://{written}", usual_scheme(&written)?),
        },
    };
    // Where only an origin is accepted, the URL without its path is.
    let start = absolute.find("://")? + 3;
    let authority = absolute[start..]
        .find(['/', '?', '#'])
        .map_or(absolute.len(), |length| start + length);
    [absolute.as_str(), &absolute[..authority]]
        .into_iter()
        .find(|one| is_valid(one))
        .map(did_you_mean)
}

// The scheme for a text that starts with a host name or an address, but not for a file or a word.
fn usual_scheme(text: &str) -> Option<&'static str> {
    let authority = &text[..text.find(['/', '?', '#']).unwrap_or(text.len())];
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (authority, None),
    };
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || host == "localhost";
    let is_file = host.ends_with(".json") || host.ends_with(".pem") || host.starts_with('.');
    if is_file || !(is_address || port.is_some() || host.contains('.')) {
        return None;
    }
    Some(match port {
        Some("443" | "8443") => "https",
        None if !is_address => "https",
        Some(_) | None => "http",
    })
}

/// A hint for an invalid IP address with port.
pub(super) fn socket_address(value: &DeValue<'_>) -> Option<String> {
    let number = value.as_integer().map(ToString::to_string);
    let text = number.as_deref().or(value.as_str())?.trim();
    if let Some(placeholder) = any_placeholder(text) {
        return Some(write_the_value(placeholder));
    }
    let text = text
        .split_once("://")
        .map_or(text, |(_, rest)| rest)
        .trim_end_matches('/');
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return Some(format!(
            "write \"127.0.0.1:{port}\" for this machine only, \"0.0.0.0:{port}\" for all interfaces"
        ));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.is_empty() => (host, port),
        _ => (text, "8080"),
    };
    let host = match host {
        "localhost" => "127.0.0.1",
        "*" => "0.0.0.0",
        other => other,
    };
    let bracketed = host
        .parse::<Ipv6Addr>()
        .is_ok()
        .then(|| format!("[{host}]:{port}"));
    let address = bracketed.unwrap_or_else(|| format!("{host}:{port}"));
    address
        .parse::<SocketAddr>()
        .is_ok()
        .then(|| did_you_mean(&address))
}

/// A hint for an invalid network.
pub(super) fn network(text: &str) -> Option<String> {
    if let Some(placeholder) = any_placeholder(text) {
        return Some(write_the_value(placeholder));
    }
    let masked = || {
        let (address, mask) = text.split_once('/')?;
        let network = Ipv4Net::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()?;
        Some(network.to_string())
    };
    // `10.0.*` and `10.0.0.*`
    let starred = || {
        let octets: Vec<_> = text.split('.').take_while(|octet| *octet != "*").collect();
        let is_starred = text.ends_with('*') && (1..4).contains(&octets.len());
        is_starred.then(|| {
            let zeros = ".0".repeat(4 - octets.len());
            format!("{}{zeros}/{}", octets.join("."), octets.len() * 8)
        })
    };
    let ported = || {
        text.parse::<SocketAddr>()
            .ok()
            .map(|address| address.ip().to_string())
    };
    let local = || (text == "localhost").then(|| "127.0.0.0/8".to_owned());
    let network = masked().or_else(starred).or_else(ported).or_else(local)?;
    let is_valid = network.parse::<IpNet>().is_ok() || network.parse::<IpAddr>().is_ok();
    is_valid.then(|| did_you_mean(&network))
}

/// A hint for a value that is neither true nor false.
pub(super) fn boolean(value: &DeValue<'_>) -> Option<String> {
    let number = value.as_integer().map(ToString::to_string);
    let text = number.as_deref().or(value.as_str())?.to_ascii_lowercase();
    let meant = [(TRUE, true), (FALSE, false)]
        .into_iter()
        .find(|(words, _)| words.contains(&&*text))?;
    Some(format!(
        "write {}{}",
        meant.1,
        if number.is_none() {
            ", without quotes"
        } else {
            ""
        }
    ))
}

/// A hint for an invalid host of a route; `is_valid` checks the proposal.
#[must_use]
pub fn host(text: &str, is_valid: impl Fn(&str) -> bool) -> Option<String> {
    if let Some(placeholder) = any_placeholder(text) {
        return Some(write_the_value(placeholder));
    }
    if text == "*" {
        return Some("omit host to match every host".to_owned());
    }
    if let Some(hosts) = parts(text).filter(|hosts| hosts.iter().all(|host| is_valid(host))) {
        return Some(format!("did you mean {hosts:?}?"));
    }
    let name = text.trim();
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let name = &name[..name.find(['/', '?', '#']).unwrap_or(name.len())];
    let name = match name.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') =>
        {
            host
        }
        _ => name,
    };
    // Requests use the ASCII form (RFC 5890 §2.3.2.1).
    let ascii = url::Url::parse(&format!("http://{name}"))
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let name = ascii
        .as_deref()
        .filter(|_| !name.is_ascii())
        .unwrap_or(name);
    let suffix = name.strip_prefix('.').map(|rest| format!("*.{rest}"));
    let name = suffix.as_deref().unwrap_or(name);
    (name != text && is_valid(name)).then(|| did_you_mean(name))
}

/// A hint for an invalid path of a route; `is_valid` checks the proposal.
#[must_use]
pub fn path(text: &str, is_valid: impl Fn(&str) -> bool) -> Option<String> {
    if let Some(placeholder) = placeholder(text) {
        return Some(write_the_value(placeholder));
    }
    let path = text.trim().trim_start_matches('^').trim_end_matches('$');
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    let segments: Vec<_> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(segment)
        .collect();
    let slash = if path.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    let path = format!("/{}{slash}", segments.join("/"));
    (path != text && is_valid(&path)).then(|| did_you_mean(&path))
}

// Translates parameters of other programs: `<id>`, `<int:id>`, `{id:[0-9]+}`, `{id?}`, `{id...}`.
fn segment(text: &str) -> String {
    let braced = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let angled = || {
        text.strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'))
    };
    match (braced, angled()) {
        (Some(name), _) => {
            let is_rest = name.starts_with('*') || name.ends_with('*') || name.ends_with("...");
            let name = name
                .split(':')
                .next()
                .unwrap_or_default()
                .trim_matches(['*', '?', '.']);
            if is_rest {
                format!("{{*{name}}}")
            } else {
                format!("{{{name}}}")
            }
        }
        (None, Some(name)) => {
            let (kind, name) = name.split_once(':').unwrap_or(("", name));
            if kind == "path" {
                format!("{{*{name}}}")
            } else {
                format!("{{{name}}}")
            }
        }
        (None, None) => text.chars().map(encoded).collect(),
    }
}

// Percent-encodes a character as clients do (RFC 3986 §2.1).
fn encoded(character: char) -> String {
    if character.is_ascii_graphic() {
        return character.to_string();
    }
    character
        .to_string()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

/// The first segment of a rewritten path that refers to the requested `path` as other programs do
/// (`$1`, `\\1`, `$name`, `:name`, `<name>`), and the remedy.
#[must_use]
pub fn reference<'t>(rewrite: &'t str, path: &str) -> Option<(&'t str, String)> {
    let name_of = |segment: &'t str| {
        let angled = || segment.strip_prefix('<')?.strip_suffix('>');
        let name = segment.strip_prefix(['$', '\\', ':']).or_else(angled)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        (!name.is_empty() && name.bytes().all(is_name)).then_some((segment, name))
    };
    let (segment, name) = rewrite.split('/').find_map(name_of)?;
    let parameters: Vec<_> = path.split('/').filter(|one| one.starts_with('{')).collect();
    let number = name.parse::<usize>().ok();
    let by_number = number.and_then(|number| parameters.get(number.checked_sub(1)?));
    let has_name = |parameter: &&&str| parameter.trim_matches(['{', '*', '}']) == name;
    let meant = by_number.or_else(|| parameters.iter().find(has_name));
    let help = match (meant, &*parameters) {
        (Some(meant), _) | (None, [meant]) => format!("did you mean {meant}?"),
        (None, []) => {
            "name the segment in path, as in \"/a/{name}\", and write {name} here".to_owned()
        }
        (None, several) => format!("the path has {}", several.join(", ")),
    };
    Some((segment, help))
}

/// The parts of a text that was probably meant as a list: `a, b`.
pub(super) fn parts(text: &str) -> Option<Vec<&str>> {
    let parts: Vec<_> = text
        .split([',', ';', '|', ' '])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    (parts.len() > 1).then_some(parts)
}

fn did_you_mean(text: &str) -> String {
    format!("did you mean {text:?}?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_every_template_are_found() {
        for (text, found) in [
            ("http://${API_HOST}:9000", Some("${API_HOST}")),
            ("${A:-b}/${C}", Some("${A:-b}")),
            ("a{{ .Values.host }}b", Some("{{ .Values.host }}")),
            ("$(HOST)", Some("$(HOST)")),
            ("/a/{id}", None),
            ("${}", None),
            ("price in $", None),
            ("${never closed", None),
        ] {
            assert_eq!(placeholder(text), found, "{text}");
        }
        assert_eq!(
            any_placeholder("https://id.test/<tenant>/v2.0"),
            Some("<tenant>")
        );
        assert_eq!(any_placeholder("http://$API_HOST:9000"), Some("$API_HOST"));
        assert_eq!(any_placeholder("a$b"), None);
    }

    #[test]
    fn proposed_addresses_and_networks_are_valid() {
        let address = |text: &str| socket_address(&DeValue::String(text.into()));
        for (text, meant) in [
            ("localhost:8081", "127.0.0.1:8081"),
            ("*:80", "0.0.0.0:80"),
            ("10.0.0.1", "10.0.0.1:8080"),
            ("::1:8081", "[::1]:8081"),
            ("http://127.0.0.1:80/", "127.0.0.1:80"),
        ] {
            assert_eq!(address(text), Some(did_you_mean(meant)), "{text}");
        }
        assert!(address(":8080").is_some_and(|hint| {
            hint.starts_with("write \"127.0.0.1:8080\" for this machine only")
        }));
        assert_eq!(address("api.test:8080"), None);
        for (text, meant) in [
            ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
            ("10.0.*", "10.0.0.0/16"),
            ("10.1.2.*", "10.1.2.0/24"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("localhost", "127.0.0.0/8"),
        ] {
            assert_eq!(network(text), Some(did_you_mean(meant)), "{text}");
        }
        for none in ["*", "any", "10.0.0.0/33", "999.*"] {
            assert_eq!(network(none), None, "{none}");
        }
    }

    #[test]
    fn paths_and_hosts_of_other_programs_are_translated() {
        let is_valid = |path: &str| path.starts_with('/') && !path.contains([' ', '<']);
        for (text, meant) in [
            ("files", "/files"),
            ("https://api.test/a/b", "/a/b"),
            ("/a?b=c", "/a"),
            ("/a/<int:id>/<path:rest>", "/a/{id}/{*rest}"),
            ("/a/{id:[0-9]+}", "/a/{id}"),
            ("/a/{rest...}", "/a/{*rest}"),
            ("^/a/$", "/a/"),
            ("//a", "/a"),
            ("/a b/\u{e4}", "/a%20b/%C3%A4"),
        ] {
            assert_eq!(path(text, is_valid), Some(did_you_mean(meant)), "{text}");
        }
        assert_eq!(path("/a<", is_valid), None);
        let is_host = |host: &str| {
            host.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-*".contains(&byte))
        };
        for (text, meant) in [
            ("https://api.test:443/x", "\"api.test\""),
            ("api.test:80", "\"api.test\""),
            (".api.test", "\"*.api.test\""),
            ("b\u{fc}cher.test", "\"xn--bcher-kva.test\""),
            ("a.test, b.test", "[\"a.test\", \"b.test\"]"),
        ] {
            assert_eq!(
                host(text, is_host),
                Some(format!("did you mean {meant}?")),
                "{text}"
            );
        }
    }

    #[test]
    fn references_of_other_programs_are_translated() {
        let path = "/a/{id}/{*rest}";
        for (rewrite, found, help) in [
            ("/b/$1", "$1", "did you mean {id}?"),
            ("/b/\\2/c", "\\2", "did you mean {*rest}?"),
            ("/b/:rest", ":rest", "did you mean {*rest}?"),
            ("/b/<id>", "<id>", "did you mean {id}?"),
            ("/b$/$uri", "$uri", "the path has {id}, {*rest}"),
            ("/b/$3", "$3", "the path has {id}, {*rest}"),
        ] {
            assert_eq!(reference(rewrite, path), Some((found, help.to_owned())));
        }
        for rewrite in ["/b/{id}", "/b/$", "/b/a$1", "/b/${id}", "/$metadata/x-y:z"] {
            let found = reference(rewrite, "/a/{id}").map(|(segment, _)| segment);
            let expected = rewrite.starts_with("/$m").then_some("$metadata");
            assert_eq!(found, expected, "{rewrite}");
        }
        let (_, help) = reference("/b/$1", "/a").expect("a reference");
        assert!(help.starts_with("name the segment in path"), "{help}");
    }
}
