//! What handlers take from a request: strict JSON, strict queries, ids, and who calls.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ipnet::IpNet;
use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Error as PathError;

use crate::app::App;
use crate::db::client::{Client, Scope};
use crate::http::client_token;
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::VerificationId;
use crate::verification::request::{self, Caller};

/// Longest body, in bytes (INP-04).
pub const BODY_MAX_BYTES: usize = 64 * 1024;

/// The address at the other end of the connection. Put into each request by the accept loop.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// A JSON body of exactly the documented shape: unknown and duplicate fields, and wrong types, are refused by name (INP-01).
pub struct StrictJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType).detail("Send Content-Type: application/json."));
        }
        let bytes = body(request).await?;
        parse_json(&bytes).map(StrictJson)
    }
}

/// The same, or nothing at all.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = body(request).await?;
        if bytes.is_empty() {
            return Ok(OptionalJson(T::default()));
        }
        if !is_json {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType).detail("Send Content-Type: application/json."));
        }
        parse_json(&bytes).map(OptionalJson)
    }
}

/// A body that did not come as it should have, for whoever wants to read it.
#[derive(Clone)]
pub struct Unreadable(pub Problem);

/// The whole body, which is here since before the request was worked on ([`crate::http::room`]).
pub async fn body(mut request: Request) -> Result<Bytes, Problem> {
    match request.extensions_mut().remove() {
        Some(Unreadable(problem)) => Err(problem),
        None => collect(request.into_body()).await,
    }
}

/// All of a body, if it is short enough.
pub async fn collect(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(ProblemCode::BodyTooLarge).detail("The body must not be longer than 64 KiB."))
        }
        Err(_) => Err(Problem::new(ProblemCode::InvalidBody).detail("The body broke off.")),
    }
}

/// Parses JSON; says which field is wrong and how, and never repeats a value.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde takes a list for a struct, field by field, and calls what it does not take by the names of our types.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let detail = if is_json_value(bytes) { "The body must be an object." } else { "The body is not valid JSON." };
        return Err(Problem::new(ProblemCode::InvalidBody).detail(detail));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = Some(error.path().to_string()).filter(|path| path != ".");
        match path {
            // What the parser calls a syntax error may be JSON that does not fit: a list for a name, a number beyond all bounds.
            Some(field) if !error.inner().is_data() && is_json_value(bytes) => {
                Problem::new(ProblemCode::InvalidBody).detail(format!("{field} has the wrong type")).field(field)
            }
            path => describe(&error.inner().to_string(), path.filter(|_| error.inner().is_data())),
        }
    })?;
    deserializer.end().map_err(|_| Problem::new(ProblemCode::InvalidBody).detail("Something follows the JSON value."))?;
    Ok(parsed)
}

fn is_json_value(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Whether the body says that it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).eq_ignore_ascii_case("application/json")
}

/// Whether the body says that it is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers).eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn content_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Turns serde's words into ours: they name the field in backticks, and may repeat the value after "invalid type".
fn describe(error: &str, path: Option<String>) -> Problem {
    let error = error.rsplit_once(" at line ").map_or(error, |(error, _)| error);
    let quoted = error.split('`').nth(1).map(str::to_owned);
    let problem = Problem::new(ProblemCode::InvalidBody);
    if error.starts_with("unknown field") {
        let field = quoted.unwrap_or_default();
        return problem.detail(format!("{} is not a field of this request", shortened(&field))).field(shortened(&field));
    }
    if error.starts_with("missing field") {
        let field = quoted.unwrap_or_default();
        return problem.detail(format!("{field} is missing")).field(field);
    }
    if error.starts_with("duplicate field") {
        let field = quoted.unwrap_or_default();
        return problem.detail(format!("{field} is given twice")).field(field);
    }
    if error.starts_with("invalid type") || error.starts_with("invalid value") || error.starts_with("unknown variant") {
        // The last one: a value before it may hold the same words.
        let expected = error.rsplit_once("expected ").map_or("another type", |(_, expected)| expected);
        let field = path.unwrap_or_else(|| "body".into());
        return problem.detail(format!("{field} must be {expected}")).field(field);
    }
    match path {
        // Messages of our own types.
        Some(field) => problem.detail(format!("{field} {error}")).field(field),
        None => problem.detail("The body is not valid JSON."),
    }
}

