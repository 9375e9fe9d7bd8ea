//! Subscriptions that survive the process that registered them.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use a3s_event::{
    EventBus, EventError, Result, SubscriptionFilter, async_trait,
    provider::Subscription,
    state::{FileStateStore, MemoryStateStore, StateStore},
    types::{DeliverPolicy, SubscribeOptions},
};
use a3s_event_testkit::eventually;
use serde_json::json;
use tempfile::tempdir;

use super::{
    stage::Stage,
    support::{PATIENCE, durable, event, impatient, is_settled, next_pending, read_until, settled},
};

cases! {
    filters_survive_a_restart
    a_position_goes_on_exactly_after_the_last_acknowledged_event
    after_a_crash_what_was_not_acknowledged_comes_again_and_nothing_else
    what_was_published_between_two_processes_is_delivered
    an_event_that_several_subjects_match_is_handed_over_once
    what_code_registered_wins_over_what_is_loaded
    a_consumer_that_changed_subjects_do_not_need_goes_at_once
    a_consumer_that_changed_subjects_do_not_need_is_drained_first
    what_is_unanswered_on_a_removed_subject_survives_a_restart
    a_crash_in_the_middle_of_a_change_loses_nothing_unanswered
    a_failed_save_changes_nothing
    a_removed_subscriber_is_gone_after_a_restart
}

/// A process that keeps its subscriptions in a file.
async fn process(stage: &Stage, state: &Path) -> EventBus {
    with_store(stage, Arc::new(FileStateStore::new(state))).await
}

async fn with_store(stage: &Stage, store: Arc<dyn StateStore>) -> EventBus {
    let mut bus = EventBus::from_provider(stage.process().await);
    bus.set_state_store(store).await.unwrap();
    bus
}

async fn publish(stage: &Stage, bus: &EventBus, rest: &str) -> u64 {
    let event = event(stage, rest, json!({ "on": rest }));
    bus.publish_event(&event).await.unwrap()
}

/// Takes the next event, and acknowledges it for certain.
async fn acknowledge(subscription: &mut Box<dyn Subscription>) -> u64 {
    let pending = next_pending(subscription).await;
    let sequence = pending.received.sequence;
    pending.ack_confirmed().await.unwrap();
    sequence
}

async fn consumers(bus: &EventBus) -> usize {
    bus.info().await.unwrap().consumers
}

/// The subscribers that a bus knows.
async fn ids(bus: &EventBus) -> Vec<String> {
    let filters = bus.list_subscriptions().await.into_iter();
    filters.map(|filter| filter.subscriber_id).collect()
}

async fn filters_survive_a_restart(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let options = SubscribeOptions {
        max_deliver: Some(5),
        backoff_secs: vec![1, 5, 30],
        max_ack_pending: Some(64),
        deliver_policy: DeliverPolicy::ByStartSequence { sequence: 2 },
        ack_wait_secs: None,
        prefetch: Some(8),
    };
    let filters = [
        SubscriptionFilter {
            options: Some(options),
            ..durable(&stage, "auditor", &["orders.>", "refunds.*"])
        },
        SubscriptionFilter {
            durable: false,
            ..durable(&stage, "dashboard", &[">"])
        },
    ];
    let bus = process(&stage, &state).await;
    for filter in &filters {
        bus.update_subscription(filter.clone()).await.unwrap();
    }
    drop(bus);

    let bus = process(&stage, &state).await;
    assert_eq!(bus.list_subscriptions().await, filters);
    // The start position of the filter counts for the consumer, made only now.
    for _ in 1..=3 {
        publish(&stage, &bus, "orders.placed").await;
    }
    let mut subscription = bus.subscribe_as("auditor").await.unwrap();
    assert_eq!(acknowledge(&mut subscription).await, 2);
}

