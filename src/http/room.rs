//! Who is worked on at once (R18, R21, A50).
//!
//! A request takes its place when all of it is here: nobody holds one by sending half a body. Almost every body comes right
//! behind its head and is counted nowhere. One that takes its time is waited for beside the places, where each address has
//! a share: whoever fills it sheds slow bodies of the same address, and nothing else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::app::App;
use crate::http::extract::{Peer, Unreadable, client_address, collect};
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::prepare::ip_key;

/// A body that is not whole after this takes its time. What comes sooner is bounded by the line that it comes over.
const SOON: Duration = Duration::from_millis(250);
/// One address may have so many slow bodies: a part of all.
const SHARE: usize = 32;

/// The places of one listener.
pub struct Room {
    places: Arc<Semaphore>,
    most: usize,
    slow: Mutex<Slow>,
}

/// The bodies that are waited for.
#[derive(Default)]
struct Slow {
    all: usize,
    of: HashMap<[u8; 8], usize>,
}

impl Room {
    /// For so many requests, and as many slow bodies.
    pub fn new(most: usize) -> Room {
        Room { places: Arc::new(Semaphore::new(most)), most, slow: Mutex::default() }
    }

    /// A place for a request that is here.
    pub fn place(&self, app: &App) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| shed(app))
    }

    /// Waits until nobody has a place.
    pub async fn emptied(&self) {
        // Never closed: what is waited for comes.
        let _ = self.places.acquire_many(u32::try_from(self.most).unwrap_or(u32::MAX)).await;
    }

    /// The request with all of its body. What is wrong with a body is left to whoever reads it: each face words it its own way.
    pub async fn whole(&self, app: &App, request: Request) -> Result<Request, Problem> {
        if request.body().is_end_stream() {
            return Ok(request);
        }
        let (mut parts, body) = request.into_parts();
        let most = app.request_timeout * 2 / 3;
        let soon = SOON.min(most);
        let mut content = std::pin::pin!(collect(body));
        let arrived = match timeout(soon, &mut content).await {
            Ok(arrived) => arrived,
            Err(_) => {
                let peer = parts.extensions.get().map(|Peer(peer)| *peer).ok_or_else(|| Problem::internal("a request without a peer"))?;
                let _waits = self.wait(client_address(peer, &parts.headers, &app.trusted_proxies)).ok_or_else(|| shed(app))?;
                timeout(most - soon, content).await.unwrap_or_else(|_| Err(late(most)))
            }
        };
        let body = match arrived {
            Ok(bytes) => Body::from(bytes),
            Err(problem) => {
                parts.extensions.insert(Unreadable(problem));
                Body::empty()
            }
        };
        Ok(Request::from_parts(parts, body))
    }

    /// Waits for a slow body of that address, as long as what is returned lives. None: its share, or everything, is taken.
    fn wait(&self, address: IpAddr) -> Option<Waits<'_>> {
        let (address, share) = (ip_key(address), (self.most / SHARE).max(1));
        let mut slow = self.slow();
        let of_it = slow.of.get(&address).copied().unwrap_or(0);
        if of_it >= share || slow.all >= self.most {
            return None;
        }
        slow.of.insert(address, of_it + 1);
        slow.all += 1;
        Some(Waits { room: self, address })
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slow body's place.
struct Waits<'a> {
    room: &'a Room,
    address: [u8; 8],
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut slow = self.room.slow();
        slow.all -= 1;
        match slow.of.get_mut(&self.address) {
            Some(more @ 2..) => *more -= 1,
            _ => drop(slow.of.remove(&self.address)),
        }
    }
}

fn shed(app: &App) -> Problem {
    app.metrics.shed();
    Problem::new(ProblemCode::Unavailable).retry_after(Duration::from_secs(1))
}

fn late(most: Duration) -> Problem {
    Problem::new(ProblemCode::RequestTimeout).detail(format!("The body did not arrive within {} s.", most.as_secs_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ATT-10, A50: an address has its share, however it is spelled; all together have an end; who leaves makes room.
    #[test]
    fn each_address_has_a_share_of_the_slow_bodies() {
        let room = Room::new(64);
        let address = |text: &str| text.parse().expect("an address");
        let held = [room.wait(address("2001:db8::1")), room.wait(address("2001:db8::2"))];
        assert!(held.iter().all(Option::is_some));
        assert!(room.wait(address("2001:db8::3")).is_none(), "the same network");
        assert!(room.wait(address("192.0.2.1")).is_some_and(|_| room.wait(address("::ffff:192.0.2.1")).is_some()));
        drop(held);
        assert!(room.wait(address("2001:db8::3")).is_some());
        assert!(room.slow().of.is_empty() && room.slow().all == 0, "nobody is remembered");

        let many: Vec<_> = (0..64).map(|last| room.wait(IpAddr::from([192, 0, 2, last]))).collect();
        assert!(many.iter().all(Option::is_some));
        assert!(room.wait(address("198.51.100.1")).is_none(), "all together are as many as there are places");
    }
}
