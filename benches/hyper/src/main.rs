//! A proxy that forwards everything and does nothing else: the least that one built on hyper costs.
//!
//!     bare-hyper PORT UPSTREAM
//!
//! One thread with its own runtime, as a worker of scopegate, and a pool of idle connections to the
//! upstream. It judges nothing, changes no header, and has no timeouts.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type AnyError = Box<dyn Error + Send + Sync>;

/// The upstream, and its idle connections.
struct Upstream {
    address: String,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("expected a port and the address of the upstream".into());
    };
    let upstream = Rc::new(Upstream {
        address,
        idle: RefCell::default(),
    });
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(serve(port.parse()?, upstream))
}

async fn serve(port: u16, upstream: Rc<Upstream>) -> Result<(), AnyError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let upstream = Rc::clone(&upstream);
        spawn_local(async move {
            let service = service_fn(|request| {
                let upstream = Rc::clone(&upstream);
                async move { upstream.forward(request).await }
            });
            // A client that disconnects is no fault.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

impl Upstream {
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Incoming>, AnyError> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        self.idle.borrow_mut().push(connection);
        Ok(response)
    }

    async fn connection(&self) -> Result<SendRequest<Incoming>, AnyError> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut connection) = idle else {
                return self.connect().await;
            };
            // It is ready once the last response was read to its end.
            if connection.is_ready() || connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, AnyError> {
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        spawn_local(connection);
        Ok(sender)
    }
}
