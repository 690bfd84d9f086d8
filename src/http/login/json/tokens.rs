//! Tokens: their renewal, and what others may know of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::account::access::Refreshed;
use crate::account::secret_token::SecretToken;
use crate::account::token::ShownFor;
use crate::app::App;
use crate::db::client::Scope;
use crate::http::extract::{Authenticated, OptionalJson, body, is_form, is_json, parse_json};
use crate::http::login::browser::{Browser, Cookie, SetCookies};
use crate::http::login::json::answers::{IntrospectionBody, SignedInBody};
use crate::http::login::json::bodies::{IntrospectBody, RefreshBody, Secret};
use crate::http::login::json::refusals::BodyRefusals;
use crate::http::login::person::People;
use crate::http::problem::{Problem, ProblemBody, ProblemCode};
use crate::http::tutorial::form_uri;

/// A new access token
///
/// For a refresh token, which is spent by it: the answer has the next one. A spent token that comes again ends its session,
/// since somebody has a copy (within ten seconds it gives the same answer again, for whom the first was lost). A browser
/// needs none: its session's cookie will do. With `audience` the token is for that service, and opens nothing here.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "Sign-in", operation_id = "refresh", request_body = RefreshBody,
    responses(
        (status = 200, description = "A new one.", body = SignedInBody),
        (status = 401, description = "`sign_in_required`: unknown, expired, or used before.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`cross_site`.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn refresh(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    OptionalJson(body): OptionalJson<RefreshBody>,
) -> Result<Response, Problem> {
    let now = accounts.clock.now();
    let audience = accounts.audience(body.audience.as_deref())?;
    if let Some(Secret(shown)) = body.refresh_token {
        let Some(token) = SecretToken::parse(&shown) else { return Err(Problem::new(ProblemCode::SignInRequired)) };
        let Refreshed::Done { access, refresh } = accounts.refresh(&browser.visitor, &token, audience).await? else {
            return Err(Problem::new(ProblemCode::SignInRequired));
        };
        return Ok(Json(SignedInBody {
            token: Some(access.token.expose().clone()),
            refresh_token: Some(refresh.expose().to_owned()),
            expires_in: Some(access.claims.expires_in(now)),
            ..SignedInBody::default()
        })
        .into_response());
    }
    let Some(token) = browser.session else { return Err(Problem::new(ProblemCode::SignInRequired)) };
    let Some(current) = accounts.current(&token).await? else {
        let gone = SetCookies::new(&app).clear(Cookie::Session);
        return Ok((gone, Problem::new(ProblemCode::SignInRequired)).into_response());
    };
    let access = accounts.access_token(&current.account, &current.session, audience).await?;
    let expires_in = Some(access.claims.expires_in(now));
    Ok(Json(SignedInBody { token: Some(access.token.expose().clone()), expires_in, ..SignedInBody::default() }).into_response())
}

/// What a token is worth
///
/// For services that want to know at once when a session ends (RFC 7662). The body is a form, or JSON.
#[utoipa::path(
    post, path = "/auth/introspect", tag = "Operation", operation_id = "introspect", request_body = IntrospectBody,
    responses(
        (status = 200, description = "What it says, while it and its session are good.", body = IntrospectionBody),
        (status = 401, description = "`unauthorized`: no valid key.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the key lacks the scope, or is another service's.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
    security(("client_key" = [])),
)]
pub async fn introspect(People(accounts): People, caller: Authenticated, request: Request) -> Result<Json<IntrospectionBody>, Problem> {
    let caller = caller.caller(Scope::Introspect, None)?;
    if caller.service != accounts.settings.service {
        return Err(Problem::new(ProblemCode::Forbidden).detail("The people are another service's."));
    }
    let headers = request.headers().clone();
    let bytes = body(request).await?;
    let shown: IntrospectBody = if is_form(&headers) {
        let wrong = || Problem::new(ProblemCode::InvalidBody).detail("The form is not of this shape.");
        axum::extract::Query::try_from_uri(&form_uri(&bytes).ok_or_else(wrong)?).map_err(|_| wrong())?.0
    } else if is_json(&headers) {
        parse_json(&bytes)?
    } else {
        return Err(Problem::new(ProblemCode::UnsupportedMediaType).detail("Send a form, or application/json."));
    };
    let found = accounts.current_by_access_token(&shown.token.0, ShownFor::Question).await?;
    let claims = found.map(|(_, claims)| serde_json::to_value(claims).map_err(Problem::internal)).transpose()?;
    Ok(Json(match claims {
        Some(serde_json::Value::Object(claims)) => IntrospectionBody { active: true, token_type: Some("Bearer"), claims },
        Some(_) | None => IntrospectionBody { active: false, token_type: None, claims: Default::default() },
    }))
}

/// The keys that sign tokens
///
/// For services that check access tokens by themselves (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "Operation", operation_id = "getKeys",
    responses(
        (status = 200, description = "The keys.", body = serde_json::Value),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn jwks(People(accounts): People) -> Result<Response, Problem> {
    let published = accounts.tokens.jwks(accounts.clock.now()).await.map_err(crate::account::AccountError::from)?;
    let cache = format!("public, max-age={}", published.max_age.as_secs());
    Ok(([(header::CACHE_CONTROL, cache)], Json(published.body)).into_response())
}
