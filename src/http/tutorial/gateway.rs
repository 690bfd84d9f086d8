//! `POST /auth/send-otp` and `POST /auth/verify-otp`: the OTP gateway of the Axum, reqwest and StartMessaging tutorial.
//!
//! The tutorial shows the first route in full. Of the second it has the client's function (a request id and a code, true or
//! false) and the advice to answer `verified: false` and not 401; so the code's name is taken in each spelling that the
//! tutorial's author uses elsewhere. For failures it asks for "clean JSON" without showing any: `{"error"}`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::http::extract::Peer;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::tutorial::{Refusal, Shape, caller, read, send};
use crate::secret::Code;
use crate::verification::engine::Verdict;
use crate::verification::request::Which;

/// What its codes are good for.
const PURPOSE: &str = "gateway";

/// The two routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/auth/send-otp", post(send_otp)).route("/auth/verify-otp", post(verify_otp))
}

#[derive(Deserialize)]
struct SendOtp {
    phone: String,
}

#[derive(Serialize)]
struct Sent {
    request_id: String,
    expires_at: String,
}

#[derive(Deserialize)]
struct VerifyOtp {
    #[serde(alias = "requestId")]
    request_id: String,
    #[serde(alias = "otp", alias = "otp_code", alias = "otpCode")]
    code: String,
}

#[derive(Serialize)]
struct Verified {
    verified: bool,
}

/// `{"error","code"}`: a sentence that never changes, and the code of docs/errors.md; `detail` where there is more to say.
struct Error;

impl Shape for Error {
    fn body(problem: &Problem) -> Value {
        let problem = problem.body(String::new());
        let mut body = json!({ "error": problem.title, "code": problem.code });
        if let Some(detail) = problem.detail {
            body["detail"] = detail.into();
        }
        body
    }
}

async fn send_otp(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Result<Json<Sent>, Refusal<Error>> {
    let caller = caller(&app, peer, request.headers());
    let wanted: SendOtp = read(request, &app).await?;
    let sent = send(&app, &caller, wanted.phone, PURPOSE, "phone").await?;
    Ok(Json(Sent { request_id: sent.id.to_string(), expires_at: sent.expires_at.to_string() }))
}

async fn verify_otp(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Json<Verified>, Refusal<Error>> {
    let caller = caller(&app, peer, request.headers());
    let given: VerifyOtp = read(request, &app).await?;
    let verified = |verified| Ok(Json(Verified { verified }));
    let Ok(code) = Code::parse(given.code.trim()) else { return verified(false) };
    // What is no id is an unknown one, and counts for the address like one.
    let id = Uuid::try_parse(given.request_id.trim()).unwrap_or_default();
    match app.engine.check(&caller, Which::IdFor { id, purpose: PURPOSE }, &code).await? {
        Verdict::Limited(limited) => Err(Problem::from(limited).into()),
        Verdict::NotJudged => Err(Problem::new(ProblemCode::Unavailable).into()),
        // Unknown, wrong, expired and used look the same here.
        verdict => verified(matches!(verdict, Verdict::Judged(checked) if checked.valid)),
    }
}
