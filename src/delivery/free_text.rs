//! Texts of integrators' own: handed to the providers that carry codes, over the same routes and behind the same breakers, and
//! counted by the same limits (ABU-03). A thin sender: no campaigns, no media, no schedule.
//!
//! Whoever asks does not wait. A text is kept before it is answered for; its words are sealed, since a code may stand in them
//! (OTP-07). One that a crash interrupts is not sent again: nobody knows whether it went out, and it fails when its time is over.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::account::seal;
use crate::clock::Timestamp;
use crate::db::database::DataError;
use crate::db::entities::{EntityTables, FreeTextRow, TextFilter, TextStatus};
use crate::delivery::gsm;
use crate::delivery::health::Gate;
use crate::delivery::inbox::Content;
use crate::delivery::lanes::Lanes;
use crate::delivery::message::{Envelope, Message};
use crate::delivery::provider::{Family, Fault, MessageProvider, Provider, SendError};
use crate::delivery::receipt::MessageNumber;
use crate::delivery::signed_post::SignedPost;
use crate::id;
use crate::verification::Engine;
use crate::verification::destination::Destination;
use crate::verification::limit::Limited;
use crate::verification::model::{Channel, Delivery};
use crate::verification::request::{Caller, InvalidField};
use crate::verification::store::{ReceiptState, StoreError};

/// Texts that may wait or be under way.
const QUEUE: u32 = 1024;
/// Texts for which a provider is asked at once: few, so that codes go first.
const AT_ONCE: usize = 16;
/// Longest text, in characters.
pub const BODY_MAX: usize = 1600;
/// How long texts are kept to be read.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Nobody took it: too many wait.
const QUEUE_FULL: u32 = 30001;
/// It did not get further, and nobody knows more.
const UNKNOWN: u32 = 30008;

/// The words of a change of a text: the face knows them.
pub type Words = fn(&FreeTextRow) -> Vec<(String, String)>;

