//! StartMessaging, for numbers in India: makes the codes itself, or carries ours (`own_code`).
//!
//! Three contracts of its API are published. Spoken is the tutorials' one (it makes the code, `requestId`, an idempotency
//! key); understood are the answers of the newer reference as well (`otpRequestId`, a top-level `requestId` that is a trace
//! only). With `own_code` the newer reference's request is spoken, in which the code is the caller's. Errors are judged by
//! their status: their bodies are documented nowhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::{Envelope, Message};
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError, VerifyProvider, life_setting};
use crate::secret::{Code, Redacted};
use crate::verification::courier::{ProviderLimits, ProviderVerdict};
use crate::verification::destination::Country;
use crate::verification::model::Channel;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "startmessaging",
    title: "StartMessaging",
    environment: &[("STARTMESSAGING_API_KEY", "api_key")],
    needs: &[&["api_key"]],
    secrets: &["api_key"],
    build,
};

/// Not documented for this contract; 5 minutes is what its maker's other APIs have.
const LIFE: Duration = Duration::from_secs(300);
/// Not documented either; every answer of a start tells how many are left.
const CHECKS: u32 = 5;
/// Longest reference that is believed.
const REFERENCE_MAX_CHARS: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    api_key: Redacted<String>,
    /// It carries our codes instead of making its own.
    #[serde(default)]
    own_code: bool,
    /// The template registered with the Indian carriers (DLT).
    template_id: Option<String>,
    /// Life of the codes that it makes.
    code_ttl: Option<String>,
    /// Checks of the codes that it makes.
    checks: Option<u32>,
    base_url: Option<String>,
}

struct StartMessaging {
    http: Http,
    api_key: Redacted<String>,
    template_id: Option<String>,
    limits: ProviderLimits,
    base_url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    if !settings.own_code && settings.template_id.is_some() {
        return Err(SettingError("template_id needs own_code = true: the codes that it makes travel in a text of its own".into()));
    }
    if settings.own_code && (settings.code_ttl.is_some() || settings.checks.is_some()) {
        return Err(SettingError("code_ttl and checks are for codes that it makes: leave them out with own_code = true".into()));
    }
    let provider = StartMessaging {
        http: account.http.clone(),
        api_key: settings.api_key,
        template_id: settings.template_id,
        limits: ProviderLimits {
            life: life_setting("code_ttl", settings.code_ttl.as_deref(), LIFE)?,
            checks: settings.checks.unwrap_or(CHECKS),
        },
        base_url: settings.base_url.unwrap_or_else(|| "https://api.startmessaging.com".into()),
    };
    Ok(if settings.own_code { Family::Message(Arc::new(OwnCode(provider))) } else { Family::Verify(Arc::new(provider)) })
}

impl StartMessaging {
    async fn post(&self, path: &str, body: &Value) -> Result<Response, SendError> {
        let request = self.http.post(format!("{}{path}", self.base_url)).header("x-api-key", self.api_key.expose());
        call(request.json(body)).await
    }
}

#[async_trait]
impl VerifyProvider for StartMessaging {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn reaches(&self, country: Option<Country>) -> bool {
        is_india(country)
    }

    fn limits(&self) -> ProviderLimits {
        self.limits
    }

    async fn start(&self, envelope: &Envelope) -> Result<String, SendError> {
        // Our reference is the same in every retry of one message and another one for the next.
        let body = json!({ "phoneNumber": envelope.to.canonical(), "idempotencyKey": envelope.reference });
        reference(&self.post("/otp/send", &body).await?, |data| [data.request_id, data.otp_request_id])
    }

    async fn check(&self, reference: &str, code: &Code) -> Result<ProviderVerdict, SendError> {
        verdict(&self.post("/otp/verify", &json!({ "requestId": reference, "otpCode": code.expose() })).await?)
    }
}

/// The same account, carrying our codes.
struct OwnCode(StartMessaging);

#[async_trait]
impl MessageProvider for OwnCode {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn reaches(&self, country: Option<Country>) -> bool {
        is_india(country)
    }

    fn carries(&self, code: &Code) -> bool {
        (4..=6).contains(&code.expose().len())
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        // This contract has no idempotency key: what is not answered stays uncertain.
        let mut body = json!({
            "phoneNumber": message.envelope.to.canonical(),
            "variables": { "otp": message.code()?.expose(), "appName": &*message.envelope.brand },
        });
        if let Some(template) = &self.0.template_id {
            body["templateId"] = json!(template);
        }
        reference(&self.0.post("/otp/send", &body).await?, |data| [data.message_id, data.otp_request_id])
    }
}

fn is_india(country: Option<Country>) -> bool {
    country.is_some() && country == Country::parse("IN")
}

#[derive(Deserialize)]
struct Answer<D> {
    data: D,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    request_id: Option<String>,
    otp_request_id: Option<String>,
    message_id: Option<String>,
}

/// The first of these that the answer has.
fn reference(response: &Response, names: impl FnOnce(Sent) -> [Option<String>; 2]) -> Result<String, SendError> {
    let sent = response.json::<Answer<Sent>>().filter(|_| response.is_success());
    let found = sent.and_then(|answer| names(answer.data).into_iter().flatten().next());
    let plain = |reference: &String| !reference.is_empty() && reference.len() <= REFERENCE_MAX_CHARS;
    found.filter(plain).ok_or_else(|| refusal(response))
}

#[derive(Deserialize)]
struct Verified {
    verified: bool,
}

