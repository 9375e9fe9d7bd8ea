//! Payloads that only their readers see.

use std::{slice, sync::Arc};

use a3s_event::{
    Event, EventBus, EventError,
    crypto::{EncryptedPayload, EncryptionPolicy, EventEncryptor},
    provider::Subscription,
};
use a3s_event_testkit::within;
use serde_json::{Value, json};

use super::{
    stage::Stage,
    support::{PATIENCE, at_rest, durable, encrypting, encryptor, event, next, next_pending},
};

cases! {
    every_way_of_reading_decrypts_what_another_process_published
    encryption_that_is_required_refuses_plaintext_and_unbound_envelopes
    encryption_that_is_required_publishes_nothing_in_plaintext
    an_envelope_in_another_event_is_refused
    payloads_come_back_bit_for_bit
    payloads_that_look_like_envelopes_come_back_unchanged
    events_of_a_key_from_before_a_rotation_are_read
    an_unreadable_event_is_one_error_and_the_subscription_goes_on
    a_repeated_event_is_stored_once_though_its_ciphertexts_differ
}

/// A process that accepts nothing but envelopes that are bound to their event.
async fn strict(stage: &Stage) -> EventBus {
    let mut bus = EventBus::builder(stage.process().await)
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    bus.set_encryptor(encryptor("key-1"));
    bus
}

/// The next outcome of a subscription must be an error about event `id`.
async fn fails_for(subscription: &mut Box<dyn Subscription>, id: &str) -> EventError {
    let error = within(PATIENCE, subscription.next()).await.unwrap_err();
    let (EventError::Encryption { event_id, .. } | EventError::KeyUnknown { event_id, .. }) =
        &error
    else {
        panic!("{error}");
    };
    assert_eq!(event_id.as_deref(), Some(id));
    error
}

async fn every_way_of_reading_decrypts_what_another_process_published(stage: Stage) {
    let writer = encrypting(&stage, "key-1").await;
    let payload = json!({"pin": "0451", "rate": 7.3521});
    let sent = writer
        .publish("orders", "paid", "summary", "test", payload.clone())
        .await
        .unwrap();
    assert_eq!(sent.payload, payload);
    let stored = at_rest(writer.provider()).await;
    assert!(EncryptedPayload::is_encrypted(&stored.payload));
    assert!(!serde_json::to_string(&stored).unwrap().contains("0451"));

    let bus = encrypting(&stage, "key-1").await;
    let filters = [
        durable(&stage, "one", &["orders.>"]),
        durable(&stage, "two", &["orders.>", "refunds.>"]),
        durable(&stage, "three", &["orders.>"]),
    ];
    for filter in filters {
        bus.update_subscription(filter).await.unwrap();
    }
    let mut readers = [
        bus.subscribe(&stage.below(">")).await.unwrap(),
        bus.subscribe_as("one").await.unwrap(),
        bus.subscribe_as("two").await.unwrap(),
        bus.create_subscriber("three").await.unwrap().remove(0),
    ];
    for reader in &mut readers {
        assert_eq!(next(reader).await.event, sent);
    }
    let mut by_hand = bus.subscribe(&stage.below("orders.>")).await.unwrap();
    let pending = next_pending(&mut by_hand).await;
    assert_eq!(pending.received.event, sent);
    pending.ack().await.unwrap();
    assert_eq!(bus.list_events(Some("orders"), 10).await.unwrap(), [sent]);
    assert_eq!(bus.metrics().snapshot().decrypted, 6);
}

async fn encryption_that_is_required_refuses_plaintext_and_unbound_envelopes(stage: Stage) {
    let plain = EventBus::from_provider(stage.process().await);
    let unbound = encryptor("key-1").encrypt(&json!({"pin": "0451"})).unwrap();
    let plaintext = event(&stage, "orders.paid", json!({"pin": "0451"}));
    let unbound = event(&stage, "orders.paid", unbound);
    for downgrade in [&plaintext, &unbound] {
        plain.publish_event(downgrade).await.unwrap();
    }
    let lenient = encrypting(&stage, "key-1").await;
    for read in lenient.list_events(None, 10).await.unwrap() {
        assert_eq!(read.payload, json!({"pin": "0451"}));
    }

    let bus = strict(&stage).await;
    let mut reader = bus.subscribe(&stage.below(">")).await.unwrap();
    for downgrade in [&plaintext, &unbound] {
        let refused = fails_for(&mut reader, &downgrade.id).await;
        assert!(matches!(refused, EventError::Encryption { .. }));
    }
    let listed = bus.list_events(None, 10).await;
    assert!(matches!(listed, Err(EventError::Encryption { .. })));

    let bound = event(&stage, "orders.paid", json!({"pin": "0452"}));
    bus.publish_event(&bound).await.unwrap();
    assert_eq!(next(&mut reader).await.event, bound);
}

