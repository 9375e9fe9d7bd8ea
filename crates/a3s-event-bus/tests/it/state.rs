//! Subscriptions that survive, with a store that can fail and be looked into.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError, Result, async_trait,
    state::StateStore,
    types::{DeliverPolicy, SubscribeOptions, SubscriptionFilter},
};
use a3s_event_memory::MemoryProvider;
use a3s_event_state::FileStateStore;

use crate::support::{
    Scripted, at_once, durable, event, filter, next, next_pending, offline, publish, within,
};

type State = HashMap<String, SubscriptionFilter>;

#[derive(Default)]
struct Store {
    saves: Mutex<Vec<State>>,
    fails: AtomicBool,
}

impl Store {
    fn holding(filters: impl IntoIterator<Item = SubscriptionFilter>) -> Arc<Self> {
        let state = filters
            .into_iter()
            .map(|filter| (filter.subscriber_id.clone(), filter));
        let store = Self::default();
        store.saves.lock().unwrap().push(state.collect());
        Arc::new(store)
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn state(&self) -> State {
        self.saves
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.state().into_keys().collect();
        ids.sort();
        ids
    }

    fn num_saves(&self) -> usize {
        self.saves.lock().unwrap().len()
    }
}

#[async_trait]
impl StateStore for Store {
    async fn save(&self, subscriptions: &State) -> Result<()> {
        tokio::task::yield_now().await;
        if self.fails.load(Ordering::Relaxed) {
            return Err(EventError::state("save", "the test's store", "disk full"));
        }
        self.saves.lock().unwrap().push(subscriptions.clone());
        Ok(())
    }

    async fn load(&self) -> Result<State> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(EventError::state("load", "the test's store", "unreadable"));
        }
        Ok(self.state())
    }
}

async fn with_store(store: &Arc<Store>) -> EventBus {
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_state_store(Arc::clone(store) as _).await.unwrap();
    bus
}

async fn exists(bus: &EventBus, consumer: &str) -> bool {
    bus.provider().consumer_info(consumer).await.is_ok()
}

#[tokio::test]
async fn changes_are_saved_before_they_return() {
    let store = Arc::new(Store::default());
    let bus = with_store(&store).await;
    assert_eq!(store.num_saves(), 0, "there was nothing to save");
    bus.update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    assert_eq!(store.state()["a"], durable("a", &["events.a.>"]));
    bus.update_subscription(filter("b", &["events.b.>"]))
        .await
        .unwrap();
    assert_eq!(store.ids(), ["a", "b"]);
    bus.remove_subscription("a").await.unwrap();
    assert_eq!(store.ids(), ["b"]);
    assert!(bus.state_store().is_some());
}

#[tokio::test]
async fn loading_merges_and_what_code_registered_wins() {
    let store = Store::holding([filter("a", &["events.old.>"]), filter("b", &["events.b.>"])]);
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(filter("a", &["events.new.>"]))
        .await
        .unwrap();
    bus.update_subscription(filter("c", &["events.c.>"]))
        .await
        .unwrap();
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();

    let ids: Vec<String> = bus
        .list_subscriptions()
        .await
        .into_iter()
        .map(|filter| filter.subscriber_id)
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(
        bus.get_subscription("a").await.unwrap().subjects,
        ["events.new.>"]
    );
    assert_eq!(store.ids(), ["a", "b", "c"]);
    assert_eq!(store.state()["a"].subjects, ["events.new.>"]);
}

#[tokio::test]
async fn loading_what_is_known_saves_nothing() {
    let store = Store::holding([durable("a", &["events.a.>"])]);
    with_store(&store).await;
    assert_eq!(store.num_saves(), 1);
}

#[tokio::test]
async fn subscriptions_and_positions_survive_a_restart() {
    let store = Arc::new(Store::default());
    let bus = with_store(&store).await;
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    publish(&bus, "events.a.x").await;
    publish(&bus, "events.b.x").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    next_pending(&mut subscription).await.ack().await.unwrap();
    drop(subscription);
    let provider = bus.provider_arc();
    drop(bus);

    let mut bus = EventBus::from_provider(provider);
    bus.set_state_store(store).await.unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert_eq!(next(&mut subscription).await.sequence, 2);
}

