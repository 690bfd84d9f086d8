//! Failures on demand: refusals in the vendor's own words, and answers that no vendor documents.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::dev_provider::Refusal;
use crate::dev_provider::knobs::Knobs;

/// Bytes of one chunk of a huge answer.
const CHUNK: usize = 64 * 1024;
/// Chunks of it: 100 MiB.
const CHUNKS: usize = 1600;
/// What a proxy or a captive portal says.
const PAGE: &str = "<!doctype html><title>Welcome</title><p>Please accept our terms of use.";

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fail {
    /// It is taken.
    #[default]
    None,
    /// 503, in the vendor's words: certainly not sent.
    Unavailable,
    /// 400, in the vendor's words: the destination is the problem.
    Rejected,
    /// 429 with `Retry-After`.
    #[serde(rename = "429")]
    TooMany,
    /// Every second one is refused like `unavailable`.
    Half,
    /// 200 with an HTML page.
    Garbage,
    /// 201 with JSON that stops in the middle.
    Truncated,
    /// 201 with 100 MiB.
    Huge,
    /// 201 with plain text.
    WrongType,
    /// 502 with an HTML page, as from a proxy: nobody knows what happened behind it.
    Broken,
    /// Nothing, for ever.
    Hang,
    /// A status and the beginning of a body, and then nothing.
    HangBody,
}

/// What comes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The vendor's good answer.
    Accept,
    /// The vendor's refusal.
    Refuse(Refusal),
    /// Something else.
    Spoil(Spoil),
}

/// An answer that no vendor documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// A page.
    Page(StatusCode),
    /// JSON that stops.
    Truncated,
    /// Too much.
    Huge,
    /// Plain text.
    Text,
    /// Nothing.
    Silence,
    /// Nothing after the beginning.
    SilenceAfterHead,
}

impl Fail {
    /// Every one, with its name and what it means.
    pub const ALL: [(&'static str, Fail, &'static str); 12] = [
        ("none", Fail::None, "takes every message"),
        ("unavailable", Fail::Unavailable, "503 in the vendor's words: certainly not sent"),
        ("rejected", Fail::Rejected, "400 in the vendor's words: no such number"),
        ("429", Fail::TooMany, "429 with Retry-After"),
        ("half", Fail::Half, "every second message is refused like \"unavailable\""),
        ("garbage", Fail::Garbage, "200 with an HTML page"),
        ("truncated", Fail::Truncated, "201 with JSON that stops in the middle"),
        ("huge", Fail::Huge, "201 with 100 MiB"),
        ("wrong-type", Fail::WrongType, "201 with plain text"),
        ("broken", Fail::Broken, "502 with an HTML page, as from a proxy"),
        ("hang", Fail::Hang, "never answers"),
        ("hang-body", Fail::HangBody, "begins to answer, and falls silent"),
    ];

    /// What comes of the message with that number, from 1.
    pub fn outcome(self, number: usize, knobs: &Knobs) -> Outcome {
        match self {
            Fail::None => Outcome::Accept,
            Fail::Half if number.is_multiple_of(2) => Outcome::Accept,
            Fail::Unavailable | Fail::Half => Outcome::Refuse(Refusal::Unavailable),
            Fail::Rejected => Outcome::Refuse(Refusal::Rejected),
            Fail::TooMany => Outcome::Refuse(Refusal::TooMany(knobs.retry_after)),
            Fail::Garbage => Outcome::Spoil(Spoil::Page(StatusCode::OK)),
            Fail::Truncated => Outcome::Spoil(Spoil::Truncated),
            Fail::Huge => Outcome::Spoil(Spoil::Huge),
            Fail::WrongType => Outcome::Spoil(Spoil::Text),
            Fail::Broken => Outcome::Spoil(Spoil::Page(StatusCode::BAD_GATEWAY)),
            Fail::Hang => Outcome::Spoil(Spoil::Silence),
            Fail::HangBody => Outcome::Spoil(Spoil::SilenceAfterHead),
        }
    }
}

impl Spoil {
    /// The answer.
    pub async fn answer(self) -> Response {
        let json = [(header::CONTENT_TYPE, "application/json")];
        match self {
            Spoil::Page(status) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response(),
            Spoil::Truncated => (StatusCode::CREATED, json, "{\"sid\":\"SM0123456789abcdef0123456789ab").into_response(),
            Spoil::Huge => {
                let chunk = Bytes::from(vec![b' '; CHUNK]);
                let chunks = stream::iter((0..CHUNKS).map(move |_| Ok::<_, Infallible>(chunk.clone())));
                (StatusCode::CREATED, json, Body::from_stream(chunks)).into_response()
            }
            Spoil::Text => (StatusCode::CREATED, [(header::CONTENT_TYPE, "text/plain")], "queued\n").into_response(),
            Spoil::Silence => std::future::pending().await,
            Spoil::SilenceAfterHead => {
                let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]).chain(stream::pending());
                (StatusCode::CREATED, json, Body::from_stream(begun)).into_response()
            }
        }
    }
}
