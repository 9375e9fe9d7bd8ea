//! What is stored and sent outlives the code that wrote it. The files in
//! `golden/` are what other versions and other programs write: they must be read,
//! and ours must look the same.

use std::fs;

use a3s_event::{
    Event, SubscriptionFilter,
    crypto::{Aes256GcmEncryptor, EncryptedPayload, EventEncryptor},
    state::{FileStateStore, StateStore},
    types::{DeliverPolicy, SubscribeOptions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const EVENT: &str = include_str!("golden/event.json");
const EVENT_BEFORE_TYPES: &str = include_str!("golden/event_before_types.json");
const STATE: &str = include_str!("golden/state.json");
/// Made with another implementation of AES-GCM: key 32 times 0x42, nonce 0 to 11.
const ENVELOPE_V1: &str = include_str!("golden/envelope_v1.json");
const ENVELOPE_V2: &str = include_str!("golden/envelope_v2.json");

/// Reads the golden text, and writes it again with the same fields.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned>(golden: &str) -> T {
    let value: T = serde_json::from_str(golden).unwrap();
    let expected: Value = serde_json::from_str(golden).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), expected);
    value
}

#[test]
fn an_event_is_camel_case_and_complete() {
    let event: Event = round_trip(EVENT);
    assert_eq!(event.id, "evt-01K8W9QZ6T3M5N7P9R1S2T4V6X");
    assert_eq!(event.subject, "events.market.forex.eur_usd");
    assert_eq!(event.category, "market");
    assert_eq!(
        (event.event_type.as_str(), event.version),
        ("forex.rate", 2)
    );
    assert_eq!(event.summary, "EUR/USD 1.1172");
    assert_eq!(event.source, "European Central Bank");
    assert_eq!(event.timestamp, 1_793_358_000_000);
    assert_eq!(event.metadata["desk"], "fx");
    assert_eq!(event.payload["tiny"], 5e-324);
    assert_eq!(event.payload["huge"], u64::MAX);
    assert_eq!(event.payload["names"][2], "\0");
}

#[test]
fn an_event_without_type_and_with_unknown_fields_is_read() {
    let event: Event = serde_json::from_str(EVENT_BEFORE_TYPES).unwrap();
    assert_eq!((event.event_type.as_str(), event.version), ("", 1));
    assert!(event.metadata.is_empty());
    assert_eq!(event.payload["rate"], 1.1172);
}

#[tokio::test]
async fn a_state_file_is_read_and_written_to_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    fs::write(&theirs, STATE).unwrap();
    let state = FileStateStore::new(theirs).load().await.unwrap();
    FileStateStore::new(&ours).save(&state).await.unwrap();
    assert_eq!(fs::read_to_string(ours).unwrap(), STATE);

    let options = SubscribeOptions {
        max_deliver: Some(5),
        backoff_secs: vec![1, 5, 30],
        max_ack_pending: Some(100),
        deliver_policy: DeliverPolicy::ByStartSequence { sequence: 7 },
        ack_wait_secs: Some(60),
        prefetch: Some(0),
    };
    let analyst = SubscriptionFilter {
        subscriber_id: "analyst".to_string(),
        subjects: vec!["events.market.>".to_string(), "events.*.forex".to_string()],
        durable: true,
        options: Some(options),
    };
    assert_eq!(state["analyst"], analyst);
    assert!(!state["auditor"].durable);
    assert!(state["auditor"].options.is_none());
}

fn encryptor() -> Aes256GcmEncryptor {
    Aes256GcmEncryptor::new("key-1", &[0x42; 32])
}

#[test]
fn an_envelope_of_version_1_opens() {
    let envelope: EncryptedPayload = round_trip(ENVELOPE_V1);
    let payload = encryptor().decrypt(&envelope.into_value()).unwrap();
    assert_eq!(payload, json!({"rate": 7.3521}));
}

#[test]
fn an_envelope_of_version_2_opens_in_its_event_only() {
    let envelope: EncryptedPayload = round_trip(ENVELOPE_V2);
    let mut event = Event::typed(
        "events.market.forex.usd_cny",
        "market",
        "forex.rate_change",
        1,
        "",
        "",
        envelope.into_value(),
    );
    event.id = "evt-00000000-0000-4000-8000-000000000001".to_string();
    let payload = encryptor().decrypt_event(&event).unwrap();
    assert_eq!(payload, json!({"rate": 7.3521}));

    event.version = 2;
    assert!(encryptor().decrypt_event(&event).is_err());
}

#[test]
fn a_written_envelope_looks_like_the_golden_one() {
    let event = Event::new("events.a.b", "a", "", "", json!({"rate": 7.3521}));
    for (written, golden) in [
        (encryptor().encrypt(&event.payload), ENVELOPE_V1),
        (encryptor().encrypt_event(&event), ENVELOPE_V2),
    ] {
        let mut written: EncryptedPayload = serde_json::from_value(written.unwrap()).unwrap();
        let golden: EncryptedPayload = serde_json::from_str(golden).unwrap();
        assert_ne!(written.nonce, golden.nonce);
        written.nonce.clone_from(&golden.nonce);
        written.ciphertext.clone_from(&golden.ciphertext);
        assert_eq!(written, golden);
    }
}
