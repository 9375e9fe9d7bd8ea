//! The direct way to the provider. No test of this binary installs a subscriber,
//! which would close that way for the whole process.

use std::sync::{Arc, atomic::Ordering};

use a3s_event_core::{provider::EventProvider, types::Event};
use a3s_event_crypto::Aes256GcmEncryptor;
use a3s_event_memory::MemoryProvider;
use a3s_event_schema::MemorySchemaRegistry;
use serde_json::json;

use crate::{EncryptionPolicy, EventBus};

fn memory() -> EventBus {
    EventBus::new(MemoryProvider::default())
}

fn is_direct(bus: &EventBus) -> bool {
    bus.is_direct.load(Ordering::Relaxed)
}

#[test]
fn publishes_go_straight_to_a_provider_in_this_process_until_something_is_attached() {
    assert!(is_direct(&memory()));

    let mut bus = memory();
    bus.set_schema_registry(Arc::new(MemorySchemaRegistry::new()));
    assert!(!is_direct(&bus));

    let mut bus = memory();
    bus.set_encryptor(Arc::new(Aes256GcmEncryptor::new("key-1", &[7; 32])));
    assert!(!is_direct(&bus));

    let builder = || EventBus::builder(MemoryProvider::default());
    assert!(!is_direct(&builder().deduplicate(true).build()));
    let required = builder().encryption_policy(EncryptionPolicy::Required);
    assert!(!is_direct(&required.build()));
}

#[tokio::test]
async fn a_publish_that_goes_straight_is_counted_as_any_other() {
    let bus = memory();
    let event = Event::new("events.a.b", "a", "", "", json!(1));
    assert_eq!(bus.publish_event(&event).await.unwrap(), 1);
    let outside = Event::new("other.a.b", "a", "", "", json!(1));
    bus.publish_event(&outside).await.unwrap_err();
    let figures = bus.metrics().snapshot();
    assert_eq!(figures.published, 1);
    assert_eq!(figures.publish_errors["invalid_subject"], 1);

    bus.close().await.unwrap();
    assert_eq!(
        bus.publish_event(&event).await.unwrap_err().kind(),
        "closed"
    );
}

#[tokio::test]
async fn a_closed_bus_publishes_nothing_to_a_provider_that_others_hold() {
    let provider: Arc<dyn EventProvider> = Arc::new(MemoryProvider::default());
    let bus = EventBus::from_provider(Arc::clone(&provider));
    bus.backend.close();
    bus.update_direct();
    let event = Event::new("events.a.b", "a", "", "", json!(1));
    assert_eq!(
        bus.publish_event(&event).await.unwrap_err().kind(),
        "closed"
    );
    assert_eq!(provider.info().await.unwrap().messages, 0);
}