async fn encryption_that_is_required_publishes_nothing_in_plaintext(stage: Stage) {
    let bus = EventBus::builder(stage.process().await)
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    let sent = event(&stage, "orders.paid", json!({"pin": "0451"}));
    for refused in [
        bus.publish_event(&sent).await.err(),
        bus.publish_batch(slice::from_ref(&sent)).await.err(),
        bus.publish("orders", "paid", "", "test", json!(1))
            .await
            .err(),
    ] {
        assert!(matches!(refused, Some(EventError::Encryption { .. })));
    }
    assert_eq!(bus.info().await.unwrap().messages, 0);
}

async fn an_envelope_in_another_event_is_refused(stage: Stage) {
    let bus = encrypting(&stage, "key-1").await;
    let subject = stage.below("orders.paid");
    let sent = Event::typed(
        subject,
        "orders",
        "order.paid",
        1,
        "",
        "test",
        json!({"pin": "0451"}),
    );
    bus.publish_event(&sent).await.unwrap();
    let stored = at_rest(bus.provider()).await;

    let forge = |change: &dyn Fn(&mut Event)| {
        let mut forged = stored.clone();
        change(&mut forged);
        forged
    };
    let forgeries = [
        forge(&|event| event.id = "evt-other".to_owned()),
        forge(&|event| event.subject = stage.below("orders.refunded")),
        forge(&|event| event.event_type = "order.refunded".to_owned()),
        forge(&|event| event.version = 2),
        forge(&|event| event.payload["nonce"] = json!("AAAAAAAAAAAAAAAA")),
        // Relabelled as an envelope that is bound to nothing.
        forge(&|event| {
            let envelope = event.payload.as_object_mut().unwrap();
            envelope.remove("v");
            envelope.remove("alg");
        }),
    ];
    let mut reader = bus.subscribe(&stage.below(">")).await.unwrap();
    assert_eq!(next(&mut reader).await.event, sent);
    for forged in &forgeries {
        bus.provider().publish(forged).await.unwrap();
        let refused = fails_for(&mut reader, &forged.id).await;
        assert!(matches!(refused, EventError::Encryption { .. }));
        let listed = bus.list_events(None, 1).await;
        assert!(matches!(listed, Err(EventError::Encryption { .. })));
    }
    bus.publish_event(&sent).await.unwrap();
    assert_eq!(next(&mut reader).await.event, sent);
}

/// Doubles of all magnitudes, of which one in ten changes in a careless parser.
fn doubles() -> impl Iterator<Item = f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let random = std::iter::repeat_with(move || {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from_bits(state)
    });
    let special = [
        0.0,
        -0.0,
        0.1,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::EPSILON,
    ];
    special
        .into_iter()
        .chain(random.filter(|double| double.is_finite()).take(1000))
}

async fn payloads_come_back_bit_for_bit(stage: Stage) {
    let writer = encrypting(&stage, "key-1").await;
    let numbers: Vec<Value> = doubles().map(Value::from).collect();
    let sent = event(
        &stage,
        "orders.paid",
        json!({"doubles": numbers, "large": u64::MAX, "small": i64::MIN, "text": "\u{0}\u{1f980}"}),
    );
    writer.publish_event(&sent).await.unwrap();

    let bus = encrypting(&stage, "key-1").await;
    let mut reader = bus.subscribe(&stage.below(">")).await.unwrap();
    let received = next(&mut reader).await.event.payload.clone();
    let listed = bus.list_events(None, 1).await.unwrap()[0].payload.clone();
    for read in [received, listed] {
        let bits = |number: &Value| number.as_f64().unwrap().to_bits();
        let read_bits = read["doubles"].as_array().unwrap().iter().map(bits);
        assert!(read_bits.eq(doubles().map(f64::to_bits)));
        assert_eq!(read["large"].as_u64(), Some(u64::MAX));
        assert_eq!(read["small"].as_i64(), Some(i64::MIN));
        assert_eq!(read["text"], "\u{0}\u{1f980}");
    }
}

