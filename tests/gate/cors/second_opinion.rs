//! tower-http's CORS layer answers the same requests as the gateway.
//!
//! [`DISAGREEMENTS`] lists every kind of difference with the reason for the gateway's response. A
//! difference that is not listed fails the test, and so does an entry that no request shows.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use harness::{Reply, Server, send};
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use tonic::codegen::Service;
use tower_http::cors::{AllowHeaders, AllowOrigin, AllowPrivateNetwork, Any, Cors, ExposeHeaders};

use super::{APP, CORS, Gateway};

const FOREIGN: &str = "https://evil.test";

/// A `[cors]` table, and the same as settings of the layer.
struct Policy {
    name: &'static str,
    toml: &'static str,
    settings: fn(Cors<Inner>) -> Cors<Inner>,
}

const POLICIES: [Policy; 4] = [
    Policy {
        name: "listed",
        toml: "origins = [\"https://app.example.com\", \"https://other.test\"]\n",
        settings: |layer| {
            layer
                .allow_origin(AllowOrigin::list([APP, "https://other.test"].map(value)))
                .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        },
    },
    Policy {
        name: "credentials",
        toml: "origins = \"https://*.example.com\"\ncredentials = true\n",
        settings: |layer| {
            let is_subdomain = |origin: &HeaderValue, _: &_| {
                origin.as_bytes().starts_with(b"https://")
                    && origin.as_bytes().ends_with(b".example.com")
            };
            layer
                .allow_origin(AllowOrigin::predicate(is_subdomain))
                .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
                .allow_credentials(true)
        },
    },
    Policy {
        name: "null",
        toml: "origins = \"null\"\nheaders = \"*\"\n",
        settings: |layer| {
            layer
                .allow_origin(AllowOrigin::list([value("null")]))
                .allow_headers(AllowHeaders::mirror_request())
        },
    },
    Policy {
        name: "any",
        toml: "origins = \"*\"\n",
        settings: |layer| {
            layer
                .allow_origin(Any)
                .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        },
    },
];

/// One request.
#[derive(Debug)]
struct Case {
    policy: &'static str,
    method: &'static str,
    origins: &'static [&'static str],
    /// What a preflight asks for.
    requested: &'static [(&'static str, &'static str)],
}

const ORIGINS: [&[&str]; 6] = [
    &[APP],
    &[FOREIGN],
    &["null"],
    &[],
    &[APP, FOREIGN],
    &["https://app.example.com.evil.test"],
];

const METHOD: &str = "access-control-request-method";
const PRIVATE_NETWORK: &str = "access-control-request-private-network";
const REQUESTS: [(&str, &[(&str, &str)]); 8] = [
    ("GET", &[]),
    ("PUT", &[]),
    ("OPTIONS", &[]),
    ("OPTIONS", &[(METHOD, "GET")]),
    ("OPTIONS", &[(METHOD, "PUT")]),
    ("OPTIONS", &[(METHOD, "DELETE")]),
    (
        "OPTIONS",
        &[
            (METHOD, "PUT"),
            ("access-control-request-headers", "authorization,x-other"),
        ],
    ),
    ("OPTIONS", &[(METHOD, "GET"), (PRIVATE_NETWORK, "true")]),
];

impl Case {
    /// Asks for a method, and names the page.
    fn is_preflight(&self) -> bool {
        self.is_options() && !self.requested.is_empty() && !self.origins.is_empty()
    }

    fn is_options(&self) -> bool {
        self.method == "OPTIONS"
    }

    /// The policy allows the one origin of the request.
    fn is_allowed(&self) -> bool {
        match (self.policy, self.origins) {
            ("any", [_]) => true,
            ("null", ["null"]) => true,
            ("listed" | "credentials", [origin]) => *origin == APP,
            (_, _) => false,
        }
    }

    /// The response allows a script to read it: `*` depends on no origin.
    fn may_read(&self) -> bool {
        self.policy == "any" || self.is_allowed()
    }

    fn head(&self) -> String {
        let mut head = format!("{} /things HTTP/1.1\r\nHost: a\r\n", self.method);
        for (name, value) in self.headers() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let origins = self.origins.iter().map(|origin| ("origin", *origin));
        origins.chain(self.requested.iter().copied())
    }
}

/// A kind of difference in the status or in these headers.
struct Disagreement {
    fields: &'static [&'static str],
    matches: fn(&Case) -> bool,
    /// Why the gateway responds as it does.
    reason: &'static str,
}

const PREFLIGHT: &[&str] = &[
    "status",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
];

