//! The operator's own sender: what it is posted, what its answers mean, and where nothing is ever posted (OPS-06).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use countersign::account::notice::Notice;
use countersign::delivery::provider::{Fault, MessageProvider};
use countersign::delivery::providers::webhook::KIND;
use countersign::delivery::standard_webhooks::Secret;
use countersign::verification::model::Channel;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::sample::{CODE, mail, message, notice, policy, provider};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What came: headers and body.
type Arrived = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;
type Answering = fn() -> Response;

struct Sender {
    address: SocketAddr,
    arrived: Arrived,
}

impl Sender {
    /// A sender that always answers so.
    async fn answering(answer: Answering) -> Sender {
        let arrived = Arrived::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let receive = async |State((arrived, answer)): State<(Arrived, Answering)>, headers: HeaderMap, body: Bytes| {
            arrived.lock().expect("no test panics with the lock").push((headers, body));
            answer()
        };
        let router = Router::new().fallback(receive).with_state((Arc::clone(&arrived), answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Sender { address, arrived }
    }

    fn provider(&self, more: &str) -> Arc<dyn MessageProvider> {
        let settings = format!("url = \"http://{}/otp\"\nsecret = \"{SECRET}\"\nallow_private = true\n{more}", self.address);
        provider(&KIND, &settings).expect("a provider")
    }

    fn settings(&self) -> String {
        format!("[provider.own]\ntype = \"webhook\"\nurl = \"http://{}/otp\"\nsecret = \"{SECRET}\"\nallow_private = true\n", self.address)
    }

    fn last(&self) -> (HeaderMap, Bytes) {
        self.arrived.lock().expect("no test panics with the lock").last().expect("a message").clone()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
}

/// NOT-01: a notice is posted as a message without a code.
#[tokio::test]
async fn a_notice_has_no_code() {
    let sender = Sender::answering(|| StatusCode::NO_CONTENT.into_response()).await;
    let service = policy("", "default");
    let told = notice(Channel::Sms, &number(1), "en", &Notice::PasswordChanged, None, &service);
    assert!(sender.provider("").send(&told).await.is_ok());
    let posted: Value = serde_json::from_slice(&sender.last().1).expect("JSON");
    assert_eq!((&posted["body"], posted.get("code")), (&json!(told.body), None));
}

#[tokio::test]
async fn the_whole_message_is_posted_and_signed() {
    let sender = Sender::answering(|| axum::Json(json!({ "id": "theirs-1" })).into_response()).await;
    let message = mail("ann@example.com");
    assert_eq!(sender.provider("").send(&message).await, Ok("theirs-1".into()));
    let (headers, body) = sender.last();
    let posted: Value = serde_json::from_slice(&body).expect("JSON");
    let html = message.mail.as_ref().map(|mail| mail.html.clone());
    assert_eq!(
        posted,
        json!({
            "id": message.envelope.reference, "to": "ann@example.com", "channel": "email", "locale": "en", "brand": "Countersign",
            "body": message.body, "code": CODE, "subject": "418902 is your Countersign code", "html": html,
            "expires_at": message.envelope.expires_at.to_string(), "receipt_url": message.envelope.callback,
        })
    );
    assert_eq!(header(&headers, "content-type"), "application/json");
    let (id, seconds) = (header(&headers, "webhook-id"), header(&headers, "webhook-timestamp").parse().expect("seconds"));
    assert_eq!(id, message.envelope.reference, "the same in every retry");
    assert!(Secret::parse(SECRET).expect("a secret").is_signed(id, seconds, &body, header(&headers, "webhook-signature")));

    let text = message_to_phone();
    assert_eq!(sender.provider("format = \"form\"\nchannels = [\"sms\"]").send(&text).await, Ok("theirs-1".into()));
    let (headers, body) = sender.last();
    assert_eq!(header(&headers, "content-type"), "application/x-www-form-urlencoded");
    let fields: std::collections::BTreeMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
    assert_eq!((fields["to"].as_str(), fields["code"].as_str(), &fields["body"]), ("+4915112345678", CODE, &text.body));
    assert!(!fields.contains_key("subject"));
}

fn message_to_phone() -> countersign::delivery::message::Message {
    message(Channel::Sms, "+4915112345678", "en", &policy("", "default"))
}

#[tokio::test]
async fn answers_mean_what_they_say() {
    let cases: [(Answering, Result<(), Fault>); 10] = [
        (|| StatusCode::NO_CONTENT.into_response(), Ok(())),
        (|| "not JSON".into_response(), Ok(())),
        (|| StatusCode::UNPROCESSABLE_ENTITY.into_response(), Err(Fault::Rejected)),
        (|| StatusCode::GONE.into_response(), Err(Fault::Unavailable)),
        (|| StatusCode::UNAUTHORIZED.into_response(), Err(Fault::Unavailable)),
        (|| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]).into_response(), Err(Fault::Unavailable)),
        (|| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response(), Err(Fault::Unavailable)),
        (|| StatusCode::INTERNAL_SERVER_ERROR.into_response(), Err(Fault::Uncertain)),
        (|| StatusCode::GATEWAY_TIMEOUT.into_response(), Err(Fault::Uncertain)),
        (|| vec![b'x'; 100_000].into_response(), Err(Fault::Uncertain)),
    ];
    for (index, (answer, expected)) in cases.into_iter().enumerate() {
        let sender = Sender::answering(answer).await;
        let message = message_to_phone();
        let result = sender.provider("").send(&message).await;
        if let Err(error) = &result {
            assert!(!error.to_string().contains("4915112345678"), "{error}");
            let status = answer().status();
            let waits = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
            assert_eq!(error.retry_after, waits.then_some(std::time::Duration::from_secs(7)), "{status}");
        } else {
            assert_eq!(result.as_deref(), Ok(message.envelope.reference.as_str()), "without an id of theirs, ours is the reference");
        }
        assert_eq!(result.map(drop).map_err(|error| error.fault), expected, "case {index}");
    }
}

/// A listener that must hear nothing.
struct Deaf {
    port: u16,
    heard: Arc<AtomicUsize>,
}

impl Deaf {
    async fn new() -> Deaf {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (port, heard) = (listener.local_addr().expect("bound").port(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&heard);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Deaf { port, heard }
    }

    /// Connections so far. The listener's own is made to be sure that it has seen all before.
    async fn heard(&self) -> usize {
        let before = self.heard.load(Ordering::SeqCst);
        let own = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens");
        eventually("the listener has seen our connection", async || (self.heard.load(Ordering::SeqCst) > before).then_some(())).await;
        drop(own);
        self.heard.load(Ordering::SeqCst) - 1
    }
}

/// OPS-06: an address in the URL is refused when the configuration is read, however it is written.
#[tokio::test]
async fn private_addresses_are_refused_in_every_spelling() {
    for host in [
        "169.254.169.254",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "192.168.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "0.0.0.0",
        "[::]",
        "[64:ff9b::7f00:1]",
    ] {
        let refused = provider(&KIND, &format!("url = \"https://{host}/otp\"\nsecret = \"{SECRET}\""));
        let error = refused.err().unwrap_or_else(|| panic!("{host} is taken"));
        assert!(error.to_string().contains("private"), "{host}: {error}");
    }
    let plain =
        provider(&KIND, &format!("url = \"http://sender.example.com/otp\"\nsecret = \"{SECRET}\"")).err().expect("plain HTTP is refused");
    assert!(plain.to_string().contains("https://"), "{plain}");
    assert!(provider(&KIND, &format!("url = \"https://sender.example.com/otp\"\nsecret = \"{SECRET}\"")).is_ok());
    for (url, secret) in [("https://sender.example.com", "hunter2"), ("ftp://sender.example.com", SECRET), ("nonsense", SECRET)] {
        let error = provider(&KIND, &format!("url = \"{url}\"\nsecret = \"{secret}\"")).err().expect("it is refused");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// OPS-06: a name is judged by the very addresses that it is connected to.
#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let deaf = Deaf::new().await;
    for name in ["localhost", "localhost.", "LOCALHOST"] {
        let own = provider(&KIND, &format!("url = \"https://{name}:{}/otp\"\nsecret = \"{SECRET}\"", deaf.port))
            .expect("a name is no address yet");
        let error = own.send(&message_to_phone()).await.expect_err("nothing is sent");
        assert_eq!(error.fault, Fault::Unavailable);
        if name == "localhost" {
            assert_eq!(error.to_string(), "its name leads to a private address");
        }
    }
    assert_eq!(deaf.heard().await, 0);
}

/// OPS-06: a redirect is a refusal.
#[tokio::test]
async fn redirects_are_not_followed() {
    static PORT: AtomicUsize = AtomicUsize::new(0);
    let deaf = Deaf::new().await;
    PORT.store(deaf.port.into(), Ordering::SeqCst);
    for answer in [
        (|| (StatusCode::FOUND, [("location", format!("http://127.0.0.1:{}/", PORT.load(Ordering::SeqCst)))]).into_response()) as Answering,
        || (StatusCode::TEMPORARY_REDIRECT, [("location", format!("http://127.0.0.1:{}/", PORT.load(Ordering::SeqCst)))]).into_response(),
    ] {
        let sender = Sender::answering(answer).await;
        let error = sender.provider("").send(&message_to_phone()).await.expect_err("nothing is sent");
        assert_eq!(error.fault, Fault::Unavailable, "{error}");
    }
    assert_eq!(deaf.heard().await, 0);
}

/// What the operator reports of a message moves the verification, if it is signed and fresh.
#[tokio::test]
async fn receipts_are_signed_the_same_way() {
    let sender = Sender::answering(|| axum::Json(json!({ "id": "theirs-1" })).into_response()).await;
    let app = TestApp::with(&sender.settings()).await;
    let client = app.client();
    let verification = client.started(json!({ "to": number(1) })).await;
    client.sent(&verification).await;
    let reference = header(&sender.last().0, "webhook-id").to_owned();
    let now = || countersign::clock::Clock::now(app.clock.as_ref()).0 / 1000;
    let post = async |path: &str, seconds: i64, secret: &str, body: Value| {
        let body = body.to_string();
        let signature = Secret::parse(secret).expect("a secret").sign("msg_1", seconds, body.as_bytes());
        let seconds = seconds.to_string();
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", seconds.as_str()), ("webhook-signature", signature.as_str())];
        app.wire.send("POST", path, &headers, body).await
    };
    let failed = || json!({ "id": reference, "status": "failed", "cause": "handset\nunreachable" });
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (seconds, secret) in [(now(), other), (now() - 301, SECRET), (now() + 301, SECRET)] {
        post("/webhooks/own", seconds, secret, failed()).await.problem(403, "forbidden");
    }
    let unsigned = app.wire.send("POST", "/webhooks/own", &[], failed().to_string()).await;
    unsigned.problem(403, "forbidden");
    post("/webhooks/own", now(), SECRET, json!({ "status": "eaten" })).await.problem(400, "invalid_body");
    assert_eq!(client.get(&verification).await.expect(200)["delivery"], "sent");

    // The reference of the URL, then the one in the body.
    let path = format!("/webhooks/own?ref={reference}");
    assert_eq!(post(&path, now(), SECRET, json!({ "status": "sent" })).await.status, 200);
    assert_eq!(client.get(&verification).await.expect(200)["delivery"], "sent");
    assert_eq!(post("/webhooks/own", now(), SECRET, failed()).await.status, 200);
    let found = client.get(&verification).await.expect(200);
    assert_eq!(found["delivery"], "failed");
    let events = found["timeline"].as_array().expect("events");
    assert!(events.iter().any(|event| event["detail"] == "own: handset unreachable"), "{events:?}");
}
