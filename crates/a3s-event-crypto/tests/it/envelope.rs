//! What is written, and what is refused to be read.

use a3s_event_core::{
    EventError,
    crypto::{EncryptedPayload, EventEncryptor},
    types::Event,
};
use a3s_event_crypto::Aes256GcmEncryptor;
use serde_json::{Value, json};

use crate::{KEY, OTHER_KEY, encryptor, event};

const NONCE: &str = "AAECAwQFBgcICQoL";
/// The known answer without associated data, of `{"rate":7.3521}`.
const CIPHERTEXT: &str = "fvzjvMVJ0DGqKHcm4+wmjcVjiXlbcOyJtDOS0VOqPQ==";

fn envelope() -> Value {
    json!({"encrypted": true, "keyId": "key-1", "nonce": NONCE, "ciphertext": CIPHERTEXT})
}

/// An event with its payload encrypted.
fn sealed() -> Event {
    let mut event = event(json!({"rate": 7.3521}));
    event.payload = encryptor().encrypt_event(&event).unwrap();
    event
}

/// Reason and key of the error that names `event`.
#[track_caller]
fn refusal(encryptor: &Aes256GcmEncryptor, event: &Event) -> (String, Option<String>) {
    let error = encryptor.decrypt_event(event).unwrap_err();
    let EventError::Encryption {
        reason,
        event_id,
        key_id,
        ..
    } = error
    else {
        panic!("not about encryption: {error}");
    };
    assert_eq!(event_id.as_ref(), Some(&event.id));
    (reason.into_owned(), key_id)
}

#[test]
fn an_event_is_bound_and_a_bare_payload_is_not() {
    let bound = sealed().into_fields().payload;
    let mut fields: Vec<_> = bound.as_object().unwrap().keys().collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["alg", "ciphertext", "encrypted", "keyId", "nonce", "v"]
    );
    assert_eq!((&bound["v"], &bound["alg"]), (&json!(2), &json!("A256GCM")));

    let unbound = encryptor().encrypt(&json!({"rate": 7.3521})).unwrap();
    let mut fields: Vec<_> = unbound.as_object().unwrap().keys().collect();
    fields.sort_unstable();
    assert_eq!(fields, ["ciphertext", "encrypted", "keyId", "nonce"]);

    for envelope in [bound, unbound] {
        assert!(EncryptedPayload::is_encrypted(&envelope));
        assert_eq!(envelope["keyId"], json!("key-1"));
        assert_eq!(envelope["nonce"].as_str().unwrap().len(), 16);
    }
}

#[test]
fn an_unbound_envelope_of_the_predecessor_is_read() {
    let mut event = event(envelope());
    let expected = json!({"rate": 7.3521});
    assert_eq!(encryptor().decrypt(&event.payload).unwrap(), expected);
    assert_eq!(encryptor().decrypt_event(&event).unwrap(), expected);

    // Nothing binds it, so it reads in every event: why a policy can refuse it.
    event.subject.push_str(".elsewhere");
    assert_eq!(encryptor().decrypt_event(&event).unwrap(), expected);
}

#[test]
fn nonces_do_not_repeat() {
    let encryptor = encryptor();
    let mut nonces: Vec<_> = (0..2000)
        .map(|_| encryptor.encrypt(&json!(1)).unwrap()["nonce"].to_string())
        .collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 2000);
}

#[test]
fn whatever_is_changed_the_answer_is_the_same_and_names_event_and_key() {
    let encryptor = encryptor();
    encryptor.add_key("key-2", &OTHER_KEY).unwrap();
    let original = sealed();
    let expected = ("authentication failed".to_owned(), Some("key-1".to_owned()));
    let changed = |change: &dyn Fn(&mut Event)| {
        let mut event = original.clone();
        change(&mut event);
        event
    };
    let tampered = [
        ("another id", changed(&|event| event.id.push('0'))),
        ("another subject", changed(&|event| event.subject.push('x'))),
        ("another type", changed(&|event| event.event_type.clear())),
        ("another version", changed(&|event| event.version += 1)),
        (
            "fields that only add up the same",
            changed(&|event| {
                let moved = event.event_type.remove(0);
                event.subject.push(moved);
            }),
        ),
        (
            "the payload of another event",
            changed(&|event| event.payload = sealed().into_fields().payload),
        ),
        (
            "a binding cut off",
            changed(&|event| {
                let envelope = event.payload.as_object_mut().unwrap();
                envelope.remove("v");
                envelope.remove("alg");
            }),
        ),
        (
            "a binding made up",
            changed(&|event| {
                event.payload = envelope();
                event.payload["v"] = json!(2);
                event.payload["alg"] = json!("A256GCM");
            }),
        ),
    ];
    for (change, event) in &tampered {
        assert_eq!(refusal(&encryptor, event), expected, "{change}");
    }

    let relabelled = changed(&|event| event.payload["keyId"] = json!("key-2"));
    let key = Some("key-2".to_owned());
    assert_eq!(refusal(&encryptor, &relabelled), (expected.0.clone(), key));

    let wrong_key = Aes256GcmEncryptor::new("key-1", &OTHER_KEY);
    assert_eq!(refusal(&wrong_key, &original), expected);
}

