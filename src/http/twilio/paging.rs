//! Lists in pages, with absolute URLs: the SDKs follow `next_page_url` letter by letter until it is null.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::extract::Peer;
use crate::http::twilio::form::Fields;
use crate::http::twilio::refusal::Refusal;

/// Items of a page when the caller says nothing.
const PAGE_SIZE: u32 = 50;
/// Most items of a page.
const PAGE_SIZE_MAX: u32 = 1000;
/// Nobody turns so many pages one by one.
const PAGES_MAX: u32 = 100_000;

/// Where a caller reached us: scheme and host, for URLs in answers.
#[derive(Debug, Clone)]
pub struct Origin(pub String);

impl Origin {
    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    fn of(app: &App, headers: &HeaderMap, peer: Option<IpAddr>) -> Origin {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|value| is_host(value));
        let trusted = peer.is_some_and(|peer| app.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical())));
        if trusted
            && let Some(scheme) = header("x-forwarded-proto").filter(|scheme| ["http", "https"].contains(scheme))
            && let Some(host) = header("x-forwarded-host").or_else(|| header(header::HOST.as_str()))
        {
            return Origin(format!("{scheme}://{host}"));
        }
        Origin(app.public_url.trim_end_matches('/').to_owned())
    }
}

/// Letters of a host with its port, and of a scheme.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
}

impl FromRequestParts<Arc<App>> for Origin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        Ok(Origin::of(app, &parts.headers, peer))
    }
}

/// Which page of a list is asked for.
pub struct Paging {
    size: u32,
    page: u32,
    origin: Origin,
    path: String,
    /// What else the query says, to be said again in the URLs of other pages.
    filters: Vec<(String, String)>,
}

impl FromRequestParts<Arc<App>> for Paging {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let origin = Origin::from_request_parts(parts, app).await?;
        let query = parts.uri.query().unwrap_or_default();
        let fields = Fields::parse(query.as_bytes());
        let size = fields.number("PageSize", 1..=PAGE_SIZE_MAX)?.unwrap_or(PAGE_SIZE);
        let page = fields.number("Page", 0..=PAGES_MAX)?.unwrap_or(0);
        let filters = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        let filters = filters.filter(|(name, _)| !["PageSize", "Page", "PageToken"].contains(&name.as_str())).collect();
        Ok(Paging { size, page, origin, path: parts.uri.path().to_owned(), filters })
    }
}

impl Paging {
    /// How many items to skip.
    pub fn offset(&self) -> u32 {
        self.page.saturating_mul(self.size)
    }

    /// How many items to ask for: one more than are shown, so that it is known whether there is another page.
    pub fn limit(&self) -> u32 {
        self.size + 1
    }

    /// Where the caller reached us.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The answer, from the items after [`Paging::offset`], [`Paging::limit`] of them at most.
    pub fn answer(&self, key: &str, mut items: Vec<Value>) -> Json<Value> {
        let more = items.len() > self.size as usize;
        items.truncate(self.size as usize);
        let meta = json!({
            "page": self.page,
            "page_size": self.size,
            "first_page_url": self.url(0),
            "previous_page_url": self.page.checked_sub(1).map(|page| self.url(page)),
            "url": self.url(self.page),
            "next_page_url": more.then(|| self.url(self.page + 1)),
            "key": key,
        });
        let mut answer = Map::new();
        answer.insert(key.to_owned(), Value::Array(items));
        answer.insert("meta".to_owned(), meta);
        Json(Value::Object(answer))
    }

    /// As [`Paging::answer`], from all items that there are.
    pub fn answer_of_all(&self, key: &str, items: Vec<Value>) -> Json<Value> {
        self.answer(key, items.into_iter().skip(self.offset() as usize).take(self.limit() as usize).collect())
    }

    fn url(&self, page: u32) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.filters).append_pair("PageSize", &self.size.to_string()).append_pair("Page", &page.to_string());
        format!("{}?{}", self.origin.url(&self.path), query.finish())
    }
}
