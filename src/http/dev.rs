//! The dev inbox: a page, a stream and a list of the messages that dev mode shows instead of sending. Not routed otherwise.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::delivery::inbox::{Inbox, InboxMessage};
use crate::http::extract::StrictQuery;
use crate::http::page;
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::Destination;

/// The inbox's routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/dev/inbox", get(inbox_page))
        .route("/dev/inbox.json", get(inbox_json))
        .route("/dev/inbox/events", get(inbox_events))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxQuery {
    to: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

impl InboxQuery {
    /// The destination in the form in which messages keep it; as typed where it is none, which then finds nothing.
    fn destination(&self) -> Option<String> {
        let typed = self.to.as_deref().map(str::trim).filter(|to| !to.is_empty())?;
        // In a query a bare + is a space: "?to=+49…" is what people type.
        let parsed = Destination::parse(typed, None).or_else(|_| Destination::parse(&format!("+{typed}"), None));
        Some(parsed.map_or_else(|_| typed.to_owned(), |destination| destination.canonical().to_owned()))
    }
}

async fn inbox_page(State(app): State<Arc<App>>, StrictQuery(query): StrictQuery<InboxQuery>) -> Result<impl IntoResponse, Problem> {
    let destination = query.destination();
    let messages = inbox(&app)?.newest(destination.as_deref(), query.limit.unwrap_or(100));
    let to = destination.unwrap_or_default();
    page::inbox(messages, to, &app.public_url).map(Html).map_err(Problem::internal)
}

async fn inbox_json(State(app): State<Arc<App>>, StrictQuery(query): StrictQuery<InboxQuery>) -> Result<Json<Vec<InboxMessage>>, Problem> {
    Ok(Json(inbox(&app)?.newest(query.destination().as_deref(), query.limit.unwrap_or(100))))
}

async fn inbox_events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<InboxQuery>,
) -> Result<impl IntoResponse, Problem> {
    let inbox = inbox(&app)?;
    let to = query.destination();
    // Subscribed first, read after: a message in between comes twice, which the page knows by its id, and none is lost.
    let arrivals = inbox.subscribe();
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned).or(query.after);
    let missed: VecDeque<_> = match seen {
        Some(seen) => {
            let newest = inbox.newest(to.as_deref(), usize::MAX);
            let mut missed: VecDeque<_> = newest.into_iter().take_while(|message| message.id != seen).collect();
            missed.make_contiguous().reverse();
            missed
        }
        None => VecDeque::new(),
    };
    let follower = Follower { missed, arrivals, to, stop: app.stopping.clone() };
    Ok(Sse::new(follower.stream()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Follower {
    missed: VecDeque<InboxMessage>,
    arrivals: Receiver<InboxMessage>,
    to: Option<String>,
    stop: tokio::sync::watch::Receiver<bool>,
}

impl Follower {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut follower| async move {
            let message = follower.next().await?;
            let event = Event::default().event("message").id(message.id.clone());
            event.json_data(&message).ok().map(|event| (Ok(event), follower))
        })
    }

    async fn next(&mut self) -> Option<InboxMessage> {
        if let Some(message) = self.missed.pop_front() {
            return Some(message);
        }
        loop {
            let arrival = tokio::select! {
                arrival = self.arrivals.recv() => arrival,
                _ = self.stop.wait_for(|stopping| *stopping) => return None,
            };
            match arrival {
                Ok(message) if self.to.as_ref().is_none_or(|to| message.to == *to) => return Some(message),
                // Too slow for a flood: the page shows what comes next, and a reload shows all.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn inbox(app: &App) -> Result<&Inbox, Problem> {
    app.inbox.as_deref().ok_or_else(|| Problem::new(ProblemCode::NotFound))
}
