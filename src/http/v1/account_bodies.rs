//! The bodies of the operators' routes. Numbers and addresses are masked: whoever looks somebody up knows theirs already.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::model::{Identifier, IdentifierKind, Method, Session};
use crate::account::operator::Overview;
use crate::http::v1::bodies::given;
use crate::verification::destination::Destination;

/// Whether an account may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AccountStatus)]
pub enum Status {
    /// It may.
    Active,
    /// It may not: an operator switched it off.
    Disabled,
}

impl Status {
    /// Whether it may.
    pub fn is_active(self) -> bool {
        self == Status::Active
    }
}

/// What is to be different.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange)]
pub struct ChangeBody {
    /// Whether it may sign in. Left out: as it was.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// All its roles, as its tokens name them. Left out: as they were.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 32, example = json!(["staff"]))]
    pub roles: Option<Vec<String>>,
}

/// An account, as operators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = OperatorAccount)]
pub struct AccountBody {
    /// Its id: `sub` of its tokens.
    pub id: Uuid,
    /// May be empty.
    #[schema(example = "Ada Lovelace")]
    pub full_name: String,
    /// Whether it may sign in.
    pub status: Status,
    /// What its tokens say of it.
    pub roles: Vec<String>,
    /// Its numbers and addresses.
    pub identifiers: Vec<MaskedIdentifier>,
    /// What is enrolled. Of one account, not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<Method>,
    /// BCP 47.
    #[schema(example = "en")]
    pub locale: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// A number or address.
#[derive(Serialize, ToSchema)]
pub struct MaskedIdentifier {
    /// What it is.
    pub kind: IdentifierKind,
    /// Masked.
    #[schema(example = "+49*********78")]
    pub value: String,
    /// Whether a code sent there came back: only then the account owns it.
    pub verified: bool,
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountList)]
pub struct AccountListBody {
    /// Accounts.
    pub data: Vec<AccountBody>,
    /// Pass it as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_before: Option<Uuid>,
}

/// Where somebody is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountSession)]
pub struct AccountSessionItem {
    /// Its id: `sid` of its tokens.
    pub id: Uuid,
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

/// Somebody's sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountSessions)]
pub struct AccountSessionsBody {
    /// The newest first.
    pub data: Vec<AccountSessionItem>,
}

/// How many ended.
#[derive(Serialize, ToSchema)]
#[schema(as = EndedSessions)]
pub struct EndedSessionsBody {
    /// How many.
    #[schema(example = 1)]
    pub ended: u64,
}

impl From<Overview> for AccountBody {
    fn from(Overview { account, identifiers, factors }: Overview) -> AccountBody {
        AccountBody {
            id: account.id,
            full_name: account.full_name,
            status: if account.is_active { Status::Active } else { Status::Disabled },
            roles: account.roles,
            identifiers: identifiers.into_iter().map(Into::into).collect(),
            factors,
            locale: account.locale.to_string(),
            created_at: account.created_at.to_string(),
        }
    }
}

impl From<Identifier> for MaskedIdentifier {
    fn from(identifier: Identifier) -> MaskedIdentifier {
        // It was parsed when it was stored.
        let value = Destination::parse(&identifier.value, None).map(|destination| destination.masked()).unwrap_or_default();
        MaskedIdentifier { kind: identifier.kind, value, verified: identifier.proven_at.is_some() }
    }
}

impl From<Session> for AccountSessionItem {
    fn from(session: Session) -> AccountSessionItem {
        AccountSessionItem {
            id: session.id,
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
