//! What Twilio's callers send: forms with names such as `Totp.Issuer`, repeated names for lists, JSON in a string for maps.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::Value;

use crate::app::App;
use crate::http::extract::{body, is_form};
use crate::http::twilio::refusal::Refusal;

/// The fields of a form or of a query, in the order in which they came.
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `a=b&c=d`: `+` and `%20` are a space, `%2B` is a plus.
    pub fn parse(bytes: &[u8]) -> Fields {
        Fields(url::form_urlencoded::parse(bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The same for what came with a request. A NUL is refused wherever it stands: not every database takes one, and nobody means it.
    fn received(bytes: &[u8]) -> Result<Fields, Refusal> {
        let fields = Fields::parse(bytes);
        if fields.0.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, 60200, "Invalid parameter: a NUL character is in one"));
        }
        Ok(fields)
    }

    /// The value of a field; none where it was not sent. Of several the last counts, as with Twilio's own parser.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field that is needed and must say something.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).filter(|value| !value.is_empty()).ok_or_else(|| Refusal::invalid(name, "is missing"))
    }

    /// Every value of a repeated field.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `true` or `false`, in either case.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::invalid(name, "must be true or false")),
        }
    }

    /// A whole number within a range.
    pub fn number(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(value) => match value.parse() {
                Ok(number) if range.contains(&number) && value.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
                _ => Err(Refusal::invalid(name, &format!("must be from {} to {}", range.start(), range.end()))),
            },
        }
    }

    /// A JSON value in a string.
    pub fn json(&self, name: &str) -> Result<Option<Value>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(value) => serde_json::from_str(value).map(Some).map_err(|_| Refusal::invalid(name, "must be JSON")),
        }
    }

    /// A JSON object of plain values in a string, each value as text.
    pub fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let wrong = || Refusal::invalid(name, "must be a JSON object of plain values");
        match self.json(name)? {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map
                .into_iter()
                .map(|(key, value)| match value {
                    Value::String(text) => Ok((key, text)),
                    Value::Number(number) => Ok((key, number.to_string())),
                    Value::Bool(flag) => Ok((key, flag.to_string())),
                    Value::Null | Value::Array(_) | Value::Object(_) => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }
}

/// A form body. One of another kind is refused; none at all is an empty form.
pub struct Form(pub Fields);

impl FromRequest<Arc<App>> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let is_form = is_form(request.headers());
        let bytes = body(request, app).await?;
        if !bytes.is_empty() && !is_form {
            let message = "The Content-Type must be application/x-www-form-urlencoded";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 20001, message));
        }
        Fields::received(&bytes).map(Form)
    }
}

/// A query string.
pub struct Query(pub Fields);

impl FromRequestParts<Arc<App>> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Refusal> {
        Fields::received(parts.uri.query().unwrap_or_default().as_bytes()).map(Query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INP-01: plus signs, dots, repeated names and JSON in strings are read as the official SDKs write them.
    #[test]
    fn forms_are_read_as_the_sdks_write_them() {
        let node =
            Fields::parse(b"To=%2B15017122661&FriendlyName=My%20App&Totp.Issuer=acme&EventTypes=a&EventTypes=b&Tags=%7B%22a%22%3A1%7D");
        let python = Fields::parse(b"To=%2B15017122661&FriendlyName=My+App&CustomCodeEnabled=true&CodeLength=6");
        assert_eq!(node.text("To"), Some("+15017122661"));
        assert_eq!((node.text("FriendlyName"), python.text("FriendlyName")), (Some("My App"), Some("My App")));
        assert_eq!(node.text("Totp.Issuer"), Some("acme"));
        assert_eq!(node.all("EventTypes").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(node.map("Tags").expect("a map").get("a").map(String::as_str), Some("1"));
        assert_eq!(python.flag("CustomCodeEnabled").expect("a flag"), Some(true));
        assert_eq!(python.number("CodeLength", 4..=10).expect("a number"), Some(6));
    }

    /// INP-01.
    #[test]
    fn what_has_the_wrong_type_is_refused() {
        let form = Fields::parse(b"N=11&M=%2B5&F=yes&J={&L=[1]&O={\"a\":{}}&Empty=");
        assert!(form.number("N", 4..=10).is_err());
        assert!(form.number("M", 4..=10).is_err());
        assert!(form.flag("F").is_err());
        assert!(form.map("J").is_err() && form.map("L").is_err() && form.map("O").is_err());
        assert!(form.required("Empty").is_err() && form.required("Absent").is_err());
        assert_eq!(form.number("Empty", 4..=10).expect("nothing"), None);
    }
}
