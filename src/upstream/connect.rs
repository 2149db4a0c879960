//! A new connection to a target.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::pool::Connection;
use super::request_body::RequestBody;
use super::settings::{Settings, Target};
use crate::clock::Ticker;
use crate::net::{Pace, PaceLimits, Paced, Stream};

/// A connection whose protocol was switched, and what came on it after the 101.
pub struct FarEnd {
    /// The connection.
    pub stream: Paced<Stream>,
    /// Its first bytes in the new protocol.
    pub early: Bytes,
}

/// Connects to `target`, in the clear or over TLS, and speaks HTTP/1.1 on it.
///
/// # Errors
/// The last address's, where a name has several; [`io::ErrorKind::TimedOut`] after `connect_timeout`.
pub(super) async fn connect(settings: &Settings, target: &Target, ticker: &Rc<Ticker>) -> io::Result<Connection> {
    let (connection, driver) = speak(settings, target, ticker).await?;
    // Its errors reach the exchange that it breaks; an idle connection may end as it likes.
    tokio::task::spawn_local(async move {
        let _ = driver.await;
    });
    Ok(connection)
}

/// As [`connect`], for a request that asks for another protocol; the connection comes back when that was agreed to.
///
/// # Errors
/// As [`connect`].
pub(super) async fn connect_to_switch(
    settings: &Settings,
    target: &Target,
    ticker: &Rc<Ticker>,
) -> io::Result<(Connection, oneshot::Receiver<FarEnd>)> {
    let (connection, driver) = speak(settings, target, ticker).await?;
    let (tell, switched) = oneshot::channel();
    tokio::task::spawn_local(async move {
        if let Ok(parts) = driver.without_shutdown().await {
            // An error means that nobody wants it any more: no 101 came.
            let _ = tell.send(FarEnd { stream: parts.io.into_inner(), early: parts.read_buf });
        }
    });
    Ok((connection, switched))
}

type Driver = http1::Connection<TokioIo<Paced<Stream>>, RequestBody>;

async fn speak(settings: &Settings, target: &Target, ticker: &Rc<Ticker>) -> io::Result<(Connection, Driver)> {
    let stream = tokio::time::timeout(settings.connect_timeout, open(settings, target))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within connect_timeout"))??;

    let pace = Pace::exchange();
    let limits = PaceLimits {
        keep_alive: settings.pool_idle_timeout,
        header: settings.response_timeout,
        write: settings.body_idle_timeout,
    };
    let io = TokioIo::new(Paced::new(stream, Rc::clone(&pace), limits, ticker));
    let (sender, driver) = http1::handshake::<_, RequestBody>(io).await.map_err(io::Error::other)?;
    Ok((Connection { sender, pace }, driver))
}

async fn open(settings: &Settings, target: &Target) -> io::Result<Stream> {
    let socket = dial(target).await?;
    socket.set_nodelay(true)?;
    match &target.tls_name {
        None => Ok(Stream::Plain(socket)),
        Some(name) => {
            let connector = TlsConnector::from(settings.tls.clone());
            Ok(Stream::Tls(Box::new(connector.connect(name.clone(), socket).await?.into())))
        }
    }
}

async fn dial(target: &Target) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((target.host.as_str(), target.port)).await? {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