fn shortened(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(40).collect()
}

/// A query string of exactly the documented shape.
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        parse_query(&parts.uri).map(StrictQuery)
    }
}

/// Reads a query string; says which field is wrong and how, and never repeats a value.
fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    Query::try_from_uri(uri).map(|Query(query)| query).map_err(|rejection| {
        // axum wraps the error, and puts the path before its words.
        let wrong = rejection.source().and_then(Error::source).and_then(|error| error.downcast_ref::<PathError<ValueError>>());
        let unreadable = || Problem::new(ProblemCode::InvalidBody).detail("The query string cannot be read.");
        wrong.map_or_else(unreadable, wrong_query)
    })
}

fn wrong_query(error: &PathError<ValueError>) -> Problem {
    let (field, words) = (error.path().to_string(), error.inner().to_string());
    if is_serdes(&words) {
        return describe(&words, Some(field));
    }
    Problem::new(ProblemCode::InvalidBody).detail(format!("{field} must be {}", expected(&words))).field(field)
}

/// Whether serde says it, or the parser of a value.
fn is_serdes(words: &str) -> bool {
    ["unknown ", "missing ", "duplicate ", "invalid type", "invalid value"].iter().any(|start| words.starts_with(start))
}

/// What a value must be, by the words of the parser that refused it. They are not passed on: they may repeat the value.
fn expected(words: &str) -> &'static str {
    if words.starts_with("UUID") { "an id (a UUID)" } else { "a whole number in its range" }
}

/// The id in the path. What is no id names nothing.
pub struct IdPath(pub VerificationId);

impl FromRequestParts<Arc<App>> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<App>) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().and_then(|Path(text)| uuid::Uuid::try_parse(&text).ok());
        id.map(IdPath).ok_or_else(|| Problem::new(ProblemCode::NotFound))
    }
}

/// The client whose key, or access token, came with the request.
pub struct Authenticated {
    client: Arc<Client>,
    /// What the client may do with that.
    scopes: Vec<Scope>,
    idempotency_key: Option<String>,
}

impl Authenticated {
    /// The caller, if the key has the scope. `ip` is the end user's address, as the client passed it.
    pub fn caller(self, scope: Scope, ip: Option<IpAddr>) -> Result<Caller, Problem> {
        if !self.scopes.contains(&scope) {
            return Err(Problem::new(ProblemCode::Forbidden).detail(format!("The key lacks the scope {}.", scope.as_str())));
        }
        Ok(Caller {
            service: self.client.service.clone(),
            client: Some(self.client.id),
            ip,
            idempotency_key: self.idempotency_key,
            has_paid: false,
        })
    }
}

impl FromRequestParts<Arc<App>> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let key = bearer(&parts.headers)
            .ok_or_else(|| Problem::new(ProblemCode::Unauthorized).detail("Send Authorization: Bearer KEY (countersign client create)."))?;
        let (client, scopes) = match &app.camara {
            Some(camara) if client_token::is_one(key) => camara.tokens.bearer(key, &app.keys).await?,
            _ => {
                let client = app.keys.client_of(key).await?;
                let client = client.ok_or_else(|| Problem::new(ProblemCode::Unauthorized).detail("The key is unknown or revoked."))?;
                let scopes = client.scopes.clone();
                (client, scopes)
            }
        };
        let idempotency_key = idempotency_key(&parts.headers)?;
        Ok(Authenticated { client, scopes, idempotency_key })
    }
}

/// What `Authorization: Bearer` holds.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    request::idempotency_key(key)?;
    Ok(Some(key.to_owned()))
}

