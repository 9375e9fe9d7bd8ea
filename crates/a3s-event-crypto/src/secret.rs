use std::{
    fmt,
    fs::{self, File},
    io::Read,
    path::Path,
};

use a3s_event_core::{EventError, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Bytes of a key of AES-256.
pub(crate) const KEY_BYTES: usize = 32;

/// Characters of a key in base64, padding included.
const BASE64_CHARACTERS: usize = 44;

/// Longest key file that is read.
const MAX_FILE_BYTES: usize = 4096;

/// A key of 256 bits on its way into an encryptor.
///
/// Wiped from memory when it is dropped. It has no `Clone`, no comparison, no
/// serialization and no accessor, and its `Debug` shows nothing.
///
/// How a key is written is named by the function, never guessed: 64 hexadecimal
/// digits are valid base64 as well, of another key. No error quotes any part of
/// what was read. Zeros, which are a buffer that nobody filled, are refused
/// wherever a key is read at run time.
///
/// Make a key with `openssl rand -base64 32`.
///
/// # Examples
///
/// ```
/// use a3s_event_crypto::SecretKey;
///
/// let key = SecretKey::from_base64("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")?;
/// assert_eq!(format!("{key:?}"), "SecretKey(..)");
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
// The box makes a move copy a pointer and not the key.
pub struct SecretKey(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl SecretKey {
    /// Draws a fresh key from the random generator of the operating system.
    ///
    /// It lives as long as the process: for tests, and for events that nobody
    /// must be able to read after a restart.
    ///
    /// # Errors
    ///
    /// [`EventError::Encryption`] when the generator fails.
    pub fn generate() -> Result<Self> {
        let mut key = Self::zeros();
        let drawn = SystemRandom::new().fill(key.0.as_mut_slice());
        drawn.map_err(|_| EventError::encryption(NO_RANDOMNESS, None, None))?;
        Ok(key)
    }

    /// Copies a key from its 32 bytes.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for another length, and for zeros.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        Self::from_bytes(bytes).map_err(invalid)
    }

    /// Reads a key in standard base64: exactly 44 characters, padded, without
    /// white space.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for anything else, and for zeros.
    pub fn from_base64(text: &str) -> Result<Self> {
        Self::decode_base64(text.as_bytes()).map_err(invalid)
    }

    /// Reads a key in hexadecimal: exactly 64 digits of either case.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for anything else, and for zeros.
    pub fn from_hex(text: &str) -> Result<Self> {
        Self::decode_hex(text.as_bytes()).map_err(invalid)
    }

    /// Reads a key from the environment variable `variable`, in base64 as
    /// [`from_base64`](Self::from_base64) takes it.
    ///
    /// The variable itself stays in the environment, readable for the process
    /// and often for its children: a file is the better place.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] naming the variable when it is not set or
    /// holds anything else.
    pub fn from_env(variable: &str) -> Result<Self> {
        let read = || {
            let value = std::env::var_os(variable).ok_or("is not set")?;
            let value = Zeroizing::new(value.into_encoded_bytes());
            Self::decode_base64(&value)
        };
        let variable = variable.escape_debug();
        read().map_err(|reason| invalid(format!("environment variable `{variable}`: {reason}")))
    }

    /// Reads a key from a file that only its owner may access, in base64 as
    /// [`from_base64`](Self::from_base64) takes it; one newline may follow.
    ///
    /// On Unix, a file with any permission for group or others is refused. Who
    /// gives such files to a process on purpose, as orchestrators mount
    /// secrets, reads them with [`from_shared_file`](Self::from_shared_file).
    ///
    /// Blocks for the time of a short read: load keys at start-up.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] naming the file when it cannot be read, is
    /// no regular file, is longer than 4 KiB, is open to others, or holds
    /// anything else.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_file(path.as_ref(), Access::Owner)
    }

    /// Reads a key as [`from_file`](Self::from_file) does, whoever else may
    /// read the file.
    ///
    /// # Errors
    ///
    /// Those of [`from_file`](Self::from_file) but for permissions.
    pub fn from_shared_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_file(path.as_ref(), Access::Any)
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn zeros() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let Ok(bytes) = <&[u8; KEY_BYTES]>::try_from(bytes) else {
            let length = bytes.len();
            return Err(format!(
                "a key has {KEY_BYTES} bytes, this one has {length}"
            ));
        };
        if *bytes == [0; KEY_BYTES] {
            return Err("all bytes are zero".to_owned());
        }
        Ok(Self::from(bytes))
    }

    fn decode_base64(text: &[u8]) -> Result<Self, String> {
        if text.len() != BASE64_CHARACTERS {
            let length = text.len();
            return Err(format!(
                "a key has {BASE64_CHARACTERS} characters of base64, this text has {length} bytes"
            ));
        }
        // 44 characters without any padding would be 33 bytes.
        let mut bytes = Zeroizing::new([0; KEY_BYTES + 1]);
        let length = STANDARD.decode_slice(text, bytes.as_mut_slice());
        // The error of the decoder quotes a byte of the text.
        let length = length.map_err(|_| "the text is no standard base64".to_owned())?;
        Self::from_bytes(&bytes[..length])
    }

    fn decode_hex(text: &[u8]) -> Result<Self, String> {
        if text.len() != 2 * KEY_BYTES {
            return Err(format!(
                "a key has {} hexadecimal digits, this text has {} bytes",
                2 * KEY_BYTES,
                text.len()
            ));
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            for &digit in pair {
                let digit = char::from(digit).to_digit(16);
                let digit = digit.and_then(|digit| u8::try_from(digit).ok());
                *byte = *byte << 4 | digit.ok_or("the text is not hexadecimal")?;
            }
        }
        Self::from_bytes(bytes.as_slice())
    }

    fn read_file(path: &Path, access: Access) -> Result<Self> {
        let read = || {
            let mut buffer = Zeroizing::new([0_u8; MAX_FILE_BYTES + 1]);
            let text = read_into(buffer.as_mut_slice(), path, access)?;
            Self::decode_base64(text.strip_suffix(b"\n").unwrap_or(text))
        };
        read().map_err(|reason| {
            let path = path.to_string_lossy();
            invalid(format!("key file `{}`: {reason}", path.escape_debug()))
        })
    }
}

/// Copies the bytes; the original is the caller's to wipe.
impl From<&[u8; KEY_BYTES]> for SecretKey {
    fn from(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut key = Self::zeros();
        key.0.copy_from_slice(bytes);
        key
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

pub(crate) const NO_RANDOMNESS: &str = "the operating system gave no random bytes";

/// Who may have access to a key file.
#[derive(Clone, Copy)]
enum Access {
    Owner,
    Any,
}

/// Reads the file at `path` into `buffer`, which has room for one byte more
/// than a key file may have.
fn read_into<'b>(buffer: &'b mut [u8], path: &Path, access: Access) -> Result<&'b [u8], String> {
    let unreadable = |error: std::io::Error| error.to_string();
    // Asked before opening, because opening a pipe waits for a writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if matches!(access, Access::Owner) && open_to_others(&metadata) {
        return Err("others than its owner have access: change its mode to 0600".to_owned());
    }
    let mut length = 0;
    loop {
        match file.read(&mut buffer[length..]).map_err(unreadable)? {
            0 if length > MAX_FILE_BYTES => {
                return Err(format!("is longer than {MAX_FILE_BYTES} bytes"));
            }
            0 => return Ok(&buffer[..length]),
            read => length += read,
        }
    }
}

#[cfg(unix)]
fn open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;

    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> bool {
    false
}

fn invalid(reason: impl Into<String>) -> EventError {
    EventError::invalid_option("key", reason)
}
