//! What an encryptor is, and the envelope it writes. `a3s-event-crypto` has one
//! with AES-256-GCM.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EventError, Result, types::Event};

/// The algorithm of every envelope: AES-256-GCM with a random 96-bit nonce.
pub const ALGORITHM: &str = "A256GCM";

/// The envelope version that binds a ciphertext to its event.
pub const BOUND_VERSION: u32 = 2;

/// An encrypted payload: what stands in an event in place of the plaintext.
///
/// Version 1 has `keyId`, `nonce`, `ciphertext` and `encrypted`; version 2 adds
/// `v` and `alg` and binds the ciphertext to its event by associated data.
/// Nothing but the payload is encrypted: subject, summary, metadata and size
/// stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct EncryptedPayload {
    /// Always true in an envelope.
    pub encrypted: bool,
    /// The envelope version; absent in version 1.
    #[serde(default, rename = "v", skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The algorithm; absent in version 1.
    #[serde(default, rename = "alg", skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The id of the key.
    pub key_id: String,
    /// The nonce, 12 bytes in standard base64.
    pub nonce: String,
    /// Ciphertext and tag, at least 16 bytes in standard base64.
    pub ciphertext: String,
}

impl EncryptedPayload {
    /// A version 1 envelope, not bound to an event.
    #[must_use]
    pub fn unbound(
        key_id: impl Into<String>,
        nonce: impl Into<String>,
        ciphertext: impl Into<String>,
    ) -> Self {
        Self {
            encrypted: true,
            version: None,
            algorithm: None,
            key_id: key_id.into(),
            nonce: nonce.into(),
            ciphertext: ciphertext.into(),
        }
    }

    /// A version 2 envelope, bound to its event by [`associated_data`].
    #[must_use]
    pub fn bound(
        key_id: impl Into<String>,
        nonce: impl Into<String>,
        ciphertext: impl Into<String>,
    ) -> Self {
        Self {
            version: Some(BOUND_VERSION),
            algorithm: Some(ALGORITHM.to_owned()),
            ..Self::unbound(key_id, nonce, ciphertext)
        }
    }

    /// Whether the envelope claims to be bound to an event.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.version.is_some() || self.algorithm.is_some()
    }

    /// Reads an envelope and checks its shape.
    ///
    /// # Errors
    ///
    /// [`EventError::Encryption`] when the value is no envelope or one of an
    /// unknown version or algorithm.
    pub fn from_value(value: &Value) -> Result<Self> {
        // A derived reader would take an array of the fields in order, too.
        let fields = value.as_object().map(Self::deserialize);
        let Some(Ok(envelope)) = fields else {
            let reason = "the payload is no envelope";
            return Err(EventError::encryption(reason, None, None));
        };
        let key_id = Some(envelope.key_id.as_str());
        match (envelope.version, envelope.algorithm.as_deref()) {
            (None, None) | (Some(BOUND_VERSION), Some(ALGORITHM)) => {}
            _ => {
                let reason = "unknown envelope version or algorithm";
                return Err(EventError::encryption(reason, None, key_id));
            }
        }
        if !envelope.encrypted
            || !is_base64_of(&envelope.nonce, |length| length == 12)
            || !is_base64_of(&envelope.ciphertext, |length| length >= 16)
        {
            return Err(EventError::encryption("malformed envelope", None, key_id));
        }
        Ok(envelope)
    }

    /// Whether `value` has exactly the shape of an envelope.
    ///
    /// A test of shape, not of origin: anybody can type one. What is encrypted
    /// is decided by policy.
    #[must_use]
    pub fn is_encrypted(value: &Value) -> bool {
        Self::from_value(value).is_ok()
    }

    /// The envelope as the payload of an event.
    #[must_use]
    pub fn into_value(self) -> Value {
        // In one go and in the order of the names, which builds the map fastest.
        let fields = [
            ("alg", self.algorithm.map(Value::String)),
            ("ciphertext", Some(Value::String(self.ciphertext))),
            ("encrypted", Some(Value::Bool(self.encrypted))),
            ("keyId", Some(Value::String(self.key_id))),
            ("nonce", Some(Value::String(self.nonce))),
            ("v", self.version.map(Value::from)),
        ];
        let fields = fields.into_iter();
        Value::Object(
            fields
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
        )
    }
}

