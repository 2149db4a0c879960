//! Exported spans, and the trace context sent to the upstream (W3C Trace Context).

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use harness::{Gateway, Reply, Response, Server, TestBed, eventually, logged, send};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const ROUTES: &str = "
[[routes]]
path = \"/open\"
public = true
upstream = \"up\"

[[routes]]
path = \"/apps/{id}\"
scope = \"app.{id}\"
issuers = \"corp\"
upstream = \"up\"
";

const OPAQUE: &str = "
[[routes]]
path = \"/opaque\"
issuers = \"introspected\"
upstream = \"up\"
";

/// A collector, and a gateway that sends it spans.
struct Traced {
    collector: Server,
    test_bed: TestBed,
}

impl Traced {
    fn start(telemetry_keys: &str, top: &str) -> Self {
        let collector =
            Server::start(|_| Reply::new(200, &[("content-type", "application/x-protobuf")], ""));
        let top = format!(
            "[telemetry]\notlp_endpoint = \"http://{}\"\nservice_name = \"gate\"\n{telemetry_keys}\n{top}",
            collector.address
        );
        let opaque = if top.contains("[issuers.introspected]") {
            OPAQUE
        } else {
            ""
        };
        let test_bed = TestBed::toml(&top, "", "", &format!("{ROUTES}{opaque}"));
        Self {
            collector,
            test_bed,
        }
    }

    fn ask(&self, target: &str, fields: &str) -> Response {
        send(
            self.test_bed.address,
            format!("GET {target} HTTP/1.1\r\nHost: api.test:81\r\n{fields}\r\n"),
        )
    }

    /// The exported spans of a trace.
    fn spans(&self, trace: &str) -> Vec<Span> {
        let mut spans = spans(&self.collector);
        spans.retain(|span| hex(&span.trace_id) == trace);
        spans
    }
}

fn spans(collector: &Server) -> Vec<Span> {
    let mut spans = Vec::new();
    for request in collector.received() {
        assert_eq!((&*request.method, &*request.target), ("POST", "/v1/traces"));
        assert_eq!(request.header("content-type"), ["application/x-protobuf"]);
        let request = ExportTraceServiceRequest::decode(&*request.body).expect("protobuf");
        for resource in request.resource_spans {
            let attributes = resource.resource.expect("a resource").attributes;
            let name = attributes
                .iter()
                .find(|attribute| attribute.key == "service.name")
                .expect("a name");
            let name = name.value.clone().and_then(|value| value.value);
            assert!(matches!(name, Some(Value::StringValue(name)) if name == "gate"));
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    spans
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let attribute = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == name)?;
    let value = attribute.value.clone()?.value?;
    if let Value::IntValue(number) = value {
        return Some(number.to_string());
    }
    let Value::StringValue(text) = value else {
        panic!("{name}: {value:?}")
    };
    Some(text)
}

fn parent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: vendor=1\r\n")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn request_is_a_server_span_with_child_spans_and_the_upstream_continues_the_trace() {
    let traced = Traced::start("", "");
    let token = traced.test_bed.token("app.7");
    let authorization = format!("Authorization: Bearer {token}\r\n{}", parent("00"));
    let response = traced.ask("/apps/7?secret=query", &authorization);
    assert_eq!(response.status, 200);
    let sent = traced.test_bed.last();
    let [traceparent] = sent.header("traceparent")[..] else {
        panic!("expected one traceparent: {:?}", sent.headers)
    };
    assert_eq!(sent.header("tracestate"), ["vendor=1"]);
    eventually("the spans are exported", || traced.spans(TRACE).len() == 3);
    let spans = traced.spans(TRACE);
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("{name}: {spans:?}"))
    };
    let (server, verification, upstream) =
        (named("GET /apps/{id}"), named("verify token"), named("GET"));
    assert_eq!(
        (server.kind(), hex(&server.parent_span_id)),
        (SpanKind::Server, PARENT.to_owned())
    );
    assert_eq!(
        (verification.kind(), &verification.parent_span_id),
        (SpanKind::Internal, &server.span_id)
    );
    assert_eq!(
        (upstream.kind(), &upstream.parent_span_id),
        (SpanKind::Client, &server.span_id)
    );
    assert_eq!(
        traceparent,
        format!("00-{TRACE}-{}-01", hex(&upstream.span_id))
    );
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/apps/{id}"),
        ("http.response.status_code", "200"),
        ("server.address", "api.test"),
        ("client.address", "127.0.0.1"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("scopegate.decision", "permitted"),
        ("scopegate.issuer", "corp"),
        (
            "scopegate.request_id",
            response.header("x-request-id").expect("an id"),
        ),
    ] {
        assert_eq!(attribute(server, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(attribute(server, "error.type"), None);
    assert_eq!(
        attribute(upstream, "scopegate.upstream").as_deref(),
        Some("up")
    );
    for span in [server, verification, upstream] {
        assert!(
            server.start_time_unix_nano <= span.start_time_unix_nano,
            "{span:?}"
        );
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano,
            "{span:?}"
        );
        assert!(
            span.end_time_unix_nano <= server.end_time_unix_nano,
            "{span:?}"
        );
    }
    let line = traced.test_bed.requests.lines().pop().expect("a line");
    assert_eq!(line["trace_id"], TRACE, "the access log names the trace");

    // A cached token has no span of a verification.
    assert_eq!(
        traced
            .ask("/apps/7", &authorization.replace(TRACE, &"7".repeat(32)))
            .status,
        200
    );
    eventually("its spans are exported", || {
        !traced.spans(&"7".repeat(32)).is_empty()
    });
    let mut names: Vec<_> = traced
        .spans(&"7".repeat(32))
        .into_iter()
        .map(|span| span.name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["GET", "GET /apps/{id}"]);

    // No export contains the token, the path, the query or the client id.
    for request in traced.collector.received() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(
            !token.split('.').any(|piece| body.contains(piece)),
            "a token"
        );
        assert!(
            !body.contains("/apps/7") && !body.contains("secret") && !body.contains("client-1"),
            "{body}"
        );
    }
}