#[tokio::test]
async fn a_failed_save_is_the_calls_error_and_changes_nothing() {
    let store = Arc::new(Store::default());
    let bus = with_store(&store).await;
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    drop(bus.create_subscriber("a").await.unwrap());

    store.fail(true);
    let updates = [
        durable("a", &["events.a.>"]),
        filter("new", &["events.c.>"]),
    ];
    for update in updates {
        let failed = bus.update_subscription(update).await;
        assert!(matches!(failed, Err(EventError::State { .. })));
    }
    let failed = bus.remove_subscription("a").await;
    assert!(matches!(failed, Err(EventError::State { .. })));

    let expected = durable("a", &["events.a.>", "events.b.>"]);
    assert_eq!(
        bus.list_subscriptions().await,
        std::slice::from_ref(&expected)
    );
    assert_eq!(store.state()["a"], expected);
    assert!(exists(&bus, "a events.b.>").await);

    store.fail(false);
    bus.remove_subscription("a").await.unwrap();
    assert!(!exists(&bus, "a events.b.>").await);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_not_set() {
    let store = Store::holding([filter("a", &["events.a.>"])]);
    store.fail(true);
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(filter("b", &["events.b.>"]))
        .await
        .unwrap();
    let failed = bus.set_state_store(Arc::clone(&store) as _).await;
    assert!(matches!(failed, Err(EventError::State { .. })));
    assert!(bus.state_store().is_none());
    store.fail(false);
    bus.update_subscription(filter("c", &["events.c.>"]))
        .await
        .unwrap();
    assert_eq!(store.ids(), ["a"]);
}

#[tokio::test]
async fn a_stored_filter_that_breaks_the_rules_is_an_error_and_left_alone() {
    for bad in [
        filter("a", &[]),
        filter("a", &["events..a"]),
        filter("", &["events.a.>"]),
        filter("$reserved", &["events.a.>"]),
        filter("a\nb", &["events.a.>"]),
    ] {
        let store = Store::holding([bad, filter("good", &["events.b.>"])]);
        let mut bus = EventBus::new(MemoryProvider::default());
        let failed = bus.set_state_store(Arc::clone(&store) as _).await;
        assert!(matches!(failed, Err(EventError::State { .. })));
        assert!(bus.list_subscriptions().await.is_empty());
        assert_eq!(store.num_saves(), 1);
    }
}

#[tokio::test]
async fn saves_land_in_the_order_of_the_changes() {
    let store = Arc::new(Store::default());
    let bus = Arc::new(with_store(&store).await);
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..50 {
        let bus = Arc::clone(&bus);
        tasks.spawn(async move {
            let id = format!("subscriber-{index}");
            bus.update_subscription(filter(&id, &["events.a.>"]))
                .await
                .unwrap();
        });
    }
    within(tasks.join_all()).await;
    let sizes: Vec<usize> = store.saves.lock().unwrap().iter().map(State::len).collect();
    assert_eq!(sizes, (1..=50).collect::<Vec<usize>>());
}

#[tokio::test]
async fn a_dropped_update_changes_nothing_or_everything() {
    let store = Arc::new(Store::default());
    let bus = with_store(&store).await;
    bus.update_subscription(filter("a", &["events.a.>"]))
        .await
        .unwrap();
    std::future::poll_fn(|cx| {
        let mut update = Box::pin(bus.update_subscription(filter("b", &["events.b.>"])));
        std::task::Poll::Ready(update.as_mut().poll(cx).is_ready())
    })
    .await;
    assert!(bus.get_subscription("b").await.is_none());
    bus.update_subscription(filter("c", &["events.c.>"]))
        .await
        .unwrap();
    assert_eq!(store.ids(), ["a", "c"]);
}

/// What the store holds after a crash between saving that `events.b.>` is gone
/// and removing its consumer.
async fn crashed_between_save_and_removal(bus: &EventBus) -> Arc<Store> {
    let store = Arc::new(Store::default());
    // The note is what an update leaves while an event there is unanswered.
    let mut other = EventBus::from_provider(bus.provider_arc());
    other
        .set_state_store(Arc::clone(&store) as _)
        .await
        .unwrap();
    other
        .update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    let mut subscriptions = other.create_subscriber("a").await.unwrap();
    publish(&other, "events.b.x").await;
    next_pending(&mut subscriptions[1])
        .await
        .nak()
        .await
        .unwrap();
    other
        .update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    store
}

#[tokio::test]
async fn what_was_unanswered_survives_a_crash_in_the_middle_of_a_change() {
    let first = EventBus::new(MemoryProvider::default());
    let store = crashed_between_save_and_removal(&first).await;
    assert_eq!(store.ids(), ["$retired a events.b.>", "a"]);

    let mut bus = EventBus::from_provider(first.provider_arc());
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    assert_eq!(
        bus.list_subscriptions().await.len(),
        1,
        "notes are no subscriptions"
    );
    assert!(exists(&bus, "a events.b.>").await);
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    next_pending(&mut subscription).await.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "a events.b.>").await);
    assert_eq!(store.ids(), ["a"]);
}

