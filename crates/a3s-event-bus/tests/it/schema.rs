use std::sync::Arc;

use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError,
    schema::{EventSchema, SchemaRegistry},
    types::Event,
};
use a3s_event_crypto::Aes256GcmEncryptor;
use a3s_event_memory::MemoryProvider;
use a3s_event_schema::MemorySchemaRegistry;
use serde_json::{Value, json};

use crate::support::event;

fn registry() -> MemorySchemaRegistry {
    let registry = MemorySchemaRegistry::new();
    registry
        .register(EventSchema {
            event_type: "rate.changed".to_owned(),
            version: 1,
            required_fields: vec!["rate".to_owned(), "pair".to_owned()],
            description: String::new(),
        })
        .unwrap();
    registry
}

fn typed(event_type: &str, version: u32, payload: Value) -> Event {
    Event::typed(
        "events.market.forex",
        "market",
        event_type,
        version,
        "",
        "test",
        payload,
    )
}

#[tokio::test]
async fn a_payload_that_breaks_its_schema_is_refused_with_everything_that_is_missing() {
    let bus = EventBus::with_schema_registry(MemoryProvider::default(), Arc::new(registry()));
    let bad = typed("rate.changed", 1, json!({"other": 1}));
    let refused = bus.publish_event(&bad).await.unwrap_err();
    let EventError::SchemaValidation {
        event_type,
        version,
        missing,
        ..
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((event_type.as_str(), version), ("rate.changed", 1));
    assert_eq!(missing, ["rate", "pair"]);

    let good = typed("rate.changed", 1, json!({"rate": 1.08, "pair": "eur_usd"}));
    let batch = bus.publish_batch(&[good.clone(), bad]).await;
    assert!(matches!(batch, Err(EventError::SchemaValidation { .. })));
    assert_eq!(bus.info().await.unwrap().messages, 0);

    bus.publish_event(&good).await.unwrap();
    let figures = bus.metrics().snapshot();
    assert_eq!((figures.published, figures.schema_rejections), (1, 2));
    assert_eq!(figures.publish_errors["schema_validation"], 2);
}

#[tokio::test]
async fn untyped_events_and_unknown_types_pass() {
    let bus = EventBus::with_schema_registry(MemoryProvider::default(), Arc::new(registry()));
    bus.publish_event(&event("events.a.b", json!(null)))
        .await
        .unwrap();
    bus.publish_event(&typed("unknown", 1, json!(null)))
        .await
        .unwrap();
    bus.publish_event(&typed("rate.changed", 2, json!(null)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_strict_registry_refuses_unknown_types() {
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_schema_registry(Arc::new(registry().strict()));
    let refused = bus.publish_event(&typed("unknown", 1, json!({}))).await;
    assert!(matches!(refused, Err(EventError::SchemaValidation { .. })));
    assert!(bus.schema_registry().is_some());
}

#[tokio::test]
async fn the_plaintext_is_validated_and_not_the_envelope() {
    let mut bus = EventBus::with_schema_registry(MemoryProvider::default(), Arc::new(registry()));
    bus.set_encryptor(Arc::new(Aes256GcmEncryptor::new("key-1", &[7; 32])));
    let good = typed("rate.changed", 1, json!({"rate": 1.08, "pair": "eur_usd"}));
    bus.publish_event(&good).await.unwrap();
    let bad = typed("rate.changed", 1, json!({}));
    assert!(bus.publish_event(&bad).await.is_err());
    assert_eq!(bus.metrics().snapshot().encrypted, 1);
    assert_eq!(bus.list_events(None, 1).await.unwrap(), [good]);
}
