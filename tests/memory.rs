//! What streams through is not held. One test in a process of its own, because it is its memory that is looked at.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::Client;

use harness::{Gateway, HyperServer};

const GIBIBYTE: u64 = 1024 * 1024 * 1024;
/// What both ends and the gateway may hold of it together, with room for what allocators keep.
const MAX_HELD: u64 = 16 * 1024 * 1024;

/// So many bytes, made as they are asked for.
struct Long {
    left: u64,
    chunk: Bytes,
}

impl Body for Long {
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
    // The harness would keep a log of every frame.
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
            let long = Long {
                left: length,
                chunk: Bytes::from(vec![7; 64 * 1024]),
            };
            let mut answer = client
                .post(&url)
                .body(reqwest::Body::wrap(long))
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 200);
            let (mut came, mut most) = (0, 0);
            while let Some(chunk) = answer.chunk().await.expect("a whole body") {
                let before = came;
                came += chunk.len() as u64;
                if before >> 26 != came >> 26 {
                    most = most.max(resident());
                }
            }
            assert_eq!(came, length);
            most
        };
        // What the first bytes bring with them, buffers and pools, is there to stay.
        let before = exchange(GIBIBYTE / 16).await.max(resident());
        let most = exchange(GIBIBYTE).await;
        assert!(
            most < before + MAX_HELD,
            "{} MiB before, {} MiB at most",
            before >> 20,
            most >> 20
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
