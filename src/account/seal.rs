//! Secrets that have to be read again: sealed before they reach the database, and bound to their row.
//!
//! A sealed secret names the pepper that it was sealed under, so that the pepper before the current one still opens it.
//! Whoever reads the database learns nothing, and a row that was moved to somebody else's account does not open there
//! (TOTP-04). It refuses to be a password store: what is only ever compared is hashed and not sealed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::secret::{Entropy, Pepper, Peppers};

/// Names this layout, so that there can be another one day.
const VERSION: u8 = 1;
/// Before the nonce: the layout and the pepper's id.
const HEAD_BYTES: usize = 5;

/// Why nothing was sealed. It cannot happen with a secret of sensible length.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the secret could not be sealed")]
pub struct NotSealed;

/// Seals `plain` for `context`: the account's id and the kind of secret. It opens for the same context only.
pub fn seal(peppers: &Peppers, entropy: &dyn Entropy, context: &[&[u8]], plain: &[u8]) -> Result<String, NotSealed> {
    let mut head = [VERSION; HEAD_BYTES];
    head[1..].copy_from_slice(&peppers.current.id().to_be_bytes());
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    let key = key(&peppers.current).ok_or(NotSealed)?;
    let mut body = Zeroizing::new(plain.to_vec());
    let bound = Aad::from(bound(&head, context));
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), bound, &mut body).map_err(|_| NotSealed)?;
    Ok(URL_SAFE_NO_PAD.encode([&head, nonce.as_slice(), &body, tag.as_ref()].concat()))
}

/// What was sealed for this context; none when it was sealed for another, under a pepper that is gone, or not by us.
pub fn open(peppers: &Peppers, context: &[&[u8]], sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(sealed).ok()?);
    let (head, rest) = bytes.split_first_chunk_mut::<HEAD_BYTES>()?;
    let (nonce, body) = rest.split_first_chunk_mut::<NONCE_LEN>()?;
    let key = key(peppers.by_id(pepper_id(head)?)?)?;
    let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound(head, context)), body).ok()?;
    Some(Zeroizing::new(plain.to_vec()))
}

/// Whether the current pepper sealed it. What the one before sealed is sealed anew when it is opened, or it is lost with the
/// next change of peppers.
pub fn is_under_current(peppers: &Peppers, sealed: &str) -> bool {
    let head = URL_SAFE_NO_PAD.decode(sealed).ok().and_then(|bytes| bytes.first_chunk::<HEAD_BYTES>().copied());
    head.and_then(|head| pepper_id(&head)) == Some(peppers.current.id())
}

/// How everything begins that any pepper sealed, as SQL's `LIKE` takes it: [`VERSION`], as far as a whole character tells.
pub const ANY_BEGINNING: &str = "A%";

/// How everything begins that this pepper sealed, as far as whole characters tell: to look for it among rows. What begins so was
/// almost certainly sealed by it.
pub fn beginning(pepper: &Pepper) -> String {
    let mut head = [VERSION; HEAD_BYTES];
    head[1..].copy_from_slice(&pepper.id().to_be_bytes());
    let mut text = URL_SAFE_NO_PAD.encode(head);
    // The last character is not the head's alone.
    text.pop();
    text
}

fn pepper_id(head: &[u8; HEAD_BYTES]) -> Option<u32> {
    let [version, id @ ..] = *head;
    (version == VERSION).then_some(u32::from_be_bytes(id))
}

fn key(pepper: &Pepper) -> Option<LessSafeKey> {
    let key = Zeroizing::new(pepper.digest(b"countersign seal\0", |_| {}));
    Some(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok()?))
}

/// Lengths first: no two contexts share one encoding.
fn bound(head: &[u8; HEAD_BYTES], context: &[&[u8]]) -> Vec<u8> {
    let mut bound = head.to_vec();
    for field in context {
        bound.extend_from_slice(&(field.len() as u32).to_be_bytes());
        bound.extend_from_slice(field);
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    fn peppers(current: u8, previous: Option<u8>) -> Peppers {
        let pepper = |byte| Pepper::new(&[byte; 32]).expect("32 bytes are enough");
        Peppers { current: pepper(current), previous: previous.map(pepper) }
    }

    fn sealed(context: &[&[u8]]) -> String {
        seal(&peppers(1, None), &SystemEntropy, context, b"a secret").expect("sealed")
    }

    /// TOTP-04: a row that was moved to another account or another kind does not open, nor does text move between fields.
    #[test]
    fn a_seal_opens_in_its_own_context_only() {
        let sealed = sealed(&[b"alice", b"totp"]);
        let opened = |context: &[&[u8]]| open(&peppers(1, None), context, &sealed);
        assert_eq!(opened(&[b"alice", b"totp"]).expect("opens").as_slice(), b"a secret");
        let others: [&[&[u8]]; 5] = [&[b"carol", b"totp"], &[b"alice", b"hotp"], &[b"alicet", b"otp"], &[b"alicetotp"], &[]];
        for other in others {
            assert!(opened(other).is_none(), "{other:?}");
        }
    }

    /// TOTP-04: the database holds nothing to read, and no two seals of one secret look alike.
    #[test]
    fn a_seal_shows_nothing() {
        let (one, other) = (sealed(&[b"alice"]), sealed(&[b"alice"]));
        assert_ne!(one, other);
        let bytes = URL_SAFE_NO_PAD.decode(&one).expect("base64url");
        assert!(!bytes.windows(8).any(|window| window == b"a secret"));
    }

    /// TOTP-04: every bit counts.
    #[test]
    fn a_changed_seal_does_not_open() {
        let bytes = URL_SAFE_NO_PAD.decode(sealed(&[b"alice"])).expect("base64url");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&peppers(1, None), &[b"alice"], &URL_SAFE_NO_PAD.encode(changed)).is_none(), "bit {bit}");
        }
        for wrong in ["", "AQ", "no base64!", &URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1])] {
            assert!(open(&peppers(1, None), &[b"alice"], wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_previous_pepper_still_opens_and_a_forgotten_one_does_not() {
        let sealed = sealed(&[b"alice"]);
        let changed = peppers(2, Some(1));
        assert_eq!(open(&changed, &[b"alice"], &sealed).expect("opens").as_slice(), b"a secret");
        assert!(is_under_current(&peppers(1, None), &sealed) && !is_under_current(&changed, &sealed));
        assert!(open(&peppers(2, Some(3)), &[b"alice"], &sealed).is_none());
    }
}