/// The end user's address on public routes: the peer's, or, when that is a trusted proxy, the last address in
/// `X-Forwarded-For` that is not one (ATT-10, A31). Other headers are never believed.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        if !is_trusted(&address) {
            break;
        }
        // A proxy that writes nonsense ends the chain: what stands before it cannot be trusted either.
        let Ok(next) = hop.parse::<IpAddr>() else { break };
        address = next.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header value"));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        client_address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    /// ATT-10, A31.
    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        assert_eq!(address("198.51.100.7", &["203.0.113.9"], &[]), "198.51.100.7");
        assert_eq!(address("10.0.0.1", &["203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.2"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["1.2.3.4", "203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["1.2.3.4, nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(address("::ffff:10.0.0.1", &["2001:db8::1"], &["10.0.0.0/8"]), "2001:db8::1");
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only whether it parses counts")]
        code: String,
    }

    /// INP-01: each mistake is named, and no value is repeated.
    #[test]
    fn mistakes_name_the_field_and_not_the_value() {
        for (body, field, detail) in [
            (r#"{"code":123456}"#, Some("code"), "code must be a string"),
            (r#"{"code":null}"#, Some("code"), "code must be a string"),
            (r#"{"code":["123456"]}"#, Some("code"), "code must be a string"),
            (r#"{"code":{"$ne":""}}"#, Some("code"), "code must be a string"),
            (r#"{"code":"1","code":"2"}"#, Some("code"), "code is given twice"),
            (r#"{"code":"1","verified":true}"#, Some("verified"), "verified is not a field of this request"),
            (r#"{}"#, Some("code"), "code is missing"),
            (r#"{"code":"1"} x"#, None, "Something follows the JSON value."),
            (r#"{"code":"#, None, "The body is not valid JSON."),
            ("", None, "The body is not valid JSON."),
            (r#"{"code":1e400}"#, Some("code"), "code has the wrong type"),
            (r#"["123456"]"#, None, "The body must be an object."),
            (r#"["123456",null]"#, None, "The body must be an object."),
            ("[]", None, "The body must be an object."),
            (r#""x""#, None, "The body must be an object."),
            (" 5 ", None, "The body must be an object."),
            ("null", None, "The body must be an object."),
            ("nul", None, "The body is not valid JSON."),
            ("5 x", None, "The body is not valid JSON."),
        ] {
            let problem = parse_json::<Sample>(body.as_bytes()).expect_err(body);
            let shown = problem.body(String::new());
            assert_eq!(shown.detail.as_deref(), Some(detail), "{body}");
            assert_eq!(shown.field.as_deref(), field, "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse_json::<Sample>(deep.as_bytes()).is_err());
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses counts")]
    struct SampleQuery {
        to: String,
        limit: Option<u8>,
        before: Option<uuid::Uuid>,
        order: Option<Order>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Up,
    }

    /// INP-01: the same of a query.
    #[test]
    fn mistakes_of_a_query_name_the_field_and_not_the_value() {
        for (query, field, detail) in [
            ("to=a&foo=1", "foo", "foo is not a field of this request"),
            ("to=a&a%3A%20unknown=1", "a: unknown", "a: unknown is not a field of this request"),
            ("limit=1", "to", "to is missing"),
            ("to=a&to=b", "to", "to is given twice"),
            ("to=a&limit=hunter2", "limit", "limit must be a whole number in its range"),
            ("to=a&limit=256", "limit", "limit must be a whole number in its range"),
            ("to=a&limit=", "limit", "limit must be a whole number in its range"),
            ("to=a&before=hunter2", "before", "before must be an id (a UUID)"),
            ("to=a&order=hunter2", "order", "order must be `up`"),
        ] {
            let uri: Uri = format!("/?{query}").parse().expect("a path");
            let shown = parse_query::<SampleQuery>(&uri).expect_err(query).body(String::new());
            assert_eq!(shown.detail.as_deref(), Some(detail), "{query}");
            assert_eq!(shown.field.as_deref(), Some(field), "{query}");
        }
    }
}
