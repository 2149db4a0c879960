use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::clock::Clock;
use crate::config;
use crate::gateway::compile;
use crate::telemetry::Outcome;
use crate::transport::IncomingBody;
use crate::verify::WorkerCache;

const PUBLIC_ROUTE: &str = "\
[upstreams.up]
targets = \"http://127.0.0.1:1\"

[[routes]]
path = \"/public\"
public = true
upstream = \"up\"
";

/// What one request came to.
struct Verdict {
    judgement: Result<Judgement, Refusal>,
    outcome: Outcome,
    /// The length of the body, if it was read whole.
    body_read: Option<u64>,
    /// The body that would have been forwarded; none if it broke off.
    forwarded: Option<Bytes>,
}

/// The public route, with further keys.
fn snapshot(keys: &str) -> Arc<Snapshot> {
    let text = format!("{PUBLIC_ROUTE}{keys}\n");
    let (config, _) = config::parse("gateway.toml", &text).expect("a good file");
    Arc::new(compile(&config).expect("a good file"))
}

/// Judges a request that arrives over HTTP/1.1 by these steps.
fn run(steps: &[Step], snapshot: &Arc<Snapshot>, request: &str) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(4096);
        let judged = RefCell::new(None);
        let service = service_fn(async |request: Request<Incoming>| {
            *judged.borrow_mut() = Some(judge_one(steps, snapshot, request).await);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        });
        client
            .write_all(request.as_bytes())
            .await
            .expect("an open connection");
        let serving = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(server), service);
        // A malformed body is an error of the connection, too.
        let _ = serving.await;
        judged.take().expect("a request")
    })
}

async fn judge_one(
    steps: &[Step],
    snapshot: &Arc<Snapshot>,
    request: Request<Incoming>,
) -> Verdict {
    let (parts, incoming) = request.into_parts();
    let ticker = Ticker::new(Clock::system());
    let mut body = RequestBody::new(
        IncomingBody::Http1(incoming),
        &snapshot.reserved,
        snapshot.body_idle_timeout,
        &ticker,
    );
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = ClientInfo::new(address.into(), false, HeaderValue::from_static("http"));
    let connection_cache = ConnectionCache::new(WorkerCache::new(Arc::default()));
    let context = RequestContext {
        snapshot,
        limits: &WorkerLimits::new(&snapshot.limits),
        connection_cache: &connection_cache,
        ticker: &ticker,
        redirect: None,
        client: &client,
    };
    let head = RequestHead::new(&parts, None);
    let mut facts = Facts::default();
    let judgement = judge(steps, &context, &head, &mut body, None, &mut facts).await;
    Verdict {
        judgement,
        outcome: facts.outcome(),
        body_read: body.buffered_length(),
        forwarded: body.collect().await.ok().map(|body| body.to_bytes()),
    }
}

fn reply_with_no_content<'h>(
    _: &RequestContext<'h>,
    _: &'h RequestHead<'_>,
    _: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(Flow::Reply(Box::new(response)))
}

#[test]
fn step_can_reply_before_the_route_is_known() {
    let steps = [
        Step::Checks(&[admit]),
        Step::Checks(&[reply_with_no_content, find_route]),
    ];
    let request = "OPTIONS /nowhere HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let judged = run(&steps, &snapshot(""), request);
    let Ok(Judgement::Reply(response)) = judged.judgement else {
        panic!("expected a reply")
    };
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(judged.outcome, Outcome::Replied);
}

const MESSAGE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;

fn upload() -> String {
    format!(
        "POST /public HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{MESSAGE}",
        MESSAGE.len()
    )
}

#[test]
fn body_that_a_route_asks_for_is_read_before_the_rules_and_forwarded_whole() {
    let limit = format!("mcp = {{}}\nmax_body_size = \"{}B\"", MESSAGE.len());
    for keys in ["mcp = {}", &limit] {
        let judged = run(&STEPS, &snapshot(keys), &upload());
        assert!(matches!(judged.judgement, Ok(Judgement::Forward(_))));
        assert_eq!(judged.body_read, Some(MESSAGE.len() as u64));
        let forwarded = judged.forwarded.expect("a whole body");
        assert_eq!(forwarded, MESSAGE, "{keys}");
    }
}

#[test]
fn body_is_not_read_unless_a_route_asks_for_it() {
    for keys in ["", "mcp = { body = \"trust\" }"] {
        let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: ping\r\nHost";
        let upload = upload().replacen("Host", headers, 1);
        let judged = run(&STEPS, &snapshot(keys), &upload);
        assert!(matches!(judged.judgement, Ok(Judgement::Forward(_))));
        assert_eq!(judged.body_read, None);
        assert_eq!(judged.forwarded.expect("a whole body"), MESSAGE);
    }
}

#[test]
fn body_that_breaks_off_refuses_the_request() {
    let broken = "POST /public HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\n\
                  Transfer-Encoding: chunked\r\n\r\nx\r\n";
    let judged = run(&STEPS, &snapshot("mcp = {}"), broken);
    assert!(matches!(
        judged.judgement,
        Err(Refusal::BodyFault(RequestBodyFault::Broken))
    ));
}

#[test]
fn steps_that_decide_nothing_let_nothing_pass() {
    let request = "GET /public HTTP/1.1\r\nHost: api.test\r\n\r\n";
    for steps in [&[][..], &STEPS[..3], &STEPS[..6], &STEPS[1..], &STEPS[3..]] {
        let judged = run(steps, &snapshot(""), request);
        assert!(matches!(judged.judgement, Err(Refusal::Internal)));
        assert_eq!(judged.outcome, Outcome::Undecided);
    }
    let judged = run(&STEPS, &snapshot(""), request);
    assert!(matches!(judged.judgement, Ok(Judgement::Forward(_))));
    assert_eq!(judged.outcome, Outcome::Public);
}
