//! People who come from another system: putting them among the accounts.
//!
//! Each leaves an event, so that a second run knows whom the first one put there, and does not take a stranger's claim to the
//! same number for them. It refuses nothing silently: what became of each is told in the order in which they came.

use crate::account::model::IdentifierKind;
use crate::clock::Timestamp;
use crate::db::accounts::{NewAccount, NewEvent, make, note};
use crate::db::database::{Change, DataError, Database, statement};
use crate::id;
use crate::secret::{Entropy, Redacted};
use crate::verification::Destination;

/// A person, as the other system knows them.
#[derive(Debug)]
pub struct Person {
    /// As they wrote it; may be empty.
    pub full_name: String,
    /// Number and address; one of them at least.
    pub identifiers: Vec<Destination>,
    /// A hash that we can check.
    pub password: Option<Redacted<String>>,
    /// When they registered there.
    pub created_at: Timestamp,
}

/// What is true of all who come.
pub struct Terms<'a> {
    /// The time of the import.
    pub now: Timestamp,
    /// The language of messages to them.
    pub locale: &'a str,
    /// Whether the other system had proven the numbers and addresses.
    pub verified: bool,
    /// For ids.
    pub entropy: &'a dyn Entropy,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Is an account now.
    Added,
    /// Was one already, from an earlier run.
    There,
    /// The number or address is another account's.
    Taken,
}

/// Puts them among the accounts, all or none of them, and says what became of each. `keep`: not only to see what would.
pub async fn place(database: &Database, people: &[Person], terms: &Terms<'_>, keep: bool) -> Result<Vec<Placed>, DataError> {
    database.retrying(|| place_once(database, people, terms, keep)).await
}

async fn place_once(database: &Database, people: &[Person], terms: &Terms<'_>, keep: bool) -> Result<Vec<Placed>, DataError> {
    let mut change = database.change().await?;
    change.lock(&people.iter().flat_map(|person| &person.identifiers).map(Destination::canonical).collect::<Vec<_>>()).await?;
    let mut placed = Vec::with_capacity(people.len());
    for person in people {
        placed.push(place_one(&mut change, person, terms).await?);
    }
    if keep {
        change.commit().await?;
    }
    Ok(placed)
}

async fn place_one(change: &mut Change, person: &Person, terms: &Terms<'_>) -> Result<Placed, DataError> {
    for identifier in &person.identifiers {
        let there = "SELECT e.id FROM identifier i JOIN account_event e ON e.account_id = i.account_id \
                     WHERE i.value = ? AND i.origin = 'registered' AND e.kind = 'account.imported'";
        let there: Option<(String,)> = statement(there).bind(identifier.canonical()).fetch_optional(&mut *change).await?;
        if there.is_some() {
            return Ok(Placed::There);
        }
        let owned = statement("SELECT id FROM identifier WHERE owned_value = ?").bind(identifier.canonical());
        let owned: Option<(String,)> = owned.fetch_optional(&mut *change).await?;
        if owned.is_some() {
            return Ok(Placed::Taken);
        }
    }
    let claim =
        |identifier: &Destination| (id::new(terms.now, terms.entropy), IdentifierKind::of(identifier), identifier.canonical().to_owned());
    let new = NewAccount {
        id: id::new(terms.now, terms.entropy),
        full_name: person.full_name.clone(),
        locale: terms.locale.to_owned(),
        password: person.password.as_ref().map(|hash| hash.expose().clone()),
        unproven_until: None,
        identifiers: person.identifiers.iter().map(claim).collect(),
    };
    make(change, &new, terms.verified, person.created_at, terms.now).await?;
    let masked: Vec<_> = person.identifiers.iter().map(Destination::masked).collect();
    let (id, account, detail) = (id::new(terms.now, terms.entropy), Some(new.id), masked.join(" "));
    note(change, &NewEvent { id, account, at: terms.now, kind: "account.imported", address: String::new(), detail }).await?;
    Ok(Placed::Added)
}
