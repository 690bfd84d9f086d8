//! `POST /auth/send-otp` and `POST /auth/verify-otp`: the OTP gateway of the Axum, reqwest and StartMessaging tutorial.
//!
//! The tutorial shows the first route in full. Of the second it has the client's function (a request id and a code, true or
//! false) and the advice to answer `verified: false` and not 401; so the code's name is taken in each spelling that the
//! tutorial's author uses elsewhere. For failures it asks for "clean JSON" without showing any: `{"error"}`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::http::extract::{Peer, body};
use crate::http::problem::Problem;
use crate::http::tutorial::{Refusal, Shape, caller, parse, read, send};
use crate::secret::Code;
use crate::verification::engine::Verdict;
use crate::verification::request::Which;

/// What its codes are good for.
const PURPOSE: &str = "gateway";

/// The first route.
pub fn sending() -> Router<Arc<App>> {
    Router::new().route("/auth/send-otp", post(send_otp))
}

/// The second, where nobody else answers on its path.
pub fn verifying() -> Router<Arc<App>> {
    Router::new().route("/auth/verify-otp", post(verify_otp))
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

/// The verdict.
#[derive(Serialize)]
pub struct Verified {
    verified: bool,
}

/// `{"error","code"}`: a sentence that never changes, and the code of docs/errors.md; `detail` where there is more to say.
pub struct Error;

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
    let wanted: SendOtp = read(request).await?;
    let sent = send(&app, &caller, wanted.phone, PURPOSE, "phone").await?;
    Ok(Json(Sent { request_id: sent.id.to_string(), expires_at: sent.expires_at.to_string() }))
}

async fn verify_otp(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Json<Verified>, Refusal<Error>> {
    let headers = request.headers().clone();
    verify(&app, peer, &headers, &body(request).await?).await
}

/// The second route, from a body that was read: where people sign in by JSON, they use the same path.
pub async fn verify(app: &App, peer: Peer, headers: &HeaderMap, bytes: &[u8]) -> Result<Json<Verified>, Refusal<Error>> {
    let caller = caller(app, peer, headers);
    let given: VerifyOtp = parse(headers, bytes)?;
    let verified = |verified| Ok(Json(Verified { verified }));
    let Ok(code) = Code::parse(given.code.trim()) else { return verified(false) };
    // What is no id is an unknown one, and counts for the address like one.
    let id = Uuid::try_parse(given.request_id.trim()).unwrap_or_default();
    match app.engine.check(&caller, Which::IdFor { id, purpose: PURPOSE }, &code).await? {
        Verdict::Limited(limited) => Err(Problem::from(limited).into()),
        Verdict::NotJudged => Err(Problem::not_judged().into()),
        // Unknown, wrong, expired and used look the same here.
        verdict => verified(matches!(verdict, Verdict::Judged(checked) if checked.valid)),
    }
}