/// Whether `text` is canonical standard base64 of a number of bytes that
/// `length` accepts. Decides by the text alone, whatever its size.
fn is_base64_of(text: &str, length: impl Fn(usize) -> bool) -> bool {
    let padding = text.bytes().rev().take_while(|&byte| byte == b'=').count();
    let body = &text.as_bytes()[..text.len() - padding];
    text.len().is_multiple_of(4)
        && padding <= 2
        && length((text.len() / 4 * 3).saturating_sub(padding))
        && body
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// The associated data that binds a version 2 envelope to its event: purpose,
/// version, algorithm, key id, event id, subject, event type and schema
/// version, each preceded by its length as 4-byte big-endian, so that no two
/// different sets of fields give the same bytes.
#[must_use]
pub fn associated_data(key_id: &str, event: &Event) -> Vec<u8> {
    let schema_version = event.version.to_string();
    let parts = [
        "a3s-event/payload",
        "2",
        ALGORITHM,
        key_id,
        &event.id,
        &event.subject,
        &event.event_type,
        &schema_version,
    ];
    let mut data = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // Longer than 4 GiB is beyond any event; the length still tells parts apart.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

/// Encrypts and decrypts payloads.
///
/// Synchronous, because it runs on the publish path: a key service behind a
/// network keeps its keys at hand.
///
/// # For implementers
///
/// - `decrypt(encrypt(payload))` is `payload`, bit for bit.
/// - A payload that looks like an envelope is encrypted like any other, and
///   decryption removes exactly one layer.
/// - Keys may rotate through `&self` while others encrypt.
pub trait EventEncryptor: Send + Sync {
    /// Encrypts `payload` with the active key, not bound to any event.
    ///
    /// # Errors
    ///
    /// [`EventError::Encryption`], such as for a payload that nests too deep.
    fn encrypt(&self, payload: &Value) -> Result<Value>;

    /// Decrypts an envelope that is not bound to an event.
    ///
    /// # Errors
    ///
    /// [`EventError::Encryption`] for anything that is not authentic,
    /// [`EventError::KeyUnknown`], [`EventError::KeyDisabled`],
    /// [`EventError::KeyDestroyed`].
    fn decrypt(&self, encrypted: &Value) -> Result<Value>;

    /// The id of the key that encrypts.
    fn active_key_id(&self) -> String;

    /// Encrypts the payload of `event` and binds it to the event if the
    /// encryptor can. The default does not bind.
    ///
    /// # Errors
    ///
    /// Those of [`encrypt`](Self::encrypt).
    fn encrypt_event(&self, event: &Event) -> Result<Value> {
        self.encrypt(&event.payload)
    }

    /// Decrypts the payload of `event`, bound or not. The default does not
    /// check a binding.
    ///
    /// # Errors
    ///
    /// Those of [`decrypt`](Self::decrypt).
    fn decrypt_event(&self, event: &Event) -> Result<Value> {
        self.decrypt(&event.payload)
    }
}

macro_rules! forward_encryptor {
    ($($pointer:ident)+) => {$(
        impl<E: EventEncryptor + ?Sized> EventEncryptor for $pointer<E> {
            fn encrypt(&self, payload: &Value) -> Result<Value> {
                (**self).encrypt(payload)
            }

            fn decrypt(&self, encrypted: &Value) -> Result<Value> {
                (**self).decrypt(encrypted)
            }

            fn active_key_id(&self) -> String {
                (**self).active_key_id()
            }

            fn encrypt_event(&self, event: &Event) -> Result<Value> {
                (**self).encrypt_event(event)
            }

            fn decrypt_event(&self, event: &Event) -> Result<Value> {
                (**self).decrypt_event(event)
            }
        }
    )+};
}

forward_encryptor!(Box Arc);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{EncryptedPayload, associated_data};
    use crate::types::Event;

    const NONCE: &str = "AAECAwQFBgcICQoL";
    const CIPHERTEXT: &str = "fvzjvMVJ0DGqKHcm4+wmjcVjiXlbcOyJtDOS0VOqPQ==";

    #[test]
    fn envelopes_of_both_versions_are_recognized() {
        for envelope in [
            EncryptedPayload::unbound("key-1", NONCE, CIPHERTEXT),
            EncryptedPayload::bound("key-1", NONCE, CIPHERTEXT),
        ] {
            let value = envelope.clone().into_value();
            assert!(EncryptedPayload::is_encrypted(&value));
            assert_eq!(EncryptedPayload::from_value(&value).unwrap(), envelope);
            assert_eq!(serde_json::to_value(&envelope).unwrap(), value);
        }
    }

    #[test]
    fn whatever_only_resembles_an_envelope_is_none() {
        let good =
            json!({"encrypted": true, "keyId": "k", "nonce": NONCE, "ciphertext": CIPHERTEXT});
        assert!(EncryptedPayload::is_encrypted(&good));
        for (field, value) in [
            ("encrypted", json!(false)),
            ("encrypted", json!("true")),
            ("encrypted", json!(1)),
            ("v", json!(2)),
            ("alg", json!("A256GCM")),
            ("nonce", json!("AAECAwQFBgcICQ==")),
            ("nonce", json!("AAECAwQFBgcICQo_")),
            ("ciphertext", json!("AAECAwQFBgcICQoL")),
            ("ciphertext", json!(format!("{CIPHERTEXT} "))),
            ("extra", json!(null)),
        ] {
            let mut changed = good.clone();
            changed[field] = value;
            assert!(!EncryptedPayload::is_encrypted(&changed), "{changed}");
        }
        for value in [
            json!(null),
            json!([]),
            json!([true, null, null, "k", NONCE, CIPHERTEXT]),
            json!("x"),
            json!({}),
        ] {
            assert!(EncryptedPayload::from_value(&value).is_err(), "{value}");
            assert!(!EncryptedPayload::is_encrypted(&value), "{value}");
        }
    }

    #[test]
    fn associated_data_is_the_documented_one() {
        let mut event = Event::typed(
            "events.market.forex.usd_cny",
            "market",
            "forex.rate_change",
            1,
            "",
            "",
            json!(null),
        );
        event.id = "evt-00000000-0000-4000-8000-000000000001".to_owned();
        let data = associated_data("key-1", &event);
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "000000116133732d6576656e742f7061796c6f61640000000132000000074132353647434d\
             000000056b65792d31000000286576742d30303030303030302d303030302d343030302d3830\
             30302d3030303030303030303030310000001b6576656e74732e6d61726b65742e666f726578\
             2e7573645f636e7900000011666f7265782e726174655f6368616e67650000000131"
        );
    }
}