fn verdict(response: &Response) -> Result<ProviderVerdict, SendError> {
    match response.json::<Answer<Verified>>() {
        Some(Answer { data: Verified { verified: true } }) if response.is_success() => Ok(ProviderVerdict::Approved),
        Some(Answer { data: Verified { verified: false } }) if response.is_success() => Ok(ProviderVerdict::Refused),
        // Wrong, used, unknown or expired: our own request is always of the right shape.
        _ if matches!(response.status.as_u16(), 400 | 404 | 409 | 410 | 422) => Ok(ProviderVerdict::Refused),
        _ => Err(refusal(response)),
    }
}

#[derive(Deserialize)]
struct Refused {
    message: Value,
}

/// A cause for each status that it answers with.
fn refusal(response: &Response) -> SendError {
    let error = match response.status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if blames_the_number(response) => {
            SendError::rejected("it refused the number")
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => SendError::unavailable("it refused the request"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SendError::unavailable("it refused the key"),
        StatusCode::PAYMENT_REQUIRED => SendError::unavailable("its account has no credit"),
        StatusCode::NOT_FOUND => SendError::unavailable("it does not know this address or template"),
        // The key came before: that request may have passed.
        StatusCode::CONFLICT => SendError::uncertain("it is working on this message already"),
        StatusCode::TOO_MANY_REQUESTS => SendError::unavailable("it is too busy"),
        StatusCode::SERVICE_UNAVAILABLE => SendError::unavailable("it is down"),
        _ => return response.unexpected(),
    };
    error.code(response.status.as_u16()).retry_after(response.retry_after)
}

fn blames_the_number(response: &Response) -> bool {
    // A sentence, or a list of them.
    response.json::<Refused>().is_some_and(|refused| refused.message.to_string().to_ascii_lowercase().contains("phone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::provider::Fault;

    fn answer(status: u16, body: &str) -> Response {
        let retry_after = (status == 429).then(|| Duration::from_secs(3));
        Response { status: StatusCode::from_u16(status).expect("a status"), retry_after, body: body.as_bytes().to_vec() }
    }

    fn started(status: u16, body: &str) -> Result<String, SendError> {
        reference(&answer(status, body), |data| [data.request_id, data.otp_request_id])
    }

    #[test]
    fn both_contracts_answers_give_the_reference() {
        let tutorial = r#"{"data":{"requestId":"otp-1","expiresAt":"2026-04-01T10:05:00Z","attemptsLeft":3}}"#;
        assert_eq!(started(200, tutorial), Ok("otp-1".into()));
        assert_eq!(started(200, r#"{"data":{"requestId":"otp-1"}}"#), Ok("otp-1".into()));
        let newer = r#"{"success":true,"statusCode":201,"requestId":"req_trace","timestamp":"2026-02-15T10:30:00.000Z",
            "data":{"otpRequestId":"otp-2","messageId":"message-2","status":"queued"}}"#;
        assert_eq!(started(201, newer), Ok("otp-2".into()), "the trace is not the reference");
        assert_eq!(reference(&answer(201, newer), |data| [data.message_id, data.otp_request_id]), Ok("message-2".into()));
        for odd in ["{}", r#"{"data":{}}"#, r#"{"data":{"requestId":""}}"#, r#"{"requestId":"req_trace"}"#, "", "<html>", "[]"] {
            assert_eq!(started(200, odd).map_err(|error| error.fault), Err(Fault::Uncertain), "{odd}");
        }
    }

    #[test]
    fn each_status_has_its_cause() {
        for (status, body, fault) in [
            (400, r#"{"message":"phoneNumber must be a valid phone number"}"#, Fault::Rejected),
            (400, r#"{"message":["phoneNumber must be a valid phone number"]}"#, Fault::Rejected),
            (422, r#"{"message":"invalid phone number"}"#, Fault::Rejected),
            (400, r#"{"message":"variables.otp is required"}"#, Fault::Unavailable),
            (400, "", Fault::Unavailable),
            (401, r#"{"message":"invalid key"}"#, Fault::Unavailable),
            (402, r#"{"message":"insufficient balance"}"#, Fault::Unavailable),
            (403, "", Fault::Unavailable),
            (404, "", Fault::Unavailable),
            (409, r#"{"message":"duplicate"}"#, Fault::Uncertain),
            (429, r#"{"message":"slow down"}"#, Fault::Unavailable),
            (500, r#"{"message":"oops"}"#, Fault::Uncertain),
            (502, "<html>", Fault::Uncertain),
            (503, "", Fault::Unavailable),
            (302, "", Fault::Uncertain),
        ] {
            assert_eq!(started(status, body).expect_err("refused").fault, fault, "{status} {body}");
        }
        let busy = started(429, "").expect_err("refused");
        assert_eq!((busy.retry_after, busy.code.as_deref()), (Some(Duration::from_secs(3)), Some("429")));
    }

    #[test]
    fn only_verified_approves() {
        assert_eq!(verdict(&answer(200, r#"{"data":{"verified":true}}"#)), Ok(ProviderVerdict::Approved));
        assert_eq!(verdict(&answer(200, r#"{"success":true,"data":{"verified":false}}"#)), Ok(ProviderVerdict::Refused));
        for status in [400, 404, 409, 410, 422] {
            assert_eq!(verdict(&answer(status, r#"{"message":"no"}"#)), Ok(ProviderVerdict::Refused), "{status}");
            assert_eq!(verdict(&answer(status, r#"{"data":{"verified":true}}"#)), Ok(ProviderVerdict::Refused), "{status}");
        }
        for (status, body) in [
            (401, ""),
            (402, ""),
            (429, ""),
            (500, ""),
            (503, ""),
            (200, "{}"),
            (200, r#"{"data":{"verified":"true"}}"#),
            (500, r#"{"data":{"verified":true}}"#),
        ] {
            assert!(verdict(&answer(status, body)).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn it_reaches_india_only() {
        assert!(is_india(Country::parse("IN")));
        assert!(!is_india(Country::parse("DE")) && !is_india(None));
    }
}
