use std::{
    io::{self, Write},
    mem,
};

use a3s_event_core::types::MAX_PAYLOAD_DEPTH;
use ring::{
    aead::{Aad, LessSafeKey, Nonce},
    error::Unspecified,
};
use serde::Serialize;
use serde_json::{Serializer, Value, ser::Formatter};
use zeroize::Zeroize;

/// Room for most payloads.
const INITIAL_CAPACITY: usize = 2048;

/// A payload as JSON that leaves no copy in memory: it is encrypted where it
/// lies, wiped if that does not happen, and wiped where it outgrows its buffer.
///
/// Written over zeros, which is faster than appending: serializing writes a few
/// bytes at a time.
pub(crate) struct Plaintext {
    // Invariant: the first `length` bytes are the text, the rest is no secret.
    buffer: Vec<u8>,
    length: usize,
}

impl Plaintext {
    /// Writes `payload`; `None` when it nests deeper than
    /// [`MAX_PAYLOAD_DEPTH`], so deep that nobody could read it back.
    pub(crate) fn of(payload: &Value) -> Option<Self> {
        let mut plaintext = Self::with_capacity(INITIAL_CAPACITY);
        let mut serializer = Serializer::with_formatter(&mut plaintext, BoundedDepth(0));
        // The keys of a `Value` are strings and memory takes all: only depth can fail.
        payload.serialize(&mut serializer).ok()?;
        Some(plaintext)
    }

    /// Decrypts ciphertext and tag in place.
    pub(crate) fn open(
        mut sealed: Vec<u8>,
        cipher: &LessSafeKey,
        nonce: &[u8],
        associated: &[u8],
    ) -> Result<Self, Unspecified> {
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let opened = cipher.open_in_place(nonce, Aad::from(associated), &mut sealed)?;
        let length = opened.len();
        Ok(Self {
            buffer: sealed,
            length,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Encrypts in place and returns ciphertext and tag.
    pub(crate) fn seal(
        mut self,
        cipher: &LessSafeKey,
        nonce: Nonce,
        associated: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        self.buffer.truncate(self.length);
        cipher.seal_in_place_append_tag(nonce, Aad::from(associated), &mut self.buffer)?;
        Ok(mem::take(&mut self.buffer))
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            buffer: vec![0; capacity],
            length: 0,
        }
    }

    /// Moves to a larger buffer and wipes the one it leaves.
    #[cold]
    fn grow(&mut self, additional: usize) {
        let needed = self.length + additional;
        let mut larger = Self::with_capacity(needed.max(2 * self.buffer.len()));
        larger.buffer[..self.length].copy_from_slice(self.bytes());
        larger.length = self.length;
        *self = larger;
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        // As a slice in one stroke; a `Zeroizing<Vec>` would go byte by byte.
        self.buffer.as_mut_slice().zeroize();
    }
}

impl Write for Plaintext {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.length + bytes.len();
        if end > self.buffer.len() {
            self.grow(bytes.len());
        }
        self.buffer[self.length..end].copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compact JSON that stops at the depth limit: in the same pass, so that no
/// second one is needed, and before the recursion could exhaust the stack.
struct BoundedDepth(usize);

impl BoundedDepth {
    #[inline]
    fn descend(&mut self) -> io::Result<()> {
        self.0 += 1;
        if self.0 > MAX_PAYLOAD_DEPTH {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }
}

impl Formatter for BoundedDepth {
    #[inline]
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.descend()?;
        writer.write_all(b"[")
    }

    #[inline]
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0 -= 1;
        writer.write_all(b"]")
    }

    #[inline]
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.descend()?;
        writer.write_all(b"{")
    }

    #[inline]
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0 -= 1;
        writer.write_all(b"}")
    }
}
