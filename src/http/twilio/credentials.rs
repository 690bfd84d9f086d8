//! Whose credentials are whose: looked up in the database, and remembered for a second, so that a revoked client's die within one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::db::client::Client;
use crate::db::twilio::{Credential, CredentialTable};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;

/// How long a look-up is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// SIDs remembered at most; then all are forgotten.
const SIDS: usize = 10_000;

#[derive(Clone)]
struct Entry {
    found: Option<Arc<Credential>>,
    looked_up_at: Timestamp,
}

/// Account SIDs and API keys, as the routes ask for them.
pub struct Credentials {
    table: CredentialTable,
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<String, Entry>>,
}

impl Credentials {
    /// Those of this table.
    pub fn new(table: CredentialTable, clock: Arc<dyn Clock>) -> Credentials {
        Credentials { table, clock, entries: Mutex::default() }
    }

    /// The table, for who signs with an Auth Token.
    pub fn table(&self) -> &CredentialTable {
        &self.table
    }

    /// The client with this very secret, if it is not revoked.
    pub async fn client_of(&self, user: &str, secret: &str) -> Result<Option<Arc<Client>>, Refusal> {
        let sid = sid::canonical(sid::ACCOUNT, user).or_else(|| sid::canonical(sid::KEY, user));
        let Some(sid) = sid else { return Ok(None) };
        let now = self.clock.now();
        let remembered = self.entries().get(&sid).filter(|entry| now < entry.looked_up_at + REMEMBERED).cloned();
        let entry = match remembered {
            Some(entry) => entry,
            None => self.look_up(sid, now).await?,
        };
        Ok(entry.found.filter(|credential| credential.has_secret(secret)).map(|credential| Arc::clone(&credential.client)))
    }

    async fn look_up(&self, sid: String, now: Timestamp) -> Result<Entry, Refusal> {
        let found = self.table.by_sid(&sid).await?;
        let entry = Entry { found: found.map(Arc::new), looked_up_at: now };
        let mut entries = self.entries();
        if entries.len() >= SIDS {
            entries.clear();
        }
        entries.insert(sid, entry.clone());
        Ok(entry)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
