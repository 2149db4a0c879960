//! Streamed bodies are not buffered. The only test in its process, because it measures the memory
//! of the process.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::Client;

use harness::{Gateway, HyperServer};

const GIBIBYTE: u64 = 1024 * 1024 * 1024;
/// Maximum memory that client, gateway and upstream may add together, with a reserve for the
/// allocator.
const MAX_GROWTH: u64 = 16 * 1024 * 1024;

/// A body of `left` bytes, generated on demand.
struct LargeBody {
    left: u64,
    chunk: Bytes,
}

impl Body for LargeBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let length = self.left.min(self.chunk.len() as u64);
        self.left -= length;
        let chunk = self
            .chunk
            .slice(..usize::try_from(length).expect("a chunk"));
        Poll::Ready((length > 0).then_some(Ok(Frame::data(chunk))))
    }
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .expect("a number")
        * 4096
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn memory_stays_flat_for_a_gibibyte_each_way_over_http2() {
    // The log of the harness would grow with every frame.
    tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::default())
        .expect("the first");
    let upstream = HyperServer::start(true, None);
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\nprotocol = \"http2\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let tls = scopegate::transport::tls::client(rustls::RootCertStore::empty(), None)
            .expect("a configuration");
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http2_prior_knowledge()
            .no_proxy()
            .build()
            .expect("a client");
        let url = format!("http://{}/echo", gateway.address);
        let exchange = async |length: u64| {
            let body = LargeBody {
                left: length,
                chunk: Bytes::from(vec![7; 64 * 1024]),
            };
            let mut response = client
                .post(&url)
                .body(reqwest::Body::wrap(body))
                .send()
                .await
                .expect("a response");
            assert_eq!(response.status(), 200);
            let (mut received, mut peak) = (0, 0);
            while let Some(chunk) = response.chunk().await.expect("a whole body") {
                let before = received;
                received += chunk.len() as u64;
                if before >> 26 != received >> 26 {
                    peak = peak.max(resident());
                }
            }
            assert_eq!(received, length);
            peak
        };
        // A first exchange allocates the buffers and pools that stay.
        let before = exchange(GIBIBYTE / 16).await.max(resident());
        let peak = exchange(GIBIBYTE).await;
        assert!(
            peak < before + MAX_GROWTH,
            "{} MiB before, {} MiB at peak",
            before >> 20,
            peak >> 20
        );
    });
    assert_eq!(
        upstream
            .seen()
            .iter()
            .map(|seen| seen.body as u64)
            .sum::<u64>(),
        GIBIBYTE + GIBIBYTE / 16
    );
}
