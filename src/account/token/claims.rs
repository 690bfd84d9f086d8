//! What an access token says, and of whom. Nothing in it is secret, and nothing is there that was not asked for: a token is
//! shown to every service that it is sent to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::settings::{PersonalClaim, TokenSettings};
use crate::account::model::{Account, Session};
use crate::clock::{Timestamp, milliseconds};

/// Of whom a token speaks: an account, its session, and its proven identifiers.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who.
    pub account: &'a Account,
    /// In which browser or app, and how sure we are of the person there.
    pub session: &'a Session,
    /// The account's mail address, and whether it proved it.
    pub email: Option<(&'a str, bool)>,
    /// A number that the account owns.
    pub phone: Option<&'a str>,
}

/// The claims of an access token (RFC 9068). Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The account.
    pub sub: Uuid,
    /// The session. It may have ended since: `POST /auth/introspect` knows.
    pub sid: Uuid,
    /// Made at.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Good until.
    pub exp: i64,
    /// Its own name.
    pub jti: Uuid,
    /// How the person was recognized (RFC 8176), in the order in which it happened (MFA-06).
    pub amr: Vec<String>,
    /// How sure that is: "aal1" or "aal2" (MFA-06).
    pub acr: String,
    /// When the person last proved who they are; refreshing a token proves nothing (MFA-06).
    pub auth_time: i64,
    /// What operators have made of the account.
    pub roles: Vec<String>,
    /// What it allows at its audience (RFC 9068, 2.2.3): "account" opens the account's own API, and only a token for this server
    /// has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The account again, where a secret is shared: what the clients of tutorials look for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// The full name, where configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The mail address, where configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether a code sent there ever came back (OpenID Connect Core 5.1). Beside `email` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// The proven number, where configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
}

impl Claims {
    /// What a token that is made now for `audience` says.
    pub fn new(settings: &TokenSettings, subject: &Subject<'_>, audience: &str, jti: Uuid, now: Timestamp) -> Claims {
        let Subject { account, session, email, phone } = subject;
        let asked =
            |claim, value: Option<&str>| value.filter(|value| !value.is_empty() && settings.claims.contains(&claim)).map(str::to_owned);
        let iat = seconds(now);
        Claims {
            iss: settings.issuer.clone(),
            aud: audience.to_owned(),
            sub: account.id,
            sid: session.id,
            iat,
            nbf: iat,
            exp: iat + milliseconds(settings.life) / 1000,
            jti,
            amr: session.methods.clone(),
            acr: session.assurance.as_str().to_owned(),
            auth_time: seconds(session.authenticated_at),
            roles: account.roles.clone(),
            scope: settings.scope(audience).map(str::to_owned),
            id: settings.shared_secret.is_some().then_some(account.id),
            name: asked(PersonalClaim::Name, Some(&account.full_name)),
            email_verified: asked(PersonalClaim::Email, email.map(|(email, _)| email)).and(email.map(|(_, is_proven)| is_proven)),
            email: asked(PersonalClaim::Email, email.map(|(email, _)| email)),
            phone_number: asked(PersonalClaim::Phone, *phone),
        }
    }

    /// Seconds from `now` to its end: `expires_in`.
    pub fn expires_in(&self, now: Timestamp) -> i64 {
        (self.exp - seconds(now)).max(0)
    }
}

/// Whole seconds since the epoch.
pub fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::model::Assurance;
    use crate::account::token::samples::{NOW, account, session};

    fn claims(settings: &TokenSettings, assurance: Assurance, methods: &[&str]) -> serde_json::Value {
        let (account, session) = (account(), session(assurance, methods));
        let subject =
            Subject { account: &account, session: &session, email: Some(("ada@example.org", true)), phone: Some("+4915112345678") };
        serde_json::to_value(Claims::new(settings, &subject, &settings.audience, Uuid::from_bytes([3; 16]), NOW)).expect("JSON")
    }

    /// MFA-06: what the session knows of its person, and not more: methods, assurance, and when that was.
    #[test]
    fn amr_acr_and_auth_time_are_the_sessions() {
        let settings = TokenSettings::new("https://id.example");
        for (assurance, methods, acr) in [
            (Assurance::Aal1, &["pwd"][..], "aal1"),
            (Assurance::Aal1, &["pwd", "otp"], "aal1"),
            (Assurance::Aal2, &["pwd", "sms"], "aal2"),
            (Assurance::Aal2, &["hwk", "user"], "aal2"),
        ] {
            let claims = claims(&settings, assurance, methods);
            assert_eq!((&claims["amr"], &claims["acr"]), (&serde_json::json!(methods), &acr.into()));
            assert_eq!((&claims["auth_time"], &claims["iat"]), (&1_767_225_000.into(), &1_767_225_600.into()));
        }
    }

    #[test]
    fn nothing_personal_unless_asked() {
        let plain = claims(&TokenSettings::new("https://id.example"), Assurance::Aal2, &["pwd", "sms"]);
        let names: Vec<_> = plain.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, ["acr", "amr", "aud", "auth_time", "exp", "iat", "iss", "jti", "nbf", "roles", "scope", "sid", "sub"]);
        let all = TokenSettings {
            claims: vec![PersonalClaim::Name, PersonalClaim::Email, PersonalClaim::Phone],
            ..TokenSettings::new("https://id.example")
        };
        let all = claims(&all, Assurance::Aal2, &["pwd", "sms"]);
        assert_eq!(
            (&all["name"], &all["email"], &all["phone_number"]),
            (&"Ada".into(), &"ada@example.org".into(), &"+4915112345678".into())
        );
        assert!(all.get("id").is_none());
    }

    /// R4: an hour, with the id and the mail address that its page shows.
    #[test]
    fn a_shared_secret_brings_what_its_clients_show() {
        let shared = TokenSettings::new("https://id.example").with_shared_secret("s".repeat(32));
        let claims = claims(&shared, Assurance::Aal2, &["pwd", "sms"]);
        assert_eq!((&claims["id"], &claims["email"]), (&claims["sub"], &"ada@example.org".into()));
        assert_eq!(claims["exp"].as_i64(), Some(1_767_225_600 + 3600));
    }
}