async fn a_position_goes_on_exactly_after_the_last_acknowledged_event(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let bus = process(&stage, &state).await;
    let filter = durable(&stage, "billing", &["orders.>"]);
    bus.update_subscription(filter.clone()).await.unwrap();
    for _ in 1..=20 {
        publish(&stage, &bus, "orders.placed").await;
    }
    let mut subscription = bus.subscribe_as("billing").await.unwrap();
    for sequence in 1..=7 {
        assert_eq!(acknowledge(&mut subscription).await, sequence);
    }
    subscription.close().await.unwrap();
    drop((subscription, bus));

    let bus = process(&stage, &state).await;
    assert_eq!(bus.list_subscriptions().await, [filter]);
    let mut subscription = bus.subscribe_as("billing").await.unwrap();
    for sequence in 8..=20 {
        assert_eq!(acknowledge(&mut subscription).await, sequence);
    }
    settled(&bus, &format!("billing {}", stage.below("orders.>"))).await;
    assert_eq!(consumers(&bus).await, 1);
}

async fn after_a_crash_what_was_not_acknowledged_comes_again_and_nothing_else(stage: Stage) {
    let store = Arc::new(MemoryStateStore::new());
    stage.crash(async |provider| {
        let mut bus = EventBus::from_provider(provider);
        bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
        let filter = impatient(durable(&stage, "billing", &["orders.>"]));
        bus.update_subscription(filter).await.unwrap();
        for _ in 1..=20 {
            publish(&stage, &bus, "orders.placed").await;
        }
        // With what a provider reads ahead.
        let mut subscription = bus.subscribe_as("billing").await.unwrap();
        for sequence in 1..=7 {
            assert_eq!(acknowledge(&mut subscription).await, sequence);
        }
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.sequence, 8);
        (bus, subscription, pending)
    });

    let bus = with_store(&stage, store).await;
    let mut subscription = bus.subscribe_as("billing").await.unwrap();
    let mut sequences = Vec::new();
    for _ in 8..=20 {
        sequences.push(acknowledge(&mut subscription).await);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (8..=20).collect::<Vec<u64>>());
    settled(&bus, &format!("billing {}", stage.below("orders.>"))).await;
}

async fn what_was_published_between_two_processes_is_delivered(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let bus = process(&stage, &state).await;
    let filter = durable(&stage, "billing", &["orders.>", "refunds.>"]);
    bus.update_subscription(filter).await.unwrap();
    publish(&stage, &bus, "orders.placed").await;
    let mut subscription = bus.subscribe_as("billing").await.unwrap();
    assert_eq!(acknowledge(&mut subscription).await, 1);
    subscription.close().await.unwrap();
    drop((subscription, bus));

    let other = EventBus::from_provider(stage.process().await);
    for rest in ["refunds.paid", "elsewhere", "orders.placed"] {
        publish(&stage, &other, rest).await;
    }

    let bus = process(&stage, &state).await;
    let mut subscription = bus.subscribe_as("billing").await.unwrap();
    let mut sequences = [0; 2];
    for sequence in &mut sequences {
        *sequence = acknowledge(&mut subscription).await;
    }
    // Each subject is in order; among them there is none.
    sequences.sort_unstable();
    assert_eq!(sequences, [2, 4]);
}

