//! `X-Twilio-Signature`: what is signed, and with what. One home for those whom we check and those whom we sign for.
//!
//! The URL as it is called, and then each name and value in the order of the names; of a name that comes twice each value
//! once. Base64 of HMAC-SHA-1 over that, with the account's token.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The header's name.
pub const HEADER: &str = "x-twilio-signature";

/// What is signed beside the URL.
pub fn fields(form: &[(String, String)]) -> String {
    let fields: BTreeSet<_> = form.iter().collect();
    fields.into_iter().flat_map(|(name, value)| [name.as_str(), value]).collect()
}

/// The signature of a form that is posted to `url`. None: no key is too long or too short for an HMAC.
pub fn sign(token: &[u8], url: &str, form: &[(String, String)]) -> Option<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(token).ok()?;
    mac.update(url.as_bytes());
    mac.update(fields(form).as_bytes());
    Some(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// OPS-04: what both official libraries agree on. Those with a body that is no form are signed over the URL alone.
    #[test]
    fn the_official_vectors() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/fixtures/twilio/signature_vectors.json")).expect("vectors");
        for vector in &vectors {
            let text = |name: &str| vector[name].as_str().expect("text");
            let params: BTreeMap<String, Value> = serde_json::from_value(vector["params"].clone()).unwrap_or_default();
            let mut form = Vec::new();
            for (name, value) in params.iter().rev() {
                let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                form.extend(values.iter().map(|value| (name.clone(), value.as_str().expect("text").to_owned())));
            }
            let signed = sign(text("authToken").as_bytes(), text("url"), &form);
            assert_eq!(signed.as_deref(), Some(text("signature")), "{vector}");
        }
        assert_eq!(vectors.len(), 6);
    }
}
