//! The stand-in for providers, in this process: what `countersign dev-provider` runs.

use std::sync::Arc;

use countersign::clock::SystemClock;
use countersign::dev_provider::fault::Fail;
use countersign::dev_provider::knobs::{Change, Receipts};
use countersign::dev_provider::{AUTH_TOKEN, DevProvider, Received, receipt};
use countersign::secret::SystemEntropy;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::actors::eventually;
use crate::wire::{Answer, Wire};

/// One that listens. Stops when dropped.
pub struct StandIn {
    pub provider: Arc<DevProvider>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl StandIn {
    pub async fn new() -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let provider = DevProvider::new(url, Arc::new(SystemClock), Arc::new(SystemEntropy)).expect("a client");
        let server = tokio::spawn(Arc::clone(&provider).serve(listener));
        let stand_in = StandIn { provider, server };
        stand_in.receipts(Receipts::None);
        stand_in
    }

    pub async fn failing(fail: Fail) -> StandIn {
        let stand_in = StandIn::new().await;
        stand_in.fail(fail);
        stand_in
    }

    pub fn fail(&self, fail: Fail) {
        self.provider.set(Change { fail: Some(fail), ..Change::default() });
    }

    pub fn receipts(&self, receipts: Receipts) {
        self.provider.set(Change { receipts: Some(receipts), ..Change::default() });
    }

    pub fn delay(&self, milliseconds: u64) {
        self.provider.set(Change { delay_ms: Some(milliseconds), ..Change::default() });
    }

    /// The section of a provider of that name that is this stand-in.
    pub fn section(&self, name: &str) -> String {
        section(name, &self.provider.url)
    }

    pub fn forget(&self) {
        self.provider.forget();
    }

    pub fn received(&self) -> Vec<Received> {
        self.provider.received()
    }

    /// Its messages to that destination, once there are so many.
    pub async fn messages_to(&self, to: &str, count: usize) -> Vec<Received> {
        eventually(&format!("{count} messages to {to}"), async || {
            let messages: Vec<_> = self.received().into_iter().filter(|message| message.to.trim_start_matches("whatsapp:") == to).collect();
            (messages.len() >= count).then_some(messages)
        })
        .await
    }
}

/// The section of a provider of that name at an address where nobody listens.
pub async fn nobody(name: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    section(name, &format!("http://{}", listener.local_addr().expect("bound")))
}

fn section(name: &str, url: &str) -> String {
    format!(
        "[provider.{name}]\ntype = \"twilio\"\nbase_url = \"{url}\"\naccount_sid = \"AC00000000000000000000000000000000\"\n\
         auth_token = \"{AUTH_TOKEN}\"\nfrom = \"+15005550006\"\nwhatsapp_from = \"+15005550006\"\n"
    )
}

/// The code in a message: its only run of ten digits.
pub fn code(message: &Received) -> String {
    let mut runs = message.text.split(|character: char| !character.is_ascii_digit());
    runs.rfind(|run| run.len() == 10).unwrap_or_else(|| panic!("no code in {}", message.text)).to_owned()
}

/// Posts a receipt as the provider would, with that auth token, to that URL of ours.
pub async fn post_receipt(wire: &Wire, message: &Received, status: &str, auth_token: &str) -> Answer {
    let url = message.callback.clone().expect("a callback");
    let form = receipt::form(message, status);
    let signature = receipt::signature(&url, &form, auth_token);
    let parsed = url::Url::parse(&url).expect("a URL");
    let path = format!("{}?{}", parsed.path(), parsed.query().unwrap_or_default());
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    let headers = [("content-type", "application/x-www-form-urlencoded"), (receipt::SIGNATURE, signature.as_str())];
    wire.send("POST", &path, &headers, body).await
}
