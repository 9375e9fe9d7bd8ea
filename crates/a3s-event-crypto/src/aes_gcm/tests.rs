//! What needs a chosen nonce or raw bytes, which the public functions never take.

use std::io::Write;

use a3s_event_core::{
    EventError,
    crypto::{EncryptedPayload, EventEncryptor},
    types::Event,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::aead::{AES_256_GCM, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

use super::{Aes256GcmEncryptor, NOT_JSON, UNAUTHENTIC, associated};
use crate::{plaintext::Plaintext, secret::SecretKey};

const VECTORS: &str = include_str!("../../tests/vectors/aes_gcm_test.json");

const V1: &str = "fvzjvMVJ0DGqKHcm4+wmjcVjiXlbcOyJtDOS0VOqPQ==";
const V2: &str = "fvzjvMVJ0DGqKHcm4+wmHYgngaIXiBFZyO3PGnr5RA==";
const NONCE: &str = "AAECAwQFBgcICQoL";

fn encryptor() -> Aes256GcmEncryptor {
    Aes256GcmEncryptor::new("key-1", &[0x42; 32])
}

fn event(payload: Value) -> Event {
    let mut event = Event::typed(
        "events.market.forex.usd_cny",
        "market",
        "forex.rate_change",
        1,
        "",
        "",
        payload,
    );
    event.id = "evt-00000000-0000-4000-8000-000000000001".to_owned();
    event
}

/// The ciphertext of the known plaintext under the known key and nonce.
fn sealed(event: Option<&Event>) -> String {
    let key = encryptor().keys.active().unwrap();
    let plaintext = Plaintext::of(&json!({"rate": 7.3521})).unwrap();
    let nonce = Nonce::assume_unique_for_key([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let sealed = plaintext.seal(key.cipher(), nonce, &associated(&key, event));
    STANDARD.encode(sealed.unwrap())
}

#[test]
fn the_known_answers_are_written() {
    assert_eq!(sealed(None), V1);
    assert_eq!(sealed(Some(&event(json!(null)))), V2);
}

#[test]
fn the_known_answers_are_read() {
    let unbound = EncryptedPayload::unbound("key-1", NONCE, V1).into_value();
    let bound = EncryptedPayload::bound("key-1", NONCE, V2).into_value();
    let expected = json!({"rate": 7.3521});

    assert_eq!(encryptor().decrypt(&unbound).unwrap(), expected);
    for envelope in [unbound, bound] {
        let payload = encryptor().decrypt_event(&event(envelope)).unwrap();
        assert_eq!(payload, expected);
    }
}

#[test]
fn a_plaintext_that_outgrows_its_buffer_is_sealed_whole() {
    let key = encryptor().keys.active().unwrap();
    for payload in [
        json!("\u{1}".repeat(10_000)),
        json!(vec![-1.234_567_890_123_456_7e-300; 1000]),
        json!(""),
    ] {
        let plaintext = Plaintext::of(&payload).unwrap();
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        let sealed = plaintext.seal(key.cipher(), nonce, b"").unwrap();
        let opened = Plaintext::open(sealed, key.cipher(), &[7; 12], b"").unwrap();
        assert_eq!(opened.bytes(), serde_json::to_vec(&payload).unwrap());
    }
}

struct Vector {
    key: Vec<u8>,
    nonce: Vec<u8>,
    associated: Vec<u8>,
    message: Vec<u8>,
    sealed: Vec<u8>,
    valid: bool,
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let groups = file["testGroups"].as_array().unwrap().iter();
    let tests = groups.flat_map(|group| group["tests"].as_array().unwrap());
    let vector = |test: &Value| {
        let bytes = |field: &str| unhex(test[field].as_str().unwrap());
        Vector {
            key: bytes("key"),
            nonce: bytes("iv"),
            associated: bytes("aad"),
            message: bytes("msg"),
            sealed: [bytes("ct"), bytes("tag")].concat(),
            valid: test["result"] == "valid",
        }
    };
    tests.map(vector).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2);
    let bytes = pairs.map(|start| u8::from_str_radix(&text[start..start + 2], 16));
    bytes.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_official_vectors_pass() {
    let (mut passed, mut rejected, mut other_nonces, mut other_keys) = (0, 0, 0, 0);
    for vector in vectors() {
        if vector.key.len() != 32 {
            assert!(SecretKey::from_slice(&vector.key).is_err());
            other_keys += 1;
            continue;
        }
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &vector.key).unwrap());
        let sealed = vector.sealed.clone();
        let opened = Plaintext::open(sealed, &cipher, &vector.nonce, &vector.associated);
        if vector.nonce.len() != 12 {
            assert!(opened.is_err());
            other_nonces += 1;
        } else if vector.valid {
            assert_eq!(opened.unwrap().bytes(), vector.message);
            let nonce = Nonce::try_assume_unique_for_key(&vector.nonce).unwrap();
            let mut plaintext = Plaintext::with_capacity(0);
            plaintext.write_all(&vector.message).unwrap();
            let sealed = plaintext.seal(&cipher, nonce, &vector.associated);
            let sealed = sealed.unwrap();
            assert_eq!(sealed, vector.sealed);
            passed += 1;
        } else {
            assert!(opened.is_err());
            rejected += 1;
        }
    }
    // No slice may shrink unseen: 39 valid, 27 with a changed tag, 37 and 2
    // with nonces of other lengths, 108 of AES-128 and 103 of AES-192.
    assert_eq!(
        (passed, rejected, other_nonces, other_keys),
        (39, 27, 37 + 2, 108 + 103)
    );
}

#[test]
fn the_official_vectors_give_the_documented_errors_through_an_envelope() {
    let (mut passed, mut rejected) = (0, 0);
    let fitting = |vector: &Vector| {
        vector.key.len() == 32 && vector.nonce.len() == 12 && vector.associated.is_empty()
    };
    for vector in vectors().into_iter().filter(fitting) {
        let key: &[u8; 32] = vector.key.as_slice().try_into().unwrap();
        let nonce = STANDARD.encode(&vector.nonce);
        let ciphertext = STANDARD.encode(&vector.sealed);
        let envelope = EncryptedPayload::unbound("key-1", nonce, ciphertext).into_value();
        let answer = Aes256GcmEncryptor::new("key-1", key).decrypt(&envelope);

        // The messages of the vectors are no JSON.
        let expected = if vector.valid { NOT_JSON } else { UNAUTHENTIC };
        assert!(matches!(answer, Err(EventError::Encryption { reason, .. }) if reason == expected));
        if vector.valid {
            passed += 1;
        } else {
            rejected += 1;
        }
    }
    assert_eq!((passed, rejected), (21, 27));
}
