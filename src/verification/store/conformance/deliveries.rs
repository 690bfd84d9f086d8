//! What becomes of a message: reports of the courier and receipts of providers, in every order.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{NOW, SERVICE, resend, start, verification};
use super::races::at_once;
use super::{Outcome, ensure};
use crate::verification::limit::{Bucket, LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::{Delivery, EventKind, Verification};
use crate::verification::store::{Delivered, Receipt, ReceiptState, Sending, Store, StoreError, Undelivered};

fn text(error: StoreError) -> String {
    error.to_string()
}

async fn begun(store: &Arc<dyn Store>, number: u32) -> Result<Verification, String> {
    match store.start(start(verification(number, number))).await.map_err(text)? {
        Sending::Queued(verification, _) => Ok(*verification),
        other => Err(format!("the start was not queued: {other:?}")),
    }
}

async fn found(store: &Arc<dyn Store>, verification: &Verification) -> Result<(Verification, Bucket), String> {
    store.get(SERVICE, verification.id).await.map_err(text)?.ok_or_else(|| "the row is gone".to_owned())
}

async fn reported(store: &Arc<dyn Store>, verification: &Verification, result: Result<&str, bool>) -> Result<usize, String> {
    let result = match result {
        Ok(provider) => Ok((provider.to_owned(), "reference".to_owned())),
        Err(perhaps_sent) => Err(Undelivered { cause: "gone".into(), perhaps_sent }),
    };
    store.delivered(vec![Delivered { id: verification.id, message: 1, result, now: NOW }]).await.map_err(text)
}

fn receipt(verification: &Verification, provider: &str, state: ReceiptState) -> Receipt {
    Receipt { id: verification.id, message: 1, provider: provider.into(), state, detail: provider.into(), now: NOW }
}

async fn told(store: &Arc<dyn Store>, verification: &Verification, state: ReceiptState) -> Result<bool, String> {
    Ok(store.receipt(receipt(verification, "twilio", state)).await.map_err(text)?.is_some())
}

async fn kinds(store: &Arc<dyn Store>, verification: &Verification) -> Result<Vec<EventKind>, String> {
    Ok(store.timeline(verification.id).await.map_err(text)?.into_iter().map(|event| event.kind).collect())
}

/// R06: what certainly never went out takes no place anywhere, or an outage closes a number for the day. What was perhaps sent,
/// or sent in vain, keeps its place among the messages from all services.
pub async fn what_never_went_out_is_given_back_everywhere(store: Arc<dyn Store>) -> Outcome {
    let one = |number| {
        let mut start = start(verification(number, 1));
        let quotas = vec![Quota { count: 1, per: Duration::from_secs(600) }];
        let rule = Rule::Windows(Arc::new(SendRule { quotas, waits: Vec::new() }));
        start.takes = vec![Take { key: start.verification.all_services_key(), name: LimitName::DestinationAllServices, rule }];
        start
    };
    let queued = async |number| match store.start(one(number)).await.map_err(text)? {
        Sending::Queued(verification, _) => Ok(*verification),
        other => Err(format!("start {number} was not queued: {other:?}")),
    };
    let never_sent = queued(1).await?;
    let soon = store.start(one(2)).await.map_err(text)?;
    ensure!(matches!(soon, Sending::Limited(_)), "no limit: {soon:?}");
    reported(&store, &never_sent, Err(false)).await?;
    let in_vain = queued(3).await?;
    reported(&store, &in_vain, Ok("twilio")).await?;
    told(&store, &in_vain, ReceiptState::Failed).await?;
    let after_in_vain = store.start(one(4)).await.map_err(text)?;
    ensure!(matches!(after_in_vain, Sending::Limited(_)), "a failed receipt gave it back: {after_in_vain:?}");
    Ok(())
}

/// OPS-04, R07: whatever the order, the same end; each step is told once.
pub async fn receipts_only_move_forward(store: Arc<dyn Store>) -> Outcome {
    use ReceiptState::{Delivered, Failed, Underway};
    let orders = [
        [Underway, Failed, Delivered],
        [Underway, Delivered, Failed],
        [Failed, Underway, Delivered],
        [Failed, Delivered, Underway],
        [Delivered, Underway, Failed],
        [Delivered, Failed, Underway],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        let verification = begun(&store, number as u32).await?;
        reported(&store, &verification, Ok("twilio")).await?;
        for state in order {
            told(&store, &verification, state).await?;
            ensure!(!told(&store, &verification, state).await?, "{state:?} counted twice in {order:?}");
        }
        let (row, _) = found(&store, &verification).await?;
        ensure!(row.delivery == Delivery::Delivered, "{order:?} ends in {:?}", row.delivery);
        let kinds = kinds(&store, &verification).await?;
        let arrivals = kinds.iter().filter(|kind| **kind == EventKind::Delivered).count();
        ensure!(arrivals == 1 && row.revision as usize + 1 == kinds.len(), "{order:?}: {kinds:?}");
    }
    let verification = begun(&store, 100).await?;
    reported(&store, &verification, Ok("twilio")).await?;
    ensure!(told(&store, &verification, Failed).await?, "a failure was not noted");
    ensure!(!told(&store, &verification, Underway).await?, "a failed message is underway again");
    ensure!(found(&store, &verification).await?.0.delivery == Delivery::Failed, "a failed message did not stay so");
    Ok(())
}

/// A provider may be quicker with its receipt than the courier with its report.
pub async fn a_quick_receipt_comes_before_the_report(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, 1).await?;
    ensure!(told(&store, &verification, ReceiptState::Delivered).await?, "a quick receipt was not noted");
    ensure!(reported(&store, &verification, Ok("twilio")).await? == 1, "the report was not noted");
    let (row, _) = found(&store, &verification).await?;
    ensure!(row.delivery == Delivery::Delivered, "the report took it back to {:?}", row.delivery);
    ensure!(row.delivered_by.as_ref().is_some_and(|(provider, _)| provider == "twilio"), "nobody delivered it: {:?}", row.delivered_by);
    // And a report of doubt does not overrule that it arrived.
    let doubted = begun(&store, 2).await?;
    told(&store, &doubted, ReceiptState::Delivered).await?;
    ensure!(reported(&store, &doubted, Err(true)).await? == 0, "a doubt was noted after the arrival");
    let undelivered = store.undelivered(NOW).await.map_err(text)?;
    ensure!(undelivered.is_empty(), "{} would be sent again", undelivered.len());
    Ok(())
}

