//! A provider on loopback: answers as Twilio's Messages resource does, at once or never, and counts.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::Parser;
use serde_json::{Value, json};

/// Takes messages on 127.0.0.1.
#[derive(Debug, Parser)]
struct Options {
    /// The port.
    #[arg(long)]
    port: u16,
    /// Take the connection and the request, and never answer.
    #[arg(long)]
    hang: bool,
}

async fn take(count: Arc<AtomicU64>, hang: bool) -> (StatusCode, Json<Value>) {
    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
    if hang {
        std::future::pending::<()>().await;
    }
    (StatusCode::CREATED, Json(json!({ "sid": format!("SM{number:032x}"), "status": "queued", "error_code": null })))
}

async fn serve(options: Options) -> Result<()> {
    let count = Arc::new(AtomicU64::new(0));
    let (taken, hang) = (Arc::clone(&count), options.hang);
    let router = Router::new()
        .route("/2010-04-01/Accounts/{account}/Messages.json", post(move || take(Arc::clone(&taken), hang)))
        .route("/count", get(move || async move { count.load(Ordering::Relaxed).to_string() }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    println!("listening");
    std::io::stdout().flush()?;
    axum::serve(listener, router).await?;
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(options))
}
