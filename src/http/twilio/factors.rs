//! Factors: `/v2/Services/{service}/Entities/{identity}/Factors`. Authenticator apps only: push and passkeys want an app of
//! Twilio's own, or a browser that this API does not see.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::account::factor::totp::{Algorithm, Form as TotpForm, Secret};
use crate::app::App;
use crate::db::client::Scope;
use crate::entity::factors::{Changed, Made, Proof};
use crate::entity::model::{Entity, Factor};
use crate::entity::request::{FactorChange, NewFactor};
use crate::http::twilio::date::iso;
use crate::http::twilio::entities::{entities, found, identity, invalid};
use crate::http::twilio::form::{Fields, Form};
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::request::InvalidField;

type Names = Path<(String, String, String)>;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/Entities/{identity}/Factors", get(list).post(create))
        .route("/v2/Services/{service}/Entities/{identity}/Factors/{factor}", get(fetch).post(update).delete(remove))
}

async fn create(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, name)): Path<(String, String)>,
    Form(form): Form,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    within.account.may(Scope::Write)?;
    let identity = identity(&name)?;
    let new = wanted(&within, &form)?;
    match entities(&app)?.make_factor(&within.service.name, &identity, new).await? {
        Made::Done(enrolment) => {
            let mut answer = shown(&within, &enrolment.entity, &enrolment.factor);
            answer["binding"] = json!({ "secret": enrolment.secret.as_str(), "uri": enrolment.uri.as_str() });
            answer["options"] = Value::Null;
            Ok((StatusCode::CREATED, Json(answer)))
        }
        Made::Invalid(field) => Err(invalid(&field)),
        Made::TooMany => Err(Refusal::new(StatusCode::BAD_REQUEST, 60315, "Max number of factors per entity reached")),
    }
}

async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, name)): Path<(String, String)>,
    paging: Paging,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let entity = found(&app, &within, &name).await?;
    let factors = entities(&app)?.factors_of(&entity, paging.offset(), paging.limit()).await?;
    Ok(paging.answer("factors", factors.iter().map(|factor| shown(&within, &entity, factor)).collect()))
}

async fn fetch(State(app): State<Arc<App>>, within: Within, Path((_, name, factor)): Names) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let id = sid::id(sid::FACTOR, &factor).ok_or_else(|| within.not_found())?;
    let factor = entities(&app)?.factor(&within.service.name, &name, id).await?;
    factor.map(|(entity, factor)| Json(shown(&within, &entity, &factor))).ok_or_else(|| within.not_found())
}

/// A code verifies the factor; anything else changes it.
async fn update(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, name, factor)): Names,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Write)?;
    let entity = found(&app, &within, &name).await?;
    let id = sid::id(sid::FACTOR, &factor).ok_or_else(|| within.not_found())?;
    let entities = entities(&app)?;
    let change = changes(&form, entities.factor(&within.service.name, &name, id).await?.map(|(_, factor)| factor.form))?;
    if let Some(change) = change {
        match entities.change_factor(&entity, id, change).await? {
            Changed::Done(factor) if form.text("AuthPayload").is_none() => return Ok(Json(shown(&within, &entity, &factor))),
            Changed::Done(_) => {}
            Changed::NotFound => return Err(within.not_found()),
            Changed::Invalid(field) => return Err(invalid(&field)),
        }
    }
    let Some(code) = form.text("AuthPayload") else {
        let found = entities.factor(&within.service.name, &name, id).await?;
        return found.map(|(entity, factor)| Json(shown(&within, &entity, &factor))).ok_or_else(|| within.not_found());
    };
    match entities.verify_factor(&entity, id, code).await? {
        Proof::Verified(factor) | Proof::Wrong(factor) => Ok(Json(shown(&within, &entity, &factor))),
        Proof::NotFound => Err(within.not_found()),
        Proof::TooManyTries => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, 60310, "Max factor verification attempts reached")),
        Proof::VerifiedBefore => {
            let message = "The factor is verified already: ask for its codes with a challenge";
            Err(Refusal::new(StatusCode::BAD_REQUEST, 60306, message))
        }
        Proof::Invalid(field) => Err(invalid(&field)),
    }
}

