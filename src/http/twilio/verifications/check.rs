//! `POST /v2/Services/{sid}/VerificationCheck`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::App;
use crate::db::client::Scope;
use crate::http::problem::Problem;
use crate::http::twilio::attempts;
use crate::http::twilio::form::{Fields, Form};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::secret::Code;
use crate::verification::engine::{Seen, Verdict};
use crate::verification::model::{Status, Verification, VerificationId};
use crate::verification::request::Which;

use super::{PURPOSE, find, view};

/// Which verification is meant: by its SID, or by its destination.
enum Named {
    Id(VerificationId),
    To(String),
}

impl Named {
    fn read(form: &Fields, within: &Within) -> Result<Named, Refusal> {
        match (form.text("VerificationSid").filter(|sid| !sid.is_empty()), form.text("To").filter(|to| !to.is_empty())) {
            (Some(sid), _) => sid::id(sid::VERIFICATION, sid).map(Named::Id).ok_or_else(|| within.not_found()),
            (None, Some(to)) => Ok(Named::To(to.to_owned())),
            (None, None) => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, 60221, "Invalid parameters: Either To or VerificationSid should be specified"))
            }
        }
    }

    fn which(&self) -> Which {
        match self {
            Named::Id(id) => Which::IdFor { id: *id, purpose: PURPOSE },
            Named::To(to) => Which::To { to: to.clone(), purpose: Some(PURPOSE.to_owned()) },
        }
    }

    fn text(&self) -> String {
        match self {
            Named::Id(id) => sid::of(sid::VERIFICATION, *id),
            Named::To(to) => to.clone(),
        }
    }
}

pub async fn check(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<Json<view::Checked>, Refusal> {
    let caller = within.caller(Scope::Write, None)?;
    let given = form.required("Code")?;
    if !(4..=10).contains(&given.chars().count()) {
        return Err(Refusal::invalid("Code", "must have 4 to 10 characters"));
    }
    let named = Named::read(&form, &within)?;
    let Ok(code) = Code::parse(given) else {
        // No code reads like this, so there is nothing to judge and nothing to count.
        let verification = find(&app, &within, &named.text()).await?;
        return match verification.status_at(app.engine.clock.now()) {
            Status::Exhausted => Err(used_up()),
            status => Ok(Json(view::check(&within, &verification, status, false))),
        };
    };
    let (verdict, seen) = app.engine.check_shown(&caller, named.which(), &code).await?;
    let checked = match verdict {
        Verdict::Judged(checked) => checked,
        Verdict::Invalid(invalid) => return Err(invalid.into()),
        Verdict::Limited(limited) => return Err(limited.into()),
        Verdict::NotJudged => return Err(Problem::not_judged().into()),
        // By destination only what is pending is judged; checks that are used up have an answer of their own.
        Verdict::NotFound => {
            let found = find(&app, &within, &named.text()).await?;
            return Err(if found.status_at(app.engine.clock.now()) == Status::Exhausted { used_up() } else { within.not_found() });
        }
        Verdict::IdempotencyKeyInFlight | Verdict::IdempotencyKeyReused => return Err(within.not_found()),
    };
    let Seen { verification, counted } = seen.ok_or_else(|| within.not_found())?;
    match checked.status {
        Status::Exhausted if !counted => return Err(used_up()),
        Status::Approved if checked.valid => {}
        Status::Pending | Status::Exhausted => {}
        Status::Approved | Status::Canceled | Status::Expired => return Err(within.not_found()),
    }
    if checked.valid {
        let now = app.engine.clock.now();
        attempts::note_converted(&app, &verification, now)?;
        let approved = Verification { ended_at: Some(now), ..*verification };
        return Ok(Json(view::check(&within, &approved, Status::Approved, true)));
    }
    // The last wrong code is answered as those before it: that no other is taken is said to the next.
    Ok(Json(view::check(&within, &verification, Status::Pending, false)))
}

fn used_up() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, 60202, "Max check attempts reached")
}
