use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use a3s_event_core::{EventError, Result};
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};

use crate::secret::SecretKey;

/// Longest key id in bytes.
const MAX_ID_BYTES: usize = 128;

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyStatus {
    /// Encrypts and decrypts; exactly one key is active.
    Active,
    /// Decrypts only.
    DecryptOnly,
    /// Does nothing until it is enabled again.
    Disabled,
    /// Is gone for good; only its id is remembered, so that it is never reused.
    Destroyed,
}

/// A key that is ready to use.
pub(crate) struct Key {
    id: String,
    /// Whether the id keeps the rules; only a first key may have one that does not.
    valid: bool,
    cipher: LessSafeKey,
    encryptions: AtomicU64,
}

impl Key {
    fn new(id: String, secret: &SecretKey) -> Arc<Self> {
        let key = UnboundKey::new(&AES_256_GCM, secret.bytes());
        Arc::new(Self {
            valid: check_id(&id).is_ok(),
            id,
            cipher: LessSafeKey::new(key.expect("32 bytes are a key of AES-256")),
            encryptions: AtomicU64::new(0),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }

    /// Takes one encryption out of a budget of `limit`; false when none is left.
    pub(crate) fn spend(&self, limit: u64) -> bool {
        // Refused calls count on, which 64 bits can take.
        self.encryptions.fetch_add(1, Ordering::Relaxed) < limit
    }

    fn left(&self, limit: u64) -> u64 {
        limit.saturating_sub(self.encryptions.load(Ordering::Relaxed))
    }

    fn usable(self: &Arc<Self>) -> Result<Arc<Self>> {
        if !self.valid {
            check_id(&self.id)?;
        }
        Ok(Arc::clone(self))
    }
}

enum Entry {
    Enabled(Arc<Key>),
    Disabled(Arc<Key>),
    Destroyed,
}

struct Keys {
    // Invariant: the active key is in `entries` and enabled.
    active: Arc<Key>,
    entries: BTreeMap<String, Entry>,
}

impl Keys {
    fn status(&self, id: &str) -> Option<KeyStatus> {
        Some(match self.entries.get(id)? {
            Entry::Enabled(_) if self.active.id == id => KeyStatus::Active,
            Entry::Enabled(_) => KeyStatus::DecryptOnly,
            Entry::Disabled(_) => KeyStatus::Disabled,
            Entry::Destroyed => KeyStatus::Destroyed,
        })
    }

    fn enabled(&self, id: &str) -> Result<&Arc<Key>> {
        match self.entries.get(id) {
            Some(Entry::Enabled(key)) => Ok(key),
            Some(Entry::Disabled(_)) => Err(EventError::key_disabled(id)),
            Some(Entry::Destroyed) => Err(EventError::key_destroyed(id)),
            None => Err(EventError::key_unknown(id)),
        }
    }

    /// The entry of a key that may be taken out of use.
    fn retiring(&mut self, id: &str) -> Result<&mut Entry> {
        if self.active.id == id {
            return Err(invalid_id(format!(
                "`{id}` is the active key: rotate to another one first"
            )));
        }
        let entry = self.entries.get_mut(id);
        entry.ok_or_else(|| EventError::key_unknown(id))
    }
}

/// Keys by id. Looking one up waits for nobody but a change of the ring, and a
/// change takes no longer than a lookup.
pub(crate) struct Keyring(RwLock<Keys>);

impl Keyring {
    /// A ring with one key, which is active. Its id is checked when it is used.
    pub(crate) fn new(id: String, secret: &SecretKey) -> Self {
        let active = Key::new(id.clone(), secret);
        let first = Entry::Enabled(Arc::clone(&active));
        Self(RwLock::new(Keys {
            active,
            entries: BTreeMap::from([(id, first)]),
        }))
    }

    pub(crate) fn add(&self, id: String, secret: &SecretKey) -> Result<()> {
        check_id(&id)?;
        let key = Key::new(id.clone(), secret);
        let mut keys = self.write();
        if keys.entries.contains_key(&id) {
            return Err(invalid_id(format!(
                "`{id}` exists already: keys are never replaced"
            )));
        }
        keys.entries.insert(id, Entry::Enabled(key));
        Ok(())
    }

    pub(crate) fn rotate_to(&self, id: &str) -> Result<()> {
        let mut keys = self.write();
        keys.active = Arc::clone(keys.enabled(id)?);
        Ok(())
    }

    pub(crate) fn disable(&self, id: &str) -> Result<()> {
        let mut keys = self.write();
        let entry = keys.retiring(id)?;
        match entry {
            Entry::Enabled(key) => *entry = Entry::Disabled(Arc::clone(key)),
            Entry::Disabled(_) => {}
            Entry::Destroyed => return Err(EventError::key_destroyed(id)),
        }
        Ok(())
    }

    pub(crate) fn enable(&self, id: &str) -> Result<()> {
        let mut keys = self.write();
        match keys.entries.get_mut(id) {
            Some(Entry::Enabled(_)) => Ok(()),
            Some(entry @ Entry::Disabled(_)) => {
                if let Entry::Disabled(key) = entry {
                    *entry = Entry::Enabled(Arc::clone(key));
                }
                Ok(())
            }
            Some(Entry::Destroyed) => Err(EventError::key_destroyed(id)),
            None => Err(EventError::key_unknown(id)),
        }
    }

    pub(crate) fn destroy(&self, id: &str) -> Result<()> {
        *self.write().retiring(id)? = Entry::Destroyed;
        Ok(())
    }

    /// The key that encrypts.
    pub(crate) fn active(&self) -> Result<Arc<Key>> {
        self.read().active.usable()
    }

    pub(crate) fn active_id(&self) -> String {
        self.read().active.id.clone()
    }

    /// The key that decrypts what `id` encrypted.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Key>> {
        self.read().enabled(id)?.usable()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.read().entries.keys().cloned().collect()
    }

    pub(crate) fn status(&self, id: &str) -> Option<KeyStatus> {
        self.read().status(id)
    }

    /// What is left of a budget of `limit` encryptions; `None` without a key.
    pub(crate) fn left(&self, id: &str, limit: u64) -> Option<u64> {
        match self.read().entries.get(id)? {
            Entry::Enabled(key) | Entry::Disabled(key) => Some(key.left(limit)),
            Entry::Destroyed => None,
        }
    }

    // Every change of the keys is one assignment: a poisoned lock guards sound data.
    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids and their status, nothing of the keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.read();
        let statuses = keys.entries.keys().map(|id| (id, keys.status(id)));
        f.debug_map()
            .entries(statuses.filter_map(|(id, status)| Some((id, status?))))
            .finish()
    }
}

/// Checks what an id may be: it is stored in the clear with every event.
pub(crate) fn check_id(id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(invalid_id("must not be empty"));
    }
    if id.len() > MAX_ID_BYTES {
        return Err(invalid_id(format!(
            "has {} bytes, the limit is {MAX_ID_BYTES}",
            id.len()
        )));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    if !id.bytes().all(allowed) {
        return Err(invalid_id(format!(
            "`{}` has characters other than letters, digits and `._:/-`",
            id.escape_debug()
        )));
    }
    Ok(())
}

fn invalid_id(reason: impl Into<String>) -> EventError {
    EventError::invalid_option("key_id", reason)
}
