//! The paths and features that the facade promises.

/// Compiles while every path exists.
#[allow(unused_imports, reason = "naming them is the test")]
mod paths {
    use a3s_event::{
        Event, EventBus, EventError, Result, SubscriptionFilter, async_trait,
        crypto::{
            Aes256GcmEncryptor, EncryptedPayload, EncryptionPolicy, EventEncryptor, SecretKey,
        },
        dlq::{DeadLetterEvent, DeadLetterKind, DlqHandler, MemoryDlqHandler, should_dead_letter},
        error::{BoxError, EventError as _},
        metrics::{EventMetrics, HistogramSnapshot, MetricsSnapshot},
        provider::{
            Capabilities, EventProvider, EventStream, PendingEvent, ProviderInfo, Settle,
            Subscription,
            memory::{MemoryConfig, MemoryProvider, MemoryProviderBuilder},
        },
        schema::{Compatibility, EventSchema, MemorySchemaRegistry, SchemaRegistry},
        state::{FileStateStore, MemoryStateStore, StateStore},
        store::{EventBus as _, EventBusBuilder},
        subject::{SubjectPattern, SubjectPrefix, matches},
        types::{
            DeliverPolicy, Event as _, EventCounts, EventFields, PublishOptions, ReceivedEvent,
            StreamName, SubscribeOptions, SubscriptionFilter as _,
        },
    };
}

/// The provider that brings a network stack.
#[cfg(feature = "full")]
#[allow(unused_imports, reason = "naming them is the test")]
mod nats_paths {
    use a3s_event::provider::nats::{NatsConfig, NatsProvider, StorageType};
}

const MANIFEST: &str = include_str!("../../crates/a3s-event/Cargo.toml");
const GUIDE: &str = include_str!("../../crates/a3s-event/src/lib.rs");
const README: &str = include_str!("../../README.md");

/// The features of the facade but `default`, with what they turn on.
fn features() -> Vec<(&'static str, &'static str)> {
    let (_, features) = MANIFEST.split_once("[features]").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let lines = features.lines().filter(|line| !line.starts_with('#'));
    let features = lines.filter_map(|line| line.split_once(" = "));
    features.filter(|(name, _)| *name != "default").collect()
}

#[test]
fn full_turns_on_every_feature() {
    let features = features();
    let (_, full) = features.iter().find(|(name, _)| *name == "full").unwrap();
    assert!(features.len() > 3);
    for (name, _) in &features {
        assert!(
            *name == "full" || full.contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
}

#[test]
fn every_feature_is_in_both_tables() {
    for (name, _) in features() {
        let row = format!("| `{name}` |");
        assert!(README.contains(&row), "{name} in the README");
        assert!(
            GUIDE.contains(&format!("//! {row}")),
            "{name} in the docs of the facade"
        );
    }
}

#[test]
fn a_type_is_the_same_by_all_its_paths() {
    fn same<T>(_: Option<T>, _: Option<T>) {}

    same::<a3s_event::Event>(None, None::<a3s_event::types::Event>);
    same::<a3s_event::EventBus>(None, None::<a3s_event::store::EventBus>);
    same::<a3s_event::EventError>(None, None::<a3s_event::error::EventError>);
    same::<a3s_event::SubscriptionFilter>(None, None::<a3s_event::types::SubscriptionFilter>);
}
