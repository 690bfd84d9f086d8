//! WhatsApp by Meta's own Cloud API: codes travel in an authentication template, whose words are Meta's.
//!
//! That a message was taken says little: most of what goes wrong comes as a receipt. Receipts are signed with the app's
//! secret over the body as it came, and give our reference back.

use std::sync::Arc;

use async_trait::async_trait;
use hmac::Hmac;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::delivery::signature::is_mac;
use crate::hex;
use crate::secret::Redacted;
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "whatsapp",
    title: "WhatsApp Cloud API",
    // Meta's own library has the second of each pair; the first is what most others write.
    environment: &[
        ("WHATSAPP_ACCESS_TOKEN", "access_token"),
        ("CLOUD_API_ACCESS_TOKEN", "access_token"),
        ("WHATSAPP_PHONE_NUMBER_ID", "phone_number_id"),
        ("WA_PHONE_NUMBER_ID", "phone_number_id"),
        ("WHATSAPP_APP_SECRET", "app_secret"),
        ("M4D_APP_SECRET", "app_secret"),
        ("WHATSAPP_VERIFY_TOKEN", "verify_token"),
        ("WEBHOOK_VERIFICATION_TOKEN", "verify_token"),
    ],
    // The template has a name that only its owner knows, so there is no account without a section.
    needs: &[&["access_token"], &["phone_number_id"], &["template"]],
    secrets: &["access_token", "app_secret", "verify_token"],
    build,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    access_token: Redacted<String>,
    /// Meta's number for the sender: digits, not its phone number.
    phone_number_id: String,
    /// An approved template of the category AUTHENTICATION.
    template: String,
    /// The languages that it is approved in, as Meta spells them; the first is for everybody else.
    languages: Option<Vec<String>>,
    /// Signs receipts. Without it none is believed.
    app_secret: Option<Redacted<String>>,
    /// What Meta says when it asks whether we are there.
    verify_token: Option<Redacted<String>>,
    /// Of the API.
    version: Option<String>,
    base_url: Option<String>,
}

struct WhatsApp {
    http: Http,
    access_token: Redacted<String>,
    template: String,
    languages: Vec<String>,
    app_secret: Option<Redacted<String>>,
    verify_token: Option<Redacted<String>>,
    url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    if settings.phone_number_id.is_empty() || !settings.phone_number_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SettingError("phone_number_id must be Meta's number for the sender: digits only, and not its phone number".into()));
    }
    let languages = settings.languages.unwrap_or_else(|| vec!["en_US".into()]);
    if languages.is_empty() {
        return Err(SettingError("languages must name at least one".into()));
    }
    let base_url = settings.base_url.unwrap_or_else(|| "https://graph.facebook.com".into());
    let version = settings.version.unwrap_or_else(|| "v25.0".into());
    Ok(Family::Message(Arc::new(WhatsApp {
        http: account.http.clone(),
        access_token: settings.access_token,
        template: settings.template,
        languages,
        app_secret: settings.app_secret,
        verify_token: settings.verify_token,
        url: format!("{base_url}/{version}/{}/messages", settings.phone_number_id),
    })))
}

#[derive(Deserialize)]
struct Accepted {
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
}

#[async_trait]
impl MessageProvider for WhatsApp {
    fn channels(&self) -> &[Channel] {
        &[Channel::Whatsapp]
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        let code = json!([{ "type": "text", "text": message.code()?.expose() }]);
        let body = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": envelope.to.canonical().trim_start_matches('+'),
            "type": "template",
            "template": {
                "name": self.template,
                "language": { "code": language(&self.languages, &envelope.locale) },
                // Once to be read and once for the button that copies it: Meta refuses one without the other.
                "components": [
                    { "type": "body", "parameters": code },
                    { "type": "button", "sub_type": "url", "index": "0", "parameters": code },
                ],
            },
            "biz_opaque_callback_data": envelope.reference,
        });
        let response = call(self.http.post(&self.url).bearer_auth(self.access_token.expose()).json(&body)).await?;
        let accepted = response.json::<Accepted>().filter(|_| response.is_success());
        accepted.and_then(|accepted| Some(accepted.messages.into_iter().next()?.id)).ok_or_else(|| refusal(&response))
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        if request.method == "GET" {
            return self.challenge(request).map(Answer::Challenge).ok_or(ReceiptError::Signature);
        }
        if !self.is_signed(request) {
            return Err(ReceiptError::Signature);
        }
        let posted: Posted = serde_json::from_slice(request.body).map_err(|_| ReceiptError::Malformed)?;
        let changes = posted.entry.into_iter().flat_map(|entry| entry.changes);
        // What people write to the sender comes here as well, and is nobody's business.
        let statuses = changes.flat_map(|change| change.value.statuses);
        Ok(Answer::Receipts(statuses.filter_map(receipt).collect()))
    }
}

