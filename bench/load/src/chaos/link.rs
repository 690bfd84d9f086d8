//! The way to a database: a proxy that can be slowed, cut, and left hanging.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

const OPEN: u8 = 0;
const CUT: u8 = 1;
const SILENT: u8 = 2;

/// How long a pump waits before it looks whether the line is open again.
const LOOK: Duration = Duration::from_millis(5);

/// A proxy on loopback. Its threads end with the process.
#[derive(Clone)]
pub struct Link {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    behind: u16,
    state: AtomicU8,
    delay_ms: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Link {
    /// A way to the port `behind`.
    pub fn to(behind: u16) -> Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let shared = Arc::new(Shared { behind, state: AtomicU8::new(OPEN), delay_ms: AtomicU64::new(0), streams: Mutex::default() });
        let link = Link { port: listener.local_addr()?.port(), shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What is cut answers nobody; the caller sees a connection that ends at once.
                if shared.state.load(Ordering::Relaxed) != CUT {
                    let _ = shared.join(stream);
                }
            }
        });
        Ok(link)
    }

    /// Ends every connection, and refuses new ones.
    pub fn cut(&self) {
        self.shared.state.store(CUT, Ordering::Relaxed);
        for stream in self.shared.streams().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Nothing comes through any more, and nobody is told.
    pub fn silence(&self) {
        self.shared.state.store(SILENT, Ordering::Relaxed);
    }

    /// As it should be.
    pub fn heal(&self) {
        self.shared.delay_ms.store(0, Ordering::Relaxed);
        self.shared.state.store(OPEN, Ordering::Relaxed);
    }

    /// Each piece takes so much longer, each way.
    pub fn slow(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Shared {
    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, near: TcpStream) -> std::io::Result<()> {
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, self.behind))?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        self.streams().extend([near.try_clone()?, far.try_clone()?]);
        for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.pump(from, to));
        }
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut piece) {
            if count == 0 {
                break;
            }
            let delay = self.delay_ms.load(Ordering::Relaxed);
            if delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            while self.state.load(Ordering::Relaxed) == SILENT {
                std::thread::sleep(LOOK);
            }
            if to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
