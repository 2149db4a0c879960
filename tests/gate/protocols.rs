//! Every client protocol with every upstream protocol; clients are reqwest, upstreams are hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Version};
use reqwest::{Body, Client, Method, Response};
use tokio::runtime::Runtime;

use harness::{Authority, Gateway, HyperServer, Issuer, Key, TIMEOUT, TruncatedBody, eventually};

/// Upstreams by their names in gateway.toml, and the HTTP version of their requests.
const UPSTREAMS: [(&str, Version); 4] = [
    ("h1", Version::HTTP_11),
    ("h1-tls", Version::HTTP_11),
    ("h2c", Version::HTTP_2),
    ("h2-tls", Version::HTTP_2),
];

const CLIENTS: [(&str, Version); 4] = [
    ("h1", Version::HTTP_11),
    ("h1-tls", Version::HTTP_11),
    ("h2c", Version::HTTP_2),
    ("h2-tls", Version::HTTP_2),
];

struct Matrix {
    runtime: Runtime,
    key: Key,
    issuer: Issuer,
    gateway: Gateway,
    upstreams: Vec<(&'static str, Version, HyperServer)>,
    authority: Authority,
}

impl Matrix {
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn start() -> Self {
        let (authority, key) = (Authority::generate(), Key::es256("first"));
        let issuer = Issuer::start(&[&key]);
        let upstreams: Vec<_> = UPSTREAMS
            .into_iter()
            .map(|(name, version)| {
                let tls = name.ends_with("-tls").then(|| {
                    let mut tls = (*authority.server_config("up.test", false)).clone();
                    // The server supports both; `protocol` decides which one the gateway offers.
                    tls.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
                    Arc::new(tls)
                });
                (
                    name,
                    version,
                    HyperServer::start(version == Version::HTTP_2, tls),
                )
            })
            .collect();
        let (certificate, private) = authority.server_files("gateway", "gate.test");
        let mut toml = format!(
            "[server]\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n\
             [issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n",
            certificate.display(),
            private.display(),
            issuer.url
        );
        for (name, version, server) in &upstreams {
            let scheme = if name.ends_with("-tls") {
                "https"
            } else {
                "http"
            };
            let protocol = if *version == Version::HTTP_2 {
                "http2"
            } else {
                "http1"
            };
            toml.push_str(&format!(
                "[upstreams.{name}]\ntargets = \"{scheme}://{}\"\nprotocol = \"{protocol}\"\n\
                 tls_server_name = \"up.test\"\ntls_ca = \"{}\"\n\
                 [[routes]]\npath = \"/{name}/{{*rest}}\"\nscope = \"read\"\nupstream = \"{name}\"\nstrip_prefix = \"/{name}\"\n",
                server.address,
                authority.ca_file().display()
            ));
        }
        let gateway = Gateway::start(&toml);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let matrix = Self {
            runtime,
            key,
            issuer,
            gateway,
            upstreams,
            authority,
        };
        let (client, base) = matrix.client("h1");
        eventually("the JWKS is fetched", || {
            matrix
                .ask(
                    &client,
                    Method::GET,
                    &format!("{base}/h1/ready"),
                    Some("read"),
                    Body::default(),
                )
                .status()
                == 200
        });
        matrix
    }

