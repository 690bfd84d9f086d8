//! Vonage, Telnyx, Plivo and Bird against servers that speak their recorded formats: what is asked, what each answer means,
//! which receipts are believed, and all of it once through a whole server (R01 to R07, OPS-04).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign::clock::{TestClock, Timestamp};
use countersign::delivery::accounts::Sources;
use countersign::delivery::http::Http;
use countersign::delivery::message::{Envelope, Message};
use countersign::delivery::provider::{Account, Family, Fault, Kind, MessageProvider, SendError};
use countersign::delivery::providers::{bird, plivo, telnyx, twilio, vonage};
use countersign::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use countersign::secret::Code;
use countersign::verification::destination::Destination;
use countersign::verification::store::ReceiptState::{self, Delivered, Failed, Underway};
use countersign::verification::{Channel, VerificationId};
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::actors::number;
use crate::app::TestApp;

/// The time of every clock here, in seconds.
const NOW: i64 = 1_767_225_600;
const REFERENCE: &str = "AZtAAAAAcACAAAAAAAAAAAAAAAFQ-_abcdEFGH";

/// What came to a provider's API.
struct Seen {
    method: String,
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn field(&self, wanted: &str) -> Option<String> {
        let mut fields = url::form_urlencoded::parse(self.body.as_bytes());
        fields.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    }
}

/// A provider's API: keeps what came, and answers what the test says.
#[derive(Clone)]
struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Mutex<(u16, Option<&'static str>, String)>>,
}

impl Fake {
    async fn answering(status: u16, body: &str) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let fake = Fake { address, seen: Arc::default(), answer: Arc::new(Mutex::new((status, None, body.to_owned()))) };
        let router = Router::new().fallback(receive).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    fn answers(&self, status: u16, retry_after: Option<&'static str>, body: &str) {
        *self.answer.lock().expect("whole") = (status, retry_after, body.to_owned());
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The only request so far.
    fn one(&self) -> Seen {
        let mut seen = self.seen.lock().expect("whole");
        assert_eq!(seen.len(), 1, "requests");
        seen.remove(0)
    }
}

async fn receive(State(fake): State<Fake>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let body = String::from_utf8(body.to_vec()).expect("text");
    fake.seen.lock().expect("whole").push(Seen { method: parts.method.to_string(), path, headers: parts.headers, body });
    let (status, retry_after, body) = fake.answer.lock().expect("whole").clone();
    let mut answer = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        answer = answer.header("retry-after", seconds);
    }
    answer.body(Body::from(body)).expect("an answer")
}

/// An account of that kind.
fn account(kind: &Kind, settings: Value) -> Arc<dyn MessageProvider> {
    let http = Http::new().expect("a client");
    let settings = figment::value::Value::serialize(settings).expect("settings").into_dict().expect("a table");
    let account = Account { name: kind.name.into(), settings, http, clock: Arc::new(TestClock::default()) };
    match (kind.build)(&account) {
        Ok(Family::Message(provider)) => provider,
        Ok(Family::Verify(_)) => panic!("a family of messages"),
        Err(error) => panic!("{}: {error}", kind.name),
    }
}

fn vonage(base_url: &str) -> Arc<dyn MessageProvider> {
    account(&vonage::KIND, json!({ "api_key": "abcd1234", "api_secret": "secret", "from": "Acme", "base_url": base_url }))
}

const TELNYX_PUBLIC_KEY: &str = "+7E99DXiiQXvceNX4nHm3Lbm5mqPWad5RhDr2ufuCik=";
const TELNYX_SECRET_KEY: &str = "p68GNpDl9oAQohBiK0MEOFIjxnoFnz0uGGeJqxQ5PSb7sT30NeKJBe9x41ficebctubmao9Zp3lGEOva5+4KKQ==";

fn telnyx(base_url: &str) -> Arc<dyn MessageProvider> {
    let settings = json!({ "api_key": "KEY0123", "from": "+15005550006", "public_key": TELNYX_PUBLIC_KEY, "base_url": base_url });
    account(&telnyx::KIND, settings)
}

fn plivo(base_url: &str) -> Arc<dyn MessageProvider> {
    let settings = json!({ "auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": "token", "from": "14152223333", "base_url": base_url });
    account(&plivo::KIND, settings)
}

const BIRD_SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn bird(base_url: &str) -> Arc<dyn MessageProvider> {
    let secret = format!("whsec_{BIRD_SECRET}");
    account(&bird::KIND, json!({ "api_key": "bk_eu1_abc", "from": "Acme", "webhook_secret": secret, "base_url": base_url }))
}

fn message(text: &str) -> Message {
    let envelope = Envelope {
        verification: VerificationId::from_u128(1),
        number: 1,
        to: Destination::parse("+4915112345678", None).expect("a number"),
        channel: Channel::Sms,
        locale: "en".into(),
        brand: "Acme".into(),
        reference: REFERENCE.into(),
        callback: Some(format!("https://otp.example/webhooks/x?ref={REFERENCE}")),
        now: Timestamp(NOW * 1000),
        expires_at: Timestamp((NOW + 300) * 1000),
    };
    Message { envelope, code: Some(Code::parse("123456").expect("a code")), body: text.into(), mail: None, speech: None }
}

async fn send(provider: &Arc<dyn MessageProvider>, text: &str) -> Result<String, SendError> {
    provider.send(&message(text)).await
}

const TEXT: &str = "123456 is your code";
/// One "é" is in GSM's alphabet, "ę" is not.
const UNICODE: &str = "123456 to kod, który się liczy";

