//! The bodies of requests. Unknown fields are refused, so that nobody gives themselves a role (A53).

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::account::model::Method;
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::request::InvalidField;

/// Words that nobody else should read: wiped when dropped, and never printed.
pub struct Secret(pub Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(|text| Secret(Zeroizing::new(text)))
    }
}

/// `null` is no way to leave a field out (INP-01).
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Make an account. A number, an address, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterBody {
    /// A mail address.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "mailbox")]
    pub email: Option<String>,
    /// A number in any spelling.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "+4915112345678", max_length = 40, format = "phone")]
    pub phone: Option<String>,
    /// At least 8 characters, 15 where no second factor is asked for; at most 256. Common ones are refused.
    #[schema(value_type = String, example = "correct horse battery", format = "password")]
    pub password: Secret,
    /// As the person writes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "Ada Lovelace", max_length = 200)]
    pub full_name: Option<String>,
}

/// The password step.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// A mail address. One of `email`, `phone` and `identifier` is needed.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "mailbox")]
    pub email: Option<String>,
    /// A number.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 254, format = "phone")]
    pub phone: Option<String>,
    /// Either.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 254, format = "destination")]
    pub identifier: Option<String>,
    /// The password.
    #[schema(value_type = String, example = "correct horse battery", format = "password")]
    pub password: Secret,
}

/// Whose sign-in is meant. A browser's cookie says it better, and wins.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct WhoBody {
    /// What was typed at the password step, for clients without cookies.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "mailbox")]
    pub email: Option<String>,
    /// The same, a number.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 254, format = "phone")]
    pub phone: Option<String>,
    /// The same, either.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 254, format = "destination")]
    pub identifier: Option<String>,
}

/// The code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// What was typed at the password step, for clients without cookies.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "mailbox")]
    pub email: Option<String>,
    /// The same, a number.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 254, format = "phone")]
    pub phone: Option<String>,
    /// The same, either.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 254, format = "destination")]
    pub identifier: Option<String>,
    /// The code that was sent, or one of an authenticator app.
    #[schema(value_type = String, example = "314159", max_length = 64)]
    pub code: Secret,
    /// Whether a refresh token is wanted.
    #[serde(default)]
    #[schema(default = false)]
    pub refresh: bool,
    /// Whether this browser shall be remembered, where that is allowed.
    #[serde(default)]
    #[schema(default = false)]
    pub remember: bool,
}

/// Another way to show who one is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodBody {
    /// What was typed at the password step, for clients without cookies.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "destination")]
    pub identifier: Option<String>,
    /// One of `methods`.
    pub method: Method,
}

/// A recovery code in place of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverBody {
    /// What was typed at the password step, for clients without cookies.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "destination")]
    pub identifier: Option<String>,
    /// As on the paper; case, spaces and hyphens do not matter.
    #[schema(value_type = String, example = "ABCD-EFGH-JKMN-PQRS-TVWX", max_length = 64)]
    pub code: Secret,
    /// Whether a refresh token is wanted.
    #[serde(default)]
    #[schema(default = false)]
    pub refresh: bool,
}

/// The answer of a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyBody {
    /// What was typed at the password step, for clients without cookies; left out for a sign-in by passkey alone.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ada@example.org", max_length = 254, format = "destination")]
    pub identifier: Option<String>,
    /// What `navigator.credentials.get` gave, by its `toJSON()`.
    #[schema(value_type = Object)]
    pub credential: Value,
    /// Whether a refresh token is wanted.
    #[serde(default)]
    #[schema(default = false)]
    pub refresh: bool,
}

/// A number or an address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifierBody {
    /// Any spelling of it.
    #[schema(example = "+4915112345678", min_length = 1, max_length = 254, format = "destination")]
    pub identifier: String,
}

