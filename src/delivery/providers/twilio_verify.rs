//! Twilio Verify: makes the codes itself, sends them, and judges guesses.
//!
//! Wire format: Twilio's `twilio_verify_v2` specification. A start to a number that has a pending verification gives that one
//! again, same code and same SID: the store keeps two of ours from sharing it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::RequestBuilder;
use serde::Deserialize;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Envelope;
use crate::delivery::provider::{Account, Family, Kind, SendError, SettingError, VerifyProvider, life_setting};
use crate::delivery::providers::twilio::{Refused, basic, refusal};
use crate::secret::{Code, Redacted};
use crate::verification::courier::{ProviderLimits, ProviderVerdict};
use crate::verification::model::Channel;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "twilio-verify",
    title: "Twilio Verify",
    environment: &[
        ("TWILIO_ACCOUNT_SID", "account_sid"),
        ("TWILIO_AUTH_TOKEN", "auth_token"),
        ("TWILIO_API_KEY", "api_key"),
        ("TWILIO_API_KEY_SECRET", "api_key_secret"),
        ("TWILIO_API_SECRET", "api_key_secret"),
        ("TWILIO_VERIFY_SERVICE_SID", "service_sid"),
        ("TWILIO_VERIFY_SID", "service_sid"),
    ],
    needs: &[&["account_sid"], &["auth_token", "api_key_secret"], &["service_sid"]],
    secrets: &["auth_token", "api_key_secret"],
    build,
};

/// Verify's own defaults. Twilio's support changes the life for a service that asks: 2 minutes to 24 hours.
const LIMITS: ProviderLimits = ProviderLimits { life: Duration::from_secs(600), checks: 5 };
/// What every Verify service can do. Mail needs a SendGrid account behind it, WhatsApp a sender of one's own: a start on one
/// that is not set up is refused by Twilio, so only who has set them up names them.
const CHANNELS: [Channel; 2] = [Channel::Sms, Channel::Call];
/// Languages that Verify's texts exist in. It refuses others instead of taking its default.
const LOCALES: &[&str] = &[
    "af", "ar", "ca", "cs", "da", "de", "el", "en", "en-GB", "es", "et", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja", "kn", "ko",
    "lt", "mr", "ms", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk", "sv", "te", "th", "tl", "tr", "uk", "vi", "zh", "zh-CN", "zh-HK",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    account_sid: String,
    auth_token: Option<Redacted<String>>,
    api_key: Option<String>,
    api_key_secret: Option<Redacted<String>>,
    /// `VA…`.
    service_sid: String,
    /// What the service is set up for.
    channels: Option<Vec<Channel>>,
    /// Life of a code, where Twilio has changed the service's.
    code_ttl: Option<String>,
    base_url: Option<String>,
}

struct TwilioVerify {
    http: Http,
    user: String,
    password: Redacted<String>,
    /// Up to the service.
    url: String,
    channels: Vec<Channel>,
    limits: ProviderLimits,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    let Settings { account_sid, auth_token, api_key, api_key_secret, .. } = &settings;
    let (user, password) = basic(account_sid, auth_token.as_ref(), api_key.as_ref(), api_key_secret.as_ref())?;
    if !is_sid(&settings.service_sid, "VA") {
        return Err(SettingError("service_sid must be the SID of a Verify service: VA and letters and digits".into()));
    }
    let channels = settings.channels.unwrap_or_else(|| CHANNELS.to_vec());
    if channels.is_empty() {
        return Err(SettingError("channels must name at least one".into()));
    }
    let base_url = settings.base_url.unwrap_or_else(|| "https://verify.twilio.com".into());
    Ok(Family::Verify(Arc::new(TwilioVerify {
        http: account.http.clone(),
        user,
        password,
        url: format!("{base_url}/v2/Services/{}", settings.service_sid),
        channels,
        limits: ProviderLimits { life: life_setting("code_ttl", settings.code_ttl.as_deref(), LIMITS.life)?, ..LIMITS },
    })))
}

#[async_trait]
impl VerifyProvider for TwilioVerify {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn limits(&self) -> ProviderLimits {
        self.limits
    }

    async fn start(&self, envelope: &Envelope) -> Result<String, SendError> {
        let mut form = vec![("To", envelope.to.canonical()), ("Channel", envelope.channel.as_str())];
        form.extend(locale(&envelope.locale).map(|locale| ("Locale", locale)));
        started(&call(self.post("/Verifications").form(&form)).await?)
    }

    async fn check(&self, reference: &str, code: &Code) -> Result<ProviderVerdict, SendError> {
        // By SID, not by number: a guess counts for the verification that it was made for and for no other.
        let form = [("VerificationSid", reference), ("Code", code.expose())];
        verdict(&call(self.post("/VerificationCheck").form(&form)).await?)
    }

    async fn cancel(&self, reference: &str) -> Result<(), SendError> {
        let response = call(self.post(&format!("/Verifications/{reference}")).form(&[("Status", "canceled")])).await?;
        // What is not there any more is as good as canceled.
        if response.is_success() || is_gone(&response) { Ok(()) } else { Err(refusal(&response)) }
    }
}

impl TwilioVerify {
    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).basic_auth(&self.user, Some(self.password.expose()))
    }
}

