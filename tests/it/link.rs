//! The way to a server: a proxy on loopback that goes silent, as where a machine or a cable is gone and nobody says so. Used by
//! the tests within the library, too.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The proxy.
pub struct Link {
    /// The server's URL, by this way.
    pub url: String,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Connections that were made so far.
    made: u64,
    /// So many of them are silent for ever.
    stranded: u64,
    is_held: bool,
}

impl Link {
    /// A way to the server of that URL.
    pub async fn to(url: &str) -> Link {
        let mut url = url::Url::parse(url).expect("a URL");
        let behind = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        url.set_port(Some(listener.local_addr().expect("bound").port())).expect("a port of one's own");
        let state = watch::Sender::new(State::default());
        let made = state.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&behind).await else { continue };
                made.send_modify(|state| state.made += 1);
                let number = made.borrow().made;
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(pump(near_in, far_out, made.subscribe(), number));
                tokio::spawn(pump(far_in, near_out, made.subscribe(), number));
            }
        });
        Link { url: url.into(), state }
    }

    /// Nothing comes through the connections that there are, ever again. New ones work.
    pub fn strand(&self) {
        self.state.send_modify(|state| state.stranded = state.made);
    }

    /// Nothing comes through at all for now.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.is_held = true);
    }

    /// What was held comes through.
    pub fn heal(&self) {
        self.state.send_modify(|state| state.is_held = false);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, number: u64) {
    let mut piece = vec![0; 64 * 1024];
    // An end is not told either where nothing comes through.
    while let Ok(count) = from.read(&mut piece).await {
        let is_open = state.wait_for(|state| !state.is_held && state.stranded < number).await.is_ok();
        if !is_open || count == 0 || to.write_all(&piece[..count]).await.is_err() {
            break;
        }
    }
}
