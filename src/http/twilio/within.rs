//! What nearly every handler needs to know: who calls, in which of their services, and where they reached us.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::app::App;
use crate::db::client::Scope;
use crate::http::twilio::account::Account;
use crate::http::twilio::paging::Origin;
use crate::http::twilio::refusal::Refusal;
use crate::verification::request::Caller;
use crate::verification::service::Service;

/// The name of the service's SID in every route below `/v2/Services/{service}`.
const PARAMETER: &str = "service";

/// A service, and the caller who may use it. Another account's is not there (OPS-07).
pub struct Within {
    /// Who calls.
    pub account: Account,
    /// The service.
    pub service: Arc<Service>,
    /// Where the caller reached us.
    pub origin: Origin,
    /// What was asked for, as it came.
    pub path: String,
}

impl Within {
    /// The caller of the engine, if the credentials have the scope.
    pub fn caller(&self, scope: Scope, ip: Option<IpAddr>) -> Result<Caller, Refusal> {
        self.account.may(scope)?;
        Ok(self.account.caller(&self.service.name, ip))
    }

    /// The path of something in the service: `/v2/Services/VA…/` and that.
    pub fn path_of(&self, rest: &str) -> String {
        format!("/v2/Services/{}/{rest}", self.service.sid)
    }

    /// Its URL.
    pub fn url(&self, rest: &str) -> String {
        self.origin.url(&self.path_of(rest))
    }

    /// 20404 for what was asked for.
    pub fn not_found(&self) -> Refusal {
        Refusal::not_found(&self.path)
    }
}

impl FromRequestParts<Arc<App>> for Within {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let account = Account::from_request_parts(parts, app).await?;
        let origin = Origin::from_request_parts(parts, app).await?;
        let path = parts.uri.path().to_owned();
        let parameters = RawPathParams::from_request_parts(parts, app).await.map_err(|_| Refusal::not_found(&path))?;
        // As in a form: no database need be asked for such a name.
        if parameters.iter().any(|(_, value)| value.contains('\0')) {
            return Err(Refusal::not_found(&path));
        }
        let sid = parameters.iter().find(|(name, _)| *name == PARAMETER).map(|(_, value)| value);
        let found = match (&app.twilio, sid) {
            (Some(face), Some(sid)) => face.services.find(&app.engine.policies, account.client(), sid).await?,
            _ => None,
        };
        let service = found.ok_or_else(|| Refusal::not_found(&path))?;
        Ok(Within { account, service, origin, path })
    }
}