async fn payloads_that_look_like_envelopes_come_back_unchanged(stage: Stage) {
    let bus = encrypting(&stage, "key-1").await;
    let mut reader = bus.subscribe(&stage.below(">")).await.unwrap();
    for payload in [
        encryptor("key-1").encrypt(&json!(1)).unwrap(),
        encryptor("key-of-somebody-else")
            .encrypt(&json!(1))
            .unwrap(),
        json!({"encrypted": true, "v": 9, "alg": "X", "keyId": "k", "nonce": "n", "ciphertext": "c"}),
        json!({"encrypted": true}),
        Value::Null,
    ] {
        let sent = event(&stage, "orders.paid", payload);
        bus.publish_event(&sent).await.unwrap();
        assert_eq!(next(&mut reader).await.event, sent);
        assert_eq!(bus.list_events(None, 1).await.unwrap(), [sent]);
    }
}

async fn events_of_a_key_from_before_a_rotation_are_read(stage: Stage) {
    let keys = encryptor("key-1");
    let mut writer = EventBus::from_provider(stage.process().await);
    writer.set_encryptor(Arc::clone(&keys) as _);
    let mut sent = Vec::new();
    for number in 1..=3_u8 {
        let payload = json!({ "number": number });
        sent.push(
            writer
                .publish("orders", "paid", "", "test", payload)
                .await
                .unwrap(),
        );
        let next_key = format!("rotated-{number}");
        keys.add_key(&next_key, &[number; 32]).unwrap();
        keys.rotate_to(&next_key).unwrap();
    }

    let mut bus = EventBus::from_provider(stage.process().await);
    bus.set_encryptor(keys);
    let mut reader = bus.subscribe(&stage.below(">")).await.unwrap();
    for expected in &sent {
        assert_eq!(next(&mut reader).await.event, *expected);
    }
    sent.reverse();
    assert_eq!(bus.list_events(None, 10).await.unwrap(), sent);
}

async fn an_unreadable_event_is_one_error_and_the_subscription_goes_on(stage: Stage) {
    let writer = encrypting(&stage, "key-of-the-writer").await;
    let unreadable = event(&stage, "orders.paid", json!(1));
    writer.publish_event(&unreadable).await.unwrap();

    let bus = encrypting(&stage, "key-1").await;
    let readable = event(&stage, "orders.paid", json!(2));
    bus.publish_event(&readable).await.unwrap();
    bus.update_subscription(durable(&stage, "reader", &["orders.>"]))
        .await
        .unwrap();
    let mut readers = [
        bus.subscribe(&stage.below(">")).await.unwrap(),
        bus.subscribe_as("reader").await.unwrap(),
    ];
    for reader in &mut readers {
        let error = fails_for(reader, &unreadable.id).await;
        assert!(matches!(error, EventError::KeyUnknown { .. }));
        assert_eq!(next(reader).await.event, readable);
        reader.close().await.unwrap();
    }
    let listed = bus.list_events(None, 10).await.unwrap_err();
    assert!(
        matches!(listed, EventError::KeyUnknown { event_id: Some(id), .. } if id == unreadable.id)
    );
}

async fn a_repeated_event_is_stored_once_though_its_ciphertexts_differ(stage: Stage) {
    let deduplicating = async || {
        let provider = stage.process().await;
        let mut bus = EventBus::builder(provider).deduplicate(true).build();
        bus.set_encryptor(encryptor("key-1"));
        bus
    };
    let bus = deduplicating().await;
    let sent = event(&stage, "orders.paid", json!({"pin": "0451"}));
    let other = event(&stage, "orders.paid", json!({"pin": "0452"}));
    assert_eq!(bus.publish_event(&sent).await.unwrap(), 1);
    let first = at_rest(bus.provider()).await;
    assert_eq!(bus.publish_event(&sent).await.unwrap(), 1);

    // So does another process, which does not know whether it was stored.
    let retrying = deduplicating().await;
    assert_eq!(retrying.publish_event(&sent).await.unwrap(), 1);
    let batch = [sent.clone(), other.clone(), sent.clone()];
    assert_eq!(retrying.publish_batch(&batch).await.unwrap(), [1, 2, 1]);

    assert_eq!(bus.info().await.unwrap().messages, 2);
    assert_eq!(bus.list_events(None, 10).await.unwrap(), [other, sent]);
    let stored = bus.provider().history(None, 2).await.unwrap().remove(1);
    assert_eq!(stored, first);
}
