//! Authenticator apps: codes from a shared secret and the time (RFC 6238 over RFC 4226).
//!
//! Six digits, thirty seconds, SHA-1: what every app can do, and what many take for granted whatever the URI says. The
//! hash is no weakness here: HMAC does not need one without collisions. Another [`Form`] is for those who bring apps of their
//! own ([`crate::entity`]). A step counts once: the caller keeps the last one that was accepted, hands it in as `after`, and
//! stores the new one only if that is still the last (TOTP-02).

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::base32;
use crate::clock::Timestamp;
use crate::secret::{Code, Entropy};

/// Bytes of a new secret: as long as what SHA-1 yields (RFC 4226, section 4, R6).
pub const SECRET_BYTES: usize = 20;
/// Fewest bytes of a secret that comes from elsewhere: 128 bits (TOTP-04).
pub const SECRET_MIN_BYTES: usize = 16;

/// The hash within the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// What every app can do.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name in lower case, without a dash; in capitals it stands in the URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Algorithm> {
        [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// What an app has to know beside the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The hash.
    pub algorithm: Algorithm,
    /// Digits of a code.
    pub digits: u8,
    /// How long one code is shown, in seconds.
    pub period: u8,
}

impl Default for Form {
    fn default() -> Form {
        Form { algorithm: Algorithm::Sha1, digits: 6, period: 30 }
    }
}

/// Which steps besides the current one are accepted (TOTP-03). People's accounts never take more than one to either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Skew {
    /// The current one only: a code dies the moment the app shows the next.
    Strict,
    /// The current one and the one before: somebody may take a while to type.
    #[default]
    Back,
    /// The one before and the one after too, for phones whose clock runs fast.
    Both,
    /// Two to either side: only where an integrator of another API asks for it.
    Wide,
}

impl Skew {
    /// Steps to the later side, and to the earlier one where both are alike.
    pub fn steps(self) -> i64 {
        match self {
            Skew::Strict => 0,
            Skew::Back | Skew::Both => 1,
            Skew::Wide => 2,
        }
    }
}

/// What the app and this server share. It has no `Debug`, and is wiped when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A new one.
    pub fn random(entropy: &dyn Entropy) -> Secret {
        let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES]);
        entropy.fill(&mut bytes);
        Secret(bytes)
    }

    /// One that was kept; none when it is shorter than [`SECRET_MIN_BYTES`].
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Secret> {
        (bytes.len() >= SECRET_MIN_BYTES).then_some(Secret(bytes))
    }

    /// Its bytes, to be sealed. Each call is a place to look at in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// One that somebody brings, in Base32; none when it is shorter than [`SECRET_MIN_BYTES`], or no Base32.
    pub fn from_base32(text: &str) -> Option<Secret> {
        base32::decode(base32::STANDARD, text).and_then(Secret::from_bytes)
    }

    /// As people type it where no camera is at hand. Shown once, when the app is set up.
    pub fn base32(&self) -> Zeroizing<String> {
        base32::encode(base32::STANDARD, &self.0)
    }

    /// What the QR code says. `issuer` names the service and `account` the person, as the app will list them.
    pub fn uri(&self, form: Form, issuer: &str, account: &str) -> Zeroizing<String> {
        // Apps part the label at its first colon, encoded or not.
        let issuer = percent_encoded(&issuer.replace(':', " "));
        let (account, secret) = (percent_encoded(account), self.base32());
        let Form { algorithm, digits, period } = form;
        let algorithm = algorithm.as_str().to_ascii_uppercase();
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm={algorithm}&digits={digits}&period={period}",
            secret.as_str()
        ))
    }
}

/// The step that the time is in.
pub fn step_at(form: Form, now: Timestamp) -> i64 {
    now.0.div_euclid(i64::from(form.period.max(1)) * 1000)
}

/// The step whose code this is, if it may be accepted now: within `skew`, and later than `after`, the last accepted one.
pub fn accepted_step(secret: &Secret, form: Form, code: &Code, now: Timestamp, after: i64, skew: Skew) -> Option<i64> {
    let current = step_at(form, now);
    let steps = match skew {
        Skew::Strict => current..=current,
        Skew::Back => current - 1..=current,
        Skew::Both => current - 1..=current + 1,
        Skew::Wide => current - 2..=current + 2,
    };
    let mut accepted = None;
    // All of them, so that the time does not tell which one matched. Of two that match the later one counts.
    for step in steps {
        let Ok(counter) = u64::try_from(step) else { continue };
        let shown = shown(secret, form, counter)?;
        let matches: bool = shown.as_bytes().ct_eq(code.expose().as_bytes()).into();
        if matches && step > after {
            accepted = Some(step);
        }
    }
    accepted
}

fn shown(secret: &Secret, form: Form, counter: u64) -> Option<Zeroizing<String>> {
    let (secret, digits) = (secret.expose(), usize::from(form.digits));
    match form.algorithm {
        Algorithm::Sha1 => hotp::<Hmac<Sha1>>(secret, counter, digits),
        Algorithm::Sha256 => hotp::<Hmac<Sha256>>(secret, counter, digits),
        Algorithm::Sha512 => hotp::<Hmac<Sha512>>(secret, counter, digits),
    }
}

