//! Subjects that change, and consumers that are no longer needed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError,
    provider::ConsumerInfo,
    types::{DeliverPolicy, SubscribeOptions, SubscriptionFilter},
};
use a3s_event_memory::MemoryProvider;
use a3s_event_state::MemoryStateStore;
use proptest::prelude::*;

use crate::support::{
    Nine, Scripted, at_once, capped, durable, event, filter, next, next_pending, publish, within,
};

async fn update(bus: &EventBus, subjects: &[&str]) {
    bus.update_subscription(durable("a", subjects))
        .await
        .unwrap();
}

async fn consumers(bus: &EventBus) -> usize {
    bus.info().await.unwrap().consumers
}

/// Whether the durable of `subject` exists.
async fn exists(bus: &EventBus, subject: &str) -> bool {
    bus.provider()
        .consumer_info(&format!("a {subject}"))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_consumer_without_unanswered_events_goes_with_its_subject() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    drop(bus.create_subscriber("a").await.unwrap());
    assert_eq!(consumers(&bus).await, 2);
    publish(&bus, "events.b.x").await;

    update(&bus, &["events.a.>"]).await;
    assert!(exists(&bus, "events.a.>").await);
    assert!(!exists(&bus, "events.b.>").await);
    assert_eq!(bus.create_subscriber("a").await.unwrap().len(), 1);
}