/// Why the work could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The database refused.
    #[error("the database of texts failed: {0}")]
    Database(#[from] DataError),
    /// The limits could not be asked. Nothing is sent then (OPS-01).
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The words could not be sealed.
    #[error("the text could not be sealed")]
    Seal(#[from] seal::NotSealed),
}

/// A text to be sent. It has no `Debug`: a code may stand in it.
pub struct NewText {
    /// Any spelling of a phone number.
    pub to: String,
    /// sms or whatsapp.
    pub channel: Channel,
    /// As the integrator names the sender. The route decides who sends.
    pub sender: Option<String>,
    /// Or the service that chooses one.
    pub messaging_service: Option<String>,
    /// The words.
    pub body: Zeroizing<String>,
    /// Where the integrator hears of it.
    pub callback: Option<String>,
    /// How long it may wait.
    pub life: Duration,
}

/// What came of a text.
pub enum Sending {
    /// It is kept and queued.
    Queued(Box<FreeTextRow>),
    /// A field breaks a rule.
    Invalid(InvalidField),
    /// The service sends nothing to that country.
    Country,
    /// A limit refused.
    Limited(Limited),
}

/// The sender of texts of a running server.
pub struct FreeTexts {
    lanes: Arc<Lanes>,
    engine: Arc<Engine>,
    tables: EntityTables,
    post: Arc<SignedPost>,
    words: Words,
    places: Arc<Semaphore>,
    turns: Semaphore,
    runtime: Handle,
}

impl FreeTexts {
    /// Must be called within the runtime.
    pub(super) fn new(lanes: Arc<Lanes>, engine: Arc<Engine>, tables: EntityTables, post: Arc<SignedPost>, words: Words) -> FreeTexts {
        let (places, turns) = (Arc::new(Semaphore::new(QUEUE as usize)), Semaphore::new(AT_ONCE));
        FreeTexts { lanes, engine, tables, post, words, places, turns, runtime: Handle::current() }
    }

    /// Takes no more, and returns once those that are under way are through.
    pub(super) async fn drain(&self) {
        let _ = self.places.acquire_many(QUEUE).await;
        self.places.close();
    }

    /// Keeps a text and queues it, if every limit allows it. `client`: the integrator.
    pub async fn send(self: &Arc<Self>, caller: &Caller, client: Uuid, new: NewText) -> Result<Sending, TextError> {
        let policy = self.engine.policy(&caller.service);
        let to = match self.checked(&new) {
            Ok(()) => self.engine.destination(&policy, &new.to).map_err(|invalid| InvalidField { field: "To", ..invalid }),
            Err(invalid) => Err(invalid),
        };
        let to = match to {
            Ok(to) if to.is_phone() => to,
            Ok(_) => return Ok(Sending::Invalid(InvalidField::new("To", "must be a phone number"))),
            Err(invalid) => return Ok(Sending::Invalid(invalid)),
        };
        if !policy.allows(to.country()) {
            return Ok(Sending::Country);
        }
        let now = self.engine.clock.now();
        let takes = self.engine.message_limits(&policy, caller, &to, None);
        if let Err(limited) = self.engine.store.take(takes, now).await? {
            return Ok(Sending::Limited(limited));
        }
        let id = id::new(now, self.engine.entropy.as_ref());
        let sealed = seal::seal(&self.engine.peppers, self.engine.entropy.as_ref(), &context(&id), new.body.as_bytes())?;
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let mut row = FreeTextRow {
            id,
            client,
            service: caller.service.to_string(),
            channel: new.channel,
            recipient: to.canonical().to_owned(),
            sender: new.sender,
            messaging_service: new.messaging_service,
            body: Some(sealed),
            segments: u32::try_from(gsm::segments(&new.body).1).unwrap_or(u32::MAX),
            status: TextStatus::Queued,
            error_code: None,
            callback: new.callback,
            created_at: now,
            updated_at: now,
            sent_at: None,
            expires_at: now + new.life,
        };
        if place.is_none() {
            (row.status, row.error_code) = (TextStatus::Failed, Some(QUEUE_FULL));
        }
        self.tables.add_text(&row).await?;
        if let Some(place) = place {
            self.start(row.clone(), to, new.body, place);
        }
        Ok(Sending::Queued(Box::new(row)))
    }

    fn checked(&self, new: &NewText) -> Result<(), InvalidField> {
        let length = new.body.chars().count();
        if length == 0 || length > BODY_MAX {
            return Err(InvalidField::new("Body", format!("must have 1 to {BODY_MAX} characters")));
        }
        match &new.callback {
            Some(url) => self.post.accepts(url).map_err(|rule| InvalidField::new("StatusCallback", rule)),
            None => Ok(()),
        }
    }

    /// A text of a client, with its words.
    pub async fn text(&self, client: Uuid, id: Uuid) -> Result<Option<FreeTextRow>, TextError> {
        Ok(self.tables.text(client, id, self.engine.clock.now()).await?)
    }

    /// Texts of a client, the newest first.
    pub async fn texts(&self, client: Uuid, filter: &TextFilter, page: (u32, u32)) -> Result<Vec<FreeTextRow>, TextError> {
        Ok(self.tables.texts(client, filter, page, self.engine.clock.now()).await?)
    }

    /// The words of a text; empty, once they were taken out or their pepper is gone.
    pub fn body(&self, row: &FreeTextRow) -> Zeroizing<String> {
        let opened = row.body.as_ref().and_then(|sealed| seal::open(&self.engine.peppers, &context(&row.id), sealed));
        Zeroizing::new(opened.and_then(|plain| String::from_utf8(plain.to_vec()).ok()).unwrap_or_default())
    }

    /// Calls a text off that nobody was asked to send yet. False: too late.
    pub async fn cancel(&self, id: Uuid) -> Result<bool, TextError> {
        self.moved(id, TextStatus::Canceled, None).await
    }

    /// Takes the words out of a text.
    pub async fn redact(&self, id: Uuid) -> Result<(), TextError> {
        Ok(self.tables.redact_text(id, self.engine.clock.now()).await?)
    }

    /// Forgets a text. False: there is none.
    pub async fn remove(&self, client: Uuid, id: Uuid) -> Result<bool, TextError> {
        Ok(self.tables.remove_text(client, id).await?)
    }

    /// Notes what a provider reports later. False: it is no text of ours, or changes nothing.
    pub async fn receipt(&self, id: Uuid, state: ReceiptState, code: Option<&str>) -> Result<bool, TextError> {
        match state {
            ReceiptState::Underway => Ok(false),
            ReceiptState::Delivered => self.moved(id, TextStatus::Delivered, None).await,
            ReceiptState::Failed => self.moved(id, TextStatus::Undelivered, Some(number(code))).await,
        }
    }

    /// Removes texts of long ago.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), TextError> {
        Ok(self.tables.sweep_texts(now - KEPT).await?)
    }

    fn start(self: &Arc<Self>, row: FreeTextRow, to: Destination, body: Zeroizing<String>, place: OwnedSemaphorePermit) {
        let this = Arc::clone(self);
        self.runtime.spawn(async move {
            let delivered = AssertUnwindSafe(this.deliver(&row, &to, &body)).catch_unwind().await;
            let outcome = match delivered {
                Ok(Some(Ok(()))) => this.moved(row.id, TextStatus::Sent, None).await,
                Ok(Some(Err(error))) => this.moved(row.id, TextStatus::Failed, Some(number(error.code.as_deref()))).await,
                // Called off in the meantime.
                Ok(None) => Ok(true),
                Err(_) => this.moved(row.id, TextStatus::Failed, Some(UNKNOWN)).await,
            };
            if let Err(error) = outcome {
                tracing::error!(id = %row.id, %error, "what became of a text could not be noted");
            }
            drop(place);
        });
    }

    /// Moves it, and tells the integrator.
    async fn moved(&self, id: Uuid, to: TextStatus, code: Option<u32>) -> Result<bool, TextError> {
        let now = self.engine.clock.now();
        if !self.tables.move_text(id, to, code, now).await? {
            return Ok(false);
        }
        if let Some(row) = self.tables.any_text(id, now).await?
            && let Some(url) = row.callback.clone()
        {
            // It may have moved on in the meantime, and whoever moved it tells of that.
            let row = FreeTextRow { status: to, error_code: code, ..row };
            self.post.post(row.client, url, (self.words)(&row));
        }
        Ok(true)
    }

    /// Asks one provider after the other. None: it was called off.
    async fn deliver(&self, row: &FreeTextRow, to: &Destination, body: &str) -> Option<Result<(), SendError>> {
        let _turn = self.turns.acquire().await;
        match self.tables.move_text(row.id, TextStatus::Sending, None, self.engine.clock.now()).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(SendError::unavailable(error.to_string()))),
        }
        let mut last = SendError::unavailable("no provider of the route carries texts");
        for place in self.lanes.path(row.channel, to.country()) {
            let Some((provider, carrier)) = self.lanes.carrier(place) else { continue };
            match self.ask(row, to, body, place, provider, carrier).await {
                Ok(()) => return Some(Ok(())),
                Err(error) => {
                    tracing::info!(id = %row.id, provider = &*provider.name, fault = ?error.fault, %error, "a text was not taken");
                    let ends = error.fault != Fault::Unavailable;
                    last = error;
                    // Perhaps sent is not sent again: these words are not ours to repeat.
                    if ends {
                        break;
                    }
                }
            }
        }
        Some(Err(last))
    }

    async fn ask(
        &self,
        row: &FreeTextRow,
        to: &Destination,
        body: &str,
        place: usize,
        provider: &Provider,
        carrier: &dyn MessageProvider,
    ) -> Result<(), SendError> {
        let tools = &self.lanes.tools;
        let started = tools.clock.now();
        let health = self.lanes.lanes().get(place).map(|lane| Arc::clone(&lane.health));
        let health = || health.as_ref().map(|health| health.lock().unwrap_or_else(PoisonError::into_inner));
        let message = self.message(row, to, body, provider, started);
        if let Some(inbox) = &tools.inbox {
            inbox.handed(Content::Message(Arc::new(message.clone())), Arc::clone(&provider.name));
        }
        if let Some(Gate::Wait(_)) = health().map(|mut health| health.enter(started)) {
            return Err(SendError::unavailable("it takes no messages for now, after too many failures"));
        }
        let sending = AssertUnwindSafe(carrier.send(&message)).catch_unwind();
        let result = match tokio::time::timeout(tools.last_patience, sending).await {
            Ok(Ok(result)) => result.map(drop),
            Ok(Err(_)) => Err(SendError::uncertain("it broke down while it was asked")),
            Err(_) => Err(SendError::uncertain("no answer in time")),
        };
        let now = tools.clock.now();
        let took = started.until(now);
        if let Some(mut health) = health() {
            health.note(to.country(), result.as_ref().map(drop), took, now);
        }
        let outcome = result.as_ref().map_or_else(|error| error.fault.as_str(), |()| "sent");
        tools.metrics.sent(&provider.name, row.channel, to.country(), outcome, took);
        if let Some(inbox) = &tools.inbox {
            let (message, cause) = (MessageNumber { verification: row.id, number: 1 }, result.as_ref().err().map(ToString::to_string));
            inbox.note(message, if result.is_ok() { Delivery::Sent } else { Delivery::Failed }, cause);
        }
        result
    }

    fn message(&self, row: &FreeTextRow, to: &Destination, body: &str, provider: &Provider, now: Timestamp) -> Message {
        let (tools, policy) = (&self.lanes.tools, self.engine.policy(&row.service));
        let reference = tools.references.seal(&provider.name, MessageNumber { verification: row.id, number: 1 });
        let envelope = Envelope {
            verification: row.id,
            number: 1,
            to: to.clone(),
            channel: row.channel,
            locale: Arc::clone(&policy.locale),
            brand: Arc::clone(&policy.brand),
            callback: tools.references.callback(&provider.name, &reference),
            reference,
            now,
            expires_at: row.expires_at,
        };
        Message { envelope, code: None, body: body.to_owned(), mail: None, speech: None }
    }
}

impl Lanes {
    /// The provider at that place, if it carries words of ours or an integrator's.
    pub(super) fn carrier(&self, place: usize) -> Option<(&Provider, &dyn MessageProvider)> {
        let provider = self.providers.get(place)?;
        match &provider.family {
            Family::Message(carrier) if carrier.carries_notices() => Some((provider, carrier.as_ref())),
            Family::Message(_) | Family::Verify(_) => None,
        }
    }
}

/// What a text's words are sealed for.
pub fn context(id: &Uuid) -> [&[u8]; 2] {
    [b"free text", id.as_bytes()]
}

/// The provider's code, where it is a number of the kind that integrators know.
fn number(code: Option<&str>) -> u32 {
    let known = code.and_then(|code| code.parse().ok()).filter(|code| (20_000..70_000).contains(code));
    known.unwrap_or(UNKNOWN)
}