#[tokio::test]
async fn vonage_is_asked_as_its_specification_shows() {
    let answer = r#"{"message-count":"1","messages":[{"to":"4915112345678","message-id":"0C000000217B7F02","status":"0","remaining-balance":"15.53590000","message-price":"0.03330000","network":"26201","client-ref":"att_01H"}]}"#;
    let fake = Fake::answering(200, answer).await;
    assert_eq!(send(&vonage(&fake.url()), TEXT).await, Ok("0C000000217B7F02".into()));
    let seen = fake.one();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/sms/json"));
    assert_eq!(seen.header("authorization"), format!("Basic {}", STANDARD.encode("abcd1234:secret")));
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    let expected = format!(
        "from=Acme&to=4915112345678&text=123456+is+your+code&type=text&client-ref={REFERENCE}&ttl=300000\
         &callback=https%3A%2F%2Fotp.example%2Fwebhooks%2Fx%3Fref%3D{REFERENCE}"
    );
    assert_eq!(seen.body, expected);
    // What GSM's alphabet lacks would arrive as question marks.
    assert_eq!(send(&vonage(&fake.url()), UNICODE).await, Ok("0C000000217B7F02".into()));
    let seen = fake.one();
    assert_eq!((seen.field("type").as_deref(), seen.field("text").as_deref()), (Some("unicode"), Some(UNICODE)));
    // No callback where providers cannot reach this server; never a shorter life than Vonage takes; numbers without "+".
    let mut short = message(TEXT);
    short.envelope.callback = None;
    short.envelope.expires_at = Timestamp(NOW * 1000 + 5);
    let settings = json!({ "api_key": "k", "api_secret": "s", "from": "+15005550006", "base_url": fake.url() });
    assert!(account(&vonage::KIND, settings).send(&short).await.is_ok());
    let seen = fake.one();
    assert_eq!((seen.field("callback"), seen.field("ttl").as_deref()), (None, Some("20000")));
    assert_eq!(seen.field("from").as_deref(), Some("15005550006"));
}

#[tokio::test]
async fn telnyx_is_asked_as_its_reference_shows() {
    let answer = r#"{"data":{"record_type":"message","direction":"outbound","id":"40385f64-5717-4562-b3fc-2c963f66afa6","type":"SMS","from":{"phone_number":"+15005550006","carrier":"","line_type":"VoIP"},"to":[{"phone_number":"+4915112345678","status":"queued","carrier":"","line_type":"Wireless"}],"text":"","parts":1,"encoding":"GSM-7","valid_until":null,"errors":[]}}"#;
    let fake = Fake::answering(200, answer).await;
    let id = Ok("40385f64-5717-4562-b3fc-2c963f66afa6".to_owned());
    assert_eq!(send(&telnyx(&fake.url()), TEXT).await, id);
    let seen = fake.one();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v2/messages"));
    assert_eq!(seen.header("authorization"), "Bearer KEY0123");
    let callback = format!("https://otp.example/webhooks/x?ref={REFERENCE}");
    let expected = json!({
        "from": "+15005550006", "to": "+4915112345678", "text": TEXT, "type": "SMS",
        "webhook_url": callback, "use_profile_webhooks": false,
    });
    assert_eq!(seen.json(), expected);
    // Without the public key no receipt could be believed, so none is asked for. TELNYX_BASE_URL ends in the version.
    let settings =
        json!({ "api_key": "KEY", "from": "Acme", "messaging_profile_id": "4000eba1", "base_url": format!("{}/v2", fake.url()) });
    assert_eq!(send(&account(&telnyx::KIND, settings), UNICODE).await, id);
    let seen = fake.one();
    assert_eq!(seen.path, "/v2/messages");
    let expected = json!({ "from": "Acme", "messaging_profile_id": "4000eba1", "to": "+4915112345678", "text": UNICODE, "type": "SMS" });
    assert_eq!(seen.json(), expected);
}

#[tokio::test]
async fn plivo_is_asked_as_its_documentation_shows() {
    let answer =
        r#"{"message":"message(s) queued","message_uuid":["5b40a428-bfc7-4daf-9d06-726c558bf3b8"],"api_id":"948b53a2-5c17-11e9-8f7f"}"#;
    let fake = Fake::answering(202, answer).await;
    assert_eq!(send(&plivo(&fake.url()), TEXT).await, Ok("5b40a428-bfc7-4daf-9d06-726c558bf3b8".into()));
    let seen = fake.one();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/Account/MAXXXXXXXXXXXXXXXXXX/Message/"));
    assert_eq!(seen.header("authorization"), format!("Basic {}", STANDARD.encode("MAXXXXXXXXXXXXXXXXXX:token")));
    let callback = format!("https://otp.example/webhooks/x?ref={REFERENCE}");
    let expected = json!({
        "src": "14152223333", "dst": "4915112345678", "text": TEXT, "type": "sms", "url": callback, "method": "POST",
        "message_expiry": 300, "log": "false",
    });
    assert_eq!(seen.json(), expected);
    let settings = json!({ "auth_id": "MA", "auth_token": "token", "powerpack_uuid": "ca5fd1f2", "base_url": fake.url() });
    assert!(send(&account(&plivo::KIND, settings), TEXT).await.is_ok());
    let body = fake.one().json();
    assert_eq!((&body["powerpack_uuid"], body.get("src")), (&json!("ca5fd1f2"), None));
}

#[tokio::test]
async fn bird_is_asked_as_its_library_asks() {
    let answer = r#"{"id":"sms_01k","to":"+4915112345678","from":"Acme","text":"","segments":{"count":1,"encoding":"GSM_7BIT"},"status":"accepted","category":"authentication"}"#;
    let fake = Fake::answering(202, answer).await;
    assert_eq!(send(&bird(&fake.url()), TEXT).await, Ok("sms_01k".into()));
    let seen = fake.one();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/sms/messages"));
    assert_eq!((seen.header("authorization"), seen.header("idempotency-key")), ("Bearer bk_eu1_abc", REFERENCE));
    let expected = json!({
        "to": "+4915112345678", "from": "Acme", "text": TEXT, "category": "authentication", "metadata": { "reference": REFERENCE },
    });
    assert_eq!(seen.json(), expected);
}

