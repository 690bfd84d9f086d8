//! What integrators ask, and the rules for it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::account::factor::totp;
use crate::clock::Timestamp;
use crate::verification::request::InvalidField;

/// Longest name of a factor or of whoever is to be told, in characters.
pub const NAME_MAX: usize = 64;
/// Longest JSON of the integrator's own, in bytes.
const NOTES_MAX_BYTES: usize = 2048;
/// Longest message that a person is shown, in characters.
const MESSAGE_MAX: usize = 256;
/// Most lines beside it, and their longest label and value.
const FIELDS_MAX: (usize, usize, usize) = (20, 36, 128);
/// Life of a challenge when the integrator names no end, and at most.
const LIFE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// An authenticator app to be made.
pub struct NewFactor {
    /// The integrator's name for it: the app lists it under that.
    pub name: String,
    /// The app lists it under this heading.
    pub issuer: String,
    /// A secret that the integrator brings; a new one otherwise.
    pub secret: Option<totp::Secret>,
    /// Hash, digits, seconds.
    pub form: totp::Form,
    /// Steps to either side.
    pub skew: u8,
    /// The integrator's own notes.
    pub metadata: Option<Value>,
}

/// What may change in a factor.
#[derive(Default)]
pub struct FactorChange {
    /// Its name.
    pub name: Option<String>,
    /// Hash, digits and seconds: of one that is not verified yet.
    pub form: Option<totp::Form>,
    /// Steps to either side.
    pub skew: Option<u8>,
}

/// A challenge to be made.
#[derive(Default)]
pub struct NewChallenge {
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// What the person is shown.
    pub message: Option<String>,
    /// Labels and values beside it.
    pub fields: Vec<(String, String)>,
    /// What the person is not shown.
    pub hidden_details: Option<Value>,
}

/// The name of something: 1 to 64 characters, none of them a control character.
pub fn name(field: &'static str, text: &str) -> Result<(), InvalidField> {
    let length = text.chars().count();
    if length == 0 || length > NAME_MAX || text.chars().any(char::is_control) {
        return Err(InvalidField::new(field, format!("must have 1 to {NAME_MAX} characters, and no control characters")));
    }
    Ok(())
}

/// The form of an app. Six digits at least: fewer can be guessed.
pub fn form(form: totp::Form) -> Result<(), InvalidField> {
    if !(6..=8).contains(&form.digits) {
        let rule = "must be from 6 to 8: codes of fewer digits can be guessed within the tries that people need";
        return Err(InvalidField::new("Config.CodeLength", rule));
    }
    if !(20..=60).contains(&form.period) {
        return Err(InvalidField::new("Config.TimeStep", "must be from 20 to 60"));
    }
    Ok(())
}

/// The steps to either side that are taken.
pub fn skew(steps: u8) -> Result<totp::Skew, InvalidField> {
    match steps {
        0 => Ok(totp::Skew::Strict),
        1 => Ok(totp::Skew::Both),
        2 => Ok(totp::Skew::Wide),
        _ => Err(InvalidField::new("Config.Skew", "must be from 0 to 2")),
    }
}

/// JSON of the integrator's own: an object, and not a long one.
pub fn notes(field: &'static str, notes: Option<&Value>) -> Result<(), InvalidField> {
    match notes {
        None => Ok(()),
        Some(Value::Object(_)) if notes.is_some_and(|notes| notes.to_string().len() <= NOTES_MAX_BYTES) => Ok(()),
        Some(_) => Err(InvalidField::new(field, format!("must be a JSON object of at most {NOTES_MAX_BYTES} bytes"))),
    }
}

impl NewChallenge {
    /// When it ends, within its bounds.
    pub(super) fn end(&self, now: Timestamp) -> Result<Timestamp, InvalidField> {
        let (usual, longest) = LIFE;
        let end = self.expires_at.unwrap_or(now + usual);
        if end <= now || end > now + longest {
            return Err(InvalidField::new("ExpirationDate", "must lie within the next 60 minutes"));
        }
        Ok(end)
    }

    /// What the person is shown, as it is kept.
    pub(super) fn details(&self) -> Result<Option<Value>, InvalidField> {
        let (most, label_max, value_max) = FIELDS_MAX;
        if self.message.as_ref().is_some_and(|message| message.chars().count() > MESSAGE_MAX) {
            return Err(InvalidField::new("Details.Message", format!("must have at most {MESSAGE_MAX} characters")));
        }
        let fits = |(label, value): &(String, String)| label.chars().count() <= label_max && value.chars().count() <= value_max;
        if self.fields.len() > most || !self.fields.iter().all(fits) {
            let rule = format!("must be at most {most}, with labels of at most {label_max} and values of at most {value_max} characters");
            return Err(InvalidField::new("Details.Fields", rule));
        }
        if self.message.is_none() && self.fields.is_empty() {
            return Ok(None);
        }
        let fields: Vec<_> = self.fields.iter().map(|(label, value)| json!({ "label": label, "value": value })).collect();
        Ok(Some(json!({ "message": self.message, "fields": fields, "date": null })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::factor::totp::Form;

    /// OTP-02: fewer than six digits are refused, however few tries there are.
    #[test]
    fn short_codes_are_refused() {
        for (digits, period, field) in
            [(3, 30, Some("Config.CodeLength")), (5, 30, Some("Config.CodeLength")), (9, 30, Some("Config.CodeLength")), (6, 30, None)]
                .into_iter()
                .chain([(8, 60, None), (6, 19, Some("Config.TimeStep")), (6, 61, Some("Config.TimeStep"))])
        {
            let checked = form(Form { digits, period, ..Form::default() });
            assert_eq!(checked.err().map(|invalid| invalid.field), field, "{digits} {period}");
        }
        assert!(skew(3).is_err());
    }

    #[test]
    fn notes_and_details_are_bounded() {
        assert!(notes("Metadata", Some(&json!({ "a": "x".repeat(2000) }))).is_ok());
        assert!(notes("Metadata", Some(&json!({ "a": "x".repeat(2048) }))).is_err());
        assert!(notes("Metadata", Some(&json!([1]))).is_err());
        let now = Timestamp(1_000_000);
        let challenge = |end| NewChallenge { expires_at: Some(Timestamp(end)), ..NewChallenge::default() };
        assert_eq!(NewChallenge::default().end(now), Ok(Timestamp(1_300_000)));
        assert_eq!(challenge(4_600_000).end(now), Ok(Timestamp(4_600_000)));
        assert!(challenge(4_600_001).end(now).is_err() && challenge(1_000_000).end(now).is_err());
        let long = NewChallenge { message: Some("x".repeat(257)), ..NewChallenge::default() };
        assert!(long.details().is_err());
        let many = NewChallenge { fields: vec![(String::new(), String::new()); 21], ..NewChallenge::default() };
        assert!(many.details().is_err());
        assert_eq!(NewChallenge::default().details(), Ok(None));
    }
}