#[tokio::test]
async fn removing_a_subscriber_removes_all_its_consumers() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    publish(&bus, "events.a.x").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    bus.remove_subscription("a").await.unwrap();
    assert_eq!(consumers(&bus).await, 0);
    assert!(bus.get_subscription("a").await.is_none());

    // Its handles end and say why; an answer that is late does nothing.
    assert!(matches!(
        within(subscription.next()).await,
        Err(EventError::NotFound { .. })
    ));
    assert_eq!(within(subscription.next()).await.unwrap(), None);
    pending.ack().await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_is_registered_again_starts_anew() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>"]).await;
    publish(&bus, "events.a.x").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    next_pending(&mut subscription).await.ack().await.unwrap();
    bus.remove_subscription("a").await.unwrap();
    update(&bus, &["events.a.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert_eq!(next(&mut subscription).await.sequence, 1);
}

#[tokio::test]
async fn what_is_unanswered_is_handed_over_before_a_consumer_goes() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.b.x").await;
    next_pending(&mut subscription).await.nak().await.unwrap();
    drop(subscription);

    update(&bus, &["events.a.>"]).await;
    assert!(exists(&bus, "events.b.>").await);
    // After the change: nobody asked for it.
    publish(&bus, "events.b.y").await;

    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    assert_eq!(
        (pending.received.sequence, pending.received.num_delivered),
        (1, 2)
    );
    assert!(exists(&bus, "events.b.>").await);
    pending.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.b.>").await);

    publish(&bus, "events.a.x").await;
    assert_eq!(next(&mut subscription).await.sequence, 3);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_event_of_a_reader_that_is_gone_is_waited_for() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.b.x").await;
    drop(next_pending(&mut subscription).await);
    drop(subscription);

    update(&bus, &["events.a.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    tokio::time::advance(Duration::from_secs(31)).await;
    next_pending(&mut subscription).await.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.b.>").await);
}

#[tokio::test]
async fn what_a_passed_over_copy_stood_for_survives_the_owner() {
    let bus = EventBus::new(MemoryProvider::default());
    // The first owns all of `events.x.a`, the second passes it over.
    update(&bus, &["events.x.*", "events.*.a"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.x.a").await;
    let owned = next_pending(&mut subscription).await;
    assert!(at_once(subscription.next()).await.is_none());
    owned.nak().await.unwrap();
    drop(subscription);

    update(&bus, &["events.*.a"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.sequence, 1);
    pending.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.x.*").await);
}

#[tokio::test]
async fn what_the_owner_has_not_delivered_yet_survives_it() {
    let bus = EventBus::new(MemoryProvider::default());
    let options = SubscribeOptions::default().with_max_ack_pending(1);
    let subjects = |subjects: &[&str]| SubscriptionFilter {
        options: Some(options.clone()),
        ..durable("a", subjects)
    };
    bus.update_subscription(subjects(&["events.x.*", "events.*.a"]))
        .await
        .unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    for subject in ["events.x.b", "events.x.a", "events.x.a", "events.x.c"] {
        publish(&bus, subject).await;
    }
    // The owner is full with the first one; the other passes over the copies of
    // the second and third meanwhile.
    let first = next_pending(&mut subscription).await;
    assert_eq!(first.received.sequence, 1);
    assert!(at_once(subscription.next()).await.is_none());

    bus.update_subscription(subjects(&["events.*.a"]))
        .await
        .unwrap();
    first.ack().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pending = next_pending(&mut subscription).await;
        seen.push(pending.received.sequence);
        pending.ack().await.unwrap();
    }
    // The fourth was never delivered, and nobody asks for it any more.
    assert_eq!(seen, [2, 3]);
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.x.*").await);
}

#[tokio::test]
async fn an_open_handle_follows_its_filter() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.b.x").await;
    let (received, ()) = tokio::join!(next(&mut subscription), async {
        // The handle waits already.
        tokio::task::yield_now().await;
        update(&bus, &["events.a.>", "events.b.>"]).await;
    });
    assert_eq!(received.event.subject, "events.b.x");

    update(&bus, &["events.b.>"]).await;
    publish(&bus, "events.a.x").await;
    publish(&bus, "events.b.y").await;
    assert_eq!(next(&mut subscription).await.event.subject, "events.b.y");
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.a.>").await);
}

#[tokio::test]
async fn a_subject_that_returns_keeps_its_position() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.b.x").await;
    publish(&bus, "events.b.y").await;
    next_pending(&mut subscription).await.ack().await.unwrap();
    let unanswered = next_pending(&mut subscription).await;

    update(&bus, &["events.a.>"]).await;
    assert!(at_once(subscription.next()).await.is_none());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    // What rests there comes on the handle of the subject itself.
    assert_eq!(bus.create_subscriber("a").await.unwrap().len(), 2);
    unanswered.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(exists(&bus, "events.b.>").await);
    publish(&bus, "events.b.z").await;
    assert_eq!(next(&mut subscription).await.sequence, 3);
}

#[tokio::test]
async fn a_wider_subject_leaves_no_gap_even_when_it_starts_at_new() {
    let bus = EventBus::new(MemoryProvider::default());
    let from_now = |subjects: &[&str]| SubscriptionFilter {
        options: Some(SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New)),
        ..durable("a", subjects)
    };
    bus.update_subscription(from_now(&["events.a.b"]))
        .await
        .unwrap();
    drop(bus.subscribe_as("a").await.unwrap());
    publish(&bus, "events.a.b").await;
    bus.update_subscription(from_now(&["events.a.>"]))
        .await
        .unwrap();
    publish(&bus, "events.a.c").await;

    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let mut seen = [
        next(&mut subscription).await.sequence,
        next(&mut subscription).await.sequence,
    ];
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

#[tokio::test]
async fn added_subjects_do_not_take_events_from_those_that_stay() {
    let bus = EventBus::new(MemoryProvider::default());
    let from_now = |subjects: &[&str]| SubscriptionFilter {
        options: Some(SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New)),
        ..durable("a", subjects)
    };
    bus.update_subscription(from_now(&["events.*.a"]))
        .await
        .unwrap();
    drop(bus.subscribe_as("a").await.unwrap());
    publish(&bus, "events.x.a").await;
    // If the added one came first in the list, it would own an event it never had.
    bus.update_subscription(from_now(&["events.x.*", "events.*.a"]))
        .await
        .unwrap();
    let kept = bus.get_subscription("a").await.unwrap().subjects;
    assert_eq!(kept, ["events.*.a", "events.x.*"]);
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert_eq!(next(&mut subscription).await.sequence, 1);
}

#[tokio::test]
async fn create_subscriber_drains_a_removed_subject_on_a_handle_of_its_own() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    let mut subscriptions = bus.create_subscriber("a").await.unwrap();
    publish(&bus, "events.b.x").await;
    next_pending(&mut subscriptions[1])
        .await
        .nak()
        .await
        .unwrap();
    drop(subscriptions);

    update(&bus, &["events.a.>"]).await;
    let mut subscriptions = bus.create_subscriber("a").await.unwrap();
    assert_eq!(subscriptions.len(), 2);
    next_pending(&mut subscriptions[1])
        .await
        .ack()
        .await
        .unwrap();
    assert_eq!(within(subscriptions[1].next()).await.unwrap(), None);
    assert!(!exists(&bus, "events.b.>").await);
    assert_eq!(bus.create_subscriber("a").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_durable_that_becomes_ephemeral_leaves_nothing_behind() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.a.x").await;
    let pending = next_pending(&mut subscription).await;

    bus.update_subscription(filter("a", &["events.a.>"]))
        .await
        .unwrap();
    assert!(exists(&bus, "events.a.>").await);
    pending.ack().await.unwrap();
    assert!(matches!(
        within(subscription.next()).await,
        Err(EventError::NotFound { .. })
    ));
    assert!(!exists(&bus, "events.a.>").await);
}

#[tokio::test]
async fn a_provider_that_cannot_tell_keeps_the_consumer() {
    let bus = EventBus::new(Nine::default());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    drop(bus.create_subscriber("a").await.unwrap());
    update(&bus, &["events.a.>"]).await;
    assert_eq!(consumers(&bus).await, 2);
    assert_eq!(bus.create_subscriber("a").await.unwrap().len(), 1);
    // Back again, where it was.
    update(&bus, &["events.a.>", "events.b.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert_eq!(consumers(&bus).await, 2);
    publish(&bus, "events.b.x").await;
    assert_eq!(next(&mut subscription).await.sequence, 1);
    bus.remove_subscription("a").await.unwrap();
    assert_eq!(consumers(&bus).await, 0);
}

#[tokio::test]
async fn an_event_that_leaves_the_normal_path_lets_its_retired_consumer_go() {
    let bus = EventBus::new(MemoryProvider::default());
    let both = capped("a", &["events.a.>", "events.b.>"], 1);
    bus.update_subscription(both).await.unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.b.x").await;
    next_pending(&mut subscription).await.nak().await.unwrap();
    bus.update_subscription(capped("a", &["events.a.>"], 1))
        .await
        .unwrap();
    let exhausted = within(subscription.next()).await;
    assert!(matches!(exhausted, Err(EventError::Exhausted { .. })));
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.b.>").await);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_holds_up_no_change() {
    let scripted = Scripted::default();
    scripted.set_info(Some(ConsumerInfo::new(0, 1)));
    let bus = EventBus::new(scripted.clone());
    update(&bus, &["events.a.>", "events.b.>"]).await;
    update(&bus, &["events.a.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    scripted.set_info(None);
    assert!(at_once(subscription.next()).await.is_none());
    within(bus.update_subscription(filter("b", &["events.b.>"])))
        .await
        .unwrap();

    scripted.set_info(Some(ConsumerInfo::new(0, 0)));
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(scripted.unsubscribed(), ["a events.b.>"]);
}

#[tokio::test]
async fn what_is_published_after_a_change_comes_from_the_subjects_that_stay() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.x.*", "events.*.a"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.x.b").await;
    let held = next_pending(&mut subscription).await;
    update(&bus, &["events.*.a"]).await;
    for _ in 0..10 {
        publish(&bus, "events.x.a").await;
    }
    let mut handed_over = 0;
    while let Some(pending) = at_once(subscription.next_manual_ack()).await {
        pending.unwrap().unwrap().ack().await.unwrap();
        handed_over += 1;
    }
    // As many may come twice as were unanswered when it changed.
    assert!((10..=11).contains(&handed_over), "{handed_over}");
    held.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.x.*").await);
}

#[tokio::test]
async fn undelivered_events_that_nobody_asks_for_any_more_keep_no_consumer() {
    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.x.*", "events.*.a"]).await;
    drop(bus.subscribe_as("a").await.unwrap());
    publish(&bus, "events.x.b").await;
    publish(&bus, "events.x.c").await;
    update(&bus, &["events.*.a"]).await;
    // It might be one that the other subject matches.
    assert!(exists(&bus, "events.x.*").await);
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert!(!exists(&bus, "events.x.*").await);
}

#[tokio::test]
async fn a_subject_that_stays_busy_does_not_keep_its_consumer() {
    let scripted = Scripted::default();
    scripted.set_info(Some(ConsumerInfo::new(0, 1)));
    let bus = EventBus::new(scripted.clone());
    update(&bus, &["events.a.>", "events.*.x"]).await;
    update(&bus, &["events.a.>"]).await;
    let mut draining = bus.create_subscriber("a").await.unwrap().remove(1);
    scripted.deliver(event("events.a.x", serde_json::Value::Null), 1, 1);
    let last = next_pending(&mut draining).await;
    // Everything from before the change was seen; more is published all the time.
    scripted.set_info(Some(ConsumerInfo::new(5, 0)));
    last.ack().await.unwrap();
    assert_eq!(within(draining.next()).await.unwrap(), None);
    assert_eq!(scripted.unsubscribed(), ["a events.*.x"]);
}

#[tokio::test]
async fn a_handle_that_follows_changes_opens_a_consumer_once() {
    let scripted = Scripted::default();
    scripted.set_info(Some(ConsumerInfo::new(0, 1)));
    let bus = EventBus::new(scripted.clone());
    let both = ["events.a.>", "events.b.>"];
    update(&bus, &both).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    for subjects in [&both[..1], &both, &both[1..], &both] {
        update(&bus, subjects).await;
        assert!(at_once(subscription.next()).await.is_none());
    }
    let opened = scripted.opened().len();
    bus.update_subscription(filter("b", &["events.b.>"]))
        .await
        .unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(scripted.opened().len(), opened);
}

#[tokio::test]
async fn a_retired_consumer_stays_while_the_one_that_follows_it_could_not_be_created() {
    let scripted = Scripted::default();
    scripted.set_info(Some(ConsumerInfo::new(0, 0)));
    let bus = EventBus::new(scripted.clone());
    update(&bus, &["events.a.x"]).await;
    drop(bus.create_subscriber("a").await.unwrap());

    scripted.fail_opens(true);
    update(&bus, &["events.a.>"]).await;
    assert_eq!(scripted.unsubscribed(), [] as [&str; 0]);

    // It goes when a handle has opened the other one.
    scripted.fail_opens(false);
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(scripted.unsubscribed(), ["a events.a.x"]);
}

#[tokio::test]
async fn a_change_wakes_the_handles_of_its_subscriber_and_no_others() {
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    let bus = EventBus::new(MemoryProvider::default());
    update(&bus, &["events.a.>"]).await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let mut next = subscription.next();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(
        next.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );

    bus.update_subscription(durable("b", &["events.b.>"]))
        .await
        .unwrap();
    bus.remove_subscription("b").await.unwrap();
    assert_eq!(woken.0.load(Relaxed), 0);
    update(&bus, &["events.a.>", "events.b.>"]).await;
    assert_eq!(woken.0.load(Relaxed), 1);
}

/// One thing that happens to a subscriber whose subjects change.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish(&'static str),
    /// To one of [`LISTS`].
    Change(usize),
    Receive(Answered),
    Reopen,
    /// Another process goes on with the state that this one saved.
    Restart,
    /// Long enough for what is unanswered to come again.
    Wait,
}

#[derive(Debug, Clone, Copy)]
enum Answered {
    Ack,
    Nak,
    Not,
}

/// Each of them asks for `events.x.a`.
const LISTS: [&[&str]; 6] = [
    &["events.x.*"],
    &["events.*.a"],
    &["events.x.*", "events.*.a"],
    &["events.*.a", "events.x.*"],
    &["events.x.a", "events.y.>"],
    &["events.>"],
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![Just("events.x.a"), Just("events.x.b"), Just("events.y.a")]
            .prop_map(Step::Publish),
        2 => (0..LISTS.len()).prop_map(Step::Change),
        4 => prop_oneof![Just(Answered::Ack), Just(Answered::Nak), Just(Answered::Not)]
            .prop_map(Step::Receive),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restart),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

async fn run(steps: Vec<Step>, options: SubscribeOptions) {
    let store = Arc::new(MemoryStateStore::new());
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_state_store(store.clone()).await.unwrap();
    let list = |index: usize| SubscriptionFilter {
        options: Some(options.clone()),
        ..durable("a", LISTS[index])
    };
    bus.update_subscription(list(0)).await.unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let mut owed = BTreeSet::new();
    for step in steps {
        match step {
            Step::Publish(subject) => {
                let sequence = publish(&bus, subject).await;
                if subject == "events.x.a" {
                    owed.insert(sequence);
                }
            }
            Step::Change(index) => bus.update_subscription(list(index)).await.unwrap(),
            Step::Receive(answered) => {
                let Some(pending) = at_once(subscription.next_manual_ack()).await else {
                    continue;
                };
                let pending = pending.unwrap().unwrap();
                match answered {
                    Answered::Ack => {
                        owed.remove(&pending.received.sequence);
                        pending.ack().await.unwrap();
                    }
                    Answered::Nak => pending.nak().await.unwrap(),
                    Answered::Not => {}
                }
            }
            Step::Reopen => subscription = bus.subscribe_as("a").await.unwrap(),
            Step::Restart => {
                drop(subscription);
                bus = EventBus::from_provider(bus.provider_arc());
                bus.set_state_store(store.clone()).await.unwrap();
                subscription = bus.subscribe_as("a").await.unwrap();
            }
            Step::Wait => tokio::time::advance(Duration::from_secs(31)).await,
        }
    }
    for _ in 0..3 {
        while let Some(pending) = at_once(subscription.next_manual_ack()).await {
            let pending = pending.unwrap().unwrap();
            owed.remove(&pending.received.sequence);
            pending.ack().await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    assert!(owed.is_empty(), "lost: {owed:?}");
    // Nothing that was retired stays behind.
    let subjects = bus.get_subscription("a").await.unwrap().subjects;
    assert_eq!(consumers(&bus).await, subjects.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_event_is_lost_while_subjects_change(
        steps in steps(),
        policy in prop_oneof![Just(DeliverPolicy::All), Just(DeliverPolicy::New)],
        max_ack_pending in prop_oneof![Just(1), Just(2), Just(1_000)],
    ) {
        let options = SubscribeOptions::default()
            .with_deliver_policy(policy)
            .with_max_ack_pending(max_ack_pending);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(steps, options));
    }
}
