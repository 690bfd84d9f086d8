//! What may be set about tokens, and what is refused. The configuration makes it; nothing else knows where it came from.

use std::time::Duration;

use crate::secret::Redacted;

/// Longest life of an access token that is ours alone to judge (A 9.2, section 5 of the security requirements).
pub const LIFE_MAX: Duration = Duration::from_secs(15 * 60);
/// Longest life of a token that is signed with a shared secret.
pub const SHARED_LIFE_MAX: Duration = Duration::from_secs(3600);
/// Shortest life: below it clients do nothing but refresh.
pub const LIFE_MIN: Duration = Duration::from_secs(60);
/// Shortest shared secret outside dev mode: the strength of HMAC-SHA-256 (RFC 7518, 3.2).
pub const SHARED_SECRET_MIN_BYTES: usize = 32;
/// `scope` of tokens that open the account's own API (`/auth/*`).
pub const ACCOUNT_SCOPE: &str = "account";
/// Longest time without a refresh.
const REFRESH_IDLE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// What tokens may tell about a person beside their id and roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonalClaim {
    /// The full name.
    Name,
    /// The proven mail address.
    Email,
    /// The proven number, as `phone_number`.
    Phone,
}

/// Everything that may be set.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// `iss`: where people reach this server.
    pub issuer: String,
    /// `aud`: who the tokens are for, where nobody asks for another audience.
    pub audience: String,
    /// Other services that a token may be asked for. Theirs open nothing here.
    pub audiences: Vec<String>,
    /// How long an access token is good for.
    pub life: Duration,
    /// What it tells of the person.
    pub claims: Vec<PersonalClaim>,
    /// How long a refresh token waits for its use. The session's own end comes first.
    pub refresh_idle: Duration,
    /// Signs instead of our own keys (HS256): for services that know no JWKS. `JWT_SECRET`.
    pub shared_secret: Option<Redacted<String>>,
}

/// What is wrong with them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {rule}")]
pub struct WrongTokenSetting {
    /// The setting's name in its section.
    pub key: &'static str,
    /// The rule.
    pub rule: String,
}

/// Something to be said at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenWarning {
    /// The shared secret can be guessed by whoever has one token.
    ShortSharedSecret,
}

impl TokenWarning {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenWarning::ShortSharedSecret => {
                "JWT_SECRET is shorter than 32 bytes: whoever has one token can guess it and sign others. Outside dev mode the \
                 server does not start with it"
            }
        }
    }
}

impl TokenSettings {
    /// The defaults for a server that is reached at `issuer`.
    pub fn new(issuer: impl Into<String>) -> TokenSettings {
        let issuer = issuer.into();
        TokenSettings {
            audience: issuer.clone(),
            audiences: Vec::new(),
            issuer,
            life: Duration::from_secs(600),
            claims: Vec::new(),
            refresh_idle: Duration::from_secs(14 * 24 * 3600),
            shared_secret: None,
        }
    }

    /// The defaults for clients that share a secret with us: they expect an hour and a mail address (R4).
    pub fn with_shared_secret(mut self, secret: impl Into<String>) -> TokenSettings {
        self.shared_secret = Some(Redacted::new(secret.into()));
        self.life = SHARED_LIFE_MAX;
        if !self.claims.contains(&PersonalClaim::Email) {
            self.claims.push(PersonalClaim::Email);
        }
        self
    }

    /// The audience that somebody asks for, if tokens are made for it; the usual one where nobody asks.
    pub fn audience(&self, wanted: Option<&str>) -> Option<&str> {
        let Some(wanted) = wanted else { return Some(&self.audience) };
        let known = [&self.audience, &self.issuer].into_iter().chain(&self.audiences);
        known.map(String::as_str).find(|known| *known == wanted)
    }

