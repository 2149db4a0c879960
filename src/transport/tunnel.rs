//! Copies bytes between two connections after they have switched protocols (RFC 9110 §7.8).

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::clock::Ticker;

const CHUNK: usize = 16 * 1024;

/// One end of a tunnel.
pub struct TunnelEnd<S> {
    /// The connection.
    pub stream: S,
    /// Bytes that were read from it before the tunnel began.
    pub buffered: Bytes,
}

/// The bytes that were copied so far.
#[derive(Debug, Default)]
pub struct TunnelBytes {
    /// From the client to the upstream.
    pub to_upstream: Cell<u64>,
    /// From the upstream to the client.
    pub to_client: Cell<u64>,
}

/// Copies bytes in both directions until both ends have finished, one of them breaks, or nothing
/// was copied for `idle_timeout`, which is noticed after at most twice that time. When one end finishes, the other one is shut down for writing
/// only.
pub async fn tunnel<C, U>(
    client: TunnelEnd<C>,
    upstream: TunnelEnd<U>,
    copied: &TunnelBytes,
    idle_timeout: Duration,
    ticker: &Rc<Ticker>,
) where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (client_reader, client_writer) = split(client.stream);
    let (upstream_reader, upstream_writer) = split(upstream.stream);
    let TunnelBytes {
        to_upstream,
        to_client,
    } = copied;
    let copying = async {
        // An error in one direction ends both.
        let _ = tokio::try_join!(
            copy(client_reader, client.buffered, upstream_writer, to_upstream),
            copy(upstream_reader, upstream.buffered, client_writer, to_client)
        );
    };
    let idle = async {
        let deadline = ticker.deadline();
        loop {
            let before = (to_upstream.get(), to_client.get());
            deadline.arm(idle_timeout);
            poll_fn(|context| deadline.poll_passed(context)).await;
            if before == (to_upstream.get(), to_client.get()) {
                return;
            }
        }
    };
    tokio::select! {
        () = copying => {}
        () = idle => {}
    }
}

async fn copy<R: AsyncRead, W: AsyncWrite>(
    mut from: ReadHalf<R>,
    buffered: Bytes,
    mut to: WriteHalf<W>,
    copied: &Cell<u64>,
) -> io::Result<()> {
    let mut write = async |bytes: &[u8]| {
        to.write_all(bytes).await?;
        to.flush().await?;
        copied.set(copied.get() + bytes.len() as u64);
        Ok::<_, io::Error>(())
    };
    if !buffered.is_empty() {
        write(&buffered).await?;
    }
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        write(&chunk[..read]).await?;
    }
    to.shutdown().await
}