#[test]
fn span_of_a_refusal_names_the_reason() {
    let traced = Traced::start("", "");
    assert_eq!(traced.ask("/apps/7", &parent("00")).status, 401);
    eventually("the span is exported", || traced.spans(TRACE).len() == 1);
    let span = &traced.spans(TRACE)[0];
    assert_eq!(attribute(span, "error.type").as_deref(), Some("no_token"));
    assert_eq!(
        attribute(span, "scopegate.decision").as_deref(),
        Some("refused")
    );
    assert_eq!(
        attribute(span, "http.response.status_code").as_deref(),
        Some("401")
    );
    assert_eq!(
        span.status.as_ref().map_or(0, |status| status.code),
        0,
        "a refusal is no server error"
    );
}

#[test]
fn verification_and_introspection_have_spans() {
    let authorization_server = Server::start(|_| Reply::json("{\"active\":false}"));
    let issuer = format!(
        "[issuers.introspected]\nissuer = \"https://introspected.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
         [issuers.introspected.introspection]\nendpoint = \"http://{}/\"\nclient_id = \"c\"\nclient_secret = \"s\"\n",
        authorization_server.address
    );
    let traced = Traced::start("", &issuer);
    let fields = format!("Authorization: Bearer opaque-secret\r\n{}", parent("01"));
    assert_eq!(traced.ask("/opaque", &fields).status, 401);
    eventually("the spans are exported", || traced.spans(TRACE).len() == 3);
    let spans = traced.spans(TRACE);
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("{name}: {spans:?}"))
    };
    let (server, verification, introspection) = (
        named("GET /opaque"),
        named("verify token"),
        named("introspect token"),
    );
    assert_eq!(attribute(server, "error.type").as_deref(), Some("inactive"));
    assert_eq!(verification.parent_span_id, server.span_id);
    assert_eq!(
        (introspection.kind(), &introspection.parent_span_id),
        (SpanKind::Client, &verification.span_id)
    );
    assert_eq!(
        attribute(introspection, "scopegate.issuer").as_deref(),
        Some("introspected")
    );
}

