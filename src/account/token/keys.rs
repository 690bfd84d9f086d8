//! The keys that sign access tokens: which signs, which are published, and what a rotation does. Pure rules over rows.
//!
//! No token is refused because of a rotation (TOK-07): a new key is published at once and signs only after
//! [`PUBLISH_AHEAD`], when every service that keeps our JWKS as long as it may has seen it; the old one stays published until
//! the last token that it signed has ended. Each key is judged by its sealed private half alone: whoever can write to the
//! database and does not know the pepper cannot add a key of their own.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::LEEWAY;
use super::crypto::{SEED_BYTES, public_of, sha_256};
use super::settings::LIFE_MAX;
use crate::account::seal;
use crate::clock::Timestamp;
use crate::db::signing_key::{KeyChange, SigningKeyRow};
use crate::secret::{Entropy, Peppers};

/// How long others may keep our JWKS.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);
/// How long a key is published before it signs. Longer than [`JWKS_MAX_AGE`], and than the ten minutes for which common
/// libraries keep a JWKS whatever we say.
pub const PUBLISH_AHEAD: Duration = Duration::from_secs(15 * 60);
/// How old what a process knows of the keys may be.
pub const READ_AGAIN: Duration = Duration::from_secs(5);
/// `alg` of our keys.
pub const ALGORITHM: &str = "EdDSA";

/// A key, opened. It does not print.
pub struct SigningKey {
    /// `kid`: the thumbprint of its public half (RFC 7638).
    pub id: String,
    /// The private half.
    pub private: EncodingKey,
    /// The public half, for checking.
    pub public: DecodingKey,
    /// The public half, for publishing.
    x: String,
    active_at: Timestamp,
    retired_at: Option<Timestamp>,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Published, and signs later.
    Next,
    /// Signs.
    Signs,
    /// Published for the tokens that it signed.
    Old,
    /// No longer published.
    Ended,
}

/// No key could be made. It cannot happen with a source of randomness that works.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no signing key could be made")]
pub struct NoKey;

/// A new key, sealed.
pub fn make(peppers: &Peppers, entropy: &dyn Entropy, now: Timestamp, active_at: Timestamp) -> Result<SigningKeyRow, NoKey> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    entropy.fill(seed.as_mut());
    let x = URL_SAFE_NO_PAD.encode(public_of(seed.as_ref()).ok_or(NoKey)?);
    let id = thumbprint(&x);
    let secret = seal::seal(peppers, entropy, &context(&id), seed.as_ref()).map_err(|_| NoKey)?;
    Ok(SigningKeyRow { secret, algorithm: ALGORITHM.to_owned(), public: x, created_at: now, active_at, retired_at: None, id })
}

/// Opens a row. None: sealed under a pepper that is gone, moved from another row, or made by somebody else.
pub fn open(peppers: &Peppers, row: &SigningKeyRow) -> Option<SigningKey> {
    let seed = (row.algorithm == ALGORITHM).then(|| seal::open(peppers, &context(&row.id), &row.secret)).flatten()?;
    let public = public_of(&seed)?;
    let x = URL_SAFE_NO_PAD.encode(public);
    (thumbprint(&x) == row.id).then(|| SigningKey {
        id: row.id.clone(),
        private: EncodingKey::from_ed_der(&seed),
        public: DecodingKey::from_ed_der(&public),
        x,
        active_at: row.active_at,
        retired_at: row.retired_at,
    })
}

/// What a key is sealed for.
pub fn context(id: &str) -> [&[u8]; 2] {
    [b"signing key", id.as_bytes()]
}

/// RFC 7638: SHA-256 over the required members in the order of the alphabet.
fn thumbprint(x: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha_256(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

/// The keys at one time.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<SigningKey>,
    /// Rows that did not open.
    pub sealed: Vec<String>,
}

impl KeySet {
    /// Opens every row that opens.
    pub fn new(peppers: &Peppers, rows: &[SigningKeyRow]) -> KeySet {
        let mut set = KeySet::default();
        for row in rows {
            match open(peppers, row) {
                Some(key) => set.keys.push(key),
                None => set.sealed.push(row.id.clone()),
            }
        }
        set
    }

    /// The key that signs: of those whose time has come the newest.
    pub fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        let active = self.published(now).filter(|key| key.active_at <= now);
        active.max_by(|one, other| (one.active_at, &one.id).cmp(&(other.active_at, &other.id)))
    }

    /// The published key of that name. The name is compared and nothing else is done with it (TOK-02).
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        self.published(now).find(|key| key.id == kid)
    }

    /// The body of `/.well-known/jwks.json`.
    pub fn jwks(&self, now: Timestamp) -> Value {
        let keys = self.published(now);
        let keys = keys.map(|key| json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM, "kid": key.id, "x": key.x }));
        json!({ "keys": keys.collect::<Vec<_>>() })
    }

    fn published(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| key.retired_at.is_none_or(|end| now < end))
    }
}

