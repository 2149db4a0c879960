//! A connection to Redis or Valkey: our own socket and TLS, with timeouts and bounds.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisError, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::transport::{self, Stream};

/// Bytes that a server may send after each write. The largest reply is a page of messages: 1 MiB.
const MAX_REPLY: usize = 8 * 1024 * 1024;
/// Commands that wait for their turn.
const MAX_QUEUE: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How the servers of a fleet are reached.
pub struct RedisSettings {
    /// The servers, in the order in which they are tried.
    pub servers: Vec<RedisServer>,
    /// The user; none for that of servers with a password only.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// How servers are trusted.
    pub tls: Arc<ClientConfig>,
}

/// One server.
#[derive(Clone, Debug)]
pub enum RedisServer {
    /// Over TCP.
    Tcp {
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
        /// The name that its certificate must have; none without TLS.
        tls_name: Option<ServerName<'static>>,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why the fleet cannot be heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum FleetError {
    /// No connection.
    #[error("{server}: {source}")]
    Connect {
        server: RedisServer,
        #[source]
        source: io::Error,
    },
    /// No reply in time.
    #[error("{server}: no reply within {wait:?}")]
    Timeout { server: RedisServer, wait: Duration },
    /// The server refuses, or closes the connection.
    #[error("{server}: {source}")]
    Refused {
        server: RedisServer,
        #[source]
        source: RedisError,
    },
    /// The server is no primary.
    #[error("{0}: is a replica, and not the primary")]
    Replica(RedisServer),
    /// The reply is not what was asked for.
    #[error("unexpected reply")]
    UnexpectedReply,
    /// Heartbeats do not come back.
    #[error("own heartbeats do not come back")]
    Unheard,
    /// Nothing was published although this gateway misses something.
    #[error("no snapshot of the revocations was published; the stream is read again")]
    Unanswered,
    /// Messages that were read are no longer in the stream.
    #[error("the stream of revocations has lost messages; it is read again")]
    Lost,
    /// Nothing can be sealed.
    #[error(transparent)]
    Unsealed(#[from] super::seal::SealError),
}

/// An open connection. Dropping it closes it.
pub(super) struct Redis {
    server: RedisServer,
    connection: MultiplexedConnection,
    _driver: JoinSet<()>,
}

impl Redis {
    /// Connects to the first server that is a primary and holds `key`.
    pub(super) async fn connect(settings: &RedisSettings, key: &str) -> Result<Self, FleetError> {
        let mut last = None;
        for server in &settings.servers {
            let opening = Self::open(settings, server, key);
            let opened = timeout(CONNECT_TIMEOUT, opening).await;
            match opened.unwrap_or(Err(FleetError::Connect {
                server: server.clone(),
                source: io::ErrorKind::TimedOut.into(),
            })) {
                Ok(redis) => return Ok(redis),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(FleetError::UnexpectedReply))
    }

    async fn open(
        settings: &RedisSettings,
        server: &RedisServer,
        key: &str,
    ) -> Result<Self, FleetError> {
        let stream = server
            .connect(&settings.tls)
            .await
            .map_err(|source| FleetError::Connect {
                server: server.clone(),
                source,
            })?;
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &settings.username {
            info = info.set_username(username);
        }
        if let Some(password) = &settings.password {
            info = info.set_password(password.expose_secret());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MAX_QUEUE);
        let stream = BoundedStream {
            stream,
            left: MAX_REPLY,
        };
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
            .await
            .map_err(|source| FleetError::Refused {
                server: server.clone(),
                source,
            })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        let mut this = Self {
            server: server.clone(),
            connection,
            _driver: tasks,
        };
        let Value::Array(role) = this.query(redis::cmd("ROLE"), CONNECT_TIMEOUT).await? else {
            return Err(FleetError::UnexpectedReply);
        };
        if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
            return Err(FleetError::Replica(server.clone()));
        }
        // A node of a cluster that does not hold the key refuses.
        let mut length = redis::cmd("XLEN");
        length.arg(key);
        this.query(length, CONNECT_TIMEOUT).await?;
        Ok(this)
    }

    /// Sends a command, and waits for its reply.
    pub(super) async fn query(
        &mut self,
        command: Cmd,
        wait: Duration,
    ) -> Result<Value, FleetError> {
        let reply = timeout(wait, self.connection.send_packed_command(&command)).await;
        let reply = reply.map_err(|_| self.timed_out(wait))?;
        // An error inside of a reply is one as well.
        reply
            .and_then(Value::extract_error)
            .map_err(|source| self.refused(source))
    }

    /// Sends several commands at once, and waits for their replies.
    pub(super) async fn query_all(
        &mut self,
        commands: &Pipeline,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<Value>, FleetError> {
        let replies = self.connection.send_packed_commands(commands, 0, count);
        let replies = timeout(wait, replies).await;
        let replies = replies.map_err(|_| self.timed_out(wait))?;
        let replies = replies.map_err(|source| self.refused(source))?;
        if replies.len() != count {
            return Err(FleetError::UnexpectedReply);
        }
        let replies = replies.into_iter().map(Value::extract_error);
        let replies = replies.collect::<Result<_, _>>();
        replies.map_err(|source| self.refused(source))
    }

    fn timed_out(&self, wait: Duration) -> FleetError {
        FleetError::Timeout {
            server: self.server.clone(),
            wait,
        }
    }

    fn refused(&self, source: RedisError) -> FleetError {
        FleetError::Refused {
            server: self.server.clone(),
            source,
        }
    }
}

impl RedisServer {
    async fn connect(&self, tls: &Arc<ClientConfig>) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => {
                transport::connect_unix(transport::unix_socket()?, path).map(Stream::Plain)
            }
            Self::Tcp {
                host,
                port,
                tls_name,
            } => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                let Some(name) = tls_name else {
                    return Ok(Stream::Plain(socket));
                };
                let connector = TlsConnector::from(Arc::clone(tls));
                let stream = connector.connect(name.clone(), socket).await?;
                Ok(Stream::Tls(Box::new(stream.into())))
            }
        }
    }
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

/// Ends when the peer sends more than any reply has.
struct BoundedStream {
    stream: Stream,
    left: usize,
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buf);
        match self.left.checked_sub(buf.filled().len() - before) {
            Some(left) => self.left = left,
            None => {
                let error = "the server sent more than any reply has";
                return Poll::Ready(Err(io::Error::other(error)));
            }
        }
        poll
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.left = MAX_REPLY;
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
