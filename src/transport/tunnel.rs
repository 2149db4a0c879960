//! Two connections made one, when their protocol is no longer ours (RFC 9110 §7.8).

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::clock::Ticker;

const CHUNK: usize = 16 * 1024;

/// One end, and what came from it before the two were joined.
pub struct TunnelEnd<S> {
    /// The connection.
    pub stream: S,
    /// Its first bytes.
    pub early: Bytes,
}

/// What has gone through so far.
#[derive(Debug, Default)]
pub struct TunnelBytes {
    /// Bytes from the near end to the far one.
    pub there: Cell<u64>,
    /// And back.
    pub back: Cell<u64>,
}

/// Carries bytes both ways until both ends have finished, one of them breaks, or nothing moves for `idle_timeout`. An end
/// that finishes is told to the other one, which may go on.
pub async fn tunnel<N, F>(
    near: TunnelEnd<N>,
    far: TunnelEnd<F>,
    carried: &TunnelBytes,
    idle_timeout: Duration,
    ticker: &Rc<Ticker>,
) where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let (near_reads, near_writes) = split(near.stream);
    let (far_reads, far_writes) = split(far.stream);
    let TunnelBytes { there, back } = carried;
    let carrying = async {
        // One that breaks takes the other with it.
        let _ = tokio::try_join!(
            carry(near_reads, near.early, far_writes, there),
            carry(far_reads, far.early, near_writes, back)
        );
    };
    let idle = async {
        let deadline = ticker.deadline();
        loop {
            let before = (there.get(), back.get());
            deadline.arm(idle_timeout);
            poll_fn(|context| deadline.poll_passed(context)).await;
            if before == (there.get(), back.get()) {
                return;
            }
        }
    };
    tokio::select! {
        () = carrying => {}
        () = idle => {}
    }
}

async fn carry<R: AsyncRead, W: AsyncWrite>(
    mut from: ReadHalf<R>,
    early: Bytes,
    mut to: WriteHalf<W>,
    carried: &Cell<u64>,
) -> io::Result<()> {
    let mut write = async |bytes: &[u8]| {
        to.write_all(bytes).await?;
        to.flush().await?;
        carried.set(carried.get() + bytes.len() as u64);
        Ok::<_, io::Error>(())
    };
    if !early.is_empty() {
        write(&early).await?;
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
