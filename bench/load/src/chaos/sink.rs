//! The provider that everything is sent to: it takes each message, and remembers what it took and when.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::chaos::history::Sent;
use crate::response::text_field;

/// A listening sink. Its threads end with the process.
#[derive(Clone)]
pub struct Sink {
    /// Where it listens.
    pub port: u16,
    began: Instant,
    delay_ms: Arc<AtomicU64>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Sink {
    /// Listens; moments count from `began`.
    pub fn listen(began: Instant) -> Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let sink = Sink { port: listener.local_addr()?.port(), began, delay_ms: Arc::default(), sent: Arc::default() };
        let shared = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(sink)
    }

    /// Takes messages at once, and answers so much later.
    pub fn delay(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// Everything that was taken, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest code that was sent there.
    pub fn code(&self, to: &str) -> Option<String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().rev().find(|sent| sent.to == to).map(|sent| sent.code.clone())
    }

    /// That code, once it is there.
    pub fn awaited(&self, to: &str, patience: Duration) -> Option<String> {
        let until = Instant::now() + patience;
        loop {
            match self.code(to) {
                None if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                code => return code,
            }
        }
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let (mut buffer, mut piece) = (Vec::new(), [0; 8192]);
        stream.set_nodelay(true).ok()?;
        loop {
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            buffer.extend_from_slice(&piece[..count]);
            let Some(body) = body(&buffer) else { continue };
            if let (Some(to), Some(code)) = (text_field(body, "to"), text_field(body, "code")) {
                let sent = Sent { at: self.began.elapsed().as_micros() as u64, to: to.to_owned(), code: code.to_owned() };
                self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
            }
            buffer.clear();
            let delay = self.delay_ms.load(Ordering::Relaxed);
            if delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").ok()?;
        }
    }
}

/// The body, once all of it is there. One request at a time comes over a connection.
fn body(buffer: &[u8]) -> Option<&[u8]> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(buffer).ok()? else { return None };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = std::str::from_utf8(length.value).ok()?.trim().parse().ok()?;
    buffer.get(head..head + length)
}
