//! The operator's own words of a service, as configured: unread here. [`crate::delivery::text`] compiles and checks them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[service.NAME.templates]`: by channel, and there by locale.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Templates {
    /// Text messages, and WhatsApp where it is sent as text.
    pub sms: BTreeMap<String, String>,
    /// Mails.
    pub email: BTreeMap<String, MailTemplate>,
    /// Calls.
    pub call: BTreeMap<String, CallTemplate>,
}

/// Of a mail.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MailTemplate {
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// A whole page; none: the text in the shipped layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// Of a call. The digits are spoken between the parts.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallTemplate {
    /// Before the digits.
    pub greeting: String,
    /// Before they come again.
    pub again: String,
    /// The end.
    pub goodbye: String,
    /// The voice's language (BCP 47); none: that of the locale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech: Option<String>,
}
