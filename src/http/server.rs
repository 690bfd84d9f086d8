//! Our own accept loop. `axum::serve` sets no timer, so hyper's time-out on heads never fires there, and nothing at all
//! limits the wait for a connection's first byte (R18, A50). Here both do, connections are counted, and a signal drains.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use crate::app::App;
use crate::http::extract::Peer;
use crate::http::frame;
use crate::http::room::Room;
use crate::http::tls::Tls;

/// Longest head of a request, in bytes (INP-04).
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Streams of one HTTP/2 connection at once: as few as RFC 9113 advises (6.5.2), so that a client of many has to open more.
const STREAMS: u32 = 100;
/// Where a moment's rest follows a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener and what it serves.
pub struct Server {
    /// Where it listens.
    pub listener: TcpListener,
    /// What it serves.
    pub router: Router,
    /// The application around every handler.
    pub app: Arc<App>,
    /// TLS, or plain text.
    pub tls: Option<Arc<Tls>>,
    /// Connections at once.
    pub max_connections: usize,
    /// Requests at once; one more is shed.
    pub max_requests: usize,
    /// First byte, whole head, next request.
    pub header_timeout: Duration,
    /// After the signal.
    pub drain_timeout: Duration,
}

impl Server {
    /// Serves until `stop` turns true, then lets requests under way finish for `drain_timeout`.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let graceful = GracefulShutdown::new();
        let room = Room::new(self.max_requests);
        let shared = Arc::new(Connection { router: self.router, app: self.app, room, header_timeout: self.header_timeout });
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Above the cap the connection is closed at once: a queue here would be one more thing to fill.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (shared, tls, watcher, stop) = (Arc::clone(&shared), self.tls.clone(), graceful.watcher(), stop.clone());
            tokio::spawn(async move {
                shared.app.metrics.connections(1);
                Arc::clone(&shared).serve(stream, peer, tls, watcher, stop).await;
                shared.app.metrics.connections(-1);
                drop(place);
            });
        }
        drop(self.listener);
        let drained = async {
            graceful.shutdown().await;
            // Those whose callers hung up are still worked on.
            shared.room.emptied().await;
        };
        if timeout(self.drain_timeout, drained).await.is_err() {
            tracing::warn!("some requests did not finish within the drain time-out");
        }
    }
}

struct Connection {
    router: Router,
    app: Arc<App>,
    room: Room,
    header_timeout: Duration,
}

type Watcher = hyper_util::server::graceful::Watcher;

impl Connection {
    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Arc<Tls>>,
        watcher: Watcher,
        mut stop: watch::Receiver<bool>,
    ) {
        // An answer is one small write: waiting to fill a segment only delays it.
        let _ = stream.set_nodelay(true);
        // hyper finds out which protocol is spoken by reading, without a time-out: so nothing is handed to it before
        // something can be read.
        if self.soon(&mut stop, first_byte(&stream)).await != Some(true) {
            return;
        }
        match tls {
            None => self.speak(stream, peer, watcher).await,
            Some(tls) => {
                if let Some(stream) = self.soon(&mut stop, tls.acceptor().accept(stream)).await {
                    self.speak(stream, peer, watcher).await;
                }
            }
        }
    }

    /// What must come in time, and need not come any more once the server stops: nothing was asked yet.
    async fn soon<T>(&self, stop: &mut watch::Receiver<bool>, work: impl Future<Output = io::Result<T>>) -> Option<T> {
        tokio::select! {
            done = timeout(self.header_timeout, work) => done.ok()?.ok(),
            _ = stop.wait_for(|stop| *stop) => None,
        }
    }

    async fn speak(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr, watcher: Watcher) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header_timeout).max_buf_size(HEAD_MAX_BYTES).max_headers(100);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_MAX_BYTES as u32)
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(self.header_timeout)
            .keep_alive_timeout(self.header_timeout);
        let asked = Notify::new();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            asked.notify_one();
            let (shared, router) = (Arc::clone(&self), self.router.clone());
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            async move { Ok::<_, std::convert::Infallible>(frame::answer(&shared.app, &shared.room, router, request).await) }
        });
        let mut connection = pin!(watcher.watch(builder.serve_connection(TokioIo::new(stream), service)));
        // hyper's timers run once it knows the protocol, and "P" may be POST or HTTP/2: so the first request has a timer of
        // its own. Broken and slow connections end here every day; they are counted by the metrics and are no news.
        tokio::select! {
            _ = &mut connection => {}
            first = timeout(self.header_timeout, asked.notified()) => if first.is_ok() { let _ = connection.await; },
        }
    }
}

/// Waits until something can be read. False: the other side closed.
async fn first_byte(stream: &TcpStream) -> io::Result<bool> {
    let mut byte = [0; 1];
    Ok(stream.peek(&mut byte).await? > 0)
}
