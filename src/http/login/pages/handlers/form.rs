//! What a form brings: exactly its fields, each once, and its token (WEB-01).
//!
//! A form passes when it comes with the token that this browser was given. One without a token passes only if the browser
//! itself says that a page of ours sent it (`Sec-Fetch-Site`, or `Origin` where there is no TLS): so a team's own form on our
//! origin works as it does in the tutorials, and so does a program that says whose page it plays. Whatever the browser calls
//! foreign is refused, token or not; and what says nothing and has no token is refused too.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, value};

use super::visit::{Member, Visit};
use super::{login, register, reset};
use crate::app::App;
use crate::http::extract::{body, is_form};
use crate::http::login::origin::{Sender, sender};
use crate::http::login::pages::frame::Notice;
use crate::http::problem::{Problem, ProblemCode};

/// The field of the token.
const TOKEN: &str = "csrf";

/// A form of a page, which passed.
pub struct Sent<T> {
    pub visit: Visit,
    pub form: T,
}

/// A form of somebody who is signed in.
pub struct MemberSent<T> {
    pub member: Member,
    pub form: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Sent<T>, Response> {
        let (mut parts, content) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        let sender = sender(&parts.headers, app);
        if matches!(sender, Sender::Foreign | Sender::Named) {
            return Err(Problem::new(ProblemCode::CrossSite).into_response());
        }
        if !is_form(&parts.headers) {
            let problem = Problem::new(ProblemCode::UnsupportedMediaType);
            return Err(problem.detail("Send Content-Type: application/x-www-form-urlencoded.").into_response());
        }
        let uri = parts.uri.clone();
        let bytes = body(Request::from_parts(parts, content)).await.map_err(IntoResponse::into_response)?;
        let (token, form) = parse(&bytes).map_err(IntoResponse::into_response)?;
        let passes = match token {
            Some(token) => visit.is_own_form(&token),
            None => sender == Sender::Own,
        };
        if passes { Ok(Sent { visit, form }) } else { Err(expired(&visit, uri.path())) }
    }
}

impl<T: DeserializeOwned + Send> FromRequest<Arc<App>> for MemberSent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<MemberSent<T>, Response> {
        let Sent { visit, form } = Sent::from_request(request, app).await?;
        Ok(MemberSent { member: Member::of(visit).await?, form })
    }
}

/// The page was open for so long that the browser forgot its name, or our key is another one. Shown is the first page of what
/// was meant, empty: nothing of a form that did not pass is repeated.
fn expired(visit: &Visit, path: &str) -> Response {
    let (status, notice) = (StatusCode::FORBIDDEN, Some(Notice::FormExpired));
    let page = match path {
        "/register" => register::empty(visit, status, notice),
        "/forgot" | "/reset" | "/reset/resend" => reset::empty(visit, status, notice),
        _ => login::page(visit, status, notice, ""),
    };
    page.unwrap_or_else(IntoResponse::into_response)
}

/// The token and the other fields. A field that the form does not have, or that comes twice, is refused: somebody made it up.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(Option<String>, T), Problem> {
    let refused = |detail: &str| Problem::new(ProblemCode::InvalidBody).detail(detail);
    let (mut token, mut fields) = (None, Vec::new());
    for (name, text) in url::form_urlencoded::parse(bytes) {
        // What stands for bytes that are no UTF-8.
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(refused("The form is not in UTF-8."));
        }
        if name != TOKEN {
            fields.push((name.into_owned(), text.into_owned()));
        } else if token.replace(text.into_owned()).is_some() {
            return Err(refused("The form has a field twice."));
        }
    }
    let form = T::deserialize(MapDeserializer::<_, value::Error>::new(fields.into_iter()));
    Ok((token, form.map_err(|_| refused("The form has a field twice, or one that does not belong to it."))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::model::Method;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        phone: String,
        method: Method,
    }

    fn read(text: &str) -> Option<(Option<String>, Sample)> {
        parse(text.as_bytes()).ok()
    }

    /// INP-01: known fields, each once, in UTF-8.
    #[test]
    fn a_form_has_its_fields_and_no_others() {
        let sample = |phone: &str| Sample { phone: phone.into(), method: Method::Sms };
        assert_eq!(read("phone=%2B49+151&method=sms"), Some((None, sample("+49 151"))));
        assert_eq!(read("method=sms&csrf=abc"), Some((Some("abc".into()), sample(""))));
        for wrong in [
            "",
            "phone=1",
            "method=carrier_pigeon",
            "method=sms&role=admin",
            "method=sms&method=sms",
            "method=sms&phone=1&phone=2",
            "method=sms&csrf=a&csrf=a",
            "method=sms&phone=%ff",
            "{\"method\":\"sms\"}",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
