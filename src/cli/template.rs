//! `countersign template preview`: every text as people will read it, and what it takes to send it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use crate::account::notice::Notice;
use crate::app::renderer;
use crate::cli::{Failure, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::delivery::gsm::{self, Encoding};
use crate::delivery::message::{Envelope, Message};
use crate::delivery::not_me::CancelLinks;
use crate::delivery::text::Renderer;
use crate::secret::{Code, Pepper, Peppers};
use crate::verification::destination::{Country, Destination};
use crate::verification::model::{Channel, VerificationId};
use crate::verification::policy::{DEFAULT_SERVICE, Policy};

/// What every locale is asked for by.
const ALL: &str = "all";

#[derive(Subcommand)]
pub enum Command {
    /// Show each text with sample values, its alphabet, and the number of SMS that carry it
    Preview(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    /// The service whose words, brand and last line count
    #[arg(long, default_value = DEFAULT_SERVICE)]
    service: String,
    /// sms, whatsapp, call or email [default: each of them]
    #[arg(long, value_parser = channel)]
    channel: Option<Channel>,
    /// A locale such as pt-BR, or "all" [default: the service's]
    #[arg(long)]
    locale: Option<String>,
    /// Show what people are told of their accounts, in place of codes: a name such as password_changed, or "all"
    #[arg(long, value_name = "NAME")]
    notice: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the HTML of the mail to a file (one locale, and one notice)
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn channel(name: &str) -> Result<Channel, String> {
    Channel::parse(name).ok_or_else(|| "must be sms, whatsapp, call or email".to_owned())
}

/// One text.
#[derive(Serialize)]
struct Preview {
    channel: Channel,
    locale: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<String>,
    #[serde(flatten)]
    size: Option<Size>,
}

/// Of an SMS.
#[derive(Serialize)]
struct Size {
    encoding: Encoding,
    units: usize,
    segments: usize,
}

pub fn run(config: &Config, command: &Command) -> Result<ExitCode, Failure> {
    let Command::Preview(arguments) = command;
    let policies = config.policies()?;
    let policy = policies.iter().find(|policy| *policy.service == *arguments.service);
    let unknown = || ConfigError::rule("--service", format!("\"{}\" is not configured", arguments.service));
    let policy = policy.ok_or_else(unknown)?;
    let renderer = renderer(&policies)?.with_links(links(config));
    let locales = match arguments.locale.as_deref() {
        None => vec![policy.locale.to_string()],
        Some(ALL) => renderer.locales(policy),
        Some(locale) => vec![locale.to_owned()],
    };
    let notices = arguments.notice.as_deref().map(notices).transpose()?;
    let many = notices.as_ref().is_some_and(|notices| notices.len() > 1);
    if arguments.html.is_some() && (many || locales.len() > 1 || arguments.channel.is_some_and(|channel| channel != Channel::Email)) {
        return Err(ConfigError::rule("--html", "goes with one --locale, one --notice, and with --channel email").into());
    }
    let forgot = config.server.public_url.as_ref().map(|public_url| format!("{public_url}/forgot"));
    let mut previews = Vec::new();
    for channel in arguments.channel.map_or_else(|| Channel::ALL.to_vec(), |channel| vec![channel]) {
        for locale in &locales {
            let Some(notices) = &notices else {
                previews.push(preview(sample(&renderer, policy, channel, locale)?, locale, None, arguments)?);
                continue;
            };
            // Notices take no other ways.
            for notice in notices.iter().filter(|_| matches!(channel, Channel::Sms | Channel::Email)) {
                let envelope = envelope(policy, channel, locale);
                let now = envelope.now;
                let message = renderer.notice(envelope, notice, now, forgot.as_deref(), policy);
                let message = message.map_err(|error| anyhow::anyhow!("{locale}: {error}"))?;
                previews.push(preview(message, locale, Some(notice.name()), arguments)?);
            }
        }
    }
    if arguments.json {
        terminal::say_json(&previews);
    } else {
        previews.iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

/// Links that lead nowhere, where mails have links: no pepper is touched for a preview.
fn links(config: &Config) -> Option<CancelLinks> {
    let public_url = config.server.public_url.clone()?;
    Some(CancelLinks::new(Peppers { current: Pepper::new(&[0; 32])?, previous: None }, public_url))
}

/// Those of that name.
fn notices(name: &str) -> Result<Vec<Notice>, Failure> {
    let found: Vec<_> = Notice::samples().into_iter().filter(|notice| name == ALL || name == notice.name()).collect();
    if found.is_empty() {
        let names = Notice::samples().map(|notice| notice.name()).join(", ");
        return Err(ConfigError::rule("--notice", format!("must be \"{ALL}\" or one of {names}")).into());
    }
    Ok(found)
}

fn envelope(policy: &Policy, channel: Channel, locale: &str) -> Envelope {
    let now = SystemClock.now();
    let (to, country) = if channel == Channel::Email { ("ann@example.com", None) } else { ("+15005550006", Country::parse("US")) };
    Envelope {
        verification: VerificationId::nil(),
        number: 1,
        to: Destination::from_canonical(to, country),
        channel,
        locale: locale.into(),
        brand: Arc::clone(&policy.brand),
        reference: "sample".into(),
        callback: None,
        now,
        expires_at: now + policy.life(channel),
    }
}

fn sample(renderer: &Renderer, policy: &Policy, channel: Channel, locale: &str) -> Result<Message, Failure> {
    let digits = &"1234567890"[..usize::from(policy.code_length).min(10)];
    let code = Code::parse(digits).map_err(|error| anyhow::anyhow!("no sample code: {error}"))?;
    Ok(renderer.render(envelope(policy, channel, locale), code, policy).map_err(|error| anyhow::anyhow!("{locale}: {error}"))?)
}

fn preview(message: Message, locale: &str, notice: Option<&'static str>, arguments: &Arguments) -> Result<Preview, Failure> {
    if let (Some(file), Some(mail)) = (&arguments.html, &message.mail) {
        let written = std::fs::write(file, &mail.html);
        written.map_err(|error| anyhow::anyhow!("cannot write {}: {error}", file.display()))?;
    }
    let channel = message.envelope.channel;
    let size = || {
        let (encoding, segments) = gsm::segments(&message.body);
        Size { encoding, units: gsm::length(&message.body), segments }
    };
    Ok(Preview {
        channel,
        locale: locale.to_owned(),
        notice,
        size: (channel == Channel::Sms).then(size),
        text: message.body,
        subject: message.mail.map(|mail| mail.subject),
        voice: message.speech.map(|speech| speech.language),
    })
}

fn say(preview: &Preview) {
    let mut facts = vec![preview.channel.to_string(), preview.locale.clone()];
    facts.extend(preview.notice.map(str::to_owned));
    if let Some(Size { encoding, units, segments }) = &preview.size {
        let plural = if *segments == 1 { "" } else { "s" };
        facts.push(format!("{}, {units} units, {segments} segment{plural}", encoding.as_str()));
    }
    facts.extend(preview.voice.as_ref().map(|voice| format!("voice {voice}")));
    terminal::say(&terminal::bold(&facts.join(" · ")));
    if let Some(subject) = &preview.subject {
        terminal::say(&format!("Subject: {subject}\n"));
    }
    terminal::say(&format!("{}\n", preview.text.trim_end()));
}