async fn remove(State(app): State<Arc<App>>, within: Within, Path((_, name, factor)): Names) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Write)?;
    let entity = found(&app, &within, &name).await?;
    let id = sid::id(sid::FACTOR, &factor).ok_or_else(|| within.not_found())?;
    match entities(&app)?.remove_factor(&entity, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(within.not_found()),
    }
}

/// What a form asks for, over what the service says of its apps.
fn wanted(within: &Within, form: &Fields) -> Result<NewFactor, Refusal> {
    match form.required("FactorType")? {
        "totp" => {}
        "push" | "passkeys" => {
            let message = "This service supports factors of type totp only";
            return Err(Refusal::new(StatusCode::FORBIDDEN, 60204, message));
        }
        _ => return Err(invalid(&InvalidField::new("FactorType", "must be totp"))),
    }
    let totp = &within.service.settings.totp;
    let usual = TotpForm {
        algorithm: Algorithm::Sha1,
        digits: u8::try_from(totp.code_length).unwrap_or_default(),
        period: u8::try_from(totp.time_step).unwrap_or_default(),
    };
    let rule = "must be Base32 of 16 bytes or more";
    let secret = match form.text("Binding.Secret").filter(|text| !text.is_empty()) {
        Some(text) => Some(Secret::from_base32(text).ok_or_else(|| invalid(&InvalidField::new("Binding.Secret", rule)))?),
        None => None,
    };
    Ok(NewFactor {
        name: form.required("FriendlyName")?.to_owned(),
        issuer: totp.issuer.clone().unwrap_or_else(|| within.service.settings.friendly_name.clone()),
        secret,
        form: totp_form(form, usual)?.unwrap_or(usual),
        skew: form.number("Config.Skew", 0..=2)?.unwrap_or(totp.skew) as u8,
        metadata: form.json("Metadata")?,
    })
}

/// Hash, digits and seconds, where the form says something of them.
fn totp_form(form: &Fields, usual: TotpForm) -> Result<Option<TotpForm>, Refusal> {
    let algorithm = match form.text("Config.Alg") {
        None | Some("") => None,
        Some(name) => {
            let rule = "must be sha1, sha256 or sha512";
            Some(Algorithm::parse(name).ok_or_else(|| invalid(&InvalidField::new("Config.Alg", rule)))?)
        }
    };
    // Which of these numbers are allowed is no question of this face.
    let byte = |name: &str| form.number(name, 0..=u32::from(u8::MAX)).map(|number| number.map(|number| number as u8));
    let (digits, period) = (byte("Config.CodeLength")?, byte("Config.TimeStep")?);
    if algorithm.is_none() && digits.is_none() && period.is_none() {
        return Ok(None);
    }
    Ok(Some(TotpForm {
        algorithm: algorithm.unwrap_or(usual.algorithm),
        digits: digits.unwrap_or(usual.digits),
        period: period.unwrap_or(usual.period),
    }))
}

fn changes(form: &Fields, current: Option<TotpForm>) -> Result<Option<FactorChange>, Refusal> {
    let change = FactorChange {
        name: form.text("FriendlyName").map(str::to_owned),
        form: totp_form(form, current.unwrap_or_default())?,
        skew: form.number("Config.Skew", 0..=u32::from(u8::MAX))?.map(|skew| skew as u8),
    };
    Ok((change.name.is_some() || change.form.is_some() || change.skew.is_some()).then_some(change))
}

fn shown(within: &Within, entity: &Entity, factor: &Factor) -> Value {
    let sid = sid::of(sid::FACTOR, factor.id);
    json!({
        "sid": sid,
        "account_sid": within.account.sid(),
        "service_sid": within.service.sid,
        "entity_sid": sid::of(sid::ENTITY, entity.id),
        "identity": entity.identity.as_str(),
        "date_created": iso(factor.created_at),
        "date_updated": iso(factor.updated_at),
        "friendly_name": factor.name,
        "status": if factor.verified_at.is_some() { "verified" } else { "unverified" },
        "factor_type": "totp",
        "config": {
            "alg": factor.form.algorithm.as_str(),
            "skew": factor.skew.steps(),
            "code_length": factor.form.digits,
            "time_step": factor.form.period,
        },
        "metadata": factor.metadata,
        "url": within.url(&format!("Entities/{}/Factors/{sid}", entity.identity.as_str())),
    })
}