/// RFC 4226, section 5.3. Never none: HMAC takes keys of any length.
fn hotp<M: Mac + KeyInit>(secret: &[u8], counter: u64, digits: usize) -> Option<Zeroizing<String>> {
    let mut mac = <M as KeyInit>::new_from_slice(secret).ok()?;
    mac.update(&counter.to_be_bytes());
    let output = mac.finalize().into_bytes();
    let offset = usize::from(output.last()? & 15);
    let number = u32::from_be_bytes(*output.get(offset..)?.first_chunk()?) & 0x7fff_ffff;
    Some(Zeroizing::new(format!("{:0digits$}", u64::from(number) % 10_u64.pow(digits as u32))))
}

/// Only what RFC 3986 never reserves stays as it is. A space is `%20`: apps show a `+` as one.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    const RFC_SECRET: &[u8] = b"12345678901234567890";

    fn accepted_step(secret: &Secret, code: &Code, now: Timestamp, after: i64, skew: Skew) -> Option<i64> {
        super::accepted_step(secret, Form::default(), code, now, after, skew)
    }

    fn secret() -> Secret {
        Secret::from_bytes(Zeroizing::new(RFC_SECRET.to_vec())).expect("long enough")
    }

    fn code_of(step: i64) -> Code {
        let shown = hotp::<Hmac<Sha1>>(RFC_SECRET, step as u64, 6).expect("a code");
        Code::parse(&shown).expect("six digits")
    }

    fn at(step: i64) -> Timestamp {
        Timestamp(step * 30_000 + 29_999)
    }

    /// TOTP-01: RFC 4226, appendix D.
    #[test]
    fn it_is_rfc_4226() {
        let codes = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, code) in codes.iter().enumerate() {
            assert_eq!(hotp::<Hmac<Sha1>>(RFC_SECRET, counter as u64, 6).expect("a code").as_str(), *code);
        }
    }

    /// TOTP-01: RFC 6238, appendix B, in eight digits and with all three hashes, whose secrets differ in length.
    #[test]
    fn it_is_rfc_6238() {
        let vectors = [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ];
        let long = RFC_SECRET.repeat(4);
        for (seconds, sha1, sha256, sha512) in vectors {
            let now = Timestamp(seconds * 1000);
            for (algorithm, bytes, code) in [(Algorithm::Sha1, 20, sha1), (Algorithm::Sha256, 32, sha256), (Algorithm::Sha512, 64, sha512)]
            {
                let secret = Secret::from_bytes(Zeroizing::new(long[..bytes].to_vec())).expect("long enough");
                let form = Form { algorithm, digits: 8, period: 30 };
                let code = Code::parse(code).expect("eight digits");
                let accepted = super::accepted_step(&secret, form, &code, now, 0, Skew::Strict);
                assert_eq!(accepted, Some(step_at(form, now)), "{algorithm:?} {seconds}");
            }
        }
    }

    /// TOTP-03: of the steps around the current one exactly those that the setting names.
    #[test]
    fn only_the_steps_of_the_window_pass() {
        let now = 1_000_000;
        for (skew, first, last) in [(Skew::Strict, 0, 0), (Skew::Back, -1, 0), (Skew::Both, -1, 1), (Skew::Wide, -2, 2)] {
            for offset in -3..=3 {
                let accepted = accepted_step(&secret(), &code_of(now + offset), at(now), 0, skew);
                assert_eq!(accepted, (first..=last).contains(&offset).then_some(now + offset), "{skew:?} {offset}");
            }
        }
        assert_eq!(Skew::default(), Skew::Back);
    }

    /// TOTP-02, A10: a step that was accepted is over, and so is every one before it.
    #[test]
    fn a_step_counts_once() {
        let now = 1_000_000;
        assert_eq!(accepted_step(&secret(), &code_of(now), at(now), now - 1, Skew::Both), Some(now));
        assert_eq!(accepted_step(&secret(), &code_of(now), at(now), now, Skew::Both), None);
        assert_eq!(accepted_step(&secret(), &code_of(now - 1), at(now), now, Skew::Both), None);
        assert_eq!(accepted_step(&secret(), &code_of(now), at(now + 1), now, Skew::Both), None);
        assert_eq!(accepted_step(&secret(), &code_of(now + 1), at(now), now, Skew::Both), Some(now + 1));
    }

    /// TOTP-06: the eight digits of the same step, or six digits with more behind them, are no second spelling.
    #[test]
    fn a_code_has_six_digits() {
        for wrong in ["94287082", "2870820", "0287082"] {
            let code = Code::parse(wrong).expect("a code");
            assert_eq!(accepted_step(&secret(), &code, Timestamp(59_000), 0, Skew::Strict), None, "{wrong}");
        }
        let right = Code::parse("287082").expect("a code");
        assert_eq!(accepted_step(&secret(), &right, Timestamp(59_000), 0, Skew::Strict), Some(1));
    }

    /// TOTP-04: 160 bits, and nothing shorter than 128.
    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (Secret::random(&SystemEntropy), Secret::random(&SystemEntropy));
        assert_eq!(one.expose().len(), 20);
        assert_ne!(one.expose(), other.expose());
        assert!(Secret::from_bytes(Zeroizing::new(vec![1; 15])).is_none());
    }

    /// OTP-11: no name adds a parameter, and none parts the label anew.
    #[test]
    fn a_uri_says_what_apps_expect() {
        assert_eq!(
            secret().uri(Form::default(), "Ärzte: Bank & Co", "ann+1@example.org?secret=x").as_str(),
            "otpauth://totp/%C3%84rzte%20%20Bank%20%26%20Co:ann%2B1%40example.org%3Fsecret%3Dx\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=%C3%84rzte%20%20Bank%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
    }
}
