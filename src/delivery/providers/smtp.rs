//! SMTP: mails through the operator's own server or any provider's.
//!
//! Each step of a delivery is judged by itself, because what a failure means depends on it: before the text was handed over
//! nothing was sent; a recipient that is refused for good is the destination's fault; and when the connection is lost after
//! the text, nobody knows (RFC 5321, 4.2.5). The server's own words stay out of causes: they repeat the address.

use std::error::Error as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::clock::{Clock, Timestamp};
use crate::delivery::message::{Mail, Message};
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError};
use crate::secret::Redacted;
use crate::verification::model::Channel;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "smtp",
    title: "SMTP",
    environment: &[
        ("SMTP_URL", "url"),
        ("SMTP_HOST", "host"),
        ("SMTP_PORT", "port"),
        ("SMTP_USERNAME", "username"),
        ("SMTP_USER", "username"),
        ("SMTP_PASSWORD", "password"),
        ("SMTP_PASS", "password"),
        ("SMTP_FROM", "from"),
    ],
    needs: &[&["url", "host"], &["from"]],
    secrets: &["url", "password"],
    build,
};

/// Until a TCP connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Until the server waits for the text: greeting, TLS, log-in, sender and recipient.
const ENVELOPE_TIMEOUT: Duration = Duration::from_secs(8);
/// From then until it has taken the text.
const TEXT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once: servers refuse whoever opens many.
const CONNECTIONS: usize = 16;
/// How long one is kept for the next mail: servers close them after minutes.
const IDLE_TIME: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `smtp://user:password@host:587`, or `smtps://`; what is said by itself wins over it.
    url: Option<Redacted<String>>,
    host: Option<String>,
    #[serde(default, deserialize_with = "number_or_text")]
    port: Option<u16>,
    encryption: Option<Encryption>,
    username: Option<String>,
    password: Option<Redacted<String>>,
    /// `otp@example.com` or `Shop <otp@example.com>`; without a name, the service's brand is shown.
    from: String,
    reply_to: Option<String>,
    /// PEM: a certificate that is trusted beside the system's.
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_unencrypted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encryption {
    /// Plain at first, and TLS before anything else is said; never without.
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all.
    None,
}

struct Smtp {
    host: String,
    port: u16,
    encryption: Encryption,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    hello: ClientId,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    idle: Mutex<Vec<(AsyncSmtpConnection, Timestamp)>>,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    let wrong = |text: &str| SettingError(text.to_owned());
    let url = settings.url.as_ref().map(|url| Url::parse(url.expose())).transpose()?.unwrap_or_default();
    let host = settings.host.or(url.host).ok_or_else(|| wrong("host (or url) is missing"))?;
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let port = settings.port.or(url.port);
    let encryption = settings.encryption.or(url.encryption).unwrap_or(match port {
        Some(465) => Encryption::Tls,
        _ if loopback => Encryption::None,
        _ => Encryption::Starttls,
    });
    if encryption == Encryption::None && !loopback && !settings.allow_unencrypted {
        return Err(wrong(
            "encryption = \"none\" shows codes and password to everybody on the way: use \"starttls\" or \"tls\", or say allow_unencrypted = true",
        ));
    }
    let credentials = match (settings.username.or(url.username), settings.password.or(url.password)) {
        (Some(username), Some(password)) => Some(Credentials::new(username, password.expose().clone())),
        (None, None) => None,
        _ => return Err(wrong("username and password must be set together")),
    };
    let mailbox = |key: &str, text: &str| Mailbox::from_str(text).map_err(|_| wrong(&format!("{key} is no mail address")));
    let port = port.unwrap_or(match encryption {
        Encryption::Starttls => 587,
        Encryption::Tls => 465,
        Encryption::None => 25,
    });
    Ok(Family::Message(Arc::new(Smtp {
        tls: if encryption == Encryption::None { None } else { Some(tls(&host, settings.ca_file)?) },
        host,
        port,
        encryption,
        credentials,
        from: mailbox("from", &settings.from)?,
        reply_to: settings.reply_to.map(|text| mailbox("reply_to", &text)).transpose()?,
        hello: ClientId::default(),
        clock: Arc::clone(&account.clock),
        places: Semaphore::new(CONNECTIONS),
        idle: Mutex::default(),
    })))
}

