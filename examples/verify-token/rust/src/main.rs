//! A service that lets people in who signed in to Countersign. Copy `keys.rs` and `person.rs` into yours.

mod keys;
mod person;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::keys::Keys;
use crate::person::Person;

/// Only people with a good token get here: the argument sees to it.
async fn hello(person: Person) -> Json<Value> {
    Json(json!({ "message": "Welcome!", "user": person }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let issuer = setting("ISSUER", "http://127.0.0.1:8080");
    let audience = setting("AUDIENCE", &issuer);
    let keys = Arc::new(Keys::new(issuer, audience)?);
    let routes = Router::new().route("/hello", get(hello)).with_state(keys);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", setting("PORT", "4001").parse()?)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}
