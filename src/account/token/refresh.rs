//! Refresh tokens: each is good once, and gives its successor.
//!
//! The successor is derived from the token that was spent, so that the same answer can be given again to a client that never
//! heard it, for a few seconds and without keeping it anywhere (TOK-04, A40): a retry after a broken connection is no theft.
//! Any other use of a spent token is one, and the caller ends the session.

use std::time::Duration;

use crate::account::secret_token::SecretToken;
use crate::secret::Peppers;

/// How long a spent token gives its successor again.
pub const GRACE: Duration = Duration::from_secs(10);
/// Keeps their hashes apart from those of other tokens (TOK-03).
pub const PURPOSE: &str = "refresh";

/// The token after this one. Whoever has not the pepper cannot make it from the one that was spent.
///
/// A pepper that changes within the grace gives another successor: that client signs in again.
pub fn successor(peppers: &Peppers, token: &SecretToken) -> SecretToken {
    SecretToken::from_bytes(peppers.current.digest(b"countersign refresh successor\0", |field| field(token.expose().as_bytes())))
}

/// What is kept of a refresh token.
pub fn hash(token: &SecretToken) -> String {
    token.hash(PURPOSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Pepper, SystemEntropy};

    fn peppers(byte: u8) -> Peppers {
        Peppers { current: Pepper::new(&[byte; 32]).expect("32 bytes are enough"), previous: None }
    }

    /// TOK-04: the same each time, and nobody else's.
    #[test]
    fn a_successor_is_of_its_token_and_its_pepper() {
        let token = SecretToken::random(&SystemEntropy);
        let next = successor(&peppers(1), &token);
        assert_eq!(next.expose(), successor(&peppers(1), &token).expose());
        assert!(SecretToken::parse(next.expose()).is_some());
        for other in [successor(&peppers(2), &token), successor(&peppers(1), &next), token.clone()] {
            assert_ne!(next.expose(), other.expose());
        }
        assert_ne!(hash(&token), token.hash("session"));
    }
}
