//! `/webhooks/NAME`: what providers report of messages that they took (receipts).
//!
//! Public. The provider's own signature is checked where it has one, and each receipt must name its message by a reference
//! that only this server can make. Duplicates, late ones and disorder change nothing (OPS-04, R07).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::delivery::provider::{Family, MessageProvider};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::http::extract::body;
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::model::Delivery;
use crate::verification::store::{Receipt, ReceiptState};

/// The route. Some providers post, some get.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/webhooks/{provider}", get(receive).post(receive))
}

async fn receive(State(app): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Result<Response, Problem> {
    let unknown = || Problem::new(ProblemCode::NotFound);
    let Some(Family::Message(provider)) = app.dispatcher.provider(&name).map(|provider| provider.family.clone()) else {
        return Err(unknown());
    };
    let (parts, content) = request.into_parts();
    let content = body(Request::from_parts(parts.clone(), content)).await?;
    let (answer, in_url) = read(&app, provider.as_ref(), &parts, &content);
    let receipts = match answer {
        Ok(Answer::Challenge(text)) => return Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()),
        Ok(Answer::Receipts(receipts)) => receipts,
        Err(ReceiptError::NoReceipts) => return Err(unknown()),
        Err(ReceiptError::Signature) => {
            app.engine.metrics.receipt(&name, "forged");
            return Err(Problem::new(ProblemCode::Forbidden).detail(ReceiptError::Signature.to_string()));
        }
        Err(ReceiptError::Malformed) => return Err(Problem::new(ProblemCode::InvalidBody).detail(ReceiptError::Malformed.to_string())),
    };
    for receipt in receipts {
        note(&app, &name, receipt, in_url.as_deref()).await?;
    }
    // 200 and nothing else: some providers repeat what is answered 204.
    Ok(StatusCode::OK.into_response())
}

/// What the provider says, and the reference in the URL that it called.
fn read(app: &App, provider: &dyn MessageProvider, parts: &Parts, content: &[u8]) -> (Result<Answer, ReceiptError>, Option<String>) {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let posted = ReceiptRequest {
        method: parts.method.as_str(),
        // What the provider signed is the URL that it called, which behind a proxy only the configuration knows.
        url: &format!("{}{path}", app.public_url),
        query: parts.uri.query().unwrap_or_default(),
        header: &|name| parts.headers.get(name)?.to_str().ok(),
        body: content,
        now: app.engine.clock.now(),
    };
    (provider.receipts(&posted), posted.reference())
}

async fn note(app: &App, provider: &str, receipt: ProviderReceipt, in_url: Option<&str>) -> Result<(), Problem> {
    let reference = receipt.reference.as_deref().or(in_url);
    let Some(message) = reference.and_then(|reference| app.references.open(provider, reference)) else {
        // Not a message of ours: another system's on the same account, or made up.
        app.engine.metrics.receipt(provider, "unknown");
        return Ok(());
    };
    // As a provider's refusal reads: "twilio: handset unreachable (30003)".
    let detail = match (&receipt.cause, &receipt.code) {
        (Some(cause), Some(code)) => format!("{provider}: {cause} ({code})"),
        (Some(words), None) | (None, Some(words)) => format!("{provider}: {words}"),
        (None, None) => provider.to_owned(),
    };
    if let Some(inbox) = &app.inbox {
        match receipt.state {
            ReceiptState::Underway => inbox.note(message, Delivery::Sent, None),
            ReceiptState::Delivered => inbox.note(message, Delivery::Delivered, None),
            ReceiptState::Failed => inbox.note(message, Delivery::Failed, Some(detail.clone())),
        }
    }
    let now = app.engine.clock.now();
    if let Some(texts) = app.twilio.as_ref().and_then(|face| face.texts.as_ref()) {
        // A text of an integrator's own is no verification: its receipt ends here.
        let noted = texts.receipt(message.verification, receipt.state, receipt.code.as_deref()).await;
        if noted? {
            return Ok(());
        }
    }
    let noted = Receipt { id: message.verification, message: message.number, provider: provider.into(), state: receipt.state, detail, now };
    if let Some(verification) = app.engine.receipt(provider, noted).await? {
        let country = verification.destination.country();
        match receipt.state {
            ReceiptState::Underway => {}
            ReceiptState::Delivered => app.dispatcher.note_receipt(provider, country, true),
            ReceiptState::Failed => app.dispatcher.note_receipt(provider, country, false),
        }
    }
    Ok(())
}
