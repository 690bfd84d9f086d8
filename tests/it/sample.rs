//! Messages and providers without a server around them: for what only shows at their seam.

use std::sync::Arc;

use countersign::account::notice::Notice;
use countersign::clock::{Clock, TestClock};
use countersign::config::Config;
use countersign::delivery::http::Http;
use countersign::delivery::message::{Envelope, Message};
use countersign::delivery::provider::{Account, Family, Kind, MessageProvider, SettingError};
use countersign::delivery::text::Renderer;
use countersign::secret::Code;
use countersign::verification::destination::{Country, Destination};
use countersign::verification::model::{Channel, VerificationId};
use countersign::verification::policy::Policy;
use figment::Figment;
use figment::providers::{Format, Toml};

/// The code of every sample.
pub const CODE: &str = "418902";

/// A provider of that kind with these settings.
pub fn provider(kind: &Kind, settings: &str) -> Result<Arc<dyn MessageProvider>, SettingError> {
    let account = Account {
        name: "sample".into(),
        settings: Figment::from(Toml::string(settings)).extract().expect("TOML"),
        http: Http::new().expect("a client"),
        clock: Arc::new(TestClock::default()),
    };
    match (kind.build)(&account)? {
        Family::Message(provider) => Ok(provider),
        Family::Verify(_) => panic!("{} makes its own codes", kind.name),
    }
}

/// The rules of a service, and the words of all of them.
pub fn policy(toml: &str, service: &str) -> (Arc<Policy>, Renderer) {
    let policies = Config::from_toml(toml).expect("settings").policies().expect("policies");
    let renderer = Renderer::new(policies.iter()).expect("texts");
    let policy = policies.into_iter().find(|policy| *policy.service == *service).expect("a service");
    (policy, renderer)
}

/// A message as it would be sent.
pub fn message(channel: Channel, to: &str, locale: &str, service: &(Arc<Policy>, Renderer)) -> Message {
    let (policy, renderer) = service;
    renderer.render(envelope(channel, to, locale, policy), Code::parse(CODE).expect("a code"), policy).expect("a text")
}

/// A notice as it would be sent.
pub fn notice(
    channel: Channel,
    to: &str,
    locale: &str,
    notice: &Notice,
    forgot: Option<&str>,
    (policy, renderer): &(Arc<Policy>, Renderer),
) -> Message {
    let envelope = envelope(channel, to, locale, policy);
    let now = envelope.now;
    renderer.notice(envelope, notice, now, forgot, policy).expect("a text")
}

fn envelope(channel: Channel, to: &str, locale: &str, policy: &Policy) -> Envelope {
    let now = TestClock::default().now();
    let country = if to.contains('@') { None } else { Country::parse("DE") };
    Envelope {
        verification: VerificationId::from_u128(7),
        number: 1,
        to: Destination::from_canonical(to, country),
        channel,
        locale: locale.into(),
        brand: Arc::clone(&policy.brand),
        reference: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        callback: Some("https://otp.example/webhooks/sample?ref=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()),
        now,
        expires_at: now + policy.life(channel),
    }
}

/// A mail in English of the default service.
pub fn mail(to: &str) -> Message {
    message(Channel::Email, to, "en", &policy("", "default"))
}
