//! Services that are made at run time: what may be set of them, and the policy that follows.
//!
//! A configured service (`[service.NAME]`) is the operator's; one that is made at run time belongs to the client who made it.
//! It starts from a policy of the operator's, and only what is listed in [`Settings`] differs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::verification::policy::{Policy, PolicyError};
use crate::verification::wording::callers_brand;

/// A service, configured or made at run time.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name among us: the name-space of its verifications.
    pub name: Arc<str>,
    /// Its name outside: `VA` and 32 hexadecimal digits.
    pub sid: String,
    /// Who made it; none where it is configured.
    pub owner: Option<Uuid>,
    /// What is set.
    pub settings: Settings,
    /// When it was made; when the server started, where it is configured.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What may be set of a service that is made at run time. What the engine does not know is kept for whoever asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What people read in the message.
    pub friendly_name: String,
    /// Digits of a code.
    pub code_length: u8,
    /// The caller may choose the code.
    pub custom_code_enabled: bool,
    /// Amount and payee belong to every verification.
    pub psd2_enabled: bool,
    /// Look the number up first. Kept.
    pub lookup_enabled: bool,
    /// No text messages to landlines. Kept.
    pub skip_sms_to_landlines: bool,
    /// A call wants a key to be pressed first. Kept.
    pub dtmf_input_required: bool,
    /// The name as it is spoken. Kept.
    pub tts_name: Option<String>,
    /// The message warns of sharing the code. Ours always do. Kept.
    pub do_not_share_warning_enabled: bool,
    /// The template that is used by default. Kept.
    pub default_template_sid: Option<String>,
    /// Authenticator apps of its entities.
    pub totp: Totp,
    /// Kept.
    pub push: Push,
    /// Kept.
    pub whatsapp: Whatsapp,
    /// Kept.
    pub passkeys: Passkeys,
    /// Kept.
    pub verify_event_subscription_enabled: bool,
}

/// How authenticator apps of a service's entities are set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totp {
    /// What the app shows as the issuer; none: the friendly name.
    pub issuer: Option<String>,
    /// Seconds of a step: 20 to 60.
    pub time_step: u32,
    /// Digits: 3 to 8.
    pub code_length: u32,
    /// Steps before and after that are accepted: 0 to 2.
    pub skew: u32,
}

/// Push factors, which are not served: what was set is shown again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Push {
    /// Whether the date is shown.
    pub include_date: bool,
    /// Apple's credential.
    pub apn_credential_sid: Option<String>,
    /// Google's credential.
    pub fcm_credential_sid: Option<String>,
}

/// Senders of WhatsApp messages, which the configured routes decide here: what was set is shown again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whatsapp {
    /// A Messaging Service.
    pub msg_service_sid: Option<String>,
    /// A sender.
    pub from: Option<String>,
}

/// Passkey factors, which are not served: what was set is shown again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passkeys {
    /// The relying party's id.
    pub relying_party_id: Option<String>,
    /// Its name.
    pub relying_party_name: Option<String>,
    /// Its origins.
    pub relying_party_origins: Option<String>,
    /// platform, cross-platform, any
    pub authenticator_attachment: Option<String>,
    /// required, preferred, discouraged
    pub discoverable_credentials: Option<String>,
    /// required, preferred, discouraged
    pub user_verification: Option<String>,
}

impl Default for Totp {
    fn default() -> Totp {
        Totp { issuer: None, time_step: 30, code_length: 6, skew: 1 }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            friendly_name: String::new(),
            code_length: 6,
            custom_code_enabled: false,
            psd2_enabled: false,
            lookup_enabled: false,
            skip_sms_to_landlines: false,
            dtmf_input_required: true,
            tts_name: None,
            do_not_share_warning_enabled: false,
            default_template_sid: None,
            totp: Totp::default(),
            push: Push::default(),
            whatsapp: Whatsapp::default(),
            passkeys: Passkeys::default(),
            verify_event_subscription_enabled: false,
        }
    }
}

impl Settings {
    /// The settings of a configured service, as far as its policy tells them.
    pub fn of(policy: &Policy) -> Settings {
        Settings {
            friendly_name: policy.brand.to_string(),
            code_length: policy.code_length,
            custom_code_enabled: policy.custom_code,
            ..Settings::default()
        }
    }

    /// The rules of a service with these settings, over those that every such service starts from.
    pub fn policy(&self, name: &Arc<str>, base: &Policy) -> Result<Policy, PolicyError> {
        let brand = callers_brand(&self.friendly_name).map_err(|rule| PolicyError { key: "friendly_name".into(), rule })?;
        let policy = Policy {
            service: Arc::clone(name),
            brand: brand.into(),
            code_length: self.code_length,
            custom_code: self.custom_code_enabled,
            custom_brand: true,
            ..base.clone()
        };
        policy.checked()
    }
}
