use std::sync::Arc;

use a3s_event_bus::{EncryptionPolicy, EventBus, MemoryDlqHandler};
use a3s_event_core::{
    EventError,
    crypto::{EncryptedPayload, EventEncryptor},
    dlq::{DeadLetterKind, DlqHandler},
    provider::EventProvider,
    types::Event,
};
use a3s_event_crypto::Aes256GcmEncryptor;
use a3s_event_memory::MemoryProvider;
use serde_json::{Value, json};

use crate::support::{
    at_once, capped, durable, event, filter, next, next_pending, publish, within,
};

const KEY: [u8; 32] = [0x42; 32];

fn encryptor(key_id: &str) -> Arc<Aes256GcmEncryptor> {
    Arc::new(Aes256GcmEncryptor::new(key_id, &KEY))
}

/// A bus on `provider` that encrypts with the key of the tests.
fn encrypting(provider: Arc<dyn EventProvider>) -> EventBus {
    let mut bus = EventBus::from_provider(provider);
    bus.set_encryptor(encryptor("key-1"));
    bus
}

fn memory() -> Arc<dyn EventProvider> {
    Arc::new(MemoryProvider::default())
}

async fn stored(provider: &Arc<dyn EventProvider>) -> Event {
    provider.history(None, 1).await.unwrap().remove(0)
}