async fn an_event_that_several_subjects_match_is_handed_over_once(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let bus = process(&stage, &state).await;
    let filter = durable(&stage, "audit", &["orders.*", "*.placed"]);
    bus.update_subscription(filter).await.unwrap();
    let subjects = ["orders.placed", "orders.paid", "refunds.placed"];
    for rest in subjects.into_iter().chain(subjects) {
        publish(&stage, &bus, rest).await;
    }
    let mut sequences = Vec::new();
    let mut subscription = bus.subscribe_as("audit").await.unwrap();
    for _ in 1..=3 {
        sequences.push(acknowledge(&mut subscription).await);
    }
    subscription.close().await.unwrap();
    drop((subscription, bus));

    let bus = process(&stage, &state).await;
    let mut subscription = bus.subscribe_as("audit").await.unwrap();
    for _ in 4..=6 {
        sequences.push(acknowledge(&mut subscription).await);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
    // What is left are copies that nobody sees.
    let [first, second] =
        ["orders.*", "*.placed"].map(|rest| format!("audit {}", stage.below(rest)));
    read_until(&mut subscription, async || {
        is_settled(&bus, &first).await && is_settled(&bus, &second).await
    })
    .await;
}

async fn what_code_registered_wins_over_what_is_loaded(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let bus = process(&stage, &state).await;
    let loaded = durable(&stage, "loaded", &["orders.>"]);
    let both = durable(&stage, "both", &["orders.>", "refunds.>"]);
    bus.update_subscription(loaded.clone()).await.unwrap();
    bus.update_subscription(both).await.unwrap();
    drop(bus.create_subscriber("both").await.unwrap());
    assert_eq!(consumers(&bus).await, 2);
    drop(bus);

    let mut bus = EventBus::from_provider(stage.process().await);
    let both = durable(&stage, "both", &["refunds.>"]);
    let coded = durable(&stage, "coded", &["orders.>"]);
    bus.update_subscription(both.clone()).await.unwrap();
    bus.update_subscription(coded.clone()).await.unwrap();
    let store = Arc::new(FileStateStore::new(&state));
    bus.set_state_store(store).await.unwrap();
    let merged = [both, coded, loaded];
    assert_eq!(bus.list_subscriptions().await, merged);
    assert_eq!(consumers(&bus).await, 1, "the one of `refunds.>` is left");
    drop(bus);
    let bus = process(&stage, &state).await;
    assert_eq!(bus.list_subscriptions().await, merged);
}

/// Registers `audit` on two subjects in `bus`, and creates its consumers.
async fn register_audit(stage: &Stage, bus: &EventBus) -> Box<dyn Subscription> {
    let filter = impatient(durable(stage, "audit", &["orders.>", "refunds.>"]));
    bus.update_subscription(filter).await.unwrap();
    let subscription = bus.subscribe_as("audit").await.unwrap();
    assert_eq!(consumers(bus).await, 2);
    subscription
}

/// `audit` without `refunds.>`.
fn only_orders(stage: &Stage) -> SubscriptionFilter {
    impatient(durable(stage, "audit", &["orders.>"]))
}

async fn a_consumer_that_changed_subjects_do_not_need_goes_at_once(stage: Stage) {
    let folder = tempdir().unwrap();
    let bus = process(&stage, &folder.path().join("subscriptions.json")).await;
    let mut subscription = register_audit(&stage, &bus).await;
    publish(&stage, &bus, "refunds.paid").await;
    assert_eq!(acknowledge(&mut subscription).await, 1);
    settled(&bus, &format!("audit {}", stage.below("refunds.>"))).await;

    bus.update_subscription(only_orders(&stage)).await.unwrap();
    assert_eq!(consumers(&bus).await, 1);
    // The handle follows.
    publish(&stage, &bus, "refunds.paid").await;
    publish(&stage, &bus, "orders.placed").await;
    assert_eq!(acknowledge(&mut subscription).await, 3);
}

async fn a_consumer_that_changed_subjects_do_not_need_is_drained_first(stage: Stage) {
    let folder = tempdir().unwrap();
    let bus = process(&stage, &folder.path().join("subscriptions.json")).await;
    let mut subscription = register_audit(&stage, &bus).await;
    publish(&stage, &bus, "refunds.paid").await;
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.sequence, 1);

    bus.update_subscription(only_orders(&stage)).await.unwrap();
    assert_eq!(consumers(&bus).await, 2, "an event there is unanswered");
    drop(pending);
    let pending = next_pending(&mut subscription).await;
    assert_eq!(
        (pending.received.sequence, pending.received.num_delivered),
        (1, 2)
    );
    pending.ack_confirmed().await.unwrap();
    read_until(&mut subscription, async || consumers(&bus).await == 1).await;
}

async fn what_is_unanswered_on_a_removed_subject_survives_a_restart(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let bus = process(&stage, &state).await;
    let mut subscription = register_audit(&stage, &bus).await;
    publish(&stage, &bus, "refunds.paid").await;
    let pending = next_pending(&mut subscription).await;
    bus.update_subscription(only_orders(&stage)).await.unwrap();
    subscription.close().await.unwrap();
    drop((pending, subscription, bus));

    let bus = process(&stage, &state).await;
    assert_eq!(ids(&bus).await, ["audit"]);
    assert_eq!(consumers(&bus).await, 2);
    let mut subscription = bus.subscribe_as("audit").await.unwrap();
    assert_eq!(acknowledge(&mut subscription).await, 1);
    read_until(&mut subscription, async || consumers(&bus).await == 1).await;

    publish(&stage, &bus, "orders.placed").await;
    assert_eq!(acknowledge(&mut subscription).await, 2);
    drop((subscription, bus));
    // The consumer's note went with it.
    let bus = process(&stage, &state).await;
    assert_eq!((ids(&bus).await.len(), consumers(&bus).await), (1, 1));
}