/// Who gave up on a silent provider may be mistaken: its receipt says so.
pub async fn an_arrival_outdoes_a_failure(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, 1).await?;
    ensure!(reported(&store, &verification, Err(true)).await? == 1, "the failure was not noted");
    ensure!(told(&store, &verification, ReceiptState::Delivered).await?, "the arrival was not noted");
    ensure!(found(&store, &verification).await?.0.delivery == Delivery::Delivered, "it is not delivered");
    Ok(())
}

/// What never arrived is given back, once.
pub async fn an_undelivered_message_gives_its_send_back_once(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, 1).await?;
    // Another message of the same moment, to the same destination: it keeps its place.
    let mut other = super::fixtures::verification(2, 1);
    (other.created_at, other.queued_at) = (verification.created_at, verification.queued_at);
    store.start(start(other)).await.map_err(text)?;
    reported(&store, &verification, Ok("twilio")).await?;
    let before = found(&store, &verification).await?.1;
    told(&store, &verification, ReceiptState::Failed).await?;
    let after = found(&store, &verification).await?.1;
    ensure!(format!("{before:?}") != format!("{after:?}"), "nothing was given back: {after:?}");
    for _ in 0..5 {
        told(&store, &verification, ReceiptState::Failed).await?;
    }
    let again = found(&store, &verification).await?.1;
    ensure!(format!("{after:?}") == format!("{again:?}"), "given back twice: {again:?}");
    Ok(())
}

/// Two providers may have been handed one message. The failure of one's copy is no news once the other has taken it.
pub async fn the_failure_of_a_copy_is_no_news(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, 1).await?;
    reported(&store, &verification, Ok("twilio")).await?;
    let other = store.receipt(receipt(&verification, "vonage", ReceiptState::Failed)).await.map_err(text)?;
    ensure!(other.is_none(), "the copy's failure was noted");
    ensure!(found(&store, &verification).await?.0.delivery == Delivery::Sent, "it is no longer sent");
    let arrived = store.receipt(receipt(&verification, "vonage", ReceiptState::Delivered)).await.map_err(text)?;
    ensure!(arrived.is_some(), "that the copy arrived was not noted");
    Ok(())
}

/// A receipt about the message before, or about nothing.
pub async fn an_older_messages_receipt_changes_nothing(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, 1).await?;
    reported(&store, &verification, Ok("twilio")).await?;
    let (row, _) = found(&store, &verification).await?;
    store.resend(resend(&row)).await.map_err(text)?;
    for state in [ReceiptState::Underway, ReceiptState::Delivered, ReceiptState::Failed] {
        ensure!(!told(&store, &verification, state).await?, "{state:?} of the older message was noted");
    }
    ensure!(found(&store, &verification).await?.0.delivery == Delivery::Queued, "the newer message is no longer queued");
    let unknown = Receipt { id: uuid::Uuid::from_u128(1), ..receipt(&verification, "twilio", ReceiptState::Delivered) };
    ensure!(store.receipt(unknown).await.map_err(text)?.is_none(), "a receipt about nothing was noted");
    Ok(())
}

/// R07: the same receipt many times at once is one event.
pub async fn many_receipts_at_once_are_one_event(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, 1).await?;
    reported(&store, &verification, Ok("twilio")).await?;
    let receipt = receipt(&verification, "twilio", ReceiptState::Delivered);
    let answers = at_once(&store, move |store, _| {
        let receipt = receipt.clone();
        async move { store.receipt(receipt).await }
    })
    .await;
    let noted = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
    ensure!(noted == 1, "{noted} of {} receipts were noted", answers.len());
    let kinds = kinds(&store, &verification).await?;
    ensure!(kinds == [EventKind::Started, EventKind::Sent, EventKind::Delivered], "{kinds:?}");
    Ok(())
}