#[derive(Deserialize)]
struct Started {
    sid: String,
}

fn started(response: &Response) -> Result<String, SendError> {
    match response.json::<Started>() {
        // It becomes part of a path: nothing but a SID may.
        Some(started) if response.is_success() && is_sid(&started.sid, "VE") => Ok(started.sid),
        _ => Err(refusal(response)),
    }
}

#[derive(Deserialize)]
struct Checked {
    status: String,
    valid: bool,
}

/// Nothing passes but an answer that says so twice; what is no answer is no verdict either.
fn verdict(response: &Response) -> Result<ProviderVerdict, SendError> {
    match response.json::<Checked>() {
        Some(checked) if response.is_success() => match (checked.status.as_str(), checked.valid) {
            ("approved", true) => Ok(ProviderVerdict::Approved),
            _ => Ok(ProviderVerdict::Refused),
        },
        // Used, canceled or expired there, or its five checks are spent.
        _ if is_gone(response) || code_of(response) == Some(60202) => Ok(ProviderVerdict::Refused),
        _ => Err(refusal(response)),
    }
}

fn is_gone(response: &Response) -> bool {
    code_of(response) == Some(20404)
}

fn code_of(response: &Response) -> Option<u32> {
    response.json::<Refused>()?.code
}

fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The language that Verify has for a locale; none: its default.
fn locale(wanted: &str) -> Option<&'static str> {
    let language = wanted.split('-').next().unwrap_or_default();
    let known = |name: &str| LOCALES.iter().copied().find(|known| known.eq_ignore_ascii_case(name));
    known(wanted).or_else(|| known(language))
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::delivery::provider::Fault;

    fn answer(status: u16, body: &str) -> Response {
        let retry_after = (status == 429).then(|| Duration::from_secs(7));
        Response { status: StatusCode::from_u16(status).expect("a status"), retry_after, body: body.as_bytes().to_vec() }
    }

    fn error(status: u16, code: u32) -> Response {
        answer(
            status,
            &format!(r#"{{"code":{code},"message":"m","more_info":"https://www.twilio.com/docs/errors/{code}","status":{status}}}"#),
        )
    }

    #[test]
    fn only_an_answer_that_says_so_approves() {
        let checked = |status: &str, valid: &str| verdict(&answer(200, &format!(r#"{{"sid":"VE1","status":{status},"valid":{valid}}}"#)));
        assert_eq!(checked("\"approved\"", "true"), Ok(ProviderVerdict::Approved));
        for (status, valid) in
            [("\"pending\"", "false"), ("\"approved\"", "false"), ("\"pending\"", "true"), ("\"max_attempts_reached\"", "false")]
        {
            assert_eq!(checked(status, valid), Ok(ProviderVerdict::Refused), "{status} {valid}");
        }
        for (status, valid) in [("null", "true"), ("\"approved\"", "null"), ("\"approved\"", "\"true\"")] {
            assert_eq!(checked(status, valid).map_err(|error| error.fault), Err(Fault::Uncertain), "{status} {valid}");
        }
        for approved in
            [error(400, 60200), answer(500, r#"{"status":"approved","valid":true}"#), answer(200, "<html>approved</html>"), answer(200, "")]
        {
            assert!(verdict(&approved).is_err());
        }
    }

    #[test]
    fn what_is_used_up_there_is_refused_and_what_is_busy_is_not_judged() {
        for (status, code) in [(404, 20404), (429, 60202)] {
            assert_eq!(verdict(&error(status, code)), Ok(ProviderVerdict::Refused), "{code}");
        }
        for (status, code) in [(429, 20429), (401, 20003), (500, 20500), (503, 20503)] {
            assert_eq!(verdict(&error(status, code)).map_err(|error| error.fault), Err(Fault::Unavailable), "{code}");
        }
        assert_eq!(verdict(&error(429, 20429)).expect_err("busy").retry_after, Some(Duration::from_secs(7)));
        // A proxy's 404 is not Twilio's word on a code.
        assert!(verdict(&answer(404, "not found")).is_err());
    }

    #[test]
    fn a_start_gives_a_sid_or_a_cause() {
        assert_eq!(started(&answer(201, r#"{"sid":"VEab12","status":"pending","valid":false}"#)), Ok("VEab12".into()));
        let fault = |response: &Response| started(response).expect_err("no SID").fault;
        for odd in [r#"{"sid":"VE/../x"}"#, r#"{"sid":"VE"}"#, r#"{"sid":null}"#, "{}", "", "<html>"] {
            assert_eq!(fault(&answer(201, odd)), Fault::Uncertain, "{odd}");
        }
        assert_eq!(fault(&error(429, 60203)), Fault::Rejected);
        assert_eq!(fault(&error(404, 20404)), Fault::Unavailable);
        assert_eq!(fault(&error(403, 60223)), Fault::Unavailable);
        assert_eq!(fault(&answer(502, "bad gateway")), Fault::Uncertain);
    }

    #[test]
    fn a_locale_is_one_that_verify_has() {
        for (wanted, sent) in [("en", Some("en")), ("de-AT", Some("de")), ("pt-br", Some("pt-BR")), ("zh-HK", Some("zh-HK")), ("sw", None)]
        {
            assert_eq!(locale(wanted), sent, "{wanted}");
        }
    }
}
