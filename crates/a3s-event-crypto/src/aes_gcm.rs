use std::{fmt, sync::Arc};

use a3s_event_core::{
    EventError, Result,
    crypto::{EncryptedPayload, EventEncryptor, associated_data},
    types::Event,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{NONCE_LEN, Nonce},
    rand::{SecureRandom, SystemRandom},
};
use serde_json::Value;

use crate::{
    keyring::{Key, KeyStatus, Keyring, check_id},
    plaintext::Plaintext,
    secret::{KEY_BYTES, NO_RANDOMNESS, SecretKey},
};

/// The most messages that may be encrypted under one key with random nonces of
/// 96 bits, over all processes that have it (NIST SP 800-38D, section 8.3).
const NONCE_BOUND: u64 = 1 << 32;

/// The budget of one process, so that 16 processes together keep the bound.
const DEFAULT_BUDGET: u64 = NONCE_BOUND / 16;

const BOUND: &str = "the envelope is bound to an event that was not given";
const MALFORMED: &str = "malformed envelope";
const NOT_JSON: &str = "the decrypted payload is not JSON";
const NOT_SEALED: &str = "encryption failed";
const SPENT: &str = "encryption budget used up, rotate to another key";
const TOO_DEEP: &str = "the payload nests too deep to be read back";
/// The one answer to tampering, another key and another event.
const UNAUTHENTIC: &str = "authentication failed";

/// Encrypts payloads with AES-256-GCM and a random nonce for each message.
///
/// Exactly one key is active and encrypts. The others decrypt what they
/// encrypted, until they are disabled or destroyed. All of that works through
/// `&self`, so that keys can change behind an `Arc` while others publish;
/// encrypting threads do not wait for each other.
///
/// # Envelopes
///
/// [`encrypt_event`](EventEncryptor::encrypt_event) binds the ciphertext to id,
/// subject, type and version of its event: moved to another event it does not
/// decrypt. [`encrypt`](EventEncryptor::encrypt) knows no event and binds
/// nothing. Reading tells the two apart;
/// [`decrypt_event`](EventEncryptor::decrypt_event) takes both, and which of
/// them a reader accepts is the policy of the bus.
///
/// # Memory
///
/// Copies of keys and plaintexts that this crate makes are wiped. Two things are
/// not: the expanded key inside *ring*, and the [`Value`] before encryption and
/// after decryption.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use a3s_event_core::crypto::EventEncryptor;
/// use a3s_event_crypto::{Aes256GcmEncryptor, KeyStatus, SecretKey};
///
/// let encryptor = Arc::new(Aes256GcmEncryptor::new("2025-01", &[0x42; 32]));
/// let envelope = encryptor.encrypt(&serde_json::json!({"rate": 7.3521}))?;
///
/// encryptor.add_key("2025-02", SecretKey::generate()?)?;
/// encryptor.rotate_to("2025-02")?;
/// assert_eq!(encryptor.key_status("2025-01"), Some(KeyStatus::DecryptOnly));
/// assert_eq!(encryptor.decrypt(&envelope)?["rate"], 7.3521);
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
pub struct Aes256GcmEncryptor {
    keys: Keyring,
    budget: u64,
    random: SystemRandom,
}

impl Aes256GcmEncryptor {
    /// Creates an encryptor with one key, which is active.
    ///
    /// Cannot fail: an id that breaks the rules of
    /// [`with_key`](Self::with_key) is an error of every call that uses the key.
    #[must_use]
    pub fn new(key_id: impl Into<String>, key: &[u8; KEY_BYTES]) -> Self {
        Self::from_first(key_id.into(), &SecretKey::from(key))
    }

    /// Creates an encryptor with one key, which is active.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] unless the id is 1 to 128 letters, digits
    /// and characters of `._:/-`. It is stored with every event in the clear.
    pub fn with_key(key_id: impl Into<String>, key: SecretKey) -> Result<Self> {
        let key_id = key_id.into();
        check_id(&key_id)?;
        Ok(Self::from_first(key_id, &key))
    }

    fn from_first(key_id: String, key: &SecretKey) -> Self {
        Self {
            keys: Keyring::new(key_id, key),
            budget: DEFAULT_BUDGET,
            random: SystemRandom::new(),
        }
    }

