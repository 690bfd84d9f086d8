//! Receipts: what a provider reports later of a message that it took.
//!
//! Each message carries a reference of ours, sealed with the pepper: in the URL that the provider is to call, or in a field
//! that it gives back. So a receipt names its message without a look-up, and a stranger cannot make one up even where a
//! provider signs nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::secret::Peppers;
use crate::verification::VerificationId;
use crate::verification::store::ReceiptState;

/// Bytes of the seal: nobody guesses one of 2^64 against a running server.
const SEAL_BYTES: usize = 8;
/// The name of the reference in a callback's query.
pub const REFERENCE: &str = "ref";
/// How old a signed receipt may be (OPS-04). Providers repeat an unanswered one for hours, but sign it anew.
pub const SIGNATURE_AGE_MAX_SECONDS: u64 = 300;

/// Names one message of one verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageNumber {
    /// The verification.
    pub verification: VerificationId,
    /// The number of the message within it, from 1.
    pub number: u32,
}

/// Makes and opens references.
#[derive(Clone)]
pub struct References {
    peppers: Peppers,
    public_url: Option<String>,
}

impl References {
    /// `public_url`: where providers reach this server; none: they cannot, and no receipts come.
    pub fn new(peppers: Peppers, public_url: Option<String>) -> References {
        References { peppers, public_url }
    }

    /// The reference of a message that `provider` sends: 38 characters that are safe in URLs.
    pub fn seal(&self, provider: &str, message: MessageNumber) -> String {
        URL_SAFE_NO_PAD.encode(sealed(&self.peppers.current, provider, message))
    }

    /// The URL that `provider` is to call.
    pub fn callback(&self, provider: &str, reference: &str) -> Option<String> {
        let public_url = self.public_url.as_ref()?;
        Some(format!("{public_url}/webhooks/{provider}?{REFERENCE}={reference}"))
    }

    /// The message that a reference names, if this server made it.
    pub fn open(&self, provider: &str, reference: &str) -> Option<MessageNumber> {
        let bytes = URL_SAFE_NO_PAD.decode(reference).ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (number, _) = rest.split_first_chunk::<4>()?;
        let message = MessageNumber { verification: VerificationId::from_bytes(*id), number: u32::from_be_bytes(*number) };
        let peppers = [Some(&self.peppers.current), self.peppers.previous.as_ref()];
        let made = peppers.into_iter().flatten().any(|pepper| sealed(pepper, provider, message).ct_eq(&bytes).into());
        made.then_some(message)
    }
}

fn sealed(pepper: &crate::secret::Pepper, provider: &str, message: MessageNumber) -> Vec<u8> {
    let mut bytes = message.verification.as_bytes().to_vec();
    bytes.extend_from_slice(&message.number.to_be_bytes());
    let seal = pepper.digest(b"countersign receipt\0", |field| {
        field(provider.as_bytes());
        field(&bytes);
    });
    bytes.extend_from_slice(&seal[..SEAL_BYTES]);
    bytes
}

/// What a provider posted to `/webhooks/NAME`.
pub struct ReceiptRequest<'a> {
    /// "GET" or "POST".
    pub method: &'a str,
    /// The whole URL as the provider called it: the configured public one, with path and query as they came.
    pub url: &'a str,
    /// The query, as it came.
    pub query: &'a str,
    /// A header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body, as it came.
    pub body: &'a [u8],
    /// The time now.
    pub now: Timestamp,
}

impl ReceiptRequest<'_> {
    /// The fields of a query, decoded, in their order.
    pub fn query_fields(&self) -> Vec<(String, String)> {
        form_fields(self.query.as_bytes())
    }

    /// The fields of a form body, decoded, in their order.
    pub fn form(&self) -> Vec<(String, String)> {
        form_fields(self.body)
    }

    /// The reference in the query of our own callback URL.
    pub fn reference(&self) -> Option<String> {
        self.query_fields().into_iter().find(|(name, _)| name == REFERENCE).map(|(_, value)| value)
    }

    /// Whether a signature made at `seconds` (Unix time) is fresh.
    pub fn is_fresh(&self, seconds: i64) -> bool {
        (self.now.0 / 1000).abs_diff(seconds) <= SIGNATURE_AGE_MAX_SECONDS
    }
}

fn form_fields(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// One receipt, as the provider words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReceipt {
    /// The reference that the message carried, where the provider gives it back in the body; otherwise it is in the URL.
    pub reference: Option<String>,
    /// How far the message got.
    pub state: ReceiptState,
    /// The provider's own code.
    pub code: Option<String>,
    /// Our plain cause of a failure ("handset unreachable").
    pub cause: Option<String>,
}

impl ProviderReceipt {
    /// A receipt without a cause.
    pub fn new(state: ReceiptState) -> ProviderReceipt {
        ProviderReceipt { reference: None, state, code: None, cause: None }
    }
}

/// What a provider's post holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Receipts; some may be about nothing that interests us.
    Receipts(Vec<ProviderReceipt>),
    /// It asks whether we are there, and wants this text back.
    Challenge(String),
}

/// Why a post is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// This provider posts none.
    #[error("this provider posts no receipts")]
    NoReceipts,
    /// No signature, a wrong one, or one that is too old.
    #[error("the signature is missing, wrong or too old")]
    Signature,
    /// Not what the provider documents.
    #[error("this is no receipt of this provider")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Pepper;

    fn references(key: u8) -> References {
        let current = Pepper::new(&[key; 32]).expect("a pepper");
        References::new(Peppers { current, previous: Pepper::new(&[9; 32]) }, Some("https://otp.example".into()))
    }

    #[test]
    fn a_signature_from_another_age_is_not_fresh() {
        let request =
            ReceiptRequest { method: "POST", url: "", query: "", header: &|_| None, body: &[], now: Timestamp(1_767_225_600_000) };
        assert!(request.is_fresh(1_767_225_600) && request.is_fresh(1_767_225_300) && request.is_fresh(1_767_225_900));
        for seconds in [1_767_225_299, 1_767_225_901, 0, i64::MIN, i64::MAX] {
            assert!(!request.is_fresh(seconds), "{seconds}");
        }
    }

    #[test]
    fn a_reference_opens_for_its_provider_only_and_cannot_be_made_up() {
        let message = MessageNumber { verification: VerificationId::from_u128(0x1234), number: 2 };
        let reference = references(1).seal("twilio", message);
        assert_eq!(reference.len(), 38, "it must fit Vonage's client-ref of 40 characters");
        assert_eq!(references(1).open("twilio", &reference), Some(message));
        assert_eq!(references(1).open("vonage", &reference), None);
        assert_eq!(references(2).open("twilio", &reference), None);
        assert_eq!(references(2).open("twilio", &references(9).seal("twilio", message)), Some(message), "under the previous pepper");
        let mut other = reference.into_bytes();
        other[25] ^= 1;
        assert_eq!(references(1).open("twilio", &String::from_utf8(other).expect("text")), None);
        assert_eq!(references(1).open("twilio", ""), None);
    }
}
