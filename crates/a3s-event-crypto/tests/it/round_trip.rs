//! What went in comes out, bit for bit.

use std::{mem, thread};

use a3s_event_core::{
    EventError,
    crypto::{EncryptedPayload, EventEncryptor},
    types::MAX_PAYLOAD_DEPTH,
};
use proptest::{collection, prelude::*};
use serde_json::{Number, Value, json};

use crate::{encryptor, event};

/// Any JSON, with floats of any bits and text that looks like an envelope.
fn any_json() -> impl Strategy<Value = Value> {
    let float = any::<u64>().prop_map(f64::from_bits);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        float.prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
        (0.0..1000.0).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(encryptor().encrypt(&json!("inner")).unwrap()),
    ];
    leaf.prop_recursive(8, 64, 8, |inner| {
        let name = prop_oneof![
            any::<String>(),
            Just("encrypted".to_owned()),
            Just("ciphertext".to_owned()),
        ];
        prop_oneof![
            collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            collection::btree_map(name, inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// As text, because `-0.0 == 0.0`.
fn bits(value: &Value) -> String {
    serde_json::to_string(value).unwrap()
}

proptest! {
    #[test]
    fn any_json_comes_back(payload in any_json()) {
        let mut event = event(payload.clone());
        event.payload = encryptor().encrypt_event(&event).unwrap();
        prop_assert!(EncryptedPayload::is_encrypted(&event.payload));
        // As it would be stored and read.
        let stored = serde_json::from_slice(&serde_json::to_vec(&event).unwrap()).unwrap();
        let opened = encryptor().decrypt_event(&stored).unwrap();
        prop_assert_eq!(bits(&opened), bits(&payload));

        let envelope = encryptor().encrypt(&payload).unwrap();
        prop_assert_eq!(bits(&encryptor().decrypt(&envelope).unwrap()), bits(&payload));
    }

    #[test]
    fn any_float_comes_back(float in any::<u64>().prop_map(f64::from_bits)) {
        prop_assume!(float.is_finite());
        let envelope = encryptor().encrypt(&json!(float)).unwrap();
        let opened = encryptor().decrypt(&envelope).unwrap();
        prop_assert_eq!(opened.as_f64().map(f64::to_bits), Some(float.to_bits()));
    }

    #[test]
    fn whatever_claims_to_be_an_envelope_is_refused_without_a_panic(payload in any_json()) {
        let event = event(payload.clone());
        if let Ok(opened) = encryptor().decrypt_event(&event) {
            // The generator writes one genuine envelope.
            prop_assert_eq!(opened, json!("inner"));
        }
    }
}

#[test]
fn every_call_adds_and_removes_exactly_one_layer() {
    let encryptor = encryptor();
    let mut layers = vec![json!({"rate": 7.3521})];
    for depth in 0..10 {
        let sealed = encryptor.encrypt(&layers[depth]).unwrap();
        layers.push(sealed);
    }
    while let Some(sealed) = layers.pop() {
        let Some(inner) = layers.last() else { break };
        assert_eq!(&encryptor.decrypt(&sealed).unwrap(), inner);
    }
}

#[test]
fn bare_and_empty_payloads_come_back() {
    for payload in [
        json!(null),
        json!(true),
        json!(0),
        json!(""),
        json!([]),
        json!({}),
        json!(f64::NAN),
    ] {
        let envelope = encryptor().encrypt(&payload).unwrap();
        assert_eq!(encryptor().decrypt(&envelope).unwrap(), payload);
    }
}

#[test]
fn a_wide_payload_comes_back() {
    let payload = json!(vec![json!([{}, [], {"inner": [1]}]); 1000]);
    let envelope = encryptor().encrypt(&payload).unwrap();
    assert_eq!(encryptor().decrypt(&envelope).unwrap(), payload);
}

#[test]
fn a_large_payload_comes_back() {
    let payload = json!("\u{1}ü🦀".repeat(1 << 18));
    let envelope = encryptor().encrypt(&payload).unwrap();
    assert!(encryptor().decrypt(&envelope).unwrap() == payload);
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, level| {
        if level % 2 == 0 {
            Value::Array(vec![inner])
        } else {
            let mut fields = serde_json::Map::new();
            fields.insert("inner".to_owned(), inner);
            Value::Object(fields)
        }
    })
}

#[test]
fn the_deepest_payload_comes_back_and_a_deeper_one_is_refused_before_encryption() {
    let deepest = event(nested(MAX_PAYLOAD_DEPTH));
    let mut sealed = deepest.clone();
    sealed.payload = encryptor().encrypt_event(&deepest).unwrap();
    assert!(encryptor().decrypt_event(&sealed).unwrap() == deepest.payload);

    let deeper = event(nested(MAX_PAYLOAD_DEPTH + 1));
    for refusal in [
        encryptor().encrypt_event(&deeper),
        encryptor().encrypt(&deeper.payload),
    ] {
        assert!(matches!(refusal, Err(EventError::Encryption { .. })));
    }
}

#[test]
fn a_payload_that_would_overflow_the_stack_is_refused() {
    let refuse = || {
        let deep = event(nested(100_000));
        assert!(encryptor().encrypt_event(&deep).is_err());
        assert!(encryptor().encrypt(&deep.payload).is_err());
        assert!(encryptor().decrypt_event(&deep).is_err());
        assert!(encryptor().decrypt(&deep.payload).is_err());
        // Dropping it would overflow.
        mem::forget(deep);
    };
    thread::spawn(refuse).join().unwrap();
}