    /// What a token for that audience allows: the account's own API to whoever holds one for this server, and to nobody else.
    pub fn scope(&self, audience: &str) -> Option<&'static str> {
        (audience == self.issuer).then_some(ACCOUNT_SCOPE)
    }

    /// Refuses what must not run; says what may run and should not.
    pub fn check(&self, dev_mode: bool) -> Result<Vec<TokenWarning>, WrongTokenSetting> {
        let wrong = |key, rule: &str| Err(WrongTokenSetting { key, rule: rule.to_owned() });
        let others = self.audiences.iter().map(|audience| ("audiences", audience));
        for (key, value) in [("issuer", &self.issuer), ("audience", &self.audience)].into_iter().chain(others) {
            if value.is_empty() || value.len() > 255 || value.chars().any(|sign| sign.is_whitespace() || sign.is_control()) {
                return wrong(key, "must be 1 to 255 characters without spaces");
            }
        }
        let life_max = if self.shared_secret.is_some() { SHARED_LIFE_MAX } else { LIFE_MAX };
        if self.life < LIFE_MIN || self.life > life_max {
            return wrong("life", "must be from 1m to 15m (to 1h with a shared secret)");
        }
        if self.refresh_idle < self.life || self.refresh_idle > REFRESH_IDLE_MAX {
            return wrong("refresh_idle", "must be from the life of an access token to 90d");
        }
        let Some(secret) = &self.shared_secret else { return Ok(Vec::new()) };
        match secret.expose().len() {
            0 => wrong("shared_secret", "must not be empty"),
            1..SHARED_SECRET_MIN_BYTES if dev_mode => Ok(vec![TokenWarning::ShortSharedSecret]),
            1..SHARED_SECRET_MIN_BYTES => wrong(
                "shared_secret",
                "(JWT_SECRET) must be at least 32 bytes: a shorter one can be guessed from one token. Make one with openssl rand -base64 32, \
                 or leave it out and let services verify by /.well-known/jwks.json",
            ),
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> TokenSettings {
        TokenSettings::new("https://id.example")
    }

    #[test]
    fn the_defaults_are_allowed_and_what_is_outside_is_named() {
        assert_eq!(settings().check(false), Ok(Vec::new()));
        assert_eq!((settings().life.as_secs(), settings().audience.as_str()), (600, "https://id.example"));
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let wrong = [
            ("issuer", TokenSettings { issuer: String::new(), ..settings() }),
            ("audience", TokenSettings { audience: "two words".into(), ..settings() }),
            ("audiences", TokenSettings { audiences: vec!["https://shop.example".into(), String::new()], ..settings() }),
            ("life", TokenSettings { life: minutes(16), ..settings() }),
            ("life", TokenSettings { life: Duration::from_secs(59), ..settings() }),
            ("life", TokenSettings { life: minutes(61), ..settings().with_shared_secret("s".repeat(32)) }),
            ("refresh_idle", TokenSettings { refresh_idle: minutes(5), ..settings() }),
            ("shared_secret", settings().with_shared_secret("")),
        ];
        for (key, settings) in wrong {
            for dev_mode in [false, true] {
                assert_eq!(settings.check(dev_mode).map_err(|wrong| wrong.key), Err(key));
            }
        }
    }

    /// TOK-03: nobody gets a token for an audience that no operator named, and only this server's own allow changes.
    #[test]
    fn tokens_are_made_for_known_audiences_and_only_our_own_is_the_accounts() {
        let settings =
            TokenSettings { audience: "https://api.example".into(), audiences: vec!["https://shop.example".into()], ..settings() };
        let scope = |wanted| settings.audience(wanted).map(|audience| (audience, settings.scope(audience)));
        assert_eq!(scope(None), Some(("https://api.example", None)));
        assert_eq!(scope(Some("https://api.example")), Some(("https://api.example", None)));
        assert_eq!(scope(Some("https://shop.example")), Some(("https://shop.example", None)));
        assert_eq!(scope(Some("https://id.example")), Some(("https://id.example", Some("account"))));
        for unknown in ["", "https://shop.example/", "https://SHOP.example", "https://id.example https://shop.example"] {
            assert_eq!(scope(Some(unknown)), None, "{unknown}");
        }
    }

    /// TOK-01: a shared secret that can be guessed is for one developer's machine, and is told of there.
    #[test]
    fn a_short_shared_secret_is_for_dev_mode_only() {
        let (short, long) = (settings().with_shared_secret("s".repeat(31)), settings().with_shared_secret("s".repeat(32)));
        assert_eq!(short.check(true), Ok(vec![TokenWarning::ShortSharedSecret]));
        assert_eq!(short.check(false).map_err(|wrong| wrong.key), Err("shared_secret"));
        assert_eq!((long.check(true), long.check(false)), (Ok(Vec::new()), Ok(Vec::new())));
        assert!(!short.check(false).expect_err("refused").to_string().contains("ssss"));
        assert_eq!((long.life.as_secs(), &long.claims[..]), (3600, &[PersonalClaim::Email][..]));
    }
}