    /// Sets how many messages this process may encrypt under each key; at most
    /// 2^32, and 2^28 unless set.
    ///
    /// Random nonces are safe for 2^32 messages a key *in all processes*: divide
    /// by how many encrypt with it. The count starts anew with the process, so
    /// it stops a runaway, while rotating in time is what keeps the bound.
    #[must_use]
    pub fn with_max_encryptions(mut self, per_key: u64) -> Self {
        self.budget = per_key.min(NONCE_BOUND);
        self
    }

    /// Adds a key that decrypts only, until [`rotate_to`](Self::rotate_to)
    /// makes it the active one.
    ///
    /// Give a new key to every reader before any writer encrypts with it.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for an id that exists, in whatever status,
    /// and for one that breaks the rules of [`with_key`](Self::with_key). The
    /// existing key is untouched.
    pub fn add_key(&self, key_id: impl Into<String>, key: impl Into<SecretKey>) -> Result<()> {
        self.keys.add(key_id.into(), &key.into())
    }

    /// Makes a key the active one; the one before decrypts only from now on.
    ///
    /// # Errors
    ///
    /// [`EventError::KeyUnknown`], [`EventError::KeyDisabled`] or
    /// [`EventError::KeyDestroyed`]; the active key stays.
    pub fn rotate_to(&self, key_id: &str) -> Result<()> {
        self.keys.rotate_to(key_id)
    }

    /// Takes a key out of use until [`enable_key`](Self::enable_key). Repeating
    /// it is `Ok`.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for the active key,
    /// [`EventError::KeyUnknown`], [`EventError::KeyDestroyed`].
    pub fn disable_key(&self, key_id: &str) -> Result<()> {
        self.keys.disable(key_id)
    }

    /// Takes a disabled key into use again, to decrypt. Repeating it is `Ok`.
    ///
    /// # Errors
    ///
    /// [`EventError::KeyUnknown`], [`EventError::KeyDestroyed`].
    pub fn enable_key(&self, key_id: &str) -> Result<()> {
        self.keys.enable(key_id)
    }

    /// Forgets a key, so that this encryptor can never again read what it
    /// encrypted. The id stays taken. Repeating it is `Ok`.
    ///
    /// A call that is decrypting with the key at this moment finishes.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for the active key,
    /// [`EventError::KeyUnknown`].
    pub fn destroy_key(&self, key_id: &str) -> Result<()> {
        self.keys.destroy(key_id)
    }

    /// Returns the ids of all keys, the destroyed ones included, sorted.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.ids()
    }

    /// Returns where a key is in its life; `None` for an id that was never added.
    #[must_use]
    pub fn key_status(&self, key_id: &str) -> Option<KeyStatus> {
        self.keys.status(key_id)
    }

    /// Returns how many messages this process may still encrypt under a key;
    /// `None` when it is unknown or destroyed. A figure to raise an alarm by.
    #[must_use]
    pub fn encryptions_left(&self, key_id: &str) -> Option<u64> {
        self.keys.left(key_id, self.budget)
    }

    fn seal(&self, payload: &Value, event: Option<&Event>) -> Result<Value> {
        let key = self.keys.active()?;
        let failed = |reason| failure(reason, event, &key);

        let plaintext = Plaintext::of(payload).ok_or_else(|| failed(TOO_DEEP))?;
        if !key.spend(self.budget) {
            return Err(failed(SPENT));
        }
        let mut nonce = [0; NONCE_LEN];
        let drawn = self.random.fill(&mut nonce);
        drawn.map_err(|_| failed(NO_RANDOMNESS))?;

        let associated = associated(&key, event);
        let sealed = plaintext.seal(
            key.cipher(),
            Nonce::assume_unique_for_key(nonce),
            &associated,
        );
        let ciphertext = STANDARD.encode(sealed.map_err(|_| failed(NOT_SEALED))?);
        let envelope = match event {
            Some(_) => EncryptedPayload::bound,
            None => EncryptedPayload::unbound,
        };
        Ok(envelope(key.id().to_owned(), STANDARD.encode(nonce), ciphertext).into_value())
    }

    fn open(&self, envelope: &Value, event: Option<&Event>) -> Result<Value> {
        let envelope =
            EncryptedPayload::from_value(envelope).map_err(|error| of_event(error, event))?;
        let key = self.key_of(&envelope, event)?;
        let failed = |reason| failure(reason, event, &key);

        let event = match (envelope.is_bound(), event) {
            (true, None) => return Err(failed(BOUND)),
            (true, event) => event,
            (false, _) => None,
        };
        let mut nonce = [0; NONCE_LEN];
        let decoded = STANDARD.decode_slice(&envelope.nonce, &mut nonce);
        decoded.map_err(|_| failed(MALFORMED))?;
        let sealed = STANDARD.decode(&envelope.ciphertext);
        let sealed = sealed.map_err(|_| failed(MALFORMED))?;
        let plaintext = Plaintext::open(sealed, key.cipher(), &nonce, &associated(&key, event));
        let plaintext = plaintext.map_err(|_| failed(UNAUTHENTIC))?;
        // The error would tell where the plaintext stops to be JSON.
        serde_json::from_slice(plaintext.bytes()).map_err(|_| failed(NOT_JSON))
    }

    fn key_of(&self, envelope: &EncryptedPayload, event: Option<&Event>) -> Result<Arc<Key>> {
        let id = &envelope.key_id;
        self.keys.get(id).map_err(|error| {
            // A key of this id can never arrive, so waiting for it would be in vain.
            if matches!(error, EventError::KeyUnknown { .. }) && check_id(id).is_err() {
                let event_id = event.map(|event| event.id.as_str());
                return EventError::encryption(MALFORMED, event_id, Some(id));
            }
            error
        })
    }
}