#[test]
fn sampled_flag_counts_only_from_a_trusted_proxy() {
    let proxied = "[server]\ntrusted_proxies = \"127.0.0.1\"";
    for (ratio, top, flags, is_sampled) in [
        ("0.0", "", "01", false),
        ("1.0", "", "00", true),
        ("0.0", proxied, "01", true),
        ("1.0", proxied, "00", false),
    ] {
        let traced = Traced::start(&format!("sample_ratio = {ratio}"), top);
        assert_eq!(traced.ask("/open", &parent(flags)).status, 200);
        let sent = traced.test_bed.last();
        let traceparent = sent.header("traceparent")[0].to_owned();
        let expected = if is_sampled { "-01" } else { "-00" };
        assert!(
            traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with(expected),
            "{traceparent}"
        );
        assert!(!traceparent.contains(PARENT));
        let Traced {
            collector,
            test_bed,
        } = traced;
        // The gateway exports the remaining spans before it ends.
        drop(test_bed);
        let count = spans(&collector)
            .iter()
            .filter(|span| hex(&span.trace_id) == TRACE)
            .count();
        assert_eq!(
            count,
            if is_sampled { 2 } else { 0 },
            "{ratio} {top} {flags}"
        );
    }
}

#[test]
fn request_without_a_valid_traceparent_starts_a_new_trace_without_tracestate() {
    let traced = Traced::start("", "");
    for fields in [
        "",
        "traceparent: nonsense\r\ntracestate: vendor=1\r\n",
        &format!("{0}{0}", parent("01")),
    ] {
        assert_eq!(traced.ask("/open", fields).status, 200);
        let sent = traced.test_bed.last();
        let [traceparent] = sent.header("traceparent")[..] else {
            panic!("expected one traceparent: {:?}", sent.headers)
        };
        assert!(
            traceparent.len() == 55
                && traceparent.starts_with("00-")
                && !traceparent.contains(TRACE),
            "{traceparent}"
        );
        assert_eq!(sent.header("tracestate"), Vec::<&str>::new());
        let id = traceparent[3..35].to_owned();
        eventually("its spans are exported", || traced.spans(&id).len() == 2);
        let roots = traced
            .spans(&id)
            .into_iter()
            .filter(|span| span.parent_span_id.iter().all(|byte| *byte == 0));
        assert_eq!(
            roots.map(|span| span.name).collect::<Vec<_>>(),
            ["GET /open"]
        );
    }
}

#[test]
fn spans_do_not_depend_on_the_access_log() {
    for log in ["[log]\naccess = false", "[log]\nrefusals_per_second = 1"] {
        let traced = Traced::start("", log);
        for _ in 0..5 {
            assert_eq!(traced.ask("/apps/7", &parent("01")).status, 401);
        }
        eventually("the spans are exported", || traced.spans(TRACE).len() == 5);
    }
}

#[test]
fn traceparent_is_forwarded_unchanged_without_a_collector() {
    let test_bed = TestBed::routes(ROUTES);
    let fields = parent("01");
    assert_eq!(
        send(
            test_bed.address,
            format!("GET /open HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
        )
        .status,
        200
    );
    let sent = test_bed.last();
    assert_eq!(
        sent.header("traceparent"),
        [format!("00-{TRACE}-{PARENT}-01")]
    );
    assert_eq!(sent.header("tracestate"), ["vendor=1"]);
}

#[test]
fn failing_collector_drops_spans_and_affects_no_request() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let toml = |endpoint: &str| {
        format!(
            "[telemetry]\notlp_endpoint = \"{endpoint}\"\n[upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/open\"\npublic = true\nupstream = \"up\"\n",
            upstream.address
        )
    };
    let hanging = Server::start(|_| Reply::RawThenHang(Vec::new()));
    let failing = Server::start(|_| Reply::status(500));
    let gateways = [
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", failing.address),
    ]
    .map(|endpoint| Gateway::start(&toml(&endpoint)));
    for gateway in &gateways {
        assert_eq!(
            send(gateway.address, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
    // Before the others are waited for: each export takes seconds.
    let gateway = Gateway::start(&toml(&format!("http://{}/other/path", hanging.address)));
    for _ in 0..100 {
        assert_eq!(
            send(gateway.address, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
    for gateway in &gateways {
        eventually("dropped spans are counted", || dropped_spans(gateway) == 2);
    }
    for error in [
        "no response: Connection refused",
        "expected status 200, but found 500",
    ] {
        let line = format!("span export failed error={error}");
        assert!(logged(&line), "not logged: {error}");
    }
    eventually("the collector receives an export", || {
        hanging
            .received()
            .iter()
            .any(|request| request.target == "/other/path")
    });
}

fn dropped_spans(gateway: &Gateway) -> u64 {
    let metrics = send(
        gateway.admin,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("scopegate_dropped_spans_total"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect("a number")
}
