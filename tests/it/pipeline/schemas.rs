//! Payloads against their schemas.

use std::sync::Arc;

use a3s_event::{
    Event, EventBus, EventError,
    crypto::EncryptedPayload,
    schema::{EventSchema, MemorySchemaRegistry, SchemaRegistry},
    types::PublishOptions,
};
use serde_json::{Value, json};

use super::{
    stage::Stage,
    support::{at_rest, encrypting, encryptor},
};

cases! {
    the_plaintext_is_validated_and_the_stream_holds_ciphertext
    a_refused_publish_stores_nothing
}

/// A process that knows version 1 of `rate.changed`, and encrypts.
async fn checking(stage: &Stage) -> EventBus {
    let registry = MemorySchemaRegistry::new();
    let schema = EventSchema {
        event_type: "rate.changed".to_owned(),
        version: 1,
        required_fields: vec!["pair".to_owned(), "rate".to_owned()],
        description: String::new(),
    };
    registry.register(schema).unwrap();
    let mut bus = EventBus::from_provider(stage.process().await);
    bus.set_schema_registry(Arc::new(registry));
    bus.set_encryptor(encryptor("key-1"));
    bus
}

fn rate(stage: &Stage, payload: Value) -> Event {
    let subject = stage.below("market.forex");
    Event::typed(subject, "market", "rate.changed", 1, "", "test", payload)
}

async fn the_plaintext_is_validated_and_the_stream_holds_ciphertext(stage: Stage) {
    let bus = checking(&stage).await;
    let good = rate(&stage, json!({"pair": "eur_usd", "rate": 1.08}));
    bus.publish_event(&good).await.unwrap();
    let stored = at_rest(bus.provider()).await;
    assert!(EncryptedPayload::is_encrypted(&stored.payload));

    // An envelope has no field of the schema: what is validated is not it.
    let sealed = rate(&stage, stored.payload.clone());
    let refused = bus.publish_event(&sealed).await;
    assert!(matches!(refused, Err(EventError::SchemaValidation { .. })));
    assert_eq!(bus.metrics().snapshot().encrypted, 1);

    // Who reads it needs no schema.
    let reader = encrypting(&stage, "key-1").await;
    assert_eq!(reader.list_events(None, 10).await.unwrap(), [good]);
}

async fn a_refused_publish_stores_nothing(stage: Stage) {
    let bus = checking(&stage).await;
    let good = rate(&stage, json!({"pair": "eur_usd", "rate": 1.08}));
    let bad = rate(&stage, json!({"other": 1}));
    let options = PublishOptions::default().with_msg_id("rate-1");
    for refused in [
        bus.publish_event(&bad).await.unwrap_err(),
        bus.publish_event_with_options(&bad, &options)
            .await
            .unwrap_err(),
        bus.publish_batch(&[good.clone(), bad]).await.unwrap_err(),
    ] {
        let EventError::SchemaValidation { missing, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(missing, ["pair", "rate"]);
    }
    assert_eq!(bus.info().await.unwrap().messages, 0);
    assert!(bus.list_events(None, 10).await.unwrap().is_empty());
    let figures = bus.metrics().snapshot();
    assert_eq!((figures.schema_rejections, figures.encrypted), (3, 1));

    // Nor was the message id used up.
    let stored = bus.publish_event_with_options(&good, &options).await;
    assert_eq!(stored.unwrap(), 1);
    assert_eq!(bus.list_events(None, 10).await.unwrap(), [good]);
}
