//! Hashing and checking passwords, on threads of their own.
//!
//! A check takes the same work whether or not there is an account (ENM-01). What was made with weaker parameters, under the
//! pepper before, or elsewhere, is answered with a new hash that the caller stores (PWD-02).

use std::sync::{Arc, Mutex, PoisonError};

use argon2::Block;

use super::foreign::Foreign;
use super::keyed::{self, Keyed, NotHashed, Work};
use super::pool::{Pool, Unserved};
use super::{HashSettings, Password};
use crate::account::password::policy;
use crate::secret::{Entropy, Peppers};
use crate::verification::request::InvalidField;

/// What a check found.
#[derive(Clone, PartialEq, Eq)]
pub enum Verified {
    /// Not the password, or there is none.
    No,
    /// The password.
    Yes,
    /// The password; and this is to be stored in place of what was checked.
    YesAnd(String),
}

impl Verified {
    /// Whether it was the password.
    pub fn passed(&self) -> bool {
        !matches!(self, Verified::No)
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Verified::No => "No",
            Verified::Yes => "Yes",
            Verified::YesAnd(_) => "YesAnd([redacted])",
        })
    }
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// So many wait already that this one would wait too long: come again in a second or two.
    #[error("too many passwords are being checked")]
    Busy,
    /// It did not work.
    #[error("the password could not be hashed")]
    Failed(#[source] Option<NotHashed>),
}

impl From<Unserved> for HashError {
    fn from(unserved: Unserved) -> HashError {
        match unserved {
            Unserved::Busy => HashError::Busy,
            Unserved::Failed => HashError::Failed(None),
        }
    }
}

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    pool: Arc<Pool>,
    rules: Arc<Rules>,
}

struct Rules {
    work: Work,
    peppers: Peppers,
    entropy: Arc<dyn Entropy>,
    /// Held while a foreign hash takes more memory than ours do: one at a time, so that an import cannot multiply it.
    large: Mutex<()>,
}

impl Hasher {
    /// Starts the threads. The settings are checked ones.
    pub fn new(settings: &HashSettings, peppers: Peppers, entropy: Arc<dyn Entropy>) -> std::io::Result<Hasher> {
        let work = Work { memory: settings.hash_memory, passes: settings.hash_passes };
        let pool = Arc::new(Pool::new(settings.threads(), settings.hash_queue)?);
        Ok(Hasher { pool, rules: Arc::new(Rules { work, peppers, entropy, large: Mutex::new(()) }) })
    }

    /// What is stored of a password.
    pub async fn hash(&self, password: Password) -> Result<String, HashError> {
        let rules = Arc::clone(&self.rules);
        self.pool.run(move |blocks| rules.hash(&password, blocks)).await?.map_err(|error| HashError::Failed(Some(error)))
    }

    /// Whether the password made `stored`: one of our hashes or another system's. None takes the same work and never passes.
    pub async fn verify(&self, password: Password, stored: Option<String>) -> Result<Verified, HashError> {
        let rules = Arc::clone(&self.rules);
        let verified = self.pool.run(move |blocks| rules.verify(&password, stored.as_deref(), blocks)).await?;
        verified.map_err(|error| HashError::Failed(Some(error)))
    }

    /// Whether the password may be set ([`policy::acceptable`]). Here, because looking it up in all that is common takes a while.
    pub async fn acceptable(
        &self,
        password: &Password,
        with_second_factor: bool,
        own_words: Vec<String>,
    ) -> Result<Result<(), InvalidField>, HashError> {
        let password = password.clone();
        let judge = move |_: &mut Vec<Block>| {
            let own_words: Vec<&str> = own_words.iter().map(String::as_str).collect();
            policy::acceptable(&password, with_second_factor, &own_words)
        };
        Ok(self.pool.run(judge).await?)
    }

    /// Passwords that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }
}

impl Rules {
    fn hash(&self, password: &Password, blocks: &mut Vec<Block>) -> Result<String, NotHashed> {
        keyed::hash(password, &self.peppers.current, self.work, &*self.entropy, blocks)
    }

    fn verify(&self, password: &Password, stored: Option<&str>, blocks: &mut Vec<Block>) -> Result<Verified, NotHashed> {
        if let Some(keyed) = stored.and_then(Keyed::parse)
            && let Some(pepper) = self.peppers.by_id(keyed.pepper)
        {
            let current = keyed.pepper == self.peppers.current.id() && keyed.work == self.work;
            return match keyed.is_of(password, pepper, blocks)? {
                true if current => Ok(Verified::Yes),
                true => self.hash(password, blocks).map(Verified::YesAnd),
                false => Ok(Verified::No),
            };
        }
        match stored.map(Foreign::parse) {
            Some(Ok(foreign)) => match self.is_of(&foreign, password) {
                true => self.hash(password, blocks).map(Verified::YesAnd),
                false => Ok(Verified::No),
            },
            Some(Err(refused)) => {
                tracing::warn!(reason = %refused, "an account's password cannot be checked: it has to be reset");
                self.pretend(password, blocks)
            }
            None => self.pretend(password, blocks),
        }
    }

