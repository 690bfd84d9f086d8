//! A service, as it is shown.

use serde_json::{Value, json};

use crate::http::twilio::date;
use crate::http::twilio::paging::Origin;
use crate::verification::service::Service;

/// The resource.
pub fn service(service: &Service, account_sid: &str, origin: &Origin) -> Value {
    let settings = &service.settings;
    let passkeys = &settings.passkeys;
    let url = origin.url(&format!("/v2/Services/{}", service.sid));
    json!({
        "sid": service.sid,
        "account_sid": account_sid,
        "friendly_name": settings.friendly_name,
        "code_length": settings.code_length,
        "lookup_enabled": settings.lookup_enabled,
        "psd2_enabled": settings.psd2_enabled,
        "skip_sms_to_landlines": settings.skip_sms_to_landlines,
        "dtmf_input_required": settings.dtmf_input_required,
        "tts_name": settings.tts_name,
        "do_not_share_warning_enabled": settings.do_not_share_warning_enabled,
        "custom_code_enabled": settings.custom_code_enabled,
        "push": settings.push,
        "totp": {
            "issuer": settings.totp.issuer.as_ref().unwrap_or(&settings.friendly_name),
            "time_step": settings.totp.time_step,
            "code_length": settings.totp.code_length,
            "skew": settings.totp.skew,
        },
        "default_template_sid": settings.default_template_sid,
        "whatsapp": settings.whatsapp,
        "passkeys": {
            "relying_party": {
                "id": passkeys.relying_party_id,
                "name": passkeys.relying_party_name,
                "origins": passkeys.relying_party_origins,
            },
            "authenticator_attachment": passkeys.authenticator_attachment,
            "discoverable_credentials": passkeys.discoverable_credentials,
            "user_verification": passkeys.user_verification,
        },
        "verify_event_subscription_enabled": settings.verify_event_subscription_enabled,
        "date_created": date::iso(service.created_at),
        "date_updated": date::iso(service.updated_at),
        "url": url,
        "links": {
            "verifications": format!("{url}/Verifications"),
            "verification_checks": format!("{url}/VerificationCheck"),
            "rate_limits": format!("{url}/RateLimits"),
            "messaging_configurations": format!("{url}/MessagingConfigurations"),
            "entities": format!("{url}/Entities"),
            "webhooks": format!("{url}/Webhooks"),
            "access_tokens": format!("{url}/AccessTokens"),
        },
    })
}
