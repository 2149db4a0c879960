//! `token_from` of a route.

use http::Method;

use super::cors::origin_fault;
use crate::config::{self, Config, Fault, Spanned, TokenSource};
use crate::policy::cors::OriginList;
use crate::policy::token_sources::{CookieSource, TokenSources};
use crate::values::Protocol;

/// Compiles the sources of a route; none for the `Authorization` header alone.
pub(super) fn compile(
    written: &config::Route,
    config: &Config,
    faults: &mut Vec<Fault>,
) -> Option<TokenSources> {
    let mut sources = TokenSources {
        header: false,
        websocket_protocol: false,
        cookie: None,
    };
    for source in &written.token_from {
        let is_repeated = match &source.value {
            TokenSource::Header => std::mem::replace(&mut sources.header, true),
            TokenSource::WebSocketProtocol => {
                faults.extend(refuse_handshakes(source, written, config));
                std::mem::replace(&mut sources.websocket_protocol, true)
            }
            TokenSource::Cookie { name, origins } => {
                let list = OriginList::parse(origins.iter().map(String::as_str));
                let cookie = CookieSource {
                    name: name.as_str().into(),
                    origins: list.unwrap_or_else(|(index, error)| {
                        faults.push(origin_fault(source, &origins[index], &error));
                        OriginList::default()
                    }),
                };
                sources.cookie.replace(cookie).is_some()
            }
        };
        if is_repeated {
            faults.push(source.fault(format!(
                "expected each kind of source once, but found {} again",
                source.value
            )));
        }
    }
    let is_header_alone = sources.header && !sources.websocket_protocol && sources.cookie.is_none();
    (!is_header_alone).then_some(sources)
}

// A handshake is a GET of HTTP/1.1, on either side.
fn refuse_handshakes(
    source: &Spanned<TokenSource>,
    written: &config::Route,
    config: &Config,
) -> Option<Fault> {
    let takes_get = written.methods.is_empty()
        || written
            .methods
            .iter()
            .any(|method| method.value == Method::GET);
    if !takes_get {
        let message = "expected a route that takes GET, but found other methods";
        return Some(
            source
                .fault(message)
                .with_help("a WebSocket begins with a GET"),
        );
    }
    let mut upstreams = config.upstreams.iter();
    let name = written.upstream_name()?;
    let upstream = upstreams.find(|one| one.name.value == name)?;
    (upstream.protocol == Protocol::Http2).then(|| {
        let message = format!(
            "expected an upstream with protocol = \"http1\", but found {name:?} with \"http2\""
        );
        source
            .fault(message)
            .with_help("WebSockets are forwarded over HTTP/1.1 only")
    })
}

#[cfg(test)]
mod tests {
    use super::super::messages_of;

    fn faults(route: &str) -> Vec<String> {
        messages_of(&format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [upstreams.grpc]\ntargets = \"http://127.0.0.1:1\"\nprotocol = \"http2\"\n\
             [[routes]]\npath = \"/a\"\n{route}"
        ))
    }

    #[test]
    fn sources_that_cannot_work_are_refused() {
        for (sources, expected) in [
            (
                "[\"header\", \"header\"]",
                "[1]: expected each kind of source once, but found header again",
            ),
            (
                "[{ cookie = \"a\" }, { cookie = \"b\" }]",
                "[1]: expected each kind of source once, but found cookie b again",
            ),
            (
                "{ cookie = \"a\", origins = [\"https://a.test\", \"*\"] }",
                ": expected an origin such as \"https://app.example.com\", but found \"*\", which any page can have",
            ),
            (
                "{ cookie = \"a\", origins = \"null\" }",
                ": expected an origin such as \"https://app.example.com\", but found \"null\", which any page can have",
            ),
            (
                "{ cookie = \"a\", origins = \"a.test\" }",
                ": expected an origin such as \"https://app.example.com\", but found \"a.test\"",
            ),
        ] {
            let found = faults(&format!("upstream = \"up\"\ntoken_from = {sources}\n"));
            assert_eq!(
                found,
                [format!("routes[0].token_from{expected}")],
                "{sources}"
            );
        }
        let socket = "token_from = \"websocket_protocol\"\n";
        assert_eq!(faults(&format!("upstream = \"up\"\n{socket}")), [""; 0]);
        assert_eq!(
            faults(&format!("upstream = \"grpc\"\n{socket}")),
            [
                "routes[0].token_from: expected an upstream with protocol = \"http1\", but found \"grpc\" with \"http2\""
            ]
        );
        assert_eq!(
            faults(&format!("upstream = \"up\"\nmethods = \"POST\"\n{socket}")),
            ["routes[0].token_from: expected a route that takes GET, but found other methods"]
        );
    }
}
