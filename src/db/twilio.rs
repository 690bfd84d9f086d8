//! `twilio_credential`: Account SIDs with their Auth Tokens, and API keys. Each belongs to a client, and is worth what it is.
//!
//! The secrets are 128 random bits in hexadecimal digits and stored as SHA-256 only (see [`crate::db::client`]); an Auth Token is
//! kept sealed as well, because what is sent to webhooks is signed with it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::account::seal::{self, NotSealed};
use crate::clock::Timestamp;
use crate::db::client::{Client, Clients};
use crate::db::database::{DataError, Database, statement};
use crate::secret::{Entropy, Peppers, Redacted};

/// What a sealed Auth Token is sealed for, beside its account.
const KIND: &[u8] = b"twilio auth token";

/// What somebody needs to call: shown once.
pub struct Made {
    /// `AC…`
    pub account_sid: String,
    /// Its token.
    pub auth_token: Redacted<String>,
    /// `SK…`
    pub api_key_sid: String,
    /// Its secret.
    pub api_key_secret: Redacted<String>,
}

/// Why none were made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DataError),
    /// The token could not be sealed.
    #[error(transparent)]
    Sealed(#[from] NotSealed),
}

/// A credential with the client that it belongs to.
pub struct Credential {
    /// The client.
    pub client: Arc<Client>,
    secret_hash: String,
}

impl Credential {
    /// Whether this is its secret, in a time that tells nothing.
    pub fn has_secret(&self, secret: &str) -> bool {
        hash(secret).as_bytes().ct_eq(self.secret_hash.as_bytes()).into()
    }
}

/// The table of credentials. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CredentialTable {
    database: Database,
}

impl CredentialTable {
    /// The credentials in that database.
    pub fn new(database: Database) -> CredentialTable {
        CredentialTable { database }
    }

    /// Makes an account and an API key for a client.
    pub async fn create(&self, client: Uuid, peppers: &Peppers, entropy: &dyn Entropy, now: Timestamp) -> Result<Made, NotMade> {
        let made = Made {
            account_sid: format!("AC{}", client.simple()),
            auth_token: Redacted::new(digits(entropy)),
            api_key_sid: format!("SK{}", digits(entropy)),
            api_key_secret: Redacted::new(digits(entropy)),
        };
        let sealed = seal::seal(peppers, entropy, &context(&client), made.auth_token.expose().as_bytes())?;
        let insert = "INSERT INTO twilio_credential (sid, client_id, secret_hash, sealed, created_at) VALUES (?, ?, ?, ?, ?)";
        let rows = [(&made.account_sid, &made.auth_token, Some(sealed)), (&made.api_key_sid, &made.api_key_secret, None)];
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                for (sid, secret, sealed) in &rows {
                    let insert = statement(insert).bind(*sid).bind(client).bind(hash(secret.expose())).bind(sealed.clone()).bind(now);
                    insert.execute(&mut change).await?;
                }
                change.commit().await
            })
            .await?;
        Ok(made)
    }

    /// The credential with that SID, unless its client was revoked.
    pub async fn by_sid(&self, sid: &str) -> Result<Option<Credential>, DataError> {
        let select = statement("SELECT client_id, secret_hash FROM twilio_credential WHERE sid = ?").bind(sid);
        let row: Option<(String, String)> = select.fetch_optional(&self.database).await?;
        let Some((id, secret_hash)) = row else { return Ok(None) };
        let Ok(id) = Uuid::try_parse(&id) else { return Ok(None) };
        let client = Clients::new(self.database.clone()).by_id(id).await?;
        Ok(client.map(|client| Credential { client: Arc::new(client), secret_hash }))
    }

    /// The Auth Token of a client, to sign with. None: it has none, or it was sealed under a pepper that is gone.
    pub async fn auth_token(&self, client: Uuid, peppers: &Peppers) -> Result<Option<Zeroizing<Vec<u8>>>, DataError> {
        let select = statement("SELECT sealed FROM twilio_credential WHERE sid = ?").bind(format!("AC{}", client.simple()));
        let row: Option<(Option<String>,)> = select.fetch_optional(&self.database).await?;
        Ok(row.and_then(|(sealed,)| seal::open(peppers, &context(&client), &sealed?)))
    }
}

/// What an Auth Token is sealed for.
pub fn context(client: &Uuid) -> [&[u8]; 2] {
    [KIND, client.as_bytes()]
}

fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

fn digits(entropy: &dyn Entropy) -> String {
    let mut bytes = Zeroizing::new([0; 16]);
    entropy.fill(bytes.as_mut_slice());
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