    /// A client, and the base URL of the gateway.
    fn client(&self, name: &str) -> (Client, String) {
        let mut tls = self.authority.client_config(None);
        tls.alpn_protocols = vec![if name.starts_with("h2") {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        let tls_address = self.gateway.addresses[1];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .resolve("gate.test", tls_address)
            .timeout(TIMEOUT);
        let client = if name == "h2c" {
            client.http2_prior_knowledge()
        } else {
            client
        };
        let base = if name.ends_with("-tls") {
            format!("https://gate.test:{}", tls_address.port())
        } else {
            format!("http://{}", self.gateway.address)
        };
        (client.no_proxy().build().expect("a client"), base)
    }

    fn ask(
        &self,
        client: &Client,
        method: Method,
        url: &str,
        scope: Option<&str>,
        body: Body,
    ) -> Response {
        self.try_ask(client, method, url, scope, body)
            .unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    fn try_ask(
        &self,
        client: &Client,
        method: Method,
        url: &str,
        scope: Option<&str>,
        body: Body,
    ) -> reqwest::Result<Response> {
        let mut request = client.request(method, url).body(body);
        if let Some(scope) = scope {
            request = request.bearer_auth(self.key.token(&self.issuer.claims(scope)));
        }
        self.runtime.block_on(async { request.send().await })
    }

    fn body(&self, response: Response) -> reqwest::Result<Bytes> {
        self.runtime.block_on(response.bytes())
    }

    fn for_each_pair(&self, mut check: impl FnMut(&str, &Client, &str, Version, &HyperServer)) {
        for (name, version) in CLIENTS {
            let (client, base) = self.client(name);
            for (upstream, _, server) in &self.upstreams {
                let (pair, url) = (
                    format!("{name} to {upstream}"),
                    format!("{base}/{upstream}"),
                );
                check(&pair, &client, &url, version, server);
            }
        }
    }
}

/// A body without a known length.
struct UnsizedBody(Option<Bytes>);

impl http_body::Body for UnsizedBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

fn challenge(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("www-authenticate")
        .map(|value| value.to_str().expect("text"))
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn permitted_requests_arrive_complete_over_every_pair_of_protocols() {
    let matrix = Matrix::start();
    let large: Bytes = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    matrix.for_each_pair(|pair, client, url, version, server| {
        let response = matrix.ask(
            client,
            Method::GET,
            &format!("{url}/x"),
            Some("read"),
            Body::default(),
        );
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, version),
            "{pair}"
        );
        assert_eq!(matrix.body(response).expect("a body"), "hello", "{pair}");

        let response = matrix.ask(
            client,
            Method::POST,
            &format!("{url}/echo"),
            Some("read"),
            large.clone().into(),
        );
        assert_eq!(matrix.body(response).expect("a body"), large, "{pair}");
        // The same without a Content-Length.
        let streamed = Body::wrap(UnsizedBody(Some(large.clone())));
        let response = matrix.ask(
            client,
            Method::PUT,
            &format!("{url}/echo"),
            Some("read"),
            streamed,
        );
        assert_eq!(matrix.body(response).expect("a body"), large, "{pair}");

        let response = matrix.ask(
            client,
            Method::HEAD,
            &format!("{url}/x"),
            Some("read"),
            Body::default(),
        );
        assert_eq!(response.status(), 200, "{pair}");
        assert_eq!(matrix.body(response).expect("no body"), "", "{pair}");

        let seen = server.seen();
        let seen = &seen[seen.len() - 4..];
        let expected = matrix
            .upstreams
            .iter()
            .find(|(.., known)| known.address == server.address)
            .expect("one of the upstreams")
            .1;
        assert!(
            seen.iter()
                .all(|seen| seen.version == expected && seen.is_complete),
            "{pair}: {seen:?}"
        );
        assert_eq!(
            seen.iter().map(|seen| seen.body).collect::<Vec<_>>(),
            [0, large.len(), large.len(), 0],
            "{pair}"
        );
        let via = if version == Version::HTTP_2 {
            "2.0 scopegate"
        } else {
            "1.1 scopegate"
        };
        assert!(seen.iter().all(|seen| seen.headers["via"] == via), "{pair}");
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refusals_are_equal_and_reach_no_upstream_over_every_pair_of_protocols() {
    let matrix = Matrix::start();
    matrix.for_each_pair(|pair, client, url, version, server| {
        let before = server.seen().len();
        let url = format!("{url}/x");
        let insufficient = "Bearer error=\"insufficient_scope\", scope=\"read\"";
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let body = || {
                if method == Method::POST {
                    Body::from(vec![7; 100_000])
                } else {
                    Body::default()
                }
            };
            let cases = [(None, 401, "Bearer"), (Some("write"), 403, insufficient)];
            for (scope, status, expected) in cases {
                let response = matrix.ask(client, method.clone(), &url, scope, body());
                assert_eq!(
                    (response.status().as_u16(), response.version()),
                    (status, version),
                    "{pair} {method}"
                );
                assert_eq!(
                    challenge(response.headers()),
                    Some(expected),
                    "{pair} {method}"
                );
                assert_eq!(
                    response.headers()["content-type"],
                    "application/problem+json",
                    "{pair} {method}"
                );
                let length: usize = response.headers()["content-length"]
                    .to_str()
                    .expect("text")
                    .parse()
                    .expect("a length");
                let expected_length = if method == Method::HEAD { 0 } else { length };
                assert_eq!(
                    matrix.body(response).expect("a body").len(),
                    expected_length,
                    "{pair} {method}"
                );
            }
        }
        let request = client.get(&url).bearer_auth("no.good.token");
        let response = matrix
            .runtime
            .block_on(async { request.send().await })
            .expect("a response");
        assert_eq!(
            (response.status().as_u16(), challenge(response.headers())),
            (401, Some("Bearer error=\"invalid_token\""))
        );
        let base = url
            .rsplit_once(pair.rsplit(' ').next().expect("a name"))
            .expect("a base")
            .0;
        let response = matrix.ask(
            client,
            Method::GET,
            &format!("{base}elsewhere"),
            Some("read"),
            Body::default(),
        );
        assert_eq!(
            (response.status().as_u16(), challenge(response.headers())),
            (404, None),
            "{pair}"
        );
        assert_eq!(server.seen().len(), before, "{pair}");
    });
}

#[test]
fn truncated_body_never_looks_complete_on_the_other_side() {
    let matrix = Matrix::start();
    matrix.for_each_pair(|pair, client, url, _, server| {
        let outcome = matrix.try_ask(
            client,
            Method::GET,
            &format!("{url}/break"),
            Some("read"),
            Body::default(),
        );
        let is_complete =
            outcome.is_ok_and(|response| response.status() == 200 && matrix.body(response).is_ok());
        assert!(!is_complete, "{pair}");

        let before = server.seen().len();
        let half = Body::wrap(TruncatedBody(Some(Bytes::from_static(b"half"))));
        let outcome = matrix.try_ask(
            client,
            Method::POST,
            &format!("{url}/echo"),
            Some("read"),
            half,
        );
        let is_complete =
            outcome.is_ok_and(|response| response.status() == 200 && matrix.body(response).is_ok());
        assert!(!is_complete, "{pair}");
        assert!(
            server.seen()[before..].iter().all(|seen| !seen.is_complete),
            "{pair}: {:?}",
            server.seen()
        );

        // Other requests still succeed.
        let response = matrix.ask(
            client,
            Method::GET,
            &format!("{url}/x"),
            Some("read"),
            Body::default(),
        );
        assert_eq!(response.status(), 200, "{pair}");
    });
}

#[test]
fn unreachable_upstream_is_a_502_for_every_client_protocol() {
    let mut matrix = Matrix::start();
    matrix.upstreams.clear();
    for (name, _) in CLIENTS {
        let (client, base) = matrix.client(name);
        for (upstream, _) in UPSTREAMS {
            let url = format!("{base}/{upstream}/x");
            eventually("the request fails", || {
                let response =
                    matrix.ask(&client, Method::GET, &url, Some("read"), Body::default());
                // 503 once the endpoint is ejected.
                matches!(response.status().as_u16(), 502 | 503)
                    && challenge(response.headers()).is_none()
            });
        }
    }
}
