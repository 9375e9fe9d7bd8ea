use std::sync::Arc;

use a3s_event_core::{
    EventError, Result,
    crypto::{EncryptedPayload, EventEncryptor},
    types::Event,
};
use serde_json::Value;

use crate::metrics::EventMetrics;

/// What a bus does with the payloads it reads.
///
/// Publishing hardly depends on it: with an encryptor every payload is
/// encrypted, whatever it looks like; without one it is published as it is,
/// unless encryption is required.
///
/// Only [`Required`](Self::Required) protects against an attacker who can write
/// to the stream: the others take a plaintext for what it claims to be.
///
/// # Examples
///
/// ```
/// use a3s_event_bus::{EncryptionPolicy, EventBus};
/// use a3s_event_memory::MemoryProvider;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let bus = EventBus::builder(MemoryProvider::default())
///     .encryption_policy(EncryptionPolicy::Required)
///     .build();
/// // Nothing leaves in plaintext because somebody forgot the encryptor.
/// assert!(bus.publish("order", "paid", "", "shop", serde_json::json!({})).await.is_err());
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptionPolicy {
    /// Envelopes are decrypted if there is an encryptor, plaintext passes. What
    /// is an envelope is decided by its shape, see [`EncryptedPayload`].
    #[default]
    Optional,
    /// Plaintext, and envelopes that are not bound to their event, are errors;
    /// so is publishing without an encryptor, or with one that does not bind.
    Required,
    /// Everything is handed over as it is stored: for archives and bridges.
    Passthrough,
}

/// The encryptor, and when to use it.
#[derive(Clone, Default)]
pub(crate) struct Encryption {
    pub(crate) encryptor: Option<Arc<dyn EventEncryptor>>,
    pub(crate) policy: EncryptionPolicy,
}

impl Encryption {
    /// Whether every payload is handed over as it is stored.
    pub(crate) fn reads_as_stored(&self) -> bool {
        match self.policy {
            EncryptionPolicy::Passthrough => true,
            EncryptionPolicy::Optional => self.encryptor.is_none(),
            EncryptionPolicy::Required => false,
        }
    }

    /// Whether every payload is published as it is given.
    pub(crate) fn publishes_as_given(&self) -> bool {
        self.encryptor.is_none() && self.policy != EncryptionPolicy::Required
    }

    /// Encrypts a copy of `event`; `None` is the event itself.
    pub(crate) fn seal(&self, event: &Event, metrics: &EventMetrics) -> Result<Option<Event>> {
        let sealed = match (&self.encryptor, self.policy) {
            (Some(encryptor), EncryptionPolicy::Required) => encryptor
                .encrypt_event(event)
                .and_then(|payload| ensure_bound(&payload).map(|()| payload)),
            (Some(encryptor), _) => encryptor.encrypt_event(event),
            (None, EncryptionPolicy::Required) => Err(EventError::encryption(
                "encryption is required and no encryptor is set",
                None,
                None,
            )),
            (None, _) => return Ok(None),
        };
        metrics.encrypted(sealed.is_ok());
        match sealed {
            Ok(payload) => Ok(Some(event.clone().with_payload(payload))),
            Err(error) => Err(error.for_event(&event.id)),
        }
    }

    /// Checks an event that is to be published as it was stored.
    pub(crate) fn check_stored(&self, event: &Event) -> Result<()> {
        match self.policy {
            EncryptionPolicy::Required => {
                ensure_bound(&event.payload).map_err(|error| error.for_event(&event.id))
            }
            _ => Ok(()),
        }
    }

    /// Decrypts a copy of `event` as the policy says; `None` is the event itself.
    pub(crate) fn open(&self, event: &Event, metrics: &EventMetrics) -> Result<Option<Event>> {
        let opened = match (self.policy, &self.encryptor) {
            (EncryptionPolicy::Passthrough, _) | (EncryptionPolicy::Optional, None) => {
                return Ok(None);
            }
            (EncryptionPolicy::Optional, Some(encryptor)) => {
                if !resembles_envelope(&event.payload) {
                    return Ok(None);
                }
                let opened = encryptor.decrypt_event(event);
                // The shape is checked to the letter only where decrypting has
                // not done so: that costs as much again.
                if opened.is_err() && !is_envelope(&event.payload) {
                    return Ok(None);
                }
                opened
            }
            (EncryptionPolicy::Required, None) => Err(EventError::encryption(
                "encryption is required and no encryptor is set",
                None,
                None,
            )),
            (EncryptionPolicy::Required, Some(encryptor)) => {
                ensure_bound(&event.payload).and_then(|()| encryptor.decrypt_event(event))
            }
        };
        metrics.decrypted(opened.is_ok());
        match opened {
            Ok(payload) => Ok(Some(event.clone().with_payload(payload))),
            Err(error) => Err(error.for_event(&event.id)),
        }
    }
}

/// Whether `payload` has the outline of an envelope.
fn resembles_envelope(payload: &Value) -> bool {
    let has = |field| payload.get(field).is_some_and(Value::is_string);
    is_marked(payload) && has("keyId") && has("nonce") && has("ciphertext")
}

/// Whether `payload` is an envelope, or one of a version that is not known here:
/// that one must fail rather than pass as plaintext.
fn is_envelope(payload: &Value) -> bool {
    is_versioned(payload) || EncryptedPayload::is_encrypted(payload)
}

fn ensure_bound(payload: &Value) -> Result<()> {
    let reason = if !is_marked(payload) {
        "encryption is required and the payload is plaintext"
    } else if !is_versioned(payload) {
        "encryption is required and the envelope is not bound to its event"
    } else {
        // Decrypting checks the rest of the shape.
        return Ok(());
    };
    let key_id = payload.get("keyId").and_then(Value::as_str);
    Err(EventError::encryption(reason, None, key_id))
}

fn is_marked(payload: &Value) -> bool {
    payload.get("encrypted") == Some(&Value::Bool(true))
}

fn is_versioned(payload: &Value) -> bool {
    payload.get("v").is_some() || payload.get("alg").is_some()
}