#[tokio::test]
async fn an_orphan_without_unanswered_events_goes_when_the_state_is_loaded() {
    let first = EventBus::new(MemoryProvider::default());
    let store = crashed_between_save_and_removal(&first).await;
    let mut reader = first
        .provider()
        .subscribe_durable("a events.b.>", "events.b.>")
        .await
        .unwrap();
    next_pending(&mut reader).await.ack().await.unwrap();
    drop(reader);

    let mut bus = EventBus::from_provider(first.provider_arc());
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    assert!(!exists(&bus, "a events.b.>").await);
    assert_eq!(store.ids(), ["a"]);
}

#[tokio::test]
async fn an_orphan_of_a_removed_subscriber_goes_in_any_case() {
    let first = EventBus::new(MemoryProvider::default());
    let store = crashed_between_save_and_removal(&first).await;
    let mut state = store.state();
    state.remove("a");
    store.saves.lock().unwrap().push(state);

    let mut bus = EventBus::from_provider(first.provider_arc());
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    assert!(!exists(&bus, "a events.b.>").await);
    assert!(store.ids().is_empty());
}

#[tokio::test]
async fn a_consumer_whose_subject_returns_stays_where_it_is() {
    let first = EventBus::new(MemoryProvider::default());
    let store = crashed_between_save_and_removal(&first).await;
    let mut bus = EventBus::from_provider(first.provider_arc());
    bus.update_subscription(durable("a", &["events.b.>"]))
        .await
        .unwrap();
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    // Registered in code without `events.a.>`, so that one went instead.
    assert!(!exists(&bus, "a events.a.>").await);
    assert!(exists(&bus, "a events.b.>").await);
    // What rests in it from before is remembered until it is settled.
    assert_eq!(store.ids(), ["$retired a events.b.>", "a"]);
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.num_delivered, 2);
    pending.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(store.ids(), ["a"]);
    assert!(exists(&bus, "a events.b.>").await);
}

#[tokio::test]
async fn a_consumer_that_could_not_be_removed_is_tried_again() {
    let scripted = Scripted::default();
    let store = Arc::new(Store::default());
    let mut bus = EventBus::new(scripted.clone());
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    scripted.fail_unsubscribes(true);
    let failed = bus.remove_subscription("a").await.unwrap_err();
    assert_eq!(failed.kind(), offline("unsubscribe").kind());
    assert!(bus.get_subscription("a").await.is_none());
    assert_eq!(
        store.ids(),
        ["$retired a events.a.>", "$retired a events.b.>"]
    );

    scripted.fail_unsubscribes(false);
    bus.remove_subscription("a").await.unwrap();
    assert!(store.ids().is_empty());
    assert_eq!(scripted.unsubscribed(), ["a events.a.>", "a events.b.>"]);
}

#[tokio::test]
async fn the_file_store_carries_subscriptions_over() {
    let folder = Folder::new();
    let provider = std::sync::Arc::new(MemoryProvider::default());
    for expected in [&[][..], &["a"]] {
        let mut bus = EventBus::from_provider(provider.clone());
        let store = FileStateStore::new(folder.0.join("state.json"));
        bus.set_state_store(Arc::new(store)).await.unwrap();
        let ids = bus
            .list_subscriptions()
            .await
            .into_iter()
            .map(|filter| filter.subscriber_id);
        assert_eq!(ids.collect::<Vec<String>>(), expected);
        bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
            .await
            .unwrap();
        let mut subscriptions = bus.create_subscriber("a").await.unwrap();
        publish(&bus, "events.b.x").await;
        next_pending(&mut subscriptions[1])
            .await
            .nak()
            .await
            .unwrap();
        // Leaves a note in the file: the reader that comes back needs it.
        bus.update_subscription(durable("a", &["events.a.>"]))
            .await
            .unwrap();
    }
}

