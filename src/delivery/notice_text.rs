//! The words of a notice: which account, what happened, and what to do about it. Nothing in them comes from a request but an
//! address as a number, so nobody can have us send their text or their link (OTP-11).
//!
//! A text message says what happened and no more: one segment holds it in every language. A mail adds when, and what to.

use std::net::IpAddr;

use askama::Template;
use minijinja::{Error, ErrorKind, context};

use crate::account::model::Method;
use crate::account::notice::{Advice, Notice};
use crate::clock::Timestamp;
use crate::delivery::gsm;
use crate::delivery::mail::{Block, Page, escaped, isolated};
use crate::delivery::message::{Envelope, Mail, Message};
use crate::delivery::text::Renderer;
use crate::delivery::words::NoticeTexts;
use crate::verification::destination::Destination;
use crate::verification::model::Channel;
use crate::verification::policy::Policy;

impl Renderer {
    /// The finished notice, for a text message or a mail. `forgot`: where people reset their password, for mails.
    pub fn notice(
        &self,
        envelope: Envelope,
        notice: &Notice,
        at: Timestamp,
        forgot: Option<&str>,
        policy: &Policy,
    ) -> Result<Message, Error> {
        let missing = |what: &str| Error::new(ErrorKind::TemplateNotFound, what.to_owned());
        let (language, texts) = self.shipped(&envelope.locale, policy).ok_or_else(|| missing("notice"))?;
        let words = &texts.notice;
        let what = words.what.get(notice.name()).ok_or_else(|| missing(notice.name()))?;
        let advice = match notice.advice() {
            Advice::Secure => &words.secure,
            Advice::Ignore => &words.ignore,
            Advice::Ask => &words.ask,
        };
        let values = context! { brand => &*policy.brand, what => what, advice => advice };
        let part = |part: &str| self.part(&format!("{language}/{part}"), &values);
        if envelope.channel != Channel::Email {
            return Ok(Message { envelope, code: None, body: gsm::plain(&part("notice_sms")?), mail: None, speech: None });
        }
        let facts = facts(notice, words, at);
        let link = forgot.filter(|_| notice.advice() == Advice::Secure);
        let mut body = format!("{what}\n\n{}\n{}\n\n{advice}\n", policy.brand, facts.join("\n"));
        let lines: Vec<_> = facts.iter().map(|fact| isolated(fact)).collect();
        let details = format!("{}<br>{}", isolated(&policy.brand), lines.join("<br>"));
        let mut blocks = vec![Block::Heading(escaped(what)), Block::Text(details)];
        match link {
            Some(url) => {
                body.push_str(&format!("{url}\n"));
                // The label is the address itself: a reader sees where it leads.
                blocks.push(Block::Link { hint: advice.clone(), label: url.to_owned(), url: url.to_owned() });
            }
            None => blocks.push(Block::Text(escaped(advice))),
        }
        let subject = part("notice_subject")?;
        let page = Page { language, direction: &texts.direction, subject: &subject, blocks };
        let html = page.render().map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
        Ok(Message { envelope, code: None, body, mail: Some(Mail { subject, html }), speech: None })
    }
}

/// When, and what else is known: one a line, in no language or in the reader's.
fn facts(notice: &Notice, words: &NoticeTexts, at: Timestamp) -> Vec<String> {
    let minute = at.to_string().replace('T', " ");
    let mut facts = vec![format!("{} UTC", minute.get(..16).unwrap_or(&minute))];
    match notice {
        Notice::IdentifierAdded(value) | Notice::IdentifierRemoved(value) => facts.push(value.masked()),
        Notice::FactorAdded(method, value) | Notice::FactorRemoved(method, value) => {
            facts.extend(named(*method, words));
            facts.extend(value.as_ref().map(Destination::masked));
        }
        Notice::SignInFromNewBrowser(address) => facts.push(IpAddr::to_string(address)),
        _ => {}
    }
    facts
}

/// A factor as people know it; where it is a call or a mail, its number or address says it all.
fn named(method: Method, words: &NoticeTexts) -> Option<String> {
    match method {
        Method::Sms => Some("SMS".into()),
        Method::Whatsapp => Some("WhatsApp".into()),
        Method::Totp => Some(words.authenticator.clone()),
        Method::Passkey => Some(words.passkey.clone()),
        Method::Call | Method::Email | Method::RecoveryCode => None,
    }
}
