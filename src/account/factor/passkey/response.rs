//! What the browser answers: `PublicKeyCredential.toJSON()`. Fields that browsers add are ignored, as the specification
//! asks; bytes are in base64url without padding, in their one spelling.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Asked, CREDENTIAL_ID_MAX_BYTES, PasskeyError, RelyingParty};
use crate::account::model::AccountId;

/// The answer to `navigator.credentials.create`.
#[derive(Deserialize)]
pub struct RegistrationResponse(Credential<Attestation>);

/// The answer to `navigator.credentials.get`.
#[derive(Deserialize)]
pub struct AuthenticationResponse(Credential<Assertion>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential<R> {
    id: String,
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: R,
}

#[derive(Deserialize)]
pub(super) struct Attestation {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data: Base64Url,
    #[serde(rename = "attestationObject")]
    pub(super) attestation_object: Base64Url,
}

#[derive(Deserialize)]
pub(super) struct Assertion {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data: Base64Url,
    #[serde(rename = "authenticatorData")]
    pub(super) authenticator_data: Base64Url,
    pub(super) signature: Base64Url,
    #[serde(rename = "userHandle")]
    user_handle: Option<Base64Url>,
}

/// Bytes, as JSON carries them.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Base64Url(pub(super) Vec<u8>);

impl TryFrom<String> for Base64Url {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Base64Url, base64::DecodeError> {
        URL_SAFE_NO_PAD.decode(text).map(Base64Url)
    }
}

impl RegistrationResponse {
    /// Reads the JSON of the form field.
    pub fn parse(json: &str) -> Result<RegistrationResponse, PasskeyError> {
        let response: RegistrationResponse = serde_json::from_str(json).map_err(|_| PasskeyError::Malformed)?;
        response.0.is_passkey().then_some(response).ok_or(PasskeyError::Malformed)
    }

    pub(super) fn credential_id(&self) -> &str {
        &self.0.id
    }

    pub(super) fn attestation(&self) -> &Attestation {
        &self.0.response
    }
}

impl AuthenticationResponse {
    /// Reads the JSON of the form field.
    pub fn parse(json: &str) -> Result<AuthenticationResponse, PasskeyError> {
        let response: AuthenticationResponse = serde_json::from_str(json).map_err(|_| PasskeyError::Malformed)?;
        response.0.is_passkey().then_some(response).ok_or(PasskeyError::Malformed)
    }

    /// The passkey that it claims to be, to be found by. Nothing is proven yet.
    pub fn credential_id(&self) -> &str {
        &self.0.id
    }

    /// The account that it claims to be for; none when the browser did not say, an error when it is no account's.
    pub(super) fn account(&self) -> Result<Option<AccountId>, PasskeyError> {
        let Some(Base64Url(bytes)) = &self.0.response.user_handle else { return Ok(None) };
        AccountId::from_slice(bytes).map(Some).map_err(|_| PasskeyError::WrongPasskey)
    }

    pub(super) fn assertion(&self) -> &Assertion {
        &self.0.response
    }
}

impl<R> Credential<R> {
    /// Its id may be looked for: it is one, and nothing else that somebody typed.
    fn is_passkey(&self) -> bool {
        let is_id = URL_SAFE_NO_PAD.decode(&self.id).is_ok_and(|id| (1..=CREDENTIAL_ID_MAX_BYTES).contains(&id.len()));
        self.kind == "public-key" && self.id == self.raw_id && is_id
    }
}

/// What the browser says about the page. More fields come with time, and are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<serde::de::IgnoredAny>,
}

/// Checks what the browser says about the page, and returns the hash that the authenticator signed.
/// The numbers are those of registration (7.1), and in brackets of authentication (7.2).
pub(super) fn checked_client_data(json: &[u8], kind: &str, party: &RelyingParty, asked: &Asked<'_>) -> Result<[u8; 32], PasskeyError> {
    // 5 (8), 6 (9): UTF-8 without a byte order mark, then JSON.
    let text = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let client_data: ClientData = serde_json::from_slice(text).map_err(|_| PasskeyError::Malformed)?;
    // 7 (10)
    if client_data.kind != kind {
        return Err(PasskeyError::WrongType);
    }
    // 8 (11)
    if client_data.challenge != asked.challenge {
        return Err(PasskeyError::WrongChallenge);
    }
    // 9 (12)
    if !party.origins.contains(&client_data.origin) {
        return Err(PasskeyError::WrongOrigin);
    }
    // 10 (13), 11 (14): our pages stand in nobody's frame.
    if client_data.cross_origin || client_data.top_origin.is_some() {
        return Err(PasskeyError::WrongOrigin);
    }
    // 12 (20)
    Ok(Sha256::digest(json).into())
}