fn tls(host: &str, ca_file: Option<PathBuf>) -> Result<TlsParameters, SettingError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = ca_file {
        let wrong = |error: &dyn std::fmt::Display| SettingError(format!("ca_file: cannot use {}: {error}", file.display()));
        let pem = std::fs::read(&file).map_err(|error| wrong(&error))?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(&error))?);
    }
    builder.build().map_err(|error| SettingError(format!("TLS cannot be used: {error}")))
}

#[async_trait]
impl MessageProvider for Smtp {
    fn channels(&self) -> &[Channel] {
        &[Channel::Email]
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let Some(mail) = &message.mail else { return Err(SendError::unavailable("it sends mails only")) };
        let to = Address::from_str(message.envelope.to.canonical());
        let to = to.map_err(|_| SendError::rejected("a mail cannot be addressed to it"))?;
        // The same in every retry, so that a mail that came twice shows as one.
        let id = format!("{}@{}", message.envelope.reference, self.from.email.domain());
        let text = self.letter(message, mail, &to, &id).map_err(|_| SendError::unavailable("the mail could not be written"))?;
        let ready = timeout(ENVELOPE_TIMEOUT, async { (self.places.acquire().await, self.address(&to).await) }).await;
        let (_place, ready) = ready.map_err(|_| SendError::unavailable("no answer in time"))?;
        let mut connection = ready?;
        match timeout(TEXT_TIMEOUT, connection.message(&text)).await {
            Ok(Ok(_)) => {
                self.keep(connection);
                Ok(id)
            }
            Ok(Err(error)) => Err(judged(Step::Text, &error)),
            Err(_) => Err(SendError::uncertain("no answer to the text in time")),
        }
    }
}

impl Smtp {
    fn letter(&self, message: &Message, mail: &Mail, to: &Address, id: &str) -> Result<Vec<u8>, lettre::error::Error> {
        let brand = Some(message.envelope.brand.to_string());
        let from = Mailbox { name: self.from.name.clone().or(brand), email: self.from.email.clone() };
        let date = SystemTime::UNIX_EPOCH + Duration::from_millis(message.envelope.now.0.max(0) as u64);
        let mut builder = lettre::Message::builder().from(from).to(Mailbox::new(None, to.clone())).subject(mail.subject.as_str());
        builder = builder.date(date).message_id(Some(format!("<{id}>")));
        // No out-of-office notes, please (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        builder = builder.raw_header(HeaderValue::new(automatic, "auto-generated".into()));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        let parts = MultiPart::alternative_plain_html(message.body.clone(), mail.html.clone());
        Ok(builder.multipart(parts)?.formatted())
    }

    /// A connection that waits for the text of a mail to that address.
    async fn address(&self, to: &Address) -> Result<AsyncSmtpConnection, SendError> {
        // A connection that lay idle may be gone, which shows at the first command: then another one begins anew.
        while let Some(mut connection) = self.take() {
            match self.begin(&mut connection, to).await {
                Ok(()) => return self.recipient(connection, to).await,
                Err(error) if error.status().is_some_and(|status| status.to_string() != "421") => return Err(judged(Step::Sender, &error)),
                Err(_) => {}
            }
        }
        let mut connection = self.connect().await?;
        self.begin(&mut connection, to).await.map_err(|error| judged(Step::Sender, &error))?;
        self.recipient(connection, to).await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let tls = if self.encryption == Encryption::Tls { self.tls.clone() } else { None };
        let server = (self.host.as_str(), self.port);
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &self.hello, tls, None).await;
        let mut connection = connected.map_err(|error| judged(Step::Connect, &error))?;
        if let (Encryption::Starttls, Some(tls)) = (self.encryption, &self.tls) {
            let upgraded = connection.starttls(tls.clone(), &self.hello).await;
            upgraded.map_err(|error| judged(Step::Encrypt, &error))?;
        }
        if let Some(credentials) = &self.credentials {
            let entered = connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await;
            entered.map_err(|error| judged(Step::LogIn, &error))?;
        }
        Ok(connection)
    }

    async fn begin(&self, connection: &mut AsyncSmtpConnection, to: &Address) -> Result<(), Error> {
        let international = !to.to_string().is_ascii() && connection.server_info().supports_feature(Extension::SmtpUtfEight);
        let parameters = if international { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
        connection.command(MailFrom::new(Some(self.from.email.clone()), parameters)).await.map(drop)
    }

    async fn recipient(&self, mut connection: AsyncSmtpConnection, to: &Address) -> Result<AsyncSmtpConnection, SendError> {
        if let Err(error) = connection.command(Rcpt::new(to.clone(), Vec::new())).await {
            // The next mail's recipient may be a better one.
            if error.status().is_some() && connection.command(Rset).await.is_ok() {
                self.keep(connection);
            }
            return Err(judged(Step::Recipient, &error));
        }
        connection.command(Data).await.map_err(|error| judged(Step::Sender, &error))?;
        Ok(connection)
    }

    fn take(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        idle.retain(|(_, since)| since.until(now) < IDLE_TIME);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((connection, self.clock.now()));
    }
}

