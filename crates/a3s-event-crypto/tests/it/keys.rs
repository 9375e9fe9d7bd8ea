//! The life of a key, and every refusal on its way.

use a3s_event_core::{EventError, Result, crypto::EventEncryptor};
use a3s_event_crypto::{Aes256GcmEncryptor, KeyStatus, SecretKey};
use serde_json::json;

use crate::{KEY, OTHER_KEY, encryptor};

/// `key-1` active, `key-2` decrypts.
fn two_keys() -> Aes256GcmEncryptor {
    let encryptor = encryptor();
    encryptor.add_key("key-2", &OTHER_KEY).unwrap();
    encryptor
}

#[track_caller]
fn assert_statuses(encryptor: &Aes256GcmEncryptor, first: KeyStatus, second: KeyStatus) {
    assert_eq!(encryptor.key_status("key-1"), Some(first));
    assert_eq!(encryptor.key_status("key-2"), Some(second));
}

#[track_caller]
fn assert_invalid<T>(result: Result<T>) {
    let refusal = result.err().unwrap();
    assert!(
        matches!(refusal, EventError::InvalidOption { .. }),
        "{refusal}"
    );
}

#[test]
fn a_key_goes_through_its_life() {
    let encryptor = two_keys();
    assert_statuses(&encryptor, KeyStatus::Active, KeyStatus::DecryptOnly);
    let envelope = encryptor.encrypt(&json!(1)).unwrap();

    encryptor.rotate_to("key-2").unwrap();
    assert_statuses(&encryptor, KeyStatus::DecryptOnly, KeyStatus::Active);
    assert_eq!(encryptor.active_key_id(), "key-2");
    assert_eq!(encryptor.decrypt(&envelope).unwrap(), json!(1));
    assert_eq!(
        encryptor.encrypt(&json!(1)).unwrap()["keyId"],
        json!("key-2")
    );

    encryptor.disable_key("key-1").unwrap();
    assert_statuses(&encryptor, KeyStatus::Disabled, KeyStatus::Active);
    let disabled = encryptor.decrypt(&envelope).unwrap_err();
    assert!(matches!(&disabled, EventError::KeyDisabled { key_id, .. } if key_id == "key-1"));
    assert!(disabled.is_retryable());

    encryptor.enable_key("key-1").unwrap();
    assert_statuses(&encryptor, KeyStatus::DecryptOnly, KeyStatus::Active);
    assert_eq!(encryptor.decrypt(&envelope).unwrap(), json!(1));

    encryptor.destroy_key("key-1").unwrap();
    assert_statuses(&encryptor, KeyStatus::Destroyed, KeyStatus::Active);
    let destroyed = encryptor.decrypt(&envelope).unwrap_err();
    assert!(matches!(&destroyed, EventError::KeyDestroyed { key_id, .. } if key_id == "key-1"));
    assert!(!destroyed.is_retryable());
}

#[test]
fn an_unknown_key_is_an_error_of_its_own() {
    let envelope = two_keys().encrypt(&json!(1)).unwrap();
    let elsewhere = Aes256GcmEncryptor::new("key-9", &KEY);
    let unknown = elsewhere.decrypt(&envelope).unwrap_err();
    assert!(matches!(&unknown, EventError::KeyUnknown { key_id, .. } if key_id == "key-1"));
    assert!(unknown.is_retryable());
    assert_eq!(elsewhere.key_status("key-1"), None);
}

#[test]
fn ids_are_listed_sorted_and_remembered() {
    let encryptor = two_keys();
    encryptor
        .add_key("key-0", SecretKey::generate().unwrap())
        .unwrap();
    encryptor.destroy_key("key-2").unwrap();
    assert_eq!(encryptor.key_ids(), ["key-0", "key-1", "key-2"]);
}

#[test]
fn a_key_is_never_replaced_whatever_its_status() {
    let encryptor = two_keys();
    let envelope = encryptor.encrypt(&json!(1)).unwrap();
    assert_invalid(encryptor.add_key("key-1", &OTHER_KEY));
    assert_eq!(encryptor.decrypt(&envelope).unwrap(), json!(1));

    assert_invalid(encryptor.add_key("key-2", &OTHER_KEY));
    encryptor.disable_key("key-2").unwrap();
    assert_invalid(encryptor.add_key("key-2", &OTHER_KEY));
    encryptor.destroy_key("key-2").unwrap();
    assert_invalid(encryptor.add_key("key-2", &OTHER_KEY));
    assert_statuses(&encryptor, KeyStatus::Active, KeyStatus::Destroyed);
}