impl EventEncryptor for Aes256GcmEncryptor {
    /// Encrypts `payload` with the active key into a version 1 envelope, which
    /// is not bound to any event.
    ///
    /// # Errors
    ///
    /// [`EventError::Encryption`] when the payload nests deeper than
    /// [`MAX_PAYLOAD_DEPTH`](a3s_event_core::types::MAX_PAYLOAD_DEPTH), the
    /// budget of the key is used up, or there are no random bytes;
    /// [`EventError::InvalidOption`] for a key id that [`new`](Self::new) could
    /// not refuse.
    fn encrypt(&self, payload: &Value) -> Result<Value> {
        self.seal(payload, None)
    }

    /// Decrypts a version 1 envelope.
    ///
    /// # Errors
    ///
    /// [`EventError::Encryption`] for what is no envelope, is bound to an event,
    /// or is not authentic; [`EventError::KeyUnknown`],
    /// [`EventError::KeyDisabled`], [`EventError::KeyDestroyed`].
    fn decrypt(&self, encrypted: &Value) -> Result<Value> {
        self.open(encrypted, None)
    }

    fn active_key_id(&self) -> String {
        self.keys.active_id()
    }

    /// Encrypts the payload of `event` with the active key into a version 2
    /// envelope, bound to id, subject, type and version of the event.
    ///
    /// # Errors
    ///
    /// Those of [`encrypt`](Self::encrypt), naming the event.
    fn encrypt_event(&self, event: &Event) -> Result<Value> {
        self.seal(&event.payload, Some(event))
    }

    /// Decrypts the payload of `event`, in an envelope of either version.
    ///
    /// # Errors
    ///
    /// Those of [`decrypt`](Self::decrypt), naming the event. A ciphertext of
    /// another event is not authentic.
    fn decrypt_event(&self, event: &Event) -> Result<Value> {
        self.open(&event.payload, Some(event))
    }
}

/// Ids and status of the keys, nothing of the keys.
impl fmt::Debug for Aes256GcmEncryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aes256GcmEncryptor")
            .field("keys", &self.keys)
            .field("max_encryptions", &self.budget)
            .finish_non_exhaustive()
    }
}

fn associated(key: &Key, event: Option<&Event>) -> Vec<u8> {
    event.map_or_else(Vec::new, |event| associated_data(key.id(), event))
}

fn failure(reason: &'static str, event: Option<&Event>, key: &Key) -> EventError {
    let event_id = event.map(|event| event.id.as_str());
    EventError::encryption(reason, event_id, Some(key.id()))
}

/// Names the event in an error about its envelope.
fn of_event(error: EventError, event: Option<&Event>) -> EventError {
    match (error, event) {
        (EventError::Encryption { reason, key_id, .. }, Some(event)) => {
            EventError::encryption(reason, Some(&event.id), key_id.as_deref())
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests;