/// How far a delivery got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Encrypt,
    LogIn,
    Sender,
    Recipient,
    Text,
}

/// What a failure means at that step.
fn judged(step: Step, error: &Error) -> SendError {
    let Some(status) = error.status() else {
        return match step {
            Step::Connect => SendError::unavailable("no connection"),
            Step::Encrypt if error.is_client() => SendError::unavailable("it offers no STARTTLS"),
            Step::Encrypt => SendError::unavailable("its certificate is not trusted, or TLS failed"),
            Step::LogIn => SendError::unavailable("it offers no way to log in, or the connection broke"),
            Step::Sender | Step::Recipient => SendError::unavailable("the connection broke before the text"),
            Step::Text => SendError::uncertain("the connection broke after the text"),
        };
    };
    let status = status.to_string();
    // RFC 3463 in front of the words ("5.1.1 No such user"): the second number is the subject, 1 the address, 2 the mailbox.
    let words = error.source().map(ToString::to_string).unwrap_or_default();
    let enhanced = words.split_whitespace().next().filter(|code| is_enhanced(code));
    let about = enhanced.and_then(|code| code.split('.').nth(1));
    let for_good = status.starts_with('5');
    let judged = match step {
        // Policy (7), and a log-in that is wanted (530), are about us: relaying, a blocked address of ours.
        Step::Recipient if for_good && status != "530" && about != Some("7") => SendError::rejected("the address was refused"),
        Step::Text if for_good && matches!(about, Some("1" | "2")) => SendError::rejected("the mailbox refused it"),
        Step::Text => SendError::unavailable("the mail was refused"),
        Step::Recipient => SendError::unavailable("the address was refused for now, or its sender"),
        Step::LogIn => SendError::unavailable("user name or password were refused"),
        Step::Sender => SendError::unavailable("the sender was refused"),
        Step::Connect | Step::Encrypt => SendError::unavailable("it serves nobody now"),
    };
    judged.code(enhanced.map_or_else(|| status.clone(), |enhanced| format!("{status} {enhanced}")))
}

fn is_enhanced(code: &str) -> bool {
    let numbers: Vec<_> = code.split('.').collect();
    numbers.len() == 3 && numbers.iter().all(|number| (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `SMTP_URL`, taken apart.
#[derive(Default)]
struct Url {
    host: Option<String>,
    port: Option<u16>,
    encryption: Option<Encryption>,
    username: Option<String>,
    password: Option<Redacted<String>>,
}

impl Url {
    fn parse(text: &str) -> Result<Url, SettingError> {
        let wrong = || SettingError("url must be like smtp://user:password@mail.example.com:587, or smtps://".into());
        let url = url::Url::parse(text.trim()).map_err(|_| wrong())?;
        let encryption = match url.scheme() {
            "smtps" => Some(Encryption::Tls),
            "smtp" => None,
            _ => return Err(wrong()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        Ok(Url {
            host: Some(host.trim_matches(['[', ']']).to_owned()),
            port: url.port(),
            encryption,
            username: Some(decoded(url.username())).filter(|name| !name.is_empty()),
            password: url.password().map(|password| Redacted::new(decoded(password))),
        })
    }
}

/// Undoes %40 and its like; everything else is itself.
fn decoded(text: &str) -> String {
    let field = format!("={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(field.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The environment has text where a file has a number.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Number(u16),
        Text(String),
    }
    match Raw::deserialize(deserializer).map_err(|_| serde::de::Error::custom("port must be a number from 1 to 65535"))? {
        Raw::Number(port) => Ok(Some(port)),
        Raw::Text(text) => text.trim().parse().map(Some).map_err(|_| serde::de::Error::custom("port must be a number from 1 to 65535")),
    }
}