    fn is_of(&self, foreign: &Foreign, password: &Password) -> bool {
        let large = foreign.memory() > self.work.memory;
        let _one_at_a_time = large.then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner));
        foreign.is_of(password)
    }

    /// As much work as a check.
    fn pretend(&self, password: &Password, blocks: &mut Vec<Block>) -> Result<Verified, NotHashed> {
        self.hash(password, blocks).map(|_| Verified::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Pepper, SystemEntropy};

    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn settings() -> HashSettings {
        HashSettings { hash_threads: 2, ..HashSettings::default() }
    }

    fn hasher(settings: &HashSettings, current: u8, previous: Option<u8>) -> Hasher {
        let pepper = |key: u8| Pepper::new(&[key; 32]).expect("long enough");
        let peppers = Peppers { current: pepper(current), previous: previous.map(pepper) };
        Hasher::new(settings, peppers, Arc::new(SystemEntropy)).expect("threads")
    }

    fn password(text: &str) -> Password {
        Password::parse(text).expect("a password")
    }

    async fn verified(hasher: &Hasher, text: &str, stored: &str) -> Verified {
        hasher.verify(password(text), Some(stored.to_owned())).await.expect("judged")
    }

    /// Checks once, and insists on a new hash that passes and needs no other.
    async fn upgraded(hasher: &Hasher, text: &str, stored: &str) -> String {
        let Verified::YesAnd(new) = verified(hasher, text, stored).await else { panic!("no new hash") };
        assert_eq!(verified(hasher, text, &new).await, Verified::Yes);
        assert_eq!(verified(hasher, "another", stored).await, Verified::No);
        new
    }

    /// PWD-02: a hash is replaced when parameters are raised, when the pepper changes, and when it came from elsewhere.
    #[tokio::test]
    async fn a_hash_that_is_not_as_new_ones_are_is_replaced() {
        let old = hasher(&settings(), 1, None);
        let stored = old.hash(password("open")).await.expect("a hash");
        assert_eq!(verified(&old, "open", &stored).await, Verified::Yes);
        assert_eq!(verified(&old, "Open", &stored).await, Verified::No);

        let raised = hasher(&HashSettings { hash_passes: 3, ..settings() }, 1, None);
        assert!(upgraded(&raised, "open", &stored).await.starts_with("$argon2id$v=19$m=19456,t=3,p=1,"));

        let turned = hasher(&settings(), 2, Some(1));
        assert_ne!(upgraded(&turned, "open", &stored).await, stored);
        // Without the pepper that made it, it is good for nothing.
        assert_eq!(verified(&hasher(&settings(), 2, None), "open", &stored).await, Verified::No);

        assert!(upgraded(&old, "U*U", BCRYPT).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid="));
    }

    /// ENM-01: whoever does not exist takes as much work as somebody who does, and never gets in.
    #[tokio::test]
    async fn nobody_takes_as_long_as_somebody() {
        let hasher = hasher(&HashSettings { hash_threads: 1, ..settings() }, 1, None);
        let stored = hasher.hash(password("open")).await.expect("a hash");
        #[expect(clippy::disallowed_methods, reason = "measures a duration")]
        let now = std::time::Instant::now;
        let (mut somebody, mut nobody) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            let begun = now();
            assert_eq!(verified(&hasher, "wrong", &stored).await, Verified::No);
            somebody.push(begun.elapsed());
            let begun = now();
            assert_eq!(hasher.verify(password("open"), None).await.expect("judged"), Verified::No);
            nobody.push(begun.elapsed());
            assert_eq!(verified(&hasher, "open", "damaged").await, Verified::No);
        }
        // The best of some: this machine does other things as well. A difference in kind would be a factor of hundreds.
        let best = |times: Vec<std::time::Duration>| times.into_iter().min().unwrap_or_default().as_secs_f64();
        let ratio = best(nobody) / best(somebody);
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
    }

    /// PWD-03, A51: 2,000 at once take the memory of the threads, and whoever finds the queue full is told so.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn two_thousand_at_once_take_the_memory_of_the_threads() {
        let resident = |field: &str| {
            let status = std::fs::read_to_string("/proc/self/status").expect("a status");
            let line = status.lines().find(|line| line.starts_with(field)).expect("a line");
            line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("KiB")
        };
        let hasher = hasher(&HashSettings { hash_queue: 100, ..settings() }, 1, None);
        // Forget what earlier tests of the same process took at most.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let base = resident("VmRSS:");
        let all = (0..2_000).map(|number| {
            let hasher = hasher.clone();
            tokio::spawn(async move { hasher.verify(password(&number.to_string()), None).await })
        });
        let (mut judged, mut busy) = (0, 0);
        for one in futures_util::future::join_all(all).await {
            match one.expect("no panic") {
                Ok(verified) => {
                    assert_eq!(verified, Verified::No);
                    judged += 1;
                }
                Err(HashError::Busy) => busy += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(judged >= 100 && busy > 1_000, "{judged} judged, {busy} sent away");
        // The highest since the start; 8 MiB for 2,000 tasks and what the allocator keeps.
        let (most, threads) = (resident("VmHWM:"), 2 * 19_456);
        println!("resident: {base} KiB, at most {most} KiB; {judged} judged, {busy} sent away");
        assert!(most <= base + threads + 8_192, "{base} KiB, then {most} KiB");
    }

    /// LOG-02: a new hash is not printed by accident.
    #[test]
    fn a_hash_does_not_print() {
        assert_eq!(format!("{:?}", Verified::YesAnd("hush".into())), "YesAnd([redacted])");
    }
}