#[tokio::test]
async fn the_stream_holds_ciphertext_and_every_reader_gets_plaintext() {
    let provider = memory();
    let bus = encrypting(Arc::clone(&provider));
    let published = bus
        .publish(
            "a",
            "b",
            "summary",
            "test",
            json!({"pin": "0451", "rate": 7.3521}),
        )
        .await
        .unwrap();
    assert_eq!(published.payload["pin"], "0451");

    let at_rest = stored(&provider).await;
    assert!(EncryptedPayload::is_encrypted(&at_rest.payload));
    assert!(!at_rest.payload.to_string().contains("0451"));
    assert_eq!(
        (&at_rest.id, &at_rest.summary),
        (&published.id, &published.summary)
    );

    bus.update_subscription(filter("one", &["events.a.>"]))
        .await
        .unwrap();
    bus.update_subscription(durable("two", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    let mut readers = vec![
        bus.subscribe("events.>").await.unwrap(),
        bus.subscribe_as("one").await.unwrap(),
        bus.subscribe_as("two").await.unwrap(),
        bus.create_subscriber("one").await.unwrap().remove(0),
    ];
    for reader in &mut readers {
        assert_eq!(next(reader).await.event, published);
    }
    let mut manual = bus.subscribe("events.>").await.unwrap();
    assert_eq!(next_pending(&mut manual).await.received.event, published);
    assert_eq!(bus.list_events(Some("a"), 10).await.unwrap(), [published]);
    let figures = bus.metrics().snapshot();
    assert_eq!((figures.encrypted, figures.decrypted), (1, 6));
}

#[tokio::test]
async fn the_returned_event_can_be_published_again() {
    let provider = memory();
    let bus = encrypting(Arc::clone(&provider));
    let event = bus
        .publish("a", "b", "", "", json!({"n": 1}))
        .await
        .unwrap();
    bus.publish_event(&event).await.unwrap();
    bus.publish_batch(std::slice::from_ref(&event))
        .await
        .unwrap();
    assert_eq!(event.payload, json!({"n": 1}));
    assert_eq!(
        bus.list_events(None, 10).await.unwrap(),
        [event.clone(), event.clone(), event]
    );
}

#[tokio::test]
async fn payloads_that_look_like_envelopes_come_back_unchanged() {
    let bus = encrypting(memory());
    let envelope = encryptor("key-1").encrypt(&json!(1)).unwrap();
    for payload in [
        envelope.clone(),
        json!({"encrypted": true}),
        json!({"encrypted": true, "keyId": "k", "nonce": "n", "ciphertext": "c"}),
        json!({"encrypted": true, "v": 9, "alg": "X", "keyId": "k", "nonce": "n", "ciphertext": "c"}),
        Value::Null,
        json!(0.1),
        json!(-0.0),
        json!([1, [2]]),
    ] {
        let sent = event("events.a.b", payload);
        bus.publish_event(&sent).await.unwrap();
        assert_eq!(bus.list_events(None, 1).await.unwrap(), [sent]);
    }
}

#[tokio::test]
async fn plaintext_passes_when_encryption_is_optional() {
    let provider = memory();
    let plain = EventBus::from_provider(Arc::clone(&provider));
    let bus = encrypting(provider);
    for payload in [
        json!({"n": 1}),
        json!({"encrypted": true}),
        // The outline of an envelope, but no base64.
        json!({"encrypted": true, "keyId": "k", "nonce": "n", "ciphertext": "c"}),
        json!({"encrypted": false, "keyId": "k", "nonce": "n", "ciphertext": "c", "v": 2}),
    ] {
        let sent = event("events.a.b", payload);
        plain.publish_event(&sent).await.unwrap();
        assert_eq!(bus.list_events(None, 1).await.unwrap(), [sent]);
    }
}

#[tokio::test]
async fn an_envelope_of_an_unknown_version_never_passes_for_a_payload() {
    let provider = memory();
    let plain = EventBus::from_provider(Arc::clone(&provider));
    let bus = encrypting(Arc::clone(&provider));
    bus.publish("a", "b", "", "", json!(1)).await.unwrap();
    let mut newer = stored(&provider).await;
    newer.payload["v"] = json!(3);
    plain.publish_event(&newer).await.unwrap();
    let refused = bus.list_events(None, 1).await.unwrap_err();
    assert!(
        matches!(&refused, EventError::Encryption { event_id: Some(id), .. } if *id == newer.id)
    );
}

#[tokio::test]
async fn unbound_envelopes_are_read_unless_encryption_is_required() {
    let provider = memory();
    let plain = EventBus::from_provider(Arc::clone(&provider));
    let unbound = event(
        "events.a.b",
        encryptor("key-1").encrypt(&json!({"n": 1})).unwrap(),
    );
    plain.publish_event(&unbound).await.unwrap();

    let optional = encrypting(Arc::clone(&provider));
    assert_eq!(
        optional.list_events(None, 1).await.unwrap()[0].payload,
        json!({"n": 1})
    );
    let mut required = EventBus::builder(provider)
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    required.set_encryptor(encryptor("key-1"));
    let refused = required.list_events(None, 1).await.unwrap_err();
    assert!(matches!(refused, EventError::Encryption { .. }));
}

#[tokio::test]
async fn required_encryption_refuses_plaintext_both_ways() {
    let provider = memory();
    let plain = EventBus::from_provider(Arc::clone(&provider));
    let mut required = EventBus::builder(Arc::clone(&provider))
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    let sent = event("events.a.b", json!(1));
    for outcome in [
        required.publish_event(&sent).await.err(),
        required
            .publish_batch(std::slice::from_ref(&sent))
            .await
            .err(),
        required.publish("a", "b", "", "", json!(1)).await.err(),
    ] {
        assert!(matches!(outcome, Some(EventError::Encryption { .. })));
    }
    assert_eq!(provider.info().await.unwrap().messages, 0);

    required.set_encryptor(encryptor("key-1"));
    required.publish_event(&sent).await.unwrap();
    assert_eq!(
        required.list_events(None, 1).await.unwrap(),
        std::slice::from_ref(&sent)
    );

    plain
        .publish_event(&event("events.a.b", json!("injected")))
        .await
        .unwrap();
    assert!(matches!(
        required.list_events(None, 1).await,
        Err(EventError::Encryption { .. })
    ));
    let mut reader = required.subscribe("events.>").await.unwrap();
    assert_eq!(next(&mut reader).await.event, sent);
    assert!(matches!(
        within(reader.next()).await,
        Err(EventError::Encryption { .. })
    ));
}

#[tokio::test]
async fn passthrough_hands_over_what_is_stored() {
    let provider = memory();
    encrypting(Arc::clone(&provider))
        .publish("a", "b", "", "", json!(1))
        .await
        .unwrap();
    let mut bridge = EventBus::builder(Arc::clone(&provider))
        .encryption_policy(EncryptionPolicy::Passthrough)
        .build();
    bridge.set_encryptor(encryptor("another"));
    let at_rest = stored(&provider).await;
    let mut reader = bridge.subscribe("events.>").await.unwrap();
    assert_eq!(next(&mut reader).await.event, at_rest);
    assert_eq!(bridge.list_events(None, 1).await.unwrap(), [at_rest]);
}

#[tokio::test]
async fn without_an_encryptor_ciphertext_travels_unchanged() {
    let (source, target) = (memory(), memory());
    encrypting(Arc::clone(&source))
        .publish("a", "b", "", "", json!({"n": 1}))
        .await
        .unwrap();
    let from = EventBus::from_provider(source);
    let to = EventBus::from_provider(Arc::clone(&target));
    let mut reader = from.subscribe("events.>").await.unwrap();
    to.publish_event(&next(&mut reader).await.event)
        .await
        .unwrap();
    let arrived = encrypting(target).list_events(None, 1).await.unwrap();
    assert_eq!(arrived[0].payload, json!({"n": 1}));
}

/// An event on a stream that `reader`, with another key, cannot decrypt, and
/// one that it can.
async fn unreadable_then_readable() -> (Arc<dyn EventProvider>, Event, EventBus) {
    let provider = memory();
    let mut writer = EventBus::from_provider(Arc::clone(&provider));
    writer.set_encryptor(encryptor("key-2"));
    let unreadable = writer
        .publish("a", "b", "", "", json!({"n": 1}))
        .await
        .unwrap();
    let reader = encrypting(Arc::clone(&provider));
    reader
        .publish("a", "b", "", "", json!({"n": 2}))
        .await
        .unwrap();
    (provider, unreadable, reader)
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_decrypted_is_one_error_that_names_it() {
    let (_provider, unreadable, bus) = unreadable_then_readable().await;
    bus.update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    let mut readers = [
        bus.subscribe("events.>").await.unwrap(),
        bus.subscribe_as("a").await.unwrap(),
    ];
    for reader in &mut readers {
        let error = within(reader.next()).await.unwrap_err();
        let EventError::KeyUnknown {
            key_id, event_id, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(
            (key_id.as_str(), event_id.as_ref()),
            ("key-2", Some(&unreadable.id))
        );
        assert_eq!(next(reader).await.event.payload, json!({"n": 2}));
        assert!(at_once(reader.next()).await.is_none());
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert!(at_once(reader.next()).await.is_none(), "it does not loop");
    }
    let listed = bus.list_events(None, 10).await.unwrap_err();
    assert!(
        matches!(listed, EventError::KeyUnknown { event_id: Some(id), .. } if id == unreadable.id)
    );
    assert_eq!(bus.metrics().snapshot().decryption_failures, 3);
}

#[tokio::test]
async fn an_event_that_cannot_be_decrypted_is_dead_lettered_as_ciphertext() {
    let (provider, unreadable, mut bus) = unreadable_then_readable().await;
    let letters = Arc::new(MemoryDlqHandler::default());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    let mut reader = bus.subscribe("events.>").await.unwrap();
    assert_eq!(next(&mut reader).await.event.payload, json!({"n": 2}));

    let letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Undecryptable);
    assert_eq!(
        letter.event.event,
        provider.history(None, 2).await.unwrap()[1]
    );
    assert!(EncryptedPayload::is_encrypted(&letter.event.event.payload));
    for part in [&unreadable.id, "key-2"] {
        assert!(letter.reason.contains(part), "{}", letter.reason);
    }

    // The key arrives: the letter can be read, and so can the stream.
    let late = encryptor("key-2");
    assert_eq!(
        late.decrypt_event(&letter.event.event).unwrap(),
        json!({"n": 1})
    );
}

#[tokio::test]
async fn dead_letters_of_readable_events_stay_ciphertext_too() {
    let provider = memory();
    let mut bus = encrypting(Arc::clone(&provider));
    let letters = Arc::new(MemoryDlqHandler::default());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    bus.update_subscription(capped("a", &["events.a.>"], 1))
        .await
        .unwrap();
    let mut reader = bus.subscribe_as("a").await.unwrap();
    bus.publish("a", "b", "", "", json!({"pin": "0451"}))
        .await
        .unwrap();
    let pending = next_pending(&mut reader).await;
    assert_eq!(pending.received.event.payload["pin"], "0451");
    pending.nak().await.unwrap();
    let letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(letter.event.event, stored(&provider).await);
    assert!(!format!("{letter:?}").contains("0451"));
}

#[tokio::test]
async fn a_tampered_event_is_an_error_and_not_a_payload() {
    let provider = memory();
    let bus = encrypting(Arc::clone(&provider));
    bus.publish("a", "b", "", "", json!({"n": 1}))
        .await
        .unwrap();
    // The envelope of one event in another one.
    let mut swapped = event("events.a.b", stored(&provider).await.payload.clone());
    swapped.id = "evt-other".to_owned();
    provider.publish(&swapped).await.unwrap();
    let mut reader = bus.subscribe("events.>").await.unwrap();
    next(&mut reader).await;
    let error = within(reader.next()).await.unwrap_err();
    let EventError::Encryption { event_id, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(event_id.as_deref(), Some("evt-other"));
}

#[tokio::test]
async fn keys_rotate_while_others_publish_and_read() {
    let encryptor = encryptor("key-0");
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_encryptor(Arc::clone(&encryptor) as _);
    let bus = Arc::new(bus);
    let mut reader = bus.subscribe("events.>").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let bus = Arc::clone(&bus);
        tasks.spawn(async move {
            for n in 0..20 {
                bus.publish("a", "b", "", "", json!([task, n]))
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    for key in 1..5_u8 {
        encryptor.add_key(format!("key-{key}"), &[key; 32]).unwrap();
        encryptor.rotate_to(&format!("key-{key}")).unwrap();
        tokio::task::yield_now().await;
    }
    within(tasks.join_all()).await;
    for _ in 0..160 {
        assert!(next(&mut reader).await.event.payload.is_array());
    }
    publish(&bus, "events.a.b").await;
    assert_eq!(bus.encryptor().unwrap().active_key_id(), "key-4");
}

/// An encryptor with nothing but the specification's pair.
struct Unbound(Aes256GcmEncryptor);

impl EventEncryptor for Unbound {
    fn encrypt(&self, payload: &Value) -> a3s_event_core::Result<Value> {
        self.0.encrypt(payload)
    }

    fn decrypt(&self, encrypted: &Value) -> a3s_event_core::Result<Value> {
        self.0.decrypt(encrypted)
    }

    fn active_key_id(&self) -> String {
        self.0.active_key_id()
    }
}

#[tokio::test]
async fn an_encryptor_that_does_not_bind_works_unless_encryption_is_required() {
    for (policy, works) in [
        (EncryptionPolicy::Optional, true),
        (EncryptionPolicy::Required, false),
    ] {
        let mut bus = EventBus::builder(MemoryProvider::default())
            .encryption_policy(policy)
            .build();
        bus.set_encryptor(Arc::new(Unbound(Aes256GcmEncryptor::new("key-1", &KEY))));
        let sent = event("events.a.b", json!({"n": 1}));
        let published = bus.publish_event(&sent).await;
        assert_eq!(published.is_ok(), works);
        if works {
            assert_eq!(bus.list_events(None, 1).await.unwrap(), [sent]);
        } else {
            assert!(matches!(published, Err(EventError::Encryption { .. })));
        }
    }
}

#[tokio::test]
async fn a_replayed_letter_is_the_ciphertext_it_was() {
    let provider = memory();
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::builder(Arc::clone(&provider))
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    bus.set_encryptor(encryptor("key-1"));
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    bus.publish_event(&event("events.a.b", json!({"pin": "0451"})))
        .await
        .unwrap();
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    pending.term("closed").await.unwrap();

    let mut letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(bus.replay(&letter).await.unwrap(), 2);
    assert_eq!(stored(&provider).await, letter.event.event);
    assert_eq!(next(&mut subscription).await.event.payload["pin"], "0451");

    letter.event.event.payload = json!({"pin": "0451"});
    let refused = bus.replay(&letter).await.unwrap_err();
    assert!(
        matches!(refused, EventError::Encryption { .. }),
        "{refused:?}"
    );
    assert_eq!(provider.info().await.unwrap().messages, 2);
}