async fn a_crash_in_the_middle_of_a_change_loses_nothing_unanswered(stage: Stage) {
    let store = Arc::new(MemoryStateStore::new());
    stage.crash(async |provider| {
        let mut bus = EventBus::from_provider(provider);
        bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
        let mut subscription = register_audit(&stage, &bus).await;
        for _ in 1..=3 {
            publish(&stage, &bus, "refunds.paid").await;
        }
        let mut pending = Vec::new();
        for _ in 1..=3 {
            pending.push(next_pending(&mut subscription).await);
        }
        bus.update_subscription(only_orders(&stage)).await.unwrap();
        (bus, subscription, pending)
    });

    let bus = with_store(&stage, store).await;
    let mut subscription = bus.subscribe_as("audit").await.unwrap();
    let mut sequences = [0; 3];
    for sequence in &mut sequences {
        *sequence = acknowledge(&mut subscription).await;
    }
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3]);
    read_until(&mut subscription, async || consumers(&bus).await == 1).await;
}

/// A store that can be told to fail.
#[derive(Default)]
struct Fragile {
    inner: MemoryStateStore,
    fails: AtomicBool,
}

#[async_trait]
impl StateStore for Fragile {
    async fn save(&self, subscriptions: &HashMap<String, SubscriptionFilter>) -> Result<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(EventError::state("save", "a fragile store", "disk full"));
        }
        self.inner.save(subscriptions).await
    }

    async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>> {
        self.inner.load().await
    }
}

async fn a_failed_save_changes_nothing(stage: Stage) {
    let store = Arc::new(Fragile::default());
    let bus = with_store(&stage, Arc::clone(&store) as _).await;
    let mut subscription = register_audit(&stage, &bus).await;
    let before = bus.list_subscriptions().await;

    store.fails.store(true, Ordering::Relaxed);
    for failed in [
        bus.update_subscription(only_orders(&stage)).await,
        bus.update_subscription(durable(&stage, "new", &[">"]))
            .await,
        bus.remove_subscription("audit").await,
    ] {
        assert!(matches!(failed, Err(EventError::State { .. })));
    }
    assert_eq!(bus.list_subscriptions().await, before);
    assert_eq!(consumers(&bus).await, 2);
    publish(&stage, &bus, "refunds.paid").await;
    assert_eq!(acknowledge(&mut subscription).await, 1);
    subscription.close().await.unwrap();
    drop((subscription, bus));

    store.fails.store(false, Ordering::Relaxed);
    let bus = with_store(&stage, store).await;
    assert_eq!(bus.list_subscriptions().await, before);
    let consumer = format!("audit {}", stage.below("refunds.>"));
    assert!(is_settled(&bus, &consumer).await);
}

async fn a_removed_subscriber_is_gone_after_a_restart(stage: Stage) {
    let folder = tempdir().unwrap();
    let state = folder.path().join("subscriptions.json");
    let bus = process(&stage, &state).await;
    let mut subscription = register_audit(&stage, &bus).await;
    publish(&stage, &bus, "orders.placed").await;
    publish(&stage, &bus, "refunds.paid").await;
    acknowledge(&mut subscription).await;
    bus.remove_subscription("audit").await.unwrap();
    eventually(PATIENCE, async || consumers(&bus).await == 0).await;
    drop((subscription, bus));

    let bus = process(&stage, &state).await;
    assert!(bus.list_subscriptions().await.is_empty());
    let opened = bus.subscribe_as("audit").await;
    assert!(matches!(opened.err(), Some(EventError::NotFound { .. })));
    // Its position is forgotten.
    bus.update_subscription(only_orders(&stage)).await.unwrap();
    let mut subscription = bus.subscribe_as("audit").await.unwrap();
    assert_eq!(acknowledge(&mut subscription).await, 1);
}