impl WhatsApp {
    /// Meta asks with a token that its owner has chosen, and wants its own text back.
    fn challenge(&self, request: &ReceiptRequest<'_>) -> Option<String> {
        let fields = request.query_fields();
        let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let token = self.verify_token.as_ref()?.expose().as_bytes();
        let is_right = !token.is_empty() && bool::from(field("hub.verify_token")?.as_bytes().ct_eq(token));
        (is_right && field("hub.mode") == Some("subscribe")).then(|| field("hub.challenge").map(str::to_owned))?
    }

    fn is_signed(&self, request: &ReceiptRequest<'_>) -> bool {
        let header = (request.header)("x-hub-signature-256").and_then(|header| hex::bytes(header.strip_prefix("sha256=")?));
        match (&self.app_secret, header) {
            (Some(secret), Some(signature)) => is_mac::<Hmac<Sha256>>(secret.expose().as_bytes(), &[request.body], &signature),
            _ => false,
        }
    }
}

/// The approved language for a locale: the same, the language alone, the language somewhere, the first.
fn language<'a>(approved: &'a [String], locale: &str) -> &'a str {
    let wanted = locale.replace('-', "_");
    let language = wanted.split('_').next().unwrap_or_default();
    let find = |fits: &dyn Fn(&str) -> bool| approved.iter().find(|approved| fits(approved));
    let found = find(&|approved| approved.eq_ignore_ascii_case(&wanted))
        .or_else(|| find(&|approved| approved.eq_ignore_ascii_case(language)))
        .or_else(|| find(&|approved| approved.split('_').next().is_some_and(|first| first.eq_ignore_ascii_case(language))));
    found.or(approved.first()).map_or("en_US", String::as_str)
}