const DISAGREEMENTS: [Disagreement; 9] = [
    Disagreement {
        fields: &["access-control-allow-origin"],
        matches: |case| case.origins.len() > 1,
        reason: "two origins are none: no browser sends them. The layer reads the first",
    },
    Disagreement {
        fields: PREFLIGHT,
        matches: |case| case.is_options() && !case.is_preflight(),
        reason: "OPTIONS without Origin or without a requested method is no preflight: the route \
                 decides. The layer responds to every OPTIONS",
    },
    Disagreement {
        fields: &["access-control-expose-headers"],
        matches: |case| case.is_options() && case.may_read(),
        reason: "every response has the same headers. Browsers ignore this one in a preflight",
    },
    Disagreement {
        fields: &["status"],
        matches: |case| case.is_preflight() && case.is_allowed(),
        reason: "204 says that there is no content. Fetch accepts any 2xx",
    },
    Disagreement {
        fields: PREFLIGHT,
        matches: |case| case.is_preflight() && !case.is_allowed(),
        reason: "a preflight of a foreign origin is refused, so that it shows in the access log. The \
                 layer responds with 200, and only Access-Control-Allow-Origin is missing",
    },
    Disagreement {
        fields: &[
            "access-control-expose-headers",
            "access-control-allow-credentials",
        ],
        matches: |case| !case.may_read(),
        reason: "headers that mean nothing without Access-Control-Allow-Origin are not sent",
    },
    Disagreement {
        fields: &["access-control-allow-private-network"],
        matches: |case| !case.is_preflight() || !case.is_allowed(),
        reason: "it answers preflights of allowed origins alone",
    },
    Disagreement {
        fields: &["access-control-allow-private-network"],
        matches: |case| matches!(case.policy, "any" | "null"),
        reason: "a page reaches a private network only if its origin is listed by name",
    },
    Disagreement {
        fields: &["vary"],
        matches: |case| case.policy == "null",
        reason: "a preflight is never cached by its headers, and no other response depends on them",
    },
];

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// What stands behind the layer.
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(String::new());
        response.headers_mut().insert(header::VARY, value("Accept"));
        ready(Ok(response))
    }
}

/// What decides whether a browser sends a request, and shows its response to the script.
type Fields = BTreeMap<String, BTreeSet<String>>;

fn fields<'h>(status: u16, headers: impl Iterator<Item = (&'h str, &'h str)>) -> Fields {
    let mut fields = Fields::from([("status".to_owned(), [status.to_string()].into())]);
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "vary" || CORS.contains(&name.as_str()) {
            let members = value
                .split(',')
                .map(|member| member.trim().to_ascii_lowercase());
            fields.entry(name).or_default().extend(members);
        }
    }
    fields
}

fn ours(gateway: &Gateway, case: &Case) -> Fields {
    let response = send(gateway.address, case.head());
    let headers = response.headers.iter();
    fields(
        response.status,
        headers.map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

async fn theirs(policy: &Policy, case: &Case) -> Fields {
    let expose = [
        "www-authenticate",
        "x-request-id",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
    ];
    let layer = Cors::new(Inner)
        .allow_methods([Method::GET, Method::HEAD, Method::PUT])
        .expose_headers(ExposeHeaders::list(expose.map(HeaderName::from_static)))
        .max_age(Duration::from_secs(7200))
        .allow_private_network(AllowPrivateNetwork::yes());
    let mut request = Request::builder().method(case.method).uri("/things");
    for (name, value) in case.headers() {
        request = request.header(name, value);
    }
    let request = request.body(()).expect("a request");
    let Ok(response) = (policy.settings)(layer).call(request).await;
    let headers = response.headers().iter();
    fields(
        response.status().as_u16(),
        headers.map(|(name, value)| (name.as_str(), value.to_str().expect("a text"))),
    )
}

#[tokio::test]
async fn cors_layer_of_tower_http_agrees_except_for_listed_disagreements() {
    let upstream = Server::start(|_| Reply::new(200, &[("Vary", "Accept")], ""));
    let mut counts = vec![0; DISAGREEMENTS.len()];
    let (mut equal, mut unexpected) = (0, Vec::new());
    for policy in &POLICIES {
        let gateway = Gateway::start(&format!(
            "[cors]\n{}[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/things\"\n\
             methods = [\"GET\", \"PUT\"]\npublic = true\nupstream = \"up\"\n",
            policy.toml, upstream.address,
        ));
        for origins in ORIGINS {
            for (method, requested) in REQUESTS {
                let case = Case {
                    policy: policy.name,
                    method,
                    origins,
                    requested,
                };
                let (ours, theirs) = (ours(&gateway, &case), theirs(policy, &case).await);
                for field in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
                    if ours.get(field) == theirs.get(field) {
                        equal += 1;
                        continue;
                    }
                    let known = DISAGREEMENTS.iter().position(|known| {
                        known.fields.contains(&field.as_str()) && (known.matches)(&case)
                    });
                    match known {
                        Some(known) => counts[known] += 1,
                        None => unexpected.push(format!(
                            "{field}: ours {:?}, theirs {:?}: {case:?}",
                            ours.get(field),
                            theirs.get(field)
                        )),
                    }
                }
            }
        }
    }
    assert!(unexpected.is_empty(), "{:#?}", unexpected);
    for (known, count) in DISAGREEMENTS.iter().zip(counts) {
        println!("{count}: {:?}, {}", known.fields, known.reason);
        assert!(count > 0, "no request shows this: {}", known.reason);
    }
    println!("{equal} fields are equal");
    assert!(equal > 200, "{equal} fields are equal");
}
