//! Payload encryption for events: AES-256-GCM, bound to the event, with keys
//! that rotate while others publish.
//!
//! - [`Aes256GcmEncryptor`] encrypts and decrypts payloads; give it to a bus.
//! - [`SecretKey`] is a key on its way there, loaded from a file, a variable or
//!   text.
//! - [`KeyStatus`] is where a key is in its life.
//!
//! Only the payload is hidden. Subject, category, type, summary, source,
//! metadata, time and the size of the payload stay readable for everybody who
//! can read the stream.
//!
//! The cryptography is [ring]'s; this crate adds the envelope and the keyring.
//!
//! [ring]: https://docs.rs/ring
//!
//! # Examples
//!
//! ```
//! use a3s_event_core::{crypto::EventEncryptor, types::Event};
//! use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
//!
//! let encryptor = Aes256GcmEncryptor::with_key("2025-01", SecretKey::generate()?)?;
//!
//! let mut event = Event::new(
//!     "events.hr.salary.changed",
//!     "hr",
//!     "A salary changed",
//!     "payroll",
//!     serde_json::json!({"employee": 4711, "salary": 5200.5}),
//! );
//! event.payload = encryptor.encrypt_event(&event)?;
//! assert_eq!(event.payload["keyId"], "2025-01");
//!
//! // A new key for what comes, the old one for what is there.
//! encryptor.add_key("2025-02", SecretKey::generate()?)?;
//! encryptor.rotate_to("2025-02")?;
//! let payload = encryptor.decrypt_event(&event)?;
//! assert_eq!(payload["salary"], 5200.5);
//! # Ok::<(), a3s_event_core::EventError>(())
//! ```

mod aes_gcm;
mod keyring;
mod plaintext;
mod secret;

pub use aes_gcm::Aes256GcmEncryptor;
pub use keyring::KeyStatus;
pub use secret::SecretKey;
