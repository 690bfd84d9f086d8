//! What a caller asks for with a start, in our words. docs/guides/leave-twilio-verify.md lists what is honoured, what is taken
//! without effect, and what is refused because silence would not be safe.

use std::net::IpAddr;

use axum::http::StatusCode;

use crate::app::App;
use crate::http::twilio::form::Fields;
use crate::http::twilio::rate_limits;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::within::Within;
use crate::secret::Code;
use crate::verification::model::Channel;
use crate::verification::request::{Extras, StartRequest};

use super::PURPOSE;

/// Without them a message would not say what its code approves (PSD2), or reach a switchboard instead of a person.
const REFUSED: [(&str, &str); 3] = [
    ("Amount", "is not served here: no message names an amount and a payee"),
    ("Payee", "is not served here: no message names an amount and a payee"),
    ("SendDigits", "is not served here: calls reach direct numbers only"),
];

/// JSON that is taken without effect, and must be JSON all the same.
const TAKEN: [&str; 2] = ["ChannelConfiguration", "TemplateCustomSubstitutions"];

/// The request to the engine.
pub async fn start(app: &App, within: &Within, form: &Fields) -> Result<StartRequest, Refusal> {
    let to = form.required("To")?.to_owned();
    let channel = channel(form.required("Channel")?)?;
    for (name, rule) in REFUSED {
        if form.text(name).is_some_and(|value| !value.is_empty()) {
            return Err(Refusal::invalid(name, rule));
        }
    }
    for name in TAKEN {
        form.json(name)?;
    }
    let app_hash = given(form, "AppHash");
    if app_hash.is_some() && channel.is_some_and(|channel| channel != Channel::Sms) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 60602, "AppHash is for the sms channel only"));
    }
    let code = match given(form, "CustomCode") {
        Some(code) => Some(Code::parse(&code).map_err(|error| Refusal::invalid("CustomCode", &error.to_string()))?),
        None => None,
    };
    let own_limits = rate_limits::asked_for(app, within, form).await?;
    Ok(StartRequest {
        to,
        channel,
        purpose: Some(PURPOSE.to_owned()),
        locale: given(form, "Locale"),
        code,
        subject: None,
        metadata: form.map("Tags")?,
        extras: Extras { brand: given(form, "CustomFriendlyName"), app_hash, own_limits },
        ..StartRequest::default()
    })
}

/// None: the usual one of the destination.
fn channel(name: &str) -> Result<Option<Channel>, Refusal> {
    match name.to_ascii_lowercase().as_str() {
        "auto" => Ok(None),
        "sna" | "rcs" => Err(Refusal::new(StatusCode::FORBIDDEN, 60223, format!("Delivery channel disabled: {name}"))),
        name => Channel::parse(name).map(Some).ok_or_else(|| Refusal::invalid("Channel", "must be sms, whatsapp, call, email or auto")),
    }
}

/// The end user's address.
pub fn device_ip(form: &Fields) -> Result<Option<IpAddr>, Refusal> {
    let parsed = given(form, "DeviceIp").map(|ip| ip.parse().map_err(|_| Refusal::invalid("DeviceIp", "must be an IP address")));
    parsed.transpose()
}

fn given(form: &Fields, name: &str) -> Option<String> {
    form.text(name).filter(|value| !value.is_empty()).map(str::to_owned)
}