/// Has each answer given once, and compares what it is taken for.
async fn judged(provider: fn(&str) -> Arc<dyn MessageProvider>, rows: &[(u16, &str, Fault, Option<&str>)]) {
    let fake = Fake::answering(200, "").await;
    let provider = provider(&fake.url());
    for (status, body, fault, code) in rows {
        fake.answers(*status, None, body);
        let error = send(&provider, TEXT).await.expect_err(body);
        assert_eq!((error.fault, error.code.as_deref()), (*fault, *code), "{status} {body}: {error}");
        let said = error.to_string();
        assert!(!said.contains("123456") && !said.contains("4915112345678"), "neither code nor number: {said}");
        fake.one();
    }
}

use Fault::{Rejected, Unavailable, Uncertain};

#[tokio::test]
async fn what_vonage_refuses_is_sorted_by_its_status() {
    let part = |status: &str, text: &str| {
        format!(r#"{{"message-count":"1","messages":[{{"to":"4915112345678","status":"{status}","error-text":"{text}"}}]}}"#)
    };
    let mut rows = Vec::new();
    for status in ["6", "7", "33"] {
        rows.push((200, part(status, "Number barred"), Rejected, Some(status)));
    }
    for status in ["1", "2", "3", "4", "8", "9", "10", "11", "12", "14", "15", "17", "22", "23", "29", "32"] {
        rows.push((200, part(status, "Missing from param"), Unavailable, Some(status)));
    }
    rows.push((200, part("3", "to address is not numeric"), Rejected, Some("3")));
    rows.push((200, part("5", "Internal Error"), Uncertain, Some("5")));
    rows.push((200, part("99", "?"), Uncertain, Some("99")));
    let parts = r#"{"message-count":"2","messages":[{"status":"0","message-id":"1"},{"status":"1","error-text":""}]}"#;
    rows.push((200, parts.into(), Uncertain, Some("1")));
    rows.push((200, r#"{"message-count":"0","messages":[]}"#.into(), Uncertain, None));
    rows.push((401, r#"{"type":"https://developer.vonage.com/api-errors","title":"Unauthorized","detail":""}"#.into(), Unavailable, None));
    let rows: Vec<_> = rows.iter().map(|(status, body, fault, code)| (*status, body.as_str(), *fault, *code)).collect();
    judged(vonage, &rows).await;
}

#[tokio::test]
async fn vonage_s_own_words_for_a_wait_are_kept_to() {
    let text = "Throughput Rate Exceeded - please wait [ 250 ] and retry";
    let fake = Fake::answering(200, &json!({ "messages": [{ "status": "1", "error-text": text }] }).to_string()).await;
    let error = send(&vonage(&fake.url()), TEXT).await.expect_err("throttled");
    assert_eq!((error.fault, error.retry_after), (Unavailable, Some(Duration::from_millis(250))));
}

#[tokio::test]
async fn what_telnyx_refuses_is_sorted_by_its_code() {
    let failure = |code: &str, pointer: &str, detail: &str| {
        json!({ "errors": [{ "code": code, "title": "A title", "detail": detail, "source": { "pointer": pointer } }] }).to_string()
    };
    let mut rows = Vec::new();
    for code in ["10001", "10002", "10016", "40301", "40310", "40319"] {
        rows.push((400, failure(code, "/to", ""), Rejected, code));
    }
    for code in ["10001", "10002", "10016", "40310"] {
        rows.push((422, failure(code, "/from", ""), Unavailable, code));
    }
    rows.push((400, failure("40300", "", "Messages cannot be sent: STOP was received."), Rejected, "40300"));
    rows.push((403, failure("40300", "", "The from number is not assigned to a messaging profile."), Unavailable, "40300"));
    let ours = [
        "10003", "10004", "10005", "10009", "10010", "10011", "10015", "10023", "20001", "20008", "20012", "20017", "20100", "40302",
        "40304", "40305", "40306", "40308", "40309", "40311", "40314", "40315", "40316", "40318", "40320", "40321", "40322", "40329",
        "40330", "40331", "40333", "49999",
    ];
    rows.extend(ours.map(|code| (400, failure(code, "", ""), Unavailable, code)));
    // The same code comes with several statuses.
    rows.push((500, failure("10011", "", ""), Unavailable, "10011"));
    rows.push((429, failure("40333", "", ""), Unavailable, "40333"));
    rows.push((400, failure("10007", "", ""), Uncertain, "10007"));
    rows.push((400, failure("10008", "", ""), Uncertain, "10008"));
    rows.push((500, failure("49999", "", ""), Uncertain, "49999"));
    let mut rows: Vec<_> = rows.iter().map(|(status, body, fault, code)| (*status, body.as_str(), *fault, Some(*code))).collect();
    rows.push((200, r#"{"data":{"record_type":"message"}}"#, Uncertain, None));
    rows.push((422, r#"{"errors":[]}"#, Unavailable, None));
    judged(telnyx, &rows).await;
}

#[tokio::test]
async fn what_plivo_refuses_is_sorted_by_its_status_and_text() {
    let rows = [
        (400, r#"{"api_id":"1","error":"dst parameter is not valid"}"#, Rejected, None),
        (422, r#"{"api_id":"1","error":"Invalid destination number"}"#, Rejected, None),
        (400, r#"{"api_id":"1","error":{"dst":["is not valid"]}}"#, Rejected, None),
        (400, r#"{"api_id":"1","error":"src parameter not present"}"#, Unavailable, None),
        (401, r#"{"api_id":"1","error":"authentication failed"}"#, Unavailable, None),
        (402, r#"{"api_id":"1","error":"insufficient balance"}"#, Unavailable, None),
        (403, r#"{"api_id":"1","error":"permission to this destination country is not enabled"}"#, Unavailable, None),
        (404, r#"{"api_id":"1","error":"not found"}"#, Unavailable, None),
        (405, r#"{"api_id":"1","error":"method not allowed"}"#, Unavailable, None),
        (409, r#"{"api_id":"1","error":"conflict"}"#, Unavailable, None),
        (429, r#"{"api_id":"1","error":"too many requests"}"#, Unavailable, None),
        (500, r#"{"api_id":"1","error":"internal error"}"#, Uncertain, None),
        (202, r#"{"api_id":"1","message":"message(s) queued","message_uuid":[]}"#, Rejected, None),
        (202, r#"{"api_id":"1","message":"","message_uuid":["5b40"],"invalid_number":["4915112345678"]}"#, Rejected, None),
        (202, r#"{"message_uuid":[]}"#, Uncertain, None),
    ];
    judged(plivo, &rows).await;
}

#[tokio::test]
async fn what_bird_refuses_is_sorted_by_type_and_code() {
    let error = |kind: &str, code: &str, more: Value| {
        let mut error = json!({ "type": kind, "code": code, "name": "AName", "message": "Words.", "doc_url": "", "request_id": "req_1" });
        error.as_object_mut().expect("an object").append(more.as_object().cloned().as_mut().expect("an object"));
        json!({ "error": error }).to_string()
    };
    let rows = [
        (422, error("validation_error", "E01001", json!({ "param": "to" })), Rejected, Some("E01001")),
        (422, error("validation_error", "E01001", json!({ "details": [{ "param": "to", "message": "" }] })), Rejected, Some("E01001")),
        (422, error("validation_error", "E01001", json!({ "details": [{ "param": "from", "message": "" }] })), Unavailable, Some("E01001")),
        (422, error("validation_error", "E04010", json!({ "param": "from" })), Unavailable, Some("E04010")),
        (400, error("bad_request_error", "E01002", json!({})), Unavailable, Some("E01002")),
        (401, error("auth_error", "E02001", json!({})), Unavailable, Some("E02001")),
        (402, error("billing_error", "E03001", json!({})), Unavailable, Some("E03001")),
        (403, error("permission_error", "E02035", json!({ "param": "sms:write" })), Unavailable, Some("E02035")),
        (404, error("not_found_error", "E01006", json!({})), Unavailable, Some("E01006")),
        (409, error("conflict_error", "E01004", json!({})), Uncertain, Some("E01004")),
        (409, error("conflict_error", "E01005", json!({})), Uncertain, Some("E01005")),
        (409, error("conflict_error", "E01028", json!({})), Unavailable, Some("E01028")),
        (429, error("rate_limit_error", "E01003", json!({})), Unavailable, Some("E01003")),
        (500, error("internal_error", "E01000", json!({})), Uncertain, Some("E01000")),
        (503, error("internal_error", "E01033", json!({})), Unavailable, Some("E01033")),
        (202, r#"{"status":"accepted"}"#.to_owned(), Uncertain, None),
    ];
    let rows: Vec<_> = rows.iter().map(|(status, body, fault, code)| (*status, body.as_str(), *fault, *code)).collect();
    judged(bird, &rows).await;
}

#[tokio::test]
async fn an_answer_in_nobody_s_format_is_judged_by_what_it_proves() {
    let (long, page) = ("x".repeat(70_000), "<html>Bad gateway</html>");
    let rows = [
        (200, page, Uncertain, None),
        (200, "", Uncertain, None),
        (200, r#"{"messages":[{"stat"#, Uncertain, None),
        (200, "[]", Uncertain, None),
        (200, long.as_str(), Uncertain, None),
        (302, page, Uncertain, None),
        (401, page, Unavailable, None),
        (408, page, Uncertain, None),
        (500, page, Uncertain, None),
        (502, page, Uncertain, None),
        (503, page, Unavailable, None),
        (504, "", Uncertain, None),
    ];
    for provider in [vonage, telnyx, plivo, bird] {
        judged(provider, &rows).await;
    }
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_passed_on() {
    let bodies = [
        "slow down",
        r#"{"errors":[{"code":"10011","title":"Too many requests","detail":""}]}"#,
        r#"{"api_id":"1","error":"too many requests"}"#,
        r#"{"error":{"type":"rate_limit_error","code":"E01003","name":"RateLimited","message":"","request_id":""}}"#,
    ];
    for provider in [vonage, telnyx, plivo, bird] {
        for body in bodies {
            let fake = Fake::answering(200, "").await;
            fake.answers(429, Some("7"), body);
            let error = send(&provider(&fake.url()), TEXT).await.expect_err("throttled");
            assert_eq!((error.fault, error.retry_after), (Unavailable, Some(Duration::from_secs(7))), "{body}");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_certain_and_a_broken_connection_is_not() {
    for provider in [vonage, telnyx, plivo, bird] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let provider = provider(&url);
        let hangs_up = tokio::spawn(async move {
            let (connection, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 1024];
            connection.readable().await.expect("a request");
            let _ = connection.try_read(&mut head);
        });
        assert_eq!(send(&provider, TEXT).await.map_err(|error| error.fault), Err(Uncertain));
        hangs_up.await.expect("heard a request");
        assert_eq!(send(&provider, TEXT).await.map_err(|error| error.fault), Err(Unavailable));
    }
}

/// What a provider posts to `/webhooks/x`.
#[derive(Clone)]
struct Post {
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    now: i64,
}

impl Post {
    fn new(body: impl Into<String>) -> Post {
        let url = format!("https://otp.example/webhooks/x?ref={REFERENCE}");
        Post { method: "POST", url, headers: Vec::new(), body: body.into(), now: NOW }
    }

    fn read(&self, provider: &Arc<dyn MessageProvider>) -> Result<Answer, ReceiptError> {
        let header = |wanted: &str| self.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        let (method, url, body, now) = (self.method, self.url.as_str(), self.body.as_bytes(), Timestamp(self.now * 1000));
        provider.receipts(&ReceiptRequest { method, url, query, header: &header, body, now })
    }
}

fn receipt(reference: Option<&str>, state: ReceiptState, code: Option<&str>, cause: Option<&str>) -> Result<Answer, ReceiptError> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    Ok(Answer::Receipts(vec![ProviderReceipt { reference: text(reference), state, code: text(code), cause: text(cause) }]))
}

fn nothing() -> Result<Answer, ReceiptError> {
    Ok(Answer::Receipts(Vec::new()))
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn vonage_form(status: &str, code: &str) -> String {
    form(&[
        ("msisdn", "4915112345678"),
        ("to", "Acme"),
        ("network-code", "26201"),
        ("messageId", "0A0000001234567B"),
        ("price", "0.03330000"),
        ("status", status),
        ("scts", "2001011400"),
        ("err-code", code),
        ("api-key", "abcd1234"),
        ("client-ref", REFERENCE),
        ("message-timestamp", "2026-01-01 00:00:00"),
    ])
}

#[test]
fn vonage_s_receipts_are_read_in_all_three_ways() {
    let provider = vonage("http://127.0.0.1:9");
    for (status, code, state, cause) in [
        ("accepted", "0", Underway, None),
        ("buffered", "0", Underway, None),
        ("unknown", "1", Underway, None),
        ("delivered", "0", Delivered, None),
        ("failed", "2", Failed, Some("handset unreachable")),
        ("rejected", "9", Failed, Some("the person opted out")),
        ("expired", "1", Failed, Some("its time ran out before it was delivered")),
        ("failed", "99", Failed, Some("not delivered")),
    ] {
        let body = vonage_form(status, code);
        let expected = receipt(Some(REFERENCE), state, Some(code).filter(|code| *code != "0"), cause);
        assert_eq!(Post::new(&*body).read(&provider), expected, "{status} as a form");
        let fields: serde_json::Map<_, _> =
            url::form_urlencoded::parse(body.as_bytes()).map(|(name, value)| (name.into_owned(), Value::from(&*value))).collect();
        assert_eq!(Post::new(Value::from(fields).to_string()).read(&provider), expected, "{status} as JSON");
        let mut get = Post::new("");
        get.method = "GET";
        get.url = format!("{}&{body}", get.url);
        assert_eq!(get.read(&provider), expected, "{status} as a query");
    }
    assert_eq!(Post::new(vonage_form("submitted-elsewhere", "0")).read(&provider), nothing());
    let without = form(&[("status", "delivered"), ("err-code", "0")]);
    assert_eq!(Post::new(without).read(&provider), receipt(None, Delivered, None, None), "then the one in the URL counts");
    for garbage in ["", "{", "[1]", "{}", "<xml/>", "status="] {
        assert_eq!(Post::new(garbage).read(&provider), Err(ReceiptError::Malformed), "{garbage}");
    }
}

#[test]
fn a_vonage_account_that_signs_is_believed_signed_only() {
    let settings = json!({ "api_key": "k", "api_secret": "s", "from": "Acme", "signature_secret": "shared", "signature_method": "sha256" });
    let provider = account(&vonage::KIND, settings);
    let signed = |timestamp: i64, status: &str| {
        let timestamp = timestamp.to_string();
        let text = format!("&client-ref={REFERENCE}&err-code=0&nonce=ec11&status=delivered&timestamp={timestamp}");
        let signature: String = hmac_sha256(b"shared", &text).iter().map(|byte| format!("{byte:02X}")).collect();
        let fields = [("status", status), ("err-code", "0"), ("client-ref", REFERENCE), ("timestamp", &timestamp), ("nonce", "ec11")];
        Post::new(form(&[&fields[..], &[("sig", &signature)]].concat()))
    };
    let right = signed(NOW, "delivered");
    assert_eq!(right.read(&provider), receipt(Some(REFERENCE), Delivered, None, None));
    let mut get = right.clone();
    (get.method, get.url, get.body) = ("GET", format!("{}&{}", get.url, get.body), String::new());
    assert_eq!(get.read(&provider), receipt(Some(REFERENCE), Delivered, None, None));
    for forged in
        [Post::new(vonage_form("delivered", "0")), signed(NOW, "failed"), signed(NOW - 301, "delivered"), signed(NOW + 301, "delivered")]
    {
        assert_eq!(forged.read(&provider), Err(ReceiptError::Signature), "{}", forged.body);
    }
}

fn telnyx_post(body: &Value, timestamp: i64) -> Post {
    let key = STANDARD.decode(TELNYX_SECRET_KEY).expect("base64");
    let key = Ed25519KeyPair::from_seed_and_public_key(&key[..32], &key[32..]).expect("a key pair");
    let signature = key.sign(format!("{timestamp}|{body}").as_bytes());
    let headers = [("telnyx-signature-ed25519", STANDARD.encode(signature)), ("telnyx-timestamp", timestamp.to_string())];
    Post { headers: headers.into(), ..Post::new(body.to_string()) }
}

fn telnyx_event(event: &str, status: &str, errors: Value) -> Value {
    let to = json!([{ "phone_number": "+4915112345678", "status": status, "carrier": "", "line_type": "Wireless" }]);
    let payload = json!({ "id": "40385f64", "record_type": "message", "direction": "outbound", "to": to, "errors": errors });
    json!({ "data": { "event_type": event, "id": "4ee8c3a6", "occurred_at": "2026-01-01T00:00:00.000+00:00", "payload": payload, "record_type": "event" } })
}

#[test]
fn telnyx_s_receipts_are_believed_signed_and_fresh_only() {
    let provider = telnyx("http://127.0.0.1:9");
    let errors = |code: &str| json!([{ "code": code, "title": "Not routable", "detail": "" }]);
    for (event, status, code, state, cause) in [
        ("message.sent", "sent", None, Underway, None),
        ("message.sent", "sending", None, Underway, None),
        ("message.finalized", "delivered", None, Delivered, None),
        ("message.finalized", "delivery_unconfirmed", None, Underway, None),
        ("message.finalized", "sending_failed", Some("40012"), Failed, Some("unknown number")),
        ("message.finalized", "delivery_failed", Some("40001"), Failed, Some("landline or unreachable carrier")),
        ("message.finalized", "delivery_failed", None, Failed, Some("not delivered")),
        ("message.finalized", "expired", None, Failed, Some("its time ran out before it was delivered")),
    ] {
        let post = telnyx_post(&telnyx_event(event, status, code.map_or(json!([]), errors)), NOW);
        assert_eq!(post.read(&provider), receipt(None, state, code, cause), "{status}");
    }
    let delivered = telnyx_event("message.finalized", "delivered", json!([]));
    assert_eq!(telnyx_post(&telnyx_event("message.received", "delivered", json!([])), NOW).read(&provider), nothing());
    assert_eq!(telnyx_post(&json!({ "data": 1 }), NOW).read(&provider), Err(ReceiptError::Malformed));
    let right = telnyx_post(&delivered, NOW);
    let mut other_body = right.clone();
    other_body.body = other_body.body.replace("delivered", "expired");
    let mut other_time = right.clone();
    other_time.headers[1].1 = (NOW + 1).to_string();
    let mut no_signature = right.clone();
    no_signature.headers.remove(0);
    let mut short = right.clone();
    short.headers[0].1 = STANDARD.encode([1; 63]);
    let stale = [telnyx_post(&delivered, NOW - 301), telnyx_post(&delivered, NOW + 301)];
    for forged in [other_body, other_time, no_signature, short, Post::new(delivered.to_string())].iter().chain(&stale) {
        assert_eq!(forged.read(&provider), Err(ReceiptError::Signature), "{:?}", forged.headers);
    }
    let without_key = account(&telnyx::KIND, json!({ "api_key": "KEY", "from": "Acme" }));
    assert_eq!(right.read(&without_key), Err(ReceiptError::Signature));
}

fn plivo_post(fields: &[(&str, &str)], url: &str) -> Post {
    let path = url.split('?').next().expect("a path");
    let signature = STANDARD.encode(hmac_sha256(b"token", &format!("{path}12345")));
    let headers = vec![("x-plivo-signature-v2", signature), ("x-plivo-signature-v2-nonce", "12345".to_owned())];
    Post { headers, url: url.into(), ..Post::new(form(fields)) }
}

#[test]
fn plivo_s_receipts_are_believed_signed_only() {
    let provider = plivo("http://127.0.0.1:9");
    let url = Post::new("").url;
    for (status, code, state, cause) in [
        ("queued", "", Underway, None),
        ("sent", "000", Underway, None),
        ("delivered", "000", Delivered, None),
        ("undelivered", "80", Failed, Some("handset unreachable")),
        ("failed", "900", Failed, Some("the account has no credit left")),
        ("rejected", "", Failed, Some("not delivered")),
    ] {
        let fields = [("MessageUUID", "5b40a428"), ("To", "4915112345678"), ("Status", status), ("ErrorCode", code), ("Units", "1")];
        let expected = receipt(None, state, Some(code).filter(|code| !["", "000"].contains(code)), cause);
        assert_eq!(plivo_post(&fields, &url).read(&provider), expected, "{status}");
        let mut get = plivo_post(&[], &format!("{url}&{}", form(&fields)));
        get.method = "GET";
        assert_eq!(get.read(&provider), expected, "{status}, by GET");
    }
    assert_eq!(plivo_post(&[("Status", "teleported")], &url).read(&provider), nothing());
    assert_eq!(plivo_post(&[("MessageUUID", "5b40a428")], &url).read(&provider), Err(ReceiptError::Malformed));
    let delivered = [("Status", "delivered")];
    let elsewhere = plivo_post(&delivered, "https://otp.example/webhooks/y");
    assert_eq!(Post { url: url.clone(), ..elsewhere }.read(&provider), Err(ReceiptError::Signature));
    assert_eq!(Post::new(form(&delivered)).read(&provider), Err(ReceiptError::Signature));
}

fn bird_post(body: &Value, timestamp: i64) -> Post {
    let key = STANDARD.decode(BIRD_SECRET).expect("base64");
    let signature = STANDARD.encode(hmac_sha256(&key, &format!("msg_1.{timestamp}.{body}")));
    let headers = [
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ];
    Post { headers: headers.into(), url: "https://otp.example/webhooks/x".into(), ..Post::new(body.to_string()) }
}

fn bird_event(kind: &str, reference: &str, code: Option<&str>) -> Value {
    let mut data = json!({
        "sms_id": "sms_01k", "workspace_id": "ws_1", "from": "Acme", "to": "+4915112345678", "tags": null,
        "metadata": { "reference": reference },
    });
    if let Some(code) = code {
        data["error"] = json!({ "code": code, "description": "Words.", "occurred_at": "2026-01-01T00:00:00Z" });
    }
    json!({ "type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data })
}

#[test]
fn bird_s_receipts_are_believed_signed_and_fresh_only() {
    let provider = bird("http://127.0.0.1:9");
    for (kind, code, state, cause) in [
        ("sms.accepted", None, Underway, None),
        ("sms.sent", None, Underway, None),
        ("sms.delivered", None, Delivered, None),
        ("sms.undelivered", Some("unreachable"), Failed, Some("handset unreachable")),
        ("sms.failed", Some("invalid_destination"), Failed, Some("unknown number")),
        ("sms.rejected", Some("insufficient_balance"), Failed, Some("the account has no credit left")),
        ("sms.expired", None, Failed, Some("its time ran out before it was delivered")),
    ] {
        let post = bird_post(&bird_event(kind, REFERENCE, code), NOW);
        assert_eq!(post.read(&provider), receipt(Some(REFERENCE), state, code, cause), "{kind}");
    }
    for kind in ["email.delivered", "sms.tfn_verification.approved", "sms.teleported"] {
        assert_eq!(bird_post(&bird_event(kind, REFERENCE, None), NOW).read(&provider), nothing(), "{kind}");
    }
    let mut unmarked = bird_event("sms.delivered", "", None);
    unmarked["data"]["metadata"] = Value::Null;
    assert_eq!(bird_post(&unmarked, NOW).read(&provider), receipt(None, Delivered, None, None));
    assert_eq!(bird_post(&json!([]), NOW).read(&provider), Err(ReceiptError::Malformed));
    let delivered = bird_event("sms.delivered", REFERENCE, None);
    let right = bird_post(&delivered, NOW);
    let mut other_body = right.clone();
    other_body.body.push(' ');
    let mut other_id = right.clone();
    other_id.headers[0].1 = "msg_2".into();
    let mut no_signature = right.clone();
    no_signature.headers[2].1 = "v1,".into();
    let stale = [bird_post(&delivered, NOW - 301), bird_post(&delivered, NOW + 301)];
    for forged in [other_body, other_id, no_signature, Post::new(delivered.to_string())].iter().chain(&stale) {
        assert_eq!(forged.read(&provider), Err(ReceiptError::Signature), "{:?}", forged.headers);
    }
    let without_secret = account(&bird::KIND, json!({ "api_key": "bk_eu1_abc", "from": "Acme" }));
    assert_eq!(right.read(&without_secret), Err(ReceiptError::Signature));
}

/// An account with an API key in place of the auth token has nothing to check receipts with.
#[test]
fn a_twilio_signature_of_no_bytes_is_none() {
    let settings = json!({ "account_sid": "AC1", "api_key": "SK1", "api_key_secret": "secret", "from": "+15005550006" });
    let with_token = json!({ "account_sid": "AC1", "auth_token": "token", "from": "+15005550006" });
    for settings in [settings, with_token] {
        let provider = account(&twilio::KIND, settings);
        let mut post = Post::new("MessageStatus=delivered");
        post.headers.push(("x-twilio-signature", String::new()));
        assert_eq!(post.read(&provider), Err(ReceiptError::Signature));
        post.headers.push(("x-twilio-webhooks-signature-settings", "alg=HMAC_SHA256".into()));
        assert_eq!(post.read(&provider), Err(ReceiptError::Signature));
    }
}

#[test]
fn an_account_that_cannot_work_says_what_is_missing() {
    let refused = |kind: &Kind, settings: Value| {
        let settings = figment::value::Value::serialize(settings).expect("settings").into_dict().expect("a table");
        let http = Http::new().expect("a client");
        let account = Account { name: "x".into(), settings, http, clock: Arc::new(TestClock::default()) };
        (kind.build)(&account).err().map(|error| error.0).expect("refused")
    };
    for (kind, settings, word) in [
        (&vonage::KIND, json!({ "api_key": "k", "api_secret": "s" }), "from"),
        (&vonage::KIND, json!({ "api_key": "k", "api_secret": "s", "from": "a", "signature_method": "sha3" }), "sha256"),
        (&vonage::KIND, json!({ "api_key": "k", "api_secret": "s", "from": "a", "fom": "b" }), "fom"),
        (&telnyx::KIND, json!({ "api_key": "k" }), "messaging_profile_id"),
        (&telnyx::KIND, json!({ "api_key": "k", "from": "a", "public_key": "c2hvcnQ=" }), "public_key"),
        (&plivo::KIND, json!({ "auth_id": "k", "auth_token": "t" }), "powerpack_uuid"),
        (&plivo::KIND, json!({ "auth_id": "k", "auth_token": "t", "from": "a", "powerpack_uuid": "b" }), "powerpack_uuid"),
        (&bird::KIND, json!({ "api_key": "classic", "from": "a" }), "bk_REGION"),
        (&bird::KIND, json!({ "api_key": "bk_eu1_k", "from": "a", "webhook_secret": "whsec_é" }), "webhook_secret"),
    ] {
        let said = refused(kind, settings);
        assert!(said.contains(word), "{}: {said}", kind.name);
    }
}

#[test]
fn the_variables_of_the_vendors_own_examples_make_an_account_each() {
    let variables = [
        ["VONAGE_API_KEY", "VONAGE_API_SECRET", "VONAGE_SMS_FROM"],
        ["TELNYX_API_KEY", "TELNYX_FROM_NUMBER", "TELNYX_PUBLIC_KEY"],
        ["PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN", "PLIVO_PHONE_NUMBER"],
        ["BIRD_API_KEY", "BIRD_SMS_FROM", "BIRD_WEBHOOK_SECRET"],
    ];
    let value = |name: &str| match name {
        "TELNYX_PUBLIC_KEY" => TELNYX_PUBLIC_KEY,
        "BIRD_WEBHOOK_SECRET" => BIRD_SECRET,
        "BIRD_API_KEY" => "bk_us1_abc",
        _ => "Acme",
    };
    let environment = variables.iter().flatten().map(|name| ((*name).to_owned(), value(name).to_owned())).collect();
    let kinds = [vonage::KIND, telnyx::KIND, plivo::KIND, bird::KIND];
    let (http, clock) = (Http::new().expect("a client"), Arc::new(TestClock::default()));
    let sources = Sources { kinds: &kinds, sections: &BTreeMap::new(), environment: &environment, http, clock };
    let found = sources.accounts().expect("accounts");
    for (account, (name, variables)) in found.iter().zip(["vonage", "telnyx", "plivo", "bird"].iter().zip(variables)) {
        let mut used = account.variables.clone();
        used.sort_unstable();
        assert_eq!((&*account.provider.name, used), (*name, variables.to_vec()));
    }
    assert_eq!(found.len(), 4);
}

/// A start that reaches the fake, a forged receipt, the right ones in disorder, and ten more of each at once.
async fn from_start_to_receipt(
    kind: &str,
    settings: &str,
    taken: &str,
    reference: fn(&Seen) -> String,
    post: impl Fn(&str, &str, &str) -> Post,
) {
    let fake = Fake::answering(200, taken).await;
    let toml = format!(
        "[server]\npublic_url = \"https://otp.example\"\n[provider.x]\ntype = \"{kind}\"\nbase_url = \"{}\"\n{settings}",
        fake.url()
    );
    let app = TestApp::with(&toml).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let sent = client.sent(&started).await;
    assert_eq!(sent["delivery"], "sent", "{sent}");
    let reference = reference(&fake.one());
    let url = format!("https://otp.example/webhooks/x?ref={reference}");
    let deliver = async |post: Post| {
        let headers: Vec<_> = post.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (_, path) = post.url.split_at(post.url.find("/webhooks").expect("a path"));
        app.wire.send(post.method, path, &headers, post.body).await.status
    };
    // Somebody else's reference, and a signature that is none where there are signatures.
    assert_eq!(deliver(post("delivered", &url.replace(&reference, REFERENCE), REFERENCE)).await, 200, "it tells a stranger nothing");
    let right = post("delivered", &url, &reference);
    if !right.headers.is_empty() {
        let forged = Post { headers: Vec::new(), ..right.clone() };
        assert_eq!(deliver(forged).await, 403);
    }
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "sent");
    assert_eq!(deliver(right).await, 200);
    let found = client.get(&started).await.expect(200);
    assert_eq!(found["delivery"], "delivered", "{found}");
    let states = ["delivered", "sent", "delivered", "sent", "delivered", "sent", "sent", "delivered", "sent", "delivered"];
    let again = states.map(|state| deliver(post(state, &url, &reference)));
    assert!(join_all(again).await.iter().all(|status| *status == 200));
    assert_eq!(client.get(&started).await.expect(200), found, "ten duplicates in disorder change nothing");
}

#[tokio::test]
async fn a_start_goes_out_by_vonage_and_its_receipt_comes_home() {
    let settings = "api_key = \"abcd1234\"\napi_secret = \"secret\"\nfrom = \"Acme\"";
    let taken = r#"{"message-count":"1","messages":[{"to":"4915110000001","message-id":"0C000000217B7F02","status":"0"}]}"#;
    let reference = |seen: &Seen| {
        let reference = seen.field("client-ref").expect("a reference");
        assert_eq!(seen.field("callback"), Some(format!("https://otp.example/webhooks/x?ref={reference}")));
        reference
    };
    let post = |state: &str, url: &str, reference: &str| {
        let status = if state == "sent" { "buffered" } else { state };
        Post { url: url.into(), ..Post::new(vonage_form(status, "0").replace(REFERENCE, reference)) }
    };
    from_start_to_receipt("vonage", settings, taken, reference, post).await;
}

#[tokio::test]
async fn a_start_goes_out_by_telnyx_and_its_receipt_comes_home() {
    let settings = format!("api_key = \"KEY0123\"\nfrom = \"+15005550006\"\npublic_key = \"{TELNYX_PUBLIC_KEY}\"");
    let taken = r#"{"data":{"record_type":"message","id":"40385f64-5717-4562-b3fc-2c963f66afa6","errors":[]}}"#;
    let reference = |seen: &Seen| in_url(&seen.json()["webhook_url"]);
    let post = |state: &str, url: &str, _: &str| {
        let event = if state == "sent" { "message.sent" } else { "message.finalized" };
        Post { url: url.into(), ..telnyx_post(&telnyx_event(event, state, json!([])), NOW) }
    };
    from_start_to_receipt("telnyx", &settings, taken, reference, post).await;
}

#[tokio::test]
async fn a_start_goes_out_by_plivo_and_its_receipt_comes_home() {
    let settings = "auth_id = \"MAXX\"\nauth_token = \"token\"\nfrom = \"14152223333\"";
    let taken = r#"{"message":"message(s) queued","message_uuid":["5b40a428-bfc7-4daf-9d06-726c558bf3b8"],"api_id":"948b53a2"}"#;
    let reference = |seen: &Seen| in_url(&seen.json()["url"]);
    let post = |state: &str, url: &str, _: &str| plivo_post(&[("MessageUUID", "5b40a428"), ("Status", state), ("ErrorCode", "000")], url);
    from_start_to_receipt("plivo", settings, taken, reference, post).await;
}

#[tokio::test]
async fn a_start_goes_out_by_bird_and_its_receipt_comes_home() {
    let settings = format!("api_key = \"bk_eu1_abc\"\nfrom = \"Acme\"\nwebhook_secret = \"whsec_{BIRD_SECRET}\"");
    let reference = |seen: &Seen| seen.json()["metadata"]["reference"].as_str().expect("a reference").to_owned();
    let post = |state: &str, _: &str, reference: &str| bird_post(&bird_event(&format!("sms.{state}"), reference, None), NOW);
    from_start_to_receipt("bird", &settings, r#"{"id":"sms_01k","status":"accepted"}"#, reference, post).await;
}

fn in_url(callback: &Value) -> String {
    let callback = callback.as_str().expect("a URL");
    callback.strip_prefix("https://otp.example/webhooks/x?ref=").expect("our own URL").to_owned()
}