#[test]
fn what_is_not_bound_may_change() {
    let mut event = sealed();
    event.summary.clear();
    event.source.clear();
    event.category.clear();
    event.timestamp += 1;
    let event = event.with_metadata("traceparent", "00-x");
    assert_eq!(
        encryptor().decrypt_event(&event).unwrap(),
        json!({"rate": 7.3521})
    );
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused_alike() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let original = sealed();
    for field in ["nonce", "ciphertext"] {
        let text = original.payload[field].as_str().unwrap();
        for position in 0..text.trim_end_matches('=').len() {
            let value = ALPHABET
                .iter()
                .position(|&letter| letter == text.as_bytes()[position])
                .unwrap();
            for bit in 0..6 {
                let mut flipped = text.as_bytes().to_vec();
                flipped[position] = ALPHABET[value ^ (1 << bit)];
                let mut event = original.clone();
                event.payload[field] = json!(String::from_utf8(flipped).unwrap());
                let (reason, key_id) = refusal(&encryptor(), &event);
                // Bits that encode nothing must be zero.
                assert!(
                    ["authentication failed", "malformed envelope"].contains(&reason.as_str()),
                    "{reason}"
                );
                let padding = position + 1 == text.trim_end_matches('=').len();
                assert!(padding || reason == "authentication failed");
                assert_eq!(key_id.as_deref(), Some("key-1"));
            }
        }
    }

    let text = original.payload["ciphertext"].as_str().unwrap();
    for length in (24..text.len() - 4).step_by(4) {
        let mut event = original.clone();
        event.payload["ciphertext"] = json!(text[..length]);
        assert_eq!(refusal(&encryptor(), &event).0, "authentication failed");
    }
}

#[test]
fn an_envelope_out_of_shape_is_refused_before_any_cryptography() {
    for (field, value) in [
        ("encrypted", json!(false)),
        ("encrypted", json!("true")),
        ("encrypted", json!(1)),
        ("encrypted", json!(null)),
        ("keyId", json!(1)),
        ("keyId", json!(null)),
        ("nonce", json!("")),
        ("nonce", json!("AAECAwQFBgc=")),
        ("nonce", json!("AAECAwQFBgcICQo=")),
        ("nonce", json!("AAECAwQFBgcICQoLDA==")),
        ("nonce", json!("AAECAwQFBgcICQoLDA0ODw==")),
        ("nonce", json!("AAECAwQFBgcICQo_")),
        ("nonce", json!("AAECAwQFBgcICQo\n")),
        ("nonce", json!(12)),
        ("ciphertext", json!("")),
        ("ciphertext", json!("fvzjvMVJ0DGqKHcm4+wm")),
        ("ciphertext", json!(CIPHERTEXT.trim_end_matches('='))),
        ("ciphertext", json!(format!("{CIPHERTEXT}=="))),
        ("ciphertext", json!(format!("{CIPHERTEXT}\n"))),
        ("ciphertext", json!(format!(" {CIPHERTEXT}"))),
        ("ciphertext", json!(CIPHERTEXT.replace('+', "-"))),
        ("ciphertext", json!(CIPHERTEXT.replace("PQ==", "PR=="))),
        ("ciphertext", json!([1, 2, 3])),
        ("v", json!(1)),
        ("v", json!(3)),
        ("v", json!("2")),
        ("v", json!(2)),
        ("alg", json!("A256GCM")),
        ("wrappedKey", json!("")),
    ] {
        let mut malformed = envelope();
        malformed[field] = value;
        let event = event(malformed);
        let (reason, _) = refusal(&encryptor(), &event);
        assert_ne!(reason, "authentication failed", "{}", event.payload);
        assert!(encryptor().decrypt(&event.payload).is_err());
    }

    for (version, algorithm) in [
        (json!(2), json!("A128GCM")),
        (json!(3), json!("A256GCM")),
        (json!(2), json!("a256gcm")),
        (json!(2.0), json!("A256GCM")),
        (json!(-2), json!("A256GCM")),
        (json!(u64::MAX), json!("A256GCM")),
    ] {
        let mut unknown = envelope();
        unknown["v"] = version;
        unknown["alg"] = algorithm;
        assert!(encryptor().decrypt_event(&event(unknown)).is_err());
    }

    for field in ["encrypted", "keyId", "nonce", "ciphertext"] {
        let mut incomplete = envelope();
        incomplete.as_object_mut().unwrap().remove(field);
        assert!(encryptor().decrypt_event(&event(incomplete)).is_err());
    }
    for nothing in [
        json!(null),
        json!([]),
        json!([true, null, null, "key-1", NONCE, CIPHERTEXT]),
        json!("text"),
        json!(1),
        json!({}),
    ] {
        let reason = refusal(&encryptor(), &event(nothing)).0;
        assert_eq!(reason, "the payload is no envelope");
    }
}

#[test]
fn a_bound_envelope_is_not_read_without_its_event() {
    let event = sealed();
    let error = encryptor().decrypt(&event.payload).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the envelope is bound to an event that was not given with key `key-1`"
    );
}

#[test]
fn a_key_id_that_no_key_can_have_is_not_waited_for() {
    for id in ["", "a b", &"k".repeat(1 << 20)] {
        let mut malformed = envelope();
        malformed["keyId"] = json!(id);
        let error = encryptor().decrypt_event(&event(malformed)).unwrap_err();
        assert!(matches!(error, EventError::Encryption { .. }), "{error}");
        assert!(!error.is_retryable());
        assert!(error.to_string().len() < 1000);
    }
}

#[test]
fn a_huge_forged_ciphertext_is_an_error_like_any_other() {
    let mut forged = envelope();
    forged["ciphertext"] = json!("A".repeat(8 << 20));
    let (reason, _) = refusal(&encryptor(), &event(forged));
    assert_eq!(reason, "authentication failed");
}

#[test]
fn an_encryptor_works_behind_every_pointer() {
    let shared: std::sync::Arc<dyn EventEncryptor> =
        std::sync::Arc::new(Aes256GcmEncryptor::new("key-1", &KEY));
    let mut event = event(json!(1));
    event.payload = shared.encrypt_event(&event).unwrap();
    let boxed: Box<dyn EventEncryptor> = Box::new(shared);
    assert_eq!(boxed.decrypt_event(&event).unwrap(), json!(1));
}