/// Where each row stands.
pub fn standings(rows: &[SigningKeyRow], now: Timestamp) -> Vec<Standing> {
    let ended = |row: &SigningKeyRow| row.retired_at.is_some_and(|end| end <= now);
    let signs = rows.iter().filter(|row| !ended(row) && row.active_at <= now).max_by_key(|row| (row.active_at, &row.id));
    let standing = |row: &SigningKeyRow| match row {
        row if ended(row) => Standing::Ended,
        row if row.active_at > now => Standing::Next,
        row if signs.is_some_and(|signs| signs.id == row.id) => Standing::Signs,
        _ => Standing::Old,
    };
    rows.iter().map(standing).collect()
}

/// The first key, unless another process made one a moment ago.
pub fn first(peppers: &Peppers, rows: &[SigningKeyRow], new: SigningKeyRow, now: Timestamp) -> KeyChange {
    let there = KeySet::new(peppers, rows).signing(now).is_some();
    KeyChange { add: (!there).then_some(new), ..KeyChange::default() }
}

/// How a rotation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Nobody notices.
    Gentle,
    /// A key has leaked: the new one signs at once, and what the others signed is refused.
    AtOnce,
}

/// A rotation to `new`, which gets its time here.
pub fn rotated(peppers: &Peppers, rows: &[SigningKeyRow], new: SigningKeyRow, rotation: Rotation, now: Timestamp) -> KeyChange {
    let nobody_signs = KeySet::new(peppers, rows).signing(now).is_none();
    let at_once = rotation == Rotation::AtOnce;
    let active_at = if at_once || nobody_signs { now } else { now + PUBLISH_AHEAD };
    let end = if at_once { now } else { active_at + READ_AGAIN + LIFE_MAX + LEEWAY };
    let (over, there): (Vec<_>, Vec<_>) = rows.iter().partition(|row| at_once || row.retired_at.is_some_and(|end| end <= now));
    KeyChange {
        add: Some(SigningKeyRow { active_at, ..new }),
        retire: there.iter().filter(|row| row.retired_at.is_none()).map(|row| (row.id.clone(), end)).collect(),
        remove: over.iter().map(|row| row.id.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::token::samples::NOW;
    use crate::secret::{Pepper, SystemEntropy};

    fn peppers(byte: u8) -> Peppers {
        Peppers { current: Pepper::new(&[byte; 32]).expect("32 bytes are enough"), previous: None }
    }

    fn new(now: Timestamp) -> SigningKeyRow {
        make(&peppers(1), &SystemEntropy, now, now).expect("a key")
    }

    /// Applies a change as the table does.
    fn apply(rows: &mut Vec<SigningKeyRow>, change: KeyChange) {
        for (id, at) in change.retire {
            rows.iter_mut().filter(|row| row.id == id).for_each(|row| row.retired_at = Some(at));
        }
        rows.retain(|row| !change.remove.contains(&row.id));
        rows.extend(change.add);
    }

    fn rotate(rows: &mut Vec<SigningKeyRow>, rotation: Rotation, now: Timestamp) -> String {
        let change = rotated(&peppers(1), rows, new(now), rotation, now);
        let id = change.add.as_ref().expect("a key").id.clone();
        apply(rows, change);
        id
    }

    /// RFC 8037, appendix A.3.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        assert_eq!(thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    /// A key counts only with a private half that this server sealed, in its own row.
    #[test]
    fn a_row_of_somebody_elses_is_no_key() {
        let (mine, other) = (new(NOW), new(NOW));
        assert!(open(&peppers(1), &mine).is_some());
        assert!(open(&peppers(2), &mine).is_none(), "another pepper");
        assert!(open(&peppers(1), &SigningKeyRow { secret: other.secret.clone(), ..mine.clone() }).is_none(), "a moved seal");
        assert!(open(&peppers(1), &SigningKeyRow { id: other.id.clone(), ..mine.clone() }).is_none(), "a moved name");
        assert!(open(&peppers(1), &SigningKeyRow { algorithm: "HS256".into(), ..mine.clone() }).is_none());
        let planted = SigningKeyRow { public: other.public.clone(), ..mine.clone() };
        let set = KeySet::new(&peppers(1), &[planted]);
        assert_eq!(set.jwks(NOW)["keys"][0]["x"], mine.public, "the public half is made from the private one");
    }

    /// TOK-07: at each moment of a rotation the key that signs has been published for longer than others may keep our JWKS,
    /// and stays published until what it signed has ended. Rotations overlap, and come again.
    #[test]
    fn no_token_is_ever_without_its_key() {
        let mut rows = vec![new(NOW)];
        // For each key that was seen: since when, and the last moment in which it signed.
        let mut seen: std::collections::BTreeMap<String, (Timestamp, Option<Timestamp>)> = Default::default();
        let first = rows[0].id.clone();
        let step = Duration::from_secs(10);
        for round in 0..2_000_u32 {
            let now = NOW + step * round;
            if matches!(round, 30 | 60 | 300 | 1_000) {
                rotate(&mut rows, Rotation::Gentle, now);
            }
            let set = KeySet::new(&peppers(1), &rows);
            for key in set.jwks(now)["keys"].as_array().expect("a list") {
                seen.entry(key["kid"].as_str().expect("text").to_owned()).or_insert((now, None));
            }
            let signing = set.signing(now).expect("one signs");
            let (since, signed) = seen.get_mut(&signing.id).expect("published");
            assert!(signing.id == first || since.until(now) > JWKS_MAX_AGE + READ_AGAIN, "signs too early");
            *signed = Some(now);
            for (id, (_, signed)) in &seen {
                let alive = signed.is_some_and(|signed| signed + LIFE_MAX + LEEWAY > now);
                assert!(!alive || set.find(id, now).is_some(), "gone while its tokens live");
                let forgotten = signed.is_some_and(|signed| signed + LIFE_MAX + PUBLISH_AHEAD * 2 < now);
                assert!(!forgotten || set.find(id, now).is_none(), "there for ever");
            }
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn standings_say_what_the_set_does() {
        let mut rows = vec![new(NOW)];
        let (first, second) = (rows[0].id.clone(), rotate(&mut rows, Rotation::Gentle, NOW));
        let at = |after: Duration| standings(&rows, NOW + after);
        assert_eq!(at(Duration::ZERO), [Standing::Signs, Standing::Next]);
        assert_eq!(at(PUBLISH_AHEAD), [Standing::Old, Standing::Signs]);
        assert_eq!(at(PUBLISH_AHEAD + LIFE_MAX * 2), [Standing::Ended, Standing::Signs]);
        let set = KeySet::new(&peppers(1), &rows);
        let signs = |after: Duration| set.signing(NOW + after).map(|key| key.id.clone());
        assert_eq!((signs(Duration::ZERO), signs(PUBLISH_AHEAD)), (Some(first), Some(second)));
    }

    /// A key that leaked is gone with the command, and so is what it signed.
    #[test]
    fn a_rotation_at_once_leaves_the_new_key_only() {
        let mut rows = vec![new(NOW)];
        rotate(&mut rows, Rotation::Gentle, NOW);
        let id = rotate(&mut rows, Rotation::AtOnce, NOW);
        assert_eq!(rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&id]);
        assert_eq!(KeySet::new(&peppers(1), &rows).signing(NOW).map(|key| &key.id), Some(&id));
    }

    #[test]
    fn the_first_key_is_made_once_and_a_lost_pepper_makes_another() {
        let mut rows = Vec::new();
        let change = first(&peppers(1), &rows, new(NOW), NOW);
        apply(&mut rows, change);
        assert_eq!(first(&peppers(1), &rows, new(NOW), NOW), KeyChange::default());
        let change = first(&peppers(2), &rows, make(&peppers(2), &SystemEntropy, NOW, NOW).expect("a key"), NOW);
        apply(&mut rows, change);
        assert!(KeySet::new(&peppers(2), &rows).signing(NOW).is_some());
        let mut none = Vec::new();
        rotate(&mut none, Rotation::Gentle, NOW);
        assert!(KeySet::new(&peppers(1), &none).signing(NOW).is_some(), "where nobody signs nobody waits");
    }
}
