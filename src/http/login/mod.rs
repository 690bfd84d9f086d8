//! People: what they sign in with. Pages and JSON are two faces of the same services ([`crate::account`]).
//!
//! [`browser`] is what a browser brings and takes away, [`origin`] where a request comes from, [`person`] who is signed in;
//! [`json`] is the JSON API, [`pages`] are the pages. None of them decides who may do what.

pub mod browser;
pub mod json;
pub mod origin;
pub mod pages;
pub mod person;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

/// Whoever hangs up in the middle changes nothing about what was begun: a change, its event, the sessions that it ends and the
/// notice to the owner are one thing.
pub async fn to_the_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        // A panic is the frame's to answer.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
