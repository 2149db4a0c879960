//! A new connection to a target.

use std::io;
use std::rc::Rc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::pool::Connection;
use super::request_body::RequestBody;
use super::settings::{Settings, Target};
use crate::clock::Ticker;
use crate::net::{Pace, PaceLimits, Paced, Stream};

/// Connects to `target`, in the clear or over TLS, and speaks HTTP/1.1 on it.
///
/// # Errors
/// The last address's, where a name has several; [`io::ErrorKind::TimedOut`] after `connect_timeout`.
pub(super) async fn connect(settings: &Settings, target: &Target, ticker: &Rc<Ticker>) -> io::Result<Connection> {
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
    let (sender, connection) = http1::handshake::<_, RequestBody>(io).await.map_err(io::Error::other)?;
    // Its errors reach the exchange that it breaks; an idle connection may end as it likes.
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    Ok(Connection { sender, pace })
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
