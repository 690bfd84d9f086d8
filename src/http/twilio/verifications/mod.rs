//! `/v2/Services/{sid}/Verifications` and `…/VerificationCheck`: codes, by SID or by destination.
//!
//! A verification that was approved, canceled or has expired is not there any more: 404, as with Twilio. One whose checks are
//! used up is, until its time is over.

mod check;
mod form;
mod view;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::App;
use crate::db::client::Scope;
use crate::http::twilio::attempts;
use crate::http::twilio::form::{Fields, Form};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::engine::Started;
use crate::verification::model::{Status, Verification};
use crate::verification::request::{InvalidField, InvalidKind};
use crate::verification::vouch::Vouched;

/// What the codes of this face are good for: no other face's are checked here, and these nowhere else (OTP-05).
pub const PURPOSE: &str = "twilio-verify";

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/Verifications", post(start))
        .route("/v2/Services/{service}/Verifications/{verification}", get(fetch).post(update))
        .route("/v2/Services/{service}/VerificationCheck", post(check::check))
}

async fn start(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<Response, Refusal> {
    let caller = within.caller(Scope::Write, form::device_ip(&form)?)?;
    let request = form::start(&app, &within, &form).await?;
    let (started, queued) = app.engine.start_shown(&caller, request).await?;
    let snapshot = match started {
        Started::Sending(snapshot) => snapshot,
        Started::Limited(limited) => return Err(limited.into()),
        Started::Invalid(invalid) => return Err(refused(&app, &within, &form, invalid)),
        Started::IdempotencyKeyReused | Started::NotFound | Started::Ended(_) => return Err(within.not_found()),
    };
    let verification = match queued {
        Some(queued) => *queued,
        None => {
            let found = app.engine.get_for(&within.service.name, snapshot.id, PURPOSE).await?;
            found.map(|(verification, _)| verification).ok_or_else(|| within.not_found())?
        }
    };
    attempts::note_sent(&app, &within, &verification)?;
    // The message is on its way: whoever heard of a failure now would have it sent twice.
    let messages = attempts::messages(&app, &verification).await.unwrap_or_else(|_| vec![attempts::Message::newest(&verification)]);
    let shown = view::with_messages(&within, &verification, verification.status_at(app.engine.clock.now()), &messages);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Twilio has codes of its own for some of the engine's refusals.
fn refused(app: &App, within: &Within, form: &Fields, invalid: InvalidField) -> Refusal {
    let policy = app.engine.policy(&within.service.name);
    let lacks =
        |feature: &str| Refusal::new(StatusCode::FORBIDDEN, 60204, format!("Service does not have this feature enabled: {feature}"));
    match invalid.field {
        "code" if !policy.custom_code => lacks("custom code"),
        "brand" if !policy.custom_brand => lacks("custom friendly name"),
        "to" => match app.engine.destination(&policy, form.text("To").unwrap_or_default()) {
            Ok(destination) if !policy.allows(destination.country()) => {
                Refusal::new(StatusCode::FORBIDDEN, 60605, "The destination country is not one that this service sends to")
            }
            _ => invalid.into(),
        },
        "channel" if invalid.kind == InvalidKind::NotServed => match form.text("To") {
            // Addresses have that channel only, whatever it was called.
            Some(to) if to.contains('@') => Refusal::new(StatusCode::BAD_REQUEST, 60217, "The email channel is not configured"),
            _ => Refusal::new(StatusCode::FORBIDDEN, 60223, "Delivery channel disabled: nobody carries it to this destination"),
        },
        _ => invalid.into(),
    }
}

async fn fetch(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, named)): Path<(String, String)>,
) -> Result<Json<view::Shown>, Refusal> {
    within.account.may(Scope::Read)?;
    let verification = find(&app, &within, &named).await?;
    Ok(Json(view::verification(&app, &within, &verification).await?))
}

async fn update(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, named)): Path<(String, String)>,
    Form(form): Form,
) -> Result<Json<view::Shown>, Refusal> {
    let caller = within.caller(Scope::Write, None)?;
    let status = form.required("Status")?;
    if !["approved", "canceled"].contains(&status) {
        return Err(Refusal::invalid("Status", "must be approved or canceled"));
    }
    let found = find(&app, &within, &named).await?;
    let now = app.engine.clock.now();
    let verification = if status == "approved" {
        match app.engine.vouch(&caller, found.id, PURPOSE).await? {
            Vouched::Approved(verification) => *verification,
            Vouched::Ended(_) | Vouched::NotFound => return Err(within.not_found()),
        }
    } else {
        let canceled = app.engine.cancel(&caller, found.id).await?;
        if canceled.is_none_or(|snapshot| snapshot.status != Status::Canceled) {
            return Err(within.not_found());
        }
        Verification { status: Status::Canceled, ended_at: Some(now), ..found }
    };
    if verification.status == Status::Approved {
        attempts::note_converted(&app, &verification, now)?;
    }
    Ok(Json(view::verification(&app, &within, &verification).await?))
}

/// The verification that a SID or a destination names, while there is one.
async fn find(app: &App, within: &Within, named: &str) -> Result<Verification, Refusal> {
    let service = &within.service.name;
    let found = match sid::id(sid::VERIFICATION, named) {
        Some(id) => app.engine.get_for(service, id, PURPOSE).await?.map(|(verification, _)| verification),
        // What is no destination names nothing.
        None => app.engine.newest(service, named, PURPOSE).await?.unwrap_or(None),
    };
    let now = app.engine.clock.now();
    found.filter(|found| matches!(found.status_at(now), Status::Pending | Status::Exhausted)).ok_or_else(|| within.not_found())
}
