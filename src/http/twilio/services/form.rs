//! What a caller sets of a service.

use std::ops::RangeInclusive;

use crate::http::twilio::form::Fields;
use crate::http::twilio::refusal::Refusal;
use crate::verification::service::Settings;

/// Characters of a name that people read.
const FRIENDLY_NAME: RangeInclusive<usize> = 1..=32;
/// Characters of any other text.
const TEXT_MAX: usize = 255;

/// Sets what the form names; the rest stays.
pub fn apply(settings: &mut Settings, form: &Fields) -> Result<(), Refusal> {
    if let Some(name) = form.text("FriendlyName") {
        if !FRIENDLY_NAME.contains(&name.chars().count()) {
            return Err(Refusal::invalid("FriendlyName", "must have 1 to 32 characters"));
        }
        settings.friendly_name = name.to_owned();
    }
    // The range is the engine's: shorter codes than its own are refused there, by name.
    set(&mut settings.code_length, form.number("CodeLength", 0..=255)?.map(|length| length as u8));
    if form.flag("Psd2Enabled")? == Some(true) {
        return Err(Refusal::invalid("Psd2Enabled", "is not served here: no message names an amount and a payee"));
    }
    set(&mut settings.custom_code_enabled, form.flag("CustomCodeEnabled")?);
    set(&mut settings.lookup_enabled, form.flag("LookupEnabled")?);
    set(&mut settings.skip_sms_to_landlines, form.flag("SkipSmsToLandlines")?);
    set(&mut settings.dtmf_input_required, form.flag("DtmfInputRequired")?);
    set(&mut settings.do_not_share_warning_enabled, form.flag("DoNotShareWarningEnabled")?);
    set(&mut settings.verify_event_subscription_enabled, form.flag("VerifyEventSubscriptionEnabled")?);
    text(&mut settings.tts_name, form, "TtsName")?;
    text(&mut settings.default_template_sid, form, "DefaultTemplateSid")?;
    text(&mut settings.totp.issuer, form, "Totp.Issuer")?;
    set(&mut settings.totp.time_step, form.number("Totp.TimeStep", 20..=60)?);
    set(&mut settings.totp.code_length, form.number("Totp.CodeLength", 3..=8)?);
    set(&mut settings.totp.skew, form.number("Totp.Skew", 0..=2)?);
    set(&mut settings.push.include_date, form.flag("Push.IncludeDate")?);
    text(&mut settings.push.apn_credential_sid, form, "Push.ApnCredentialSid")?;
    text(&mut settings.push.fcm_credential_sid, form, "Push.FcmCredentialSid")?;
    text(&mut settings.whatsapp.msg_service_sid, form, "Whatsapp.MsgServiceSid")?;
    text(&mut settings.whatsapp.from, form, "Whatsapp.From")?;
    text(&mut settings.passkeys.relying_party_id, form, "Passkeys.RelyingParty.Id")?;
    text(&mut settings.passkeys.relying_party_name, form, "Passkeys.RelyingParty.Name")?;
    text(&mut settings.passkeys.relying_party_origins, form, "Passkeys.RelyingParty.Origins")?;
    text(&mut settings.passkeys.authenticator_attachment, form, "Passkeys.AuthenticatorAttachment")?;
    text(&mut settings.passkeys.discoverable_credentials, form, "Passkeys.DiscoverableCredentials")?;
    text(&mut settings.passkeys.user_verification, form, "Passkeys.UserVerification")
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn text(place: &mut Option<String>, form: &Fields, name: &str) -> Result<(), Refusal> {
    let Some(value) = form.text(name) else { return Ok(()) };
    if value.chars().count() > TEXT_MAX || value.chars().any(char::is_control) {
        return Err(Refusal::invalid(name, "must have at most 255 characters on one line"));
    }
    *place = Some(value).filter(|value| !value.is_empty()).map(str::to_owned);
    Ok(())
}