/// A folder of the test's own.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let unique = event("events.a.b", serde_json::Value::Null).id.clone();
        let folder = std::env::temp_dir().join(format!("a3s-event-bus-{unique}"));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind harms nobody.
        let _: std::io::Result<()> = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_wider_subject_in_new_code_leaves_no_gap() {
    let from_now = |subjects: &[&str]| SubscriptionFilter {
        options: Some(SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New)),
        ..durable("a", subjects)
    };
    let store = Arc::new(Store::default());
    let old = with_store(&store).await;
    old.update_subscription(from_now(&["events.a.b"]))
        .await
        .unwrap();
    drop(old.create_subscriber("a").await.unwrap());

    let mut new = EventBus::from_provider(old.provider_arc());
    new.update_subscription(from_now(&["events.a.>"]))
        .await
        .unwrap();
    new.set_state_store(store).await.unwrap();
    publish(&new, "events.a.b").await;
    let mut subscription = new.subscribe_as("a").await.unwrap();
    assert_eq!(next(&mut subscription).await.sequence, 1);
    assert!(!exists(&new, "a events.a.b").await);
}

#[tokio::test]
async fn the_note_of_a_consumer_that_somebody_else_removed_goes_too() {
    let first = EventBus::new(MemoryProvider::default());
    let store = crashed_between_save_and_removal(&first).await;
    let mut bus = EventBus::from_provider(first.provider_arc());
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    // Handed over and held, so that the handle waits for its answer.
    let held = next_pending(&mut subscription).await;
    assert!(at_once(subscription.next()).await.is_none());
    bus.provider().unsubscribe("a events.b.>").await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(store.ids(), ["a"]);
    held.ack().await.unwrap();
}

#[tokio::test]
async fn a_note_never_stands_against_a_filter() {
    let first = EventBus::new(MemoryProvider::default());
    let mut filters = Vec::new();
    for index in 0..16 {
        let id = format!("subscriber-{index}");
        filters.push(durable(&id, &["events.a.>"]));
        filters.push(durable(
            &format!("$retired {id} events.a.>"),
            &["events.a.>"],
        ));
        let consumer = format!("{id} events.a.>");
        let provider = first.provider();
        provider
            .subscribe_durable(&consumer, "events.a.>")
            .await
            .unwrap();
    }
    let store = Store::holding(filters);
    let mut bus = EventBus::from_provider(first.provider_arc());
    bus.set_state_store(Arc::clone(&store) as _).await.unwrap();
    assert_eq!(bus.info().await.unwrap().consumers, 16);
    assert_eq!(store.ids().len(), 16);
}

#[tokio::test]
async fn a_filter_is_its_subscribers_whatever_key_a_store_has_for_it() {
    let store = Arc::new(Store::default());
    let stored = State::from([("elsewhere".to_owned(), durable("a", &["events.a.>"]))]);
    store.saves.lock().unwrap().push(stored);
    let bus = with_store(&store).await;
    assert_eq!(store.ids(), ["a"]);
    drop(bus.subscribe_as("a").await.unwrap());
    bus.update_subscription(durable("a", &["events.b.>"]))
        .await
        .unwrap();
    assert_eq!(bus.list_subscriptions().await.len(), 1);
    assert!(!exists(&bus, "a events.a.>").await);
}

#[tokio::test]
async fn a_subject_that_returns_while_its_consumer_is_gone_is_read_again() {
    let store = Arc::new(Store::default());
    let bus = with_store(&store).await;
    let update = async |subjects: &[&str]| {
        let changed = bus.update_subscription(durable("a", subjects));
        changed.await.unwrap();
    };
    update(&["events.a.>", "events.b.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    bus.publish_event(&event("events.b.x", serde_json::Value::Null))
        .await
        .unwrap();
    let held = next_pending(&mut subscription).await;
    update(&["events.a.>"]).await;
    assert!(at_once(subscription.next()).await.is_none());
    // Dropped where it has found out, and the note is not yet out of the store.
    bus.provider().unsubscribe("a events.b.>").await.unwrap();
    let pending = std::future::poll_fn(|cx| {
        let mut next = subscription.next();
        std::task::Poll::Ready(next.as_mut().poll(cx).is_pending())
    })
    .await;
    assert!(pending);
    update(&["events.a.>", "events.b.>"]).await;
    let again = next(&mut subscription).await;
    assert_eq!(again.event.subject, "events.b.x");
    held.ack().await.unwrap();
}
