//! Bytes on a socket, and how long the other side puts up with them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection that says whatever it is told to.
pub struct Raw {
    stream: TcpStream,
    opened: Instant,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP stream");
        Raw { stream, opened: Instant::now() }
    }

    /// A closed connection is no error here: whether it is, is often the question.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// What came until `enough` is content.
    pub async fn hear(&mut self, enough: impl Fn(&str) -> bool) -> String {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !enough(&String::from_utf8_lossy(&heard)) {
            let read = timeout(Duration::from_secs(20), self.stream.read(&mut buffer)).await.expect("an answer in time");
            match read {
                Ok(0) | Err(_) => break,
                Ok(count) => heard.extend_from_slice(&buffer[..count]),
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Everything that comes until the other side closes, and how long after the connection began that was; `None` when
    /// it has not closed `patience` later.
    pub async fn closed_after(&mut self, patience: Duration) -> Option<(Duration, Vec<u8>)> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        let closed = timeout(patience, async {
            // A reset is a close, too.
            while let Ok(count @ 1..) = self.stream.read(&mut buffer).await {
                heard.extend_from_slice(&buffer[..count]);
            }
        });
        closed.await.ok().map(|()| (self.opened.elapsed(), heard))
    }
}
