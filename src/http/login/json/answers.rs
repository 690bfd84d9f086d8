//! The bodies of answers.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::model::{Identifier, IdentifierKind, Method, Session};
use crate::account::sign_in::Step;
use crate::db::accounts::FactorRow;

/// A sentence for people.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageBody {
    /// The sentence.
    #[schema(example = "OTP sent")]
    pub message: &'static str,
    /// What is asked for, where it is not a code that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
}

/// The end of a sign-in: a token, or a sentence where one more step is needed.
#[derive(Serialize, ToSchema, Default)]
#[schema(as = SignedIn)]
pub struct SignedInBody {
    /// For other services, as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where it was wanted: good once, for the next pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds for which the access token is good. Where a refresh token was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 600)]
    pub expires_in: Option<i64>,
    /// Where nothing is signed in yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    /// What is asked for next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
}

/// What is asked for, and what would do as well.
#[derive(Serialize, ToSchema)]
#[schema(as = Step)]
pub struct StepBody {
    /// What was asked for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Where the code went, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "+49*********78")]
    pub sent_to: Option<String>,
    /// From then on the code is dead.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// From then on it may be sent again.
    #[schema(format = DateTime)]
    pub resend_after: String,
    /// Everything that would do.
    pub methods: Vec<Method>,
    /// For `navigator.credentials.get`, where a passkey was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub passkey: Option<Value>,
    /// Names a confirmation for whom cookies do not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_token: Option<String>,
}

impl From<Step> for StepBody {
    fn from(step: Step) -> StepBody {
        StepBody {
            method: step.method,
            sent_to: step.sent_to,
            expires_at: step.expires_at.to_string(),
            resend_after: step.resend_after.to_string(),
            methods: step.methods,
            passkey: step.passkey,
            confirm_token: None,
        }
    }
}

/// `/protected`.
#[derive(Serialize, ToSchema)]
#[schema(as = Protected)]
pub struct ProtectedBody {
    /// "Welcome!"
    #[schema(example = "Welcome!")]
    pub message: &'static str,
    /// What the token says.
    #[schema(value_type = Object)]
    pub user: Value,
}

/// A reset that has begun.
#[derive(Serialize, ToSchema)]
#[schema(as = Forgot)]
pub struct ForgotBody {
    /// A sentence for people; the same for everybody.
    pub message: &'static str,
    /// For clients without cookies.
    pub reset_token: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub struct MeBody {
    /// The account: `sub` of its tokens.
    pub id: Uuid,
    /// May be empty.
    #[schema(example = "Ada Lovelace")]
    pub full_name: String,
    /// What operators have made of it.
    pub roles: Vec<String>,
    /// Its numbers and addresses.
    pub identifiers: Vec<IdentifierItem>,
    /// This session.
    pub session: SessionItem,
    /// Whether changes that matter are allowed now, without confirming first.
    pub is_fresh: bool,
}

/// A number or address.
#[derive(Serialize, ToSchema)]
#[schema(as = Identifier)]
pub struct IdentifierItem {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub kind: IdentifierKind,
    /// In full: it is the person's own.
    #[schema(example = "+4915112345678")]
    pub value: String,
    /// Whether a code sent there came back.
    pub verified: bool,
    /// Of one that was just claimed: from then on the code may be sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub resend_after: Option<String>,
}

impl From<Identifier> for IdentifierItem {
    fn from(identifier: Identifier) -> IdentifierItem {
        IdentifierItem {
            id: identifier.id,
            kind: identifier.kind,
            value: identifier.value,
            verified: identifier.proven_at.is_some(),
            resend_after: None,
        }
    }
}

/// Numbers and addresses.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentifierList)]
pub struct IdentifierList {
    /// The oldest first.
    pub data: Vec<IdentifierItem>,
}

/// A factor.
#[derive(Serialize, ToSchema)]
#[schema(as = Factor)]
pub struct FactorItem {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub method: Method,
    /// The person's own name for it.
    #[schema(example = "My phone")]
    pub name: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<FactorRow> for FactorItem {
    fn from(row: FactorRow) -> FactorItem {
        FactorItem { id: row.id, method: row.method, name: row.name, created_at: row.created_at.to_string() }
    }
}

/// Factors.
#[derive(Serialize, ToSchema)]
#[schema(as = FactorList)]
pub struct FactorListBody {
    /// Authenticator apps and passkeys, the oldest first.
    pub data: Vec<FactorItem>,
    /// How many recovery codes are left.
    #[schema(example = 10)]
    pub recovery_codes_left: usize,
    /// Whether browsers offer passkeys here.
    pub passkeys: bool,
}

/// An authenticator app to be set up. Shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = NewTotp)]
pub struct NewTotpBody {
    /// Names it until its first code.
    pub id: Uuid,
    /// To type by hand (base32).
    pub secret: String,
    /// To open on the same device.
    #[schema(example = "otpauth://totp/…")]
    pub uri: String,
    /// The same as a picture (SVG).
    #[schema(example = "<svg …")]
    pub qr: String,
}

/// Recovery codes. Shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
pub struct RecoveryCodesBody {
    /// To be written down. Earlier ones are dead.
    pub codes: Vec<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionItem {
    /// Its id: `sid` of its tokens.
    pub id: Uuid,
    /// Whether it is this one.
    pub current: bool,
    /// `amr`.
    pub methods: Vec<String>,
    /// `acr`.
    #[schema(example = "aal2")]
    pub assurance: &'static str,
    /// When it began.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Its last request, to the minute.
    #[schema(format = DateTime)]
    pub seen_at: String,
    /// Its end.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// The network where it began.
    #[schema(example = "203.0.113.9")]
    pub address: String,
    /// The browser's own name for itself.
    pub agent: String,
}

impl SessionItem {
    /// `current`: the id of the session that asks.
    pub fn new(session: Session, current: Uuid) -> SessionItem {
        SessionItem {
            id: session.id,
            current: session.id == current,
            methods: session.methods,
            assurance: session.assurance.as_str(),
            created_at: session.created_at.to_string(),
            seen_at: session.seen_at.to_string(),
            expires_at: session.expires_at.to_string(),
            address: session.address,
            agent: session.agent,
        }
    }
}

/// Sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionList)]
pub struct SessionListBody {
    /// The newest first.
    pub data: Vec<SessionItem>,
}

/// How many ended.
#[derive(Serialize, ToSchema)]
#[schema(as = Ended)]
pub struct EndedBody {
    /// How many.
    #[schema(example = 1)]
    pub ended: u64,
}

/// What a token is worth (RFC 7662).
#[derive(Serialize, ToSchema)]
#[schema(as = Introspection)]
pub struct IntrospectionBody {
    /// Whether it is good, and its session alive. Without that nothing more is said.
    pub active: bool,
    /// `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// What it says.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub claims: serde_json::Map<String, Value>,
}
