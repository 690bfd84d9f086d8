//! `POST /oauth2/token`: an access token for a client's key, by OAuth 2.0's client-credentials grant (RFC 6749, 4.4).
//!
//! The client's name is its id or the first part of its key, the secret is the whole key. Failures have the shape of section 5.2.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::db::client::{Client, Scope};
use crate::http::client_token;
use crate::http::extract::{body, is_form};
use crate::http::problem::{Problem, ProblemCode};

/// What CAMARA's profile puts before the purpose for which data is processed. People consent to one; a client's own token has
/// nobody's consent in it, so it is read and left out.
const PURPOSE_PREFIX: &str = "dpv:";

/// The route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/oauth2/token", post(token))
}

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

/// A failure of section 5.2.
struct Refused {
    status: StatusCode,
    error: &'static str,
    description: String,
    /// Only who came with Basic is told to come with it again.
    basic: bool,
    problem: Option<Box<Problem>>,
}

impl Refused {
    fn new(error: &'static str, description: &str) -> Refused {
        Refused { status: StatusCode::BAD_REQUEST, error, description: description.to_owned(), basic: false, problem: None }
    }

    fn client(basic: bool) -> Refused {
        let description = "The client is unknown or revoked, or the secret is not its key.";
        Refused { status: StatusCode::UNAUTHORIZED, basic, ..Refused::new("invalid_client", description) }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        let error = match problem.code() {
            ProblemCode::Internal => "server_error",
            ProblemCode::Unavailable => "temporarily_unavailable",
            _ => "invalid_request",
        };
        let status = if problem.status().is_server_error() { problem.status() } else { StatusCode::BAD_REQUEST };
        Refused { status, problem: Some(Box::new(problem.clone())), ..Refused::new(error, &problem.message()) }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = (self.status, uncached(), Json(body)).into_response();
        if let Some(problem) = &self.problem {
            if let Some(cause) = problem.cause() {
                tracing::error!(cause, "a request failed");
            }
            problem.write_headers(&mut response);
        }
        if self.basic {
            let challenge = HeaderValue::from_static("Basic realm=\"countersign\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// RFC 6749, 5.1: of everything that may hold a token.
fn uncached() -> [(header::HeaderName, HeaderValue); 2] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), (header::PRAGMA, HeaderValue::from_static("no-cache"))]
}

async fn token(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refused> {
    let Some(camara) = &app.camara else { return Err(Problem::new(ProblemCode::NotFound).into()) };
    let headers = request.headers().clone();
    if !is_form(&headers) {
        return Err(Refused::new("invalid_request", "Send Content-Type: application/x-www-form-urlencoded."));
    }
    let fields = Fields::read(&body(request).await?)?;
    match fields.get("grant_type") {
        None => return Err(Refused::new("invalid_request", "grant_type is missing")),
        Some("client_credentials") => {}
        Some(_) => return Err(Refused::new("unsupported_grant_type", "Only client_credentials is offered here.")),
    }
    let client = client(&app, &headers, &fields).await?;
    let scopes = scopes(&client, fields.get("scope"))?;
    let granted = Granted {
        access_token: camara.tokens.issue(&client, &scopes).expose().clone(),
        token_type: "Bearer",
        expires_in: camara.tokens.life.as_secs(),
        scope: client_token::text(&scopes),
    };
    Ok((uncached(), Json(granted)).into_response())
}

/// Who asks: by client_secret_basic or client_secret_post, and not by both (RFC 6749, 2.3).
async fn client(app: &App, headers: &HeaderMap, fields: &Fields) -> Result<Arc<Client>, Refused> {
    let basic = headers.contains_key(header::AUTHORIZATION);
    let (name, secret) = match (headers.get(header::AUTHORIZATION), fields.get("client_secret")) {
        (Some(_), Some(_)) => return Err(Refused::new("invalid_request", "The client must show its secret in one way only.")),
        (Some(value), None) => basic_of(value).ok_or_else(|| Refused::client(true))?,
        (None, Some(secret)) => (fields.get("client_id").unwrap_or_default().to_owned(), secret.to_owned()),
        (None, None) => return Err(Refused::client(false)),
    };
    let found = app.keys.client_of(&secret).await.map_err(Problem::from)?;
    let is_named = |client: &Arc<Client>| name.parse() == Ok(client.id) || name.strip_prefix("csk_").unwrap_or(&name) == client.key_prefix;
    found.filter(is_named).ok_or_else(|| Refused::client(basic))
}

/// Name and secret, each written as in a form before they are joined (RFC 6749, 2.3.1).
fn basic_of(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    let joined = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, secret) = std::str::from_utf8(&joined).ok()?.split_once(':')?;
    let plain = |text: &str| {
        let form = format!("x={text}");
        url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((plain(name)?, plain(secret)?))
}

/// What is granted: what was asked for, if the client has it all; everything that it has, if nothing was named.
fn scopes(client: &Client, asked: Option<&str>) -> Result<Vec<Scope>, Refused> {
    let named = asked.unwrap_or_default().split(' ').filter(|name| !name.is_empty() && !name.starts_with(PURPOSE_PREFIX));
    let mut scopes = Vec::new();
    for name in named {
        let scope = Scope::parse(name).filter(|scope| client.scopes.contains(scope));
        let scope = scope.ok_or_else(|| Refused::new("invalid_scope", "The client has not all of these scopes."))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(if scopes.is_empty() { client.scopes.clone() } else { scopes })
}

/// The form. What nobody asked for is left alone; what is empty counts as not sent (RFC 6749, 3.2).
struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(bytes: &[u8]) -> Result<Fields, Refused> {
        let fields: Vec<_> = url::form_urlencoded::parse(bytes).into_owned().collect();
        for (at, (name, _)) in fields.iter().enumerate() {
            let ours = ["grant_type", "scope", "client_id", "client_secret"].contains(&name.as_str());
            if ours && fields[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Refused::new("invalid_request", "A field is given twice."));
            }
        }
        Ok(Fields(fields))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}