#[derive(Deserialize)]
struct Posted {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    value: Changed,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Changed {
    statuses: Vec<MessageStatus>,
}

#[derive(Deserialize)]
struct MessageStatus {
    status: String,
    biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
}

fn receipt(status: MessageStatus) -> Option<ProviderReceipt> {
    // A message of ours always has it; without it this is another system's on the same number.
    let reference = Some(status.biz_opaque_callback_data?);
    let state = match status.status.as_str() {
        "sent" => ReceiptState::Underway,
        // One that is read at once is never reported as delivered.
        "delivered" | "read" | "played" => ReceiptState::Delivered,
        "failed" => ReceiptState::Failed,
        _ => return None,
    };
    let code = status.errors.first().map(|fault| fault.code);
    let cause = (state == ReceiptState::Failed).then(|| code.map_or("not delivered", |code| refused(code).1).to_owned());
    Some(ProviderReceipt { reference, code: code.map(|code| code.to_string()), cause, state })
}

#[derive(Deserialize)]
struct Refused {
    error: RefusedError,
}

#[derive(Deserialize)]
struct RefusedError {
    code: i64,
    message: Option<String>,
    error_data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    details: Option<String>,
}

/// What Meta's refusal means: by its code, as Meta asks; titles and statuses change.
fn refusal(response: &Response) -> SendError {
    let Some(Refused { error }) = response.json::<Refused>() else { return response.unexpected() };
    let blames_number = || {
        let texts = [error.message.as_deref(), error.error_data.as_ref().and_then(|data| data.details.as_deref())];
        texts.into_iter().flatten().any(|text| text.contains("recipient") || text.contains("'to'") || text.contains("param to"))
    };
    let sent = match refused(error.code) {
        (Sort::Rejected, cause) => SendError::rejected(cause),
        (Sort::Parameter, cause) if blames_number() => SendError::rejected(cause),
        (Sort::Unavailable | Sort::Parameter, cause) => SendError::unavailable(cause),
        (Sort::Unknown, cause) => SendError::uncertain(cause),
    };
    sent.code(error.code).retry_after(response.retry_after)
}

enum Sort {
    /// Of the destination, on this channel: the fallback channel is for them (`channel_fallback`).
    Rejected,
    /// Somebody else may send it.
    Unavailable,
    /// Any of the request's fields, the destination among them.
    Parameter,
    /// Meta does not say.
    Unknown,
}

fn refused(code: i64) -> (Sort, &'static str) {
    match code {
        // Not an invalid number: it gets no WhatsApp message, and a text message may well reach it.
        131026 => (Sort::Rejected, "not on WhatsApp"),
        131021 => (Sort::Rejected, "the sender's own number"),
        131050 => (Sort::Rejected, "blocked by the person"),
        130472 | 131049 => (Sort::Unavailable, "Meta chose not to deliver it"),
        131030 => (Sort::Unavailable, "its test number may not send to this one"),
        100 => (Sort::Parameter, "it refused a field of the message"),
        0 | 190 | 3 | 10 | 200..=299 | 131_005 => (Sort::Unavailable, "it refused the token"),
        368 | 130_497 | 131_031 | 131_042 => (Sort::Unavailable, "its account may not send there, or is locked or unpaid"),
        4 | 80_007 | 130_429 | 131_048 | 131_056 | 133_016 => (Sort::Unavailable, "it is too busy"),
        132_000..=132_099 => (Sort::Unavailable, "it refused the template"),
        2 | 131_016 | 131_057 | 133_004 => (Sort::Unavailable, "it is down"),
        1 | 131_000 => (Sort::Unknown, "something went wrong there"),
        _ => (Sort::Unavailable, "it refused the message"),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::clock::Timestamp;
    use crate::delivery::provider;

    fn whatsapp() -> WhatsApp {
        WhatsApp {
            http: Http::new().expect("a client"),
            access_token: Redacted::new("unused".into()),
            template: "code".into(),
            languages: vec!["en_US".into()],
            app_secret: Some(Redacted::new("TEST_APP_SECRET".into())),
            verify_token: Some(Redacted::new("chosen".into())),
            url: String::new(),
        }
    }

    fn ask(provider: &WhatsApp, method: &str, query: &str, body: &[u8], signature: Option<&str>) -> Result<Answer, ReceiptError> {
        let header = |name: &str| signature.filter(|_| name == "x-hub-signature-256");
        provider.receipts(&ReceiptRequest { method, url: "https://otp.example/", query, header: &header, body, now: Timestamp(0) })
    }

    /// The vector of Meta's own library: secret TEST_APP_SECRET, body `test`.
    #[test]
    fn the_official_vector_is_signed_and_nothing_else_is() {
        let signed = "sha256=0c61947b610d4f45e65f3d680e26027121ec2413e77598bcb6cfc6e0d9888221";
        let answer = |body: &[u8], signature: Option<&str>| ask(&whatsapp(), "POST", "", body, signature);
        // Signed, and then seen to be no receipt.
        assert_eq!(answer(b"test", Some(signed)), Err(ReceiptError::Malformed));
        assert_eq!(
            answer(b"test", Some(&format!("sha256={}", signed[7..].to_uppercase()))),
            Err(ReceiptError::Malformed),
            "the case of digits says nothing"
        );
        for (body, signature) in [
            (&b"tesT"[..], Some(signed)),
            (b"test", None),
            (b"test", Some("")),
            (b"test", Some("sha256=")),
            (b"test", Some(&signed[7..])),
            (b"test", Some(&signed[..signed.len() - 2])),
            (b"test", Some("sha1=0c61947b610d4f45e65f3d680e26027121ec2413")),
        ] {
            assert_eq!(answer(body, signature), Err(ReceiptError::Signature), "{signature:?}");
        }
        let unsigned = WhatsApp { app_secret: None, ..whatsapp() };
        assert_eq!(ask(&unsigned, "POST", "", b"test", Some(signed)), Err(ReceiptError::Signature));
    }

    #[test]
    fn who_knows_the_token_gets_the_challenge_back() {
        let answer = |query: &str| ask(&whatsapp(), "GET", query, b"", None);
        let asked = |mode: &str, token: &str| format!("hub.mode={mode}&hub.challenge=1158201444&hub.verify_token={token}");
        assert_eq!(answer(&asked("subscribe", "chosen")), Ok(Answer::Challenge("1158201444".into())));
        let wrong = [
            asked("subscribe", "other"),
            asked("subscribe", ""),
            asked("unsubscribe", "chosen"),
            "hub.mode=subscribe".into(),
            String::new(),
        ];
        for query in wrong {
            assert_eq!(answer(&query), Err(ReceiptError::Signature), "{query}");
        }
        for token in [None, Some(Redacted::new(String::new()))] {
            let unset = WhatsApp { verify_token: token, ..whatsapp() };
            assert_eq!(ask(&unset, "GET", &asked("subscribe", ""), b"", None), Err(ReceiptError::Signature));
        }
    }

    #[test]
    fn statuses_are_read_wherever_they_lie() {
        let status = |text: &str| -> Option<ProviderReceipt> { receipt(serde_json::from_str(text).expect("a status")) };
        let with = |status: &str| format!(r#"{{"id":"wamid.1","status":"{status}","timestamp":"1","biz_opaque_callback_data":"ours"}}"#);
        for (name, state) in [("sent", ReceiptState::Underway), ("delivered", ReceiptState::Delivered), ("read", ReceiptState::Delivered)] {
            assert_eq!(status(&with(name)), Some(ProviderReceipt { reference: Some("ours".into()), ..ProviderReceipt::new(state) }));
        }
        let failed = r#"{"id":"wamid.1","status":"failed","biz_opaque_callback_data":"ours","errors":[{"code":131026,"title":"Message undeliverable"}]}"#;
        let failed = status(failed).expect("a receipt");
        assert_eq!(
            (failed.state, failed.code.as_deref(), failed.cause.as_deref()),
            (ReceiptState::Failed, Some("131026"), Some("not on WhatsApp"))
        );
        assert_eq!(status(&with("failed")).and_then(|receipt| receipt.cause).as_deref(), Some("not delivered"));
        assert_eq!(status(&with("deleted")), None);
        assert_eq!(status(r#"{"id":"wamid.1","status":"sent"}"#), None, "another system's");
    }

    #[test]
    fn the_code_decides_what_a_refusal_means() {
        let fault = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            refusal(&Response { status, retry_after: None, body: body.as_bytes().to_vec() }).fault
        };
        let coded =
            |status, code: i64| fault(status, &format!(r#"{{"error":{{"message":"(#{code}) m","type":"OAuthException","code":{code}}}}}"#));
        for code in [131_026, 131_021, 131_050] {
            assert_eq!(coded(400, code), provider::Fault::Rejected, "{code}");
        }
        for code in [190, 4, 10, 100, 200, 368, 130_429, 131_030, 131_048, 131_056, 132_001, 132_015, 133_010, 131_016, 131_057, 999_999] {
            assert_eq!(coded(400, code), provider::Fault::Unavailable, "{code}");
        }
        for code in [1, 131_000] {
            assert_eq!(coded(500, code), provider::Fault::Uncertain, "{code}");
        }
        let number = r#"{"error":{"message":"(#100) Invalid parameter","code":100,"error_data":{"details":"recipient is not a valid phone number"}}}"#;
        assert_eq!(fault(400, number), provider::Fault::Rejected);
        assert_eq!(fault(200, "{}"), provider::Fault::Uncertain);
        assert_eq!(fault(502, "<html>"), provider::Fault::Uncertain);
        assert_eq!(fault(429, ""), provider::Fault::Unavailable);
    }

    #[test]
    fn a_language_is_one_that_is_approved() {
        let approved: Vec<_> = ["en_US", "de", "pt_BR"].map(String::from).into();
        for (locale, code) in
            [("en-US", "en_US"), ("en", "en_US"), ("en-GB", "en_US"), ("de-AT", "de"), ("pt-PT", "pt_BR"), ("fr", "en_US")]
        {
            assert_eq!(language(&approved, locale), code, "{locale}");
        }
    }
}