#[test]
fn rotation_to_what_cannot_encrypt_keeps_the_active_key() {
    let encryptor = two_keys();
    assert!(matches!(
        encryptor.rotate_to("key-3"),
        Err(EventError::KeyUnknown { .. })
    ));
    encryptor.disable_key("key-2").unwrap();
    assert!(matches!(
        encryptor.rotate_to("key-2"),
        Err(EventError::KeyDisabled { .. })
    ));
    encryptor.destroy_key("key-2").unwrap();
    assert!(matches!(
        encryptor.rotate_to("key-2"),
        Err(EventError::KeyDestroyed { .. })
    ));
    assert_statuses(&encryptor, KeyStatus::Active, KeyStatus::Destroyed);
    encryptor.encrypt(&json!(1)).unwrap();
}

#[test]
fn the_active_key_can_neither_be_disabled_nor_destroyed() {
    let encryptor = two_keys();
    assert_invalid(encryptor.disable_key("key-1"));
    assert_invalid(encryptor.destroy_key("key-1"));
    encryptor.rotate_to("key-1").unwrap();
    assert_statuses(&encryptor, KeyStatus::Active, KeyStatus::DecryptOnly);
}

#[test]
fn changes_of_status_may_be_repeated_and_never_revive_a_destroyed_key() {
    let encryptor = two_keys();
    encryptor.enable_key("key-1").unwrap();
    for _ in 0..2 {
        encryptor.disable_key("key-2").unwrap();
    }
    for _ in 0..2 {
        encryptor.enable_key("key-2").unwrap();
    }
    encryptor.disable_key("key-2").unwrap();
    for _ in 0..2 {
        encryptor.destroy_key("key-2").unwrap();
    }
    for revival in [
        encryptor.enable_key("key-2"),
        encryptor.disable_key("key-2"),
    ] {
        assert!(matches!(revival, Err(EventError::KeyDestroyed { .. })));
    }
    for unknown in [
        encryptor.enable_key("key-3"),
        encryptor.disable_key("key-3"),
        encryptor.destroy_key("key-3"),
    ] {
        assert!(matches!(unknown, Err(EventError::KeyUnknown { .. })));
    }
}

#[test]
fn an_id_that_breaks_the_rules_is_refused() {
    let longest = "k".repeat(128);
    for id in ["k", "2025-01", "kms:eu/orders_1.a", &longest] {
        two_keys().add_key(id, &KEY).unwrap();
        Aes256GcmEncryptor::with_key(id, SecretKey::from(&KEY)).unwrap();
    }
    let too_long = "k".repeat(129);
    for id in [
        "",
        " ",
        "a b",
        "a\n",
        "a\0",
        "a\"b",
        "schlüssel",
        "🔑",
        &too_long,
    ] {
        assert_invalid(two_keys().add_key(id, &KEY));
        assert_invalid(Aes256GcmEncryptor::with_key(id, SecretKey::from(&KEY)));
    }
}

#[test]
fn an_id_that_new_could_not_refuse_is_refused_at_first_use() {
    for id in ["", "a\r\nb"] {
        let encryptor = Aes256GcmEncryptor::new(id, &KEY);
        assert_eq!(encryptor.active_key_id(), id);
        assert_invalid(encryptor.encrypt(&json!(1)));
        assert_invalid(encryptor.encrypt_event(&crate::event(json!(1))));

        encryptor.add_key("key-2", &OTHER_KEY).unwrap();
        encryptor.rotate_to("key-2").unwrap();
        encryptor.encrypt(&json!(1)).unwrap();
    }
}

#[test]
fn the_budget_counts_per_key_and_refuses_what_exceeds_it() {
    let encryptor = two_keys().with_max_encryptions(2);
    assert_eq!(encryptor.encryptions_left("key-1"), Some(2));
    let event = crate::event(json!(1));
    encryptor.encrypt(&event.payload).unwrap();
    encryptor.encrypt_event(&event).unwrap();
    assert_eq!(encryptor.encryptions_left("key-1"), Some(0));

    for _ in 0..2 {
        let spent = encryptor.encrypt_event(&event).unwrap_err();
        let EventError::Encryption {
            event_id, key_id, ..
        } = &spent
        else {
            panic!("not about encryption: {spent}");
        };
        assert_eq!(event_id.as_ref(), Some(&event.id));
        assert_eq!(key_id.as_deref(), Some("key-1"));
        assert!(!spent.is_retryable());
    }
    assert_eq!(encryptor.encryptions_left("key-1"), Some(0));

    assert_eq!(encryptor.encryptions_left("key-2"), Some(2));
    encryptor.rotate_to("key-2").unwrap();
    encryptor.encrypt(&json!(1)).unwrap();
    assert_eq!(encryptor.encryptions_left("key-2"), Some(1));

    assert_eq!(encryptor.encryptions_left("key-3"), None);
    encryptor.destroy_key("key-1").unwrap();
    assert_eq!(encryptor.encryptions_left("key-1"), None);
}

#[test]
fn the_budget_never_exceeds_the_bound_of_random_nonces() {
    let default = encryptor().encryptions_left("key-1");
    assert_eq!(default, Some(1 << 28));
    let greedy = encryptor().with_max_encryptions(u64::MAX);
    assert_eq!(greedy.encryptions_left("key-1"), Some(1 << 32));
}
