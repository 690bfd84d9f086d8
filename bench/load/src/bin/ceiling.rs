//! The ceiling: what axum alone does with a request of our shape, with no store, no key, no rules.
//!
//! One thread, for it is measured on one core. A code of `000000` is wrong and every other one right, so that
//! the generator's scenarios can be tried on it.

use std::io::Write;

use anyhow::Result;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::Parser;
use countersign_bench::scenario::WRONG_CODE;
use jiff::{SignedDuration, Timestamp};
use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Serves the bare handlers on 127.0.0.1.
#[derive(Debug, Parser)]
struct Options {
    /// The port.
    #[arg(long)]
    port: u16,
}

#[derive(Deserialize)]
struct StartRequest {
    to: String,
    channel: Option<String>,
    purpose: Option<String>,
}

#[derive(Serialize)]
struct StartAnswer {
    id: Uuid,
    to: String,
    channel: String,
    purpose: String,
    status: &'static str,
    created_at: Timestamp,
    expires_at: Timestamp,
    resend_after: u32,
    attempts_left: u32,
    sends_left: u32,
    delivery: Delivery,
}

#[derive(Serialize)]
struct Delivery {
    status: &'static str,
    provider: &'static str,
}

#[derive(Deserialize)]
struct CheckRequest {
    code: String,
}

#[derive(Serialize)]
struct CheckAnswer {
    id: Uuid,
    status: &'static str,
    valid: bool,
    attempts_left: u32,
}

async fn start(Json(request): Json<StartRequest>) -> (StatusCode, Json<StartAnswer>) {
    let created_at = Timestamp::now();
    let answer = StartAnswer {
        id: Uuid::now_v7(),
        to: request.to,
        channel: request.channel.unwrap_or_else(|| String::from("sms")),
        purpose: request.purpose.unwrap_or_else(|| String::from("default")),
        status: "pending",
        created_at,
        expires_at: created_at + SignedDuration::from_secs(300),
        resend_after: 30,
        attempts_left: 5,
        sends_left: 4,
        delivery: Delivery { status: "accepted", provider: "none" },
    };
    (StatusCode::CREATED, Json(answer))
}

async fn check(Path(id): Path<Uuid>, Json(request): Json<CheckRequest>) -> Json<CheckAnswer> {
    let valid = request.code != WRONG_CODE;
    let status = if valid { "approved" } else { "pending" };
    Json(CheckAnswer { id, status, valid, attempts_left: 4 })
}

async fn serve(port: u16) -> Result<()> {
    let router = Router::new().route("/start", post(start)).route("/start/{id}/check", post(check));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        // Without it a small answer may wait; a failure only makes us slower.
        let _ = stream.set_nodelay(true);
    });
    println!("listening");
    std::io::stdout().flush()?;
    axum::serve(listener, router).await?;
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(options.port))
}