/// Another password, for the code of a reset.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// What `forgot` answered, for clients without cookies.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, max_length = 64)]
    pub reset_token: Option<Secret>,
    /// The code that was sent.
    #[schema(value_type = String, example = "314159", max_length = 64)]
    pub code: Secret,
    /// The new password.
    #[schema(value_type = String, example = "correct horse battery", format = "password")]
    pub password: Secret,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The new one.
    #[schema(value_type = String, example = "correct horse battery", format = "password")]
    pub password: Secret,
}

/// Who one is, once more: the password; or nothing, to begin with a factor; or what that factor then shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    /// The password.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, example = "correct horse battery", max_length = 1024)]
    pub password: Option<Secret>,
    /// Begins a confirmation by one of the account's factors.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub method: Option<Method>,
    /// For whom cookies do not work: the `confirm_token` of the answer to `method`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, max_length = 64)]
    pub confirm_token: Option<Secret>,
    /// A code that was sent, or one of an authenticator app.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, max_length = 64)]
    pub code: Option<Secret>,
    /// What `navigator.credentials.get` gave.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Object)]
    pub credential: Option<Value>,
}

/// The code that was sent to a number or address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    /// The code.
    #[schema(value_type = String, example = "314159", max_length = 64)]
    pub code: Secret,
}

/// The first code of an authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotpBody {
    /// The `id` that its beginning was answered with.
    pub id: Uuid,
    /// The code.
    #[schema(value_type = String, example = "314159", max_length = 64)]
    pub code: Secret,
    /// The person's own name for it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "My phone", max_length = 60)]
    pub name: Option<String>,
}

/// A passkey that was made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPasskeyBody {
    /// What `navigator.credentials.create` gave, by its `toJSON()`.
    #[schema(value_type = Object)]
    pub credential: Value,
    /// The person's own name for it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "My laptop", max_length = 60)]
    pub name: Option<String>,
}

/// A refresh token; nothing where the session's cookie is there.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// The newest one. Each is good once.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, max_length = 64)]
    pub refresh_token: Option<Secret>,
    /// The service that the access token is for: one of `tokens.audiences`. Left out: the usual one.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, max_length = 255, example = "https://shop.example.com")]
    pub audience: Option<String>,
}

/// An access token that somebody showed to a service (RFC 7662). A form, as there, or JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectBody {
    /// The token.
    #[schema(value_type = String)]
    pub token: Secret,
    /// What it is, for servers that know several kinds. Ignored.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    #[expect(dead_code, reason = "part of the standard, and nothing here depends on it")]
    pub token_type_hint: Option<String>,
}

/// What was typed: one field of three.
pub fn typed(email: Option<String>, phone: Option<String>, identifier: Option<String>) -> Result<Option<String>, Problem> {
    let fields = [("email", email), ("phone", phone), ("identifier", identifier)];
    let mut given = fields.into_iter().filter_map(|(field, typed)| Some((field, typed?)));
    let typed = given.next().map(|(_, typed)| typed);
    match given.next() {
        Some((second, _)) => {
            Err(Problem::new(ProblemCode::InvalidField).detail("Give only one of email, phone and identifier.").field(second))
        }
        None => Ok(typed),
    }
}

/// The same where there has to be one.
pub fn needed(typed: Option<String>) -> Result<String, Problem> {
    typed.filter(|typed| !typed.trim().is_empty()).ok_or_else(|| InvalidField::new("email", "(or phone, or identifier) is missing").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field that is one too many was sent.
    #[test]
    fn who_it_is_is_said_once() {
        let text = |given: bool| given.then(|| "ann@example.com".to_owned());
        for (fields, second) in [
            ([true, true, false], "phone"),
            ([true, false, true], "identifier"),
            ([false, true, true], "identifier"),
            ([true, true, true], "phone"),
        ] {
            let problem = typed(text(fields[0]), text(fields[1]), text(fields[2])).expect_err("two of them");
            assert_eq!(problem.body(String::new()).field.as_deref(), Some(second), "{fields:?}");
        }
        assert_eq!(typed(None, text(true), None).ok().flatten(), text(true));
        assert_eq!(typed(None, None, None).ok().flatten(), None);
    }
}
