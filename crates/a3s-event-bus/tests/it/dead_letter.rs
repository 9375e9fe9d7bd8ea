use std::{sync::Arc, time::Duration};

use a3s_event_bus::{EventBus, MemoryDlqHandler};
use a3s_event_core::{
    EventError,
    dlq::{DeadLetterEvent, DeadLetterKind, DlqHandler},
    provider::{Answer, Capabilities, Delivery, Subscription, UndecodableEvent},
    types::{ReceivedEvent, SubscribeOptions, SubscriptionFilter},
};
use a3s_event_memory::MemoryProvider;
use serde_json::json;

use crate::support::{
    FailingFirst, Scripted, at_once, capped, durable, event, filter, next, next_pending, offline,
    publish, within,
};

struct Setup {
    bus: EventBus,
    letters: Arc<MemoryDlqHandler>,
}

/// A bus with a handler and one event for a durable reader with a cap.
async fn setup(max_deliver: i64) -> (Setup, Box<dyn Subscription>) {
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    bus.update_subscription(capped("reader", &["events.a.>"], max_deliver))
        .await
        .unwrap();
    let subscription = bus.create_subscriber("reader").await.unwrap().remove(0);
    publish(&bus, "events.a.b").await;
    (Setup { bus, letters }, subscription)
}

impl Setup {
    async fn only_letter(&self) -> DeadLetterEvent {
        let mut letters = self.letters.list(usize::MAX).await.unwrap();
        assert_eq!(letters.len(), 1);
        letters.remove(0)
    }
}

#[tokio::test(start_paused = true)]
async fn the_cap_of_an_ephemeral_subscription_holds_too() {
    let (setup, _) = setup(1).await;
    let options = SubscribeOptions::default().with_max_deliver(2);
    let mut subscription = setup
        .bus
        .subscribe_with_options("events.a.>", &options)
        .await
        .unwrap();
    for delivery in 1..=2 {
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.num_delivered, delivery);
        pending.nak().await.unwrap();
    }
    let letter = setup.only_letter().await;
    assert_eq!(letter.kind, DeadLetterKind::Rejected);
    assert!(at_once(subscription.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_event_refused_on_its_last_delivery_is_dead_lettered() {
    let (setup, mut subscription) = setup(3).await;
    for delivery in 1..=3 {
        assert_eq!(setup.letters.count().await.unwrap(), 0);
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.num_delivered, delivery);
        pending.nak().await.unwrap();
    }
    let letter = setup.only_letter().await;
    assert_eq!(letter.kind, DeadLetterKind::Rejected);
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 3));
    assert_eq!(
        letter.event.event,
        setup.bus.list_events(None, 1).await.unwrap()[0]
    );
    assert_eq!(letter.consumer.as_deref(), Some("reader events.a.>"));
    assert!(letter.first_failure_at.unwrap() <= letter.last_failure_at.unwrap());

    // It is settled, and the subscription goes on.
    assert!(at_once(subscription.next()).await.is_none());
    publish(&setup.bus, "events.a.c").await;
    assert_eq!(next(&mut subscription).await.sequence, 2);

    let figures = setup.bus.metrics().snapshot();
    assert_eq!(
        (figures.nacked, figures.dead_lettered, figures.redelivered),
        (3, 1, 2)
    );
    assert_eq!(figures.dead_lettered_by_kind["rejected"], 1);
    assert_eq!(figures.dlq_depth, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_refusal_of_the_last_delivery_dead_letters_at_once() {
    let (setup, mut subscription) = setup(1).await;
    let pending = next_pending(&mut subscription).await;
    pending.nak_after(Duration::from_secs(60)).await.unwrap();
    assert_eq!(setup.only_letter().await.kind, DeadLetterKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_last_delivery_is_no_dead_letter() {
    let (setup, mut subscription) = setup(2).await;
    next_pending(&mut subscription).await.nak().await.unwrap();
    next_pending(&mut subscription).await.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(setup.letters.count().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_unanswered_on_its_last_delivery_is_dead_lettered_when_it_comes_again() {
    let (setup, mut subscription) = setup(2).await;
    for _ in 0..2 {
        drop(next_pending(&mut subscription).await);
    }
    publish(&setup.bus, "events.a.c").await;
    assert_eq!(next(&mut subscription).await.sequence, 2);
    // The wait for an answer to the second delivery is 30 s.
    assert!(within(at_once(subscription.next())).await.is_none());
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(at_once(subscription.next()).await.is_none());

    let letter = setup.only_letter().await;
    assert_eq!(letter.kind, DeadLetterKind::Exhausted);
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 3));
    assert!(letter.first_failure_at.is_some());
    assert_eq!(setup.bus.metrics().snapshot().unanswered, 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_delivery_may_have_been_another_process() {
    let (first, subscription) = setup(1).await;
    let provider = first.bus.provider_arc();
    let mut subscription = subscription;
    std::mem::forget(next_pending(&mut subscription).await);
    drop((first, subscription));

    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::from_provider(provider);
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    bus.update_subscription(capped("reader", &["events.a.>"], 1))
        .await
        .unwrap();
    let mut subscription = bus.create_subscriber("reader").await.unwrap().remove(0);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(at_once(subscription.next()).await.is_none());
    let letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Exhausted);
    // This process saw no failure.
    assert_eq!(
        (letter.first_failure_at, letter.last_failure_at),
        (None, None)
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_handler_an_exhausted_event_is_one_error_and_next_goes_on() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(capped("reader", &["events.a.>"], 2))
        .await
        .unwrap();
    let mut subscription = bus.create_subscriber("reader").await.unwrap().remove(0);
    publish(&bus, "events.a.b").await;
    publish(&bus, "events.a.c").await;
    for _ in 0..2 {
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.sequence, 1);
        pending.nak().await.unwrap();
    }
    let exhausted = within(subscription.next_manual_ack()).await.unwrap_err();
    let EventError::Exhausted {
        sequence,
        max_deliver,
        ..
    } = exhausted
    else {
        panic!("{exhausted}");
    };
    assert_eq!((sequence, max_deliver), (1, 2));
    assert_eq!(next(&mut subscription).await.sequence, 2);
    assert!(at_once(subscription.next()).await.is_none());
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(
        at_once(subscription.next()).await.is_none(),
        "it was terminated"
    );
    assert_eq!(bus.metrics().snapshot().exhausted, 1);
}

#[tokio::test(start_paused = true)]
async fn next_counts_deliveries_as_next_manual_ack_does() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(capped("reader", &["events.a.>"], 1))
        .await
        .unwrap();
    let mut subscription = bus.create_subscriber("reader").await.unwrap().remove(0);
    publish(&bus, "events.a.b").await;
    assert_eq!(next(&mut subscription).await.num_delivered, 1);
    drop(subscription);

    let mut subscription = bus.create_subscriber("reader").await.unwrap().remove(0);
    let exhausted = within(subscription.next()).await;
    assert!(matches!(
        exhausted,
        Err(EventError::Exhausted { sequence: 1, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_terminated_event_is_dead_lettered_with_the_readers_reason() {
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    publish(&bus, "events.a.b").await;
    next_pending(&mut subscription)
        .await
        .term("the rate is no number")
        .await
        .unwrap();
    let letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Terminated);
    assert_eq!(letter.reason, "the rate is no number");
    assert_eq!(letter.consumer, None);
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(bus.metrics().snapshot().terminated, 1);
}

#[tokio::test(start_paused = true)]
async fn a_terminated_event_without_a_handler_is_done() {
    let bus = EventBus::new(MemoryProvider::default());
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    publish(&bus, "events.a.b").await;
    next_pending(&mut subscription)
        .await
        .term("no use")
        .await
        .unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(at_once(subscription.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failing_handler_leaves_the_event_in_place_and_the_subscription_going() {
    let handler = FailingFirst::times(2);
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(Arc::clone(&handler) as _);
    bus.update_subscription(capped("reader", &["events.a.>"], 1))
        .await
        .unwrap();
    let mut subscription = bus.create_subscriber("reader").await.unwrap().remove(0);
    publish(&bus, "events.a.b").await;
    publish(&bus, "events.a.c").await;

    next_pending(&mut subscription).await.nak().await.unwrap();
    assert_eq!(next_pending(&mut subscription).await.received.sequence, 2);
    // It does not spin: it comes again when the wait for an answer is over.
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(bus.metrics().snapshot().dead_letter_errors, 1);

    for failures in [2, 2] {
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(at_once(subscription.next()).await.is_none());
        assert!(bus.metrics().snapshot().dead_letter_errors >= failures);
    }
    let letters = handler.list(10).await.unwrap();
    let mut sequences: Vec<u64> = letters.iter().map(|letter| letter.event.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2]);
}

#[tokio::test]
async fn the_handler_has_stored_the_letter_before_the_event_is_settled() {
    let scripted = Scripted::claiming(Capabilities::all());
    scripted.deliver(event("events.a.b", json!(1)), 7, 1);
    let handler = FailingFirst::times(1);
    let mut bus = EventBus::new(scripted.clone());
    bus.set_dlq_handler(Arc::clone(&handler) as _);
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    next_pending(&mut subscription)
        .await
        .term("bad")
        .await
        .unwrap();
    assert!(scripted.answers().is_empty(), "nothing was stored");

    scripted.deliver(event("events.a.b", json!(1)), 7, 2);
    next_pending(&mut subscription)
        .await
        .term("bad")
        .await
        .unwrap();
    assert_eq!(handler.count().await.unwrap(), 1);
    assert_eq!(scripted.answers(), [(7, Answer::Term("bad".to_owned()))]);
}

fn undecodable(scripted: &Scripted, sequence: u64) -> Delivery {
    Delivery::Undecodable(UndecodableEvent::new(
        "SCRIPT",
        sequence,
        1,
        "events.a.b",
        b"\xff\x00no event".to_vec(),
        "invalid UTF-8",
        scripted.handle(sequence),
    ))
}

#[tokio::test]
async fn a_message_that_is_no_event_is_dead_lettered_with_its_bytes() {
    let scripted = Scripted::default();
    scripted.push(undecodable(&scripted, 4));
    scripted.deliver(event("events.a.b", json!(1)), 5, 1);
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(scripted.clone());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    assert_eq!(next(&mut subscription).await.sequence, 5);

    let letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Undecodable);
    assert_eq!(letter.raw.as_deref(), Some(&b"\xff\x00no event"[..]));
    assert_eq!(
        (letter.event.sequence, &*letter.event.event.subject),
        (4, "events.a.b")
    );
    assert!(matches!(scripted.answers()[..], [(4, Answer::Term(_))]));
}

#[tokio::test]
async fn a_message_that_is_no_event_is_one_error_without_a_handler() {
    let scripted = Scripted::default();
    scripted.push(undecodable(&scripted, 4));
    scripted.deliver(event("events.a.b", json!(1)), 5, 1);
    let bus = EventBus::new(scripted.clone());
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    let error = within(subscription.next_manual_ack()).await.unwrap_err();
    assert!(matches!(error, EventError::Undecodable { sequence: 4, .. }));
    assert!(matches!(scripted.answers()[..], [(4, Answer::Term(_))]));
    assert_eq!(next_pending(&mut subscription).await.received.sequence, 5);
}

#[tokio::test]
async fn dropping_next_while_the_handler_works_repeats_nothing() {
    let scripted = Scripted::default();
    scripted.push(undecodable(&scripted, 4));
    scripted.deliver(event("events.a.b", json!(1)), 5, 1);
    let handler = Arc::new(Slow::default());
    let mut bus = EventBus::new(scripted.clone());
    bus.set_dlq_handler(Arc::clone(&handler) as _);
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    for _ in 0..4 {
        // One poll each: the handler waits for its permission.
        let polled = std::future::poll_fn(|cx| {
            let polled = subscription.next();
            let mut polled = std::pin::pin!(polled);
            std::task::Poll::Ready(polled.as_mut().poll(cx).is_ready())
        });
        assert!(!polled.await);
    }
    assert_eq!(*handler.calls.lock().unwrap(), 1);
    handler.permission.notify_one();
    assert_eq!(next(&mut subscription).await.sequence, 5);
    assert_eq!(handler.letters.count().await.unwrap(), 1);
    assert_eq!(*handler.calls.lock().unwrap(), 1);
}

/// Stores nothing before it is allowed to.
#[derive(Default)]
struct Slow {
    permission: tokio::sync::Notify,
    calls: std::sync::Mutex<usize>,
    letters: MemoryDlqHandler,
}

#[a3s_event_core::async_trait]
impl DlqHandler for Slow {
    async fn handle(&self, event: DeadLetterEvent) -> a3s_event_core::Result<()> {
        *self.calls.lock().unwrap() += 1;
        self.permission.notified().await;
        self.letters.handle(event).await
    }

    async fn count(&self) -> a3s_event_core::Result<usize> {
        self.letters.count().await
    }

    async fn list(&self, limit: usize) -> a3s_event_core::Result<Vec<DeadLetterEvent>> {
        self.letters.list(limit).await
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_is_the_callers_error() {
    let scripted = Scripted::default();
    scripted.deliver(event("events.a.b", json!(1)), 1, 1);
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(scripted.clone());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    scripted.fail_answers(true);
    let failed = pending.term("bad").await.unwrap_err();
    assert_eq!(failed.kind(), offline("answer").kind());
    // Stored all the same: it comes again and is stored under the same key.
    scripted.fail_answers(false);
    scripted.deliver(event("events.a.b", json!(1)), 1, 2);
    next_pending(&mut subscription)
        .await
        .term("bad")
        .await
        .unwrap();
    assert_eq!(letters.count().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_merged_subscription_names_the_consumer_that_gave_up() {
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    bus.update_subscription(durable("reader", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    let mut subscription = bus.subscribe_as("reader").await.unwrap();
    publish(&bus, "events.b.c").await;
    next_pending(&mut subscription)
        .await
        .term("bad")
        .await
        .unwrap();
    let letter = letters.list(1).await.unwrap().remove(0);
    assert_eq!(letter.consumer.as_deref(), Some("reader events.b.>"));
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_subscriber_has_a_cap_too() {
    let bus = EventBus::new(MemoryProvider::default());
    let options = SubscribeOptions::default().with_max_deliver(1);
    bus.update_subscription(SubscriptionFilter {
        options: Some(options),
        ..filter("reader", &["events.a.>"])
    })
    .await
    .unwrap();
    let mut subscription = bus.subscribe_as("reader").await.unwrap();
    publish(&bus, "events.a.b").await;
    next_pending(&mut subscription).await.nak().await.unwrap();
    let exhausted = within(subscription.next()).await;
    assert!(matches!(exhausted, Err(EventError::Exhausted { .. })));
}

#[tokio::test]
async fn the_memory_handler_drops_the_oldest_at_its_bound() {
    let letter = |sequence| {
        let received = ReceivedEvent::new(event("events.a.b", json!(1)), sequence, 1, "S");
        DeadLetterEvent::new(received, "bad")
    };
    let handler = MemoryDlqHandler::new(2);
    for sequence in 1..=4 {
        handler.handle(letter(sequence)).await.unwrap();
    }
    let kept = |letters: Vec<DeadLetterEvent>| -> Vec<u64> {
        letters.iter().map(|letter| letter.event.sequence).collect()
    };
    assert_eq!(kept(handler.list(usize::MAX).await.unwrap()), [4, 3]);
    assert_eq!(kept(handler.list(1).await.unwrap()), [4]);
    assert!(handler.list(0).await.unwrap().is_empty());
    assert_eq!((handler.dropped(), handler.depth()), (2, Some(2)));

    handler.handle(letter(3)).await.unwrap();
    assert_eq!(kept(handler.list(10).await.unwrap()), [3, 4]);
    assert_eq!(handler.dropped(), 2);

    let smallest = MemoryDlqHandler::new(0);
    smallest.handle(letter(1)).await.unwrap();
    assert_eq!(smallest.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_replayed_letter_is_stored_once_and_comes_again() {
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::builder(MemoryProvider::default())
        .deduplicate(true)
        .build();
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    let published = event("events.a.b", json!({"total": 9.5}));
    bus.publish_event(&published).await.unwrap();
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    let pending = next_pending(&mut subscription).await;
    pending.term("closed").await.unwrap();
    let letter = letters.list(1).await.unwrap().remove(0);

    // Within the window of duplicates: another event for the provider, and one for each letter.
    assert_eq!(bus.replay(&letter).await.unwrap(), 2);
    assert_eq!(bus.replay(&letter).await.unwrap(), 2);
    let again = next(&mut subscription).await;
    assert_eq!((again.sequence, again.num_delivered), (2, 1));
    assert_eq!(again.event, published);
    assert_eq!(bus.metrics().snapshot().published, 3);

    bus.close().await.unwrap();
    let refused = bus.replay(&letter).await.unwrap_err();
    assert!(matches!(refused, EventError::Closed { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_letter_without_an_event_is_not_replayed() {
    let scripted = Scripted::default();
    scripted.push(undecodable(&scripted, 4));
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(scripted.clone());
    bus.set_dlq_handler(Arc::clone(&letters) as _);
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());

    let letter = letters.list(1).await.unwrap().remove(0);
    let refused = bus.replay(&letter).await.unwrap_err();
    assert!(
        matches!(refused, EventError::InvalidOption { .. }),
        "{refused:?}"
    );
    assert!(scripted.published().is_empty());
    let json = serde_json::to_string(&letter).unwrap();
    assert_eq!(
        serde_json::from_str::<DeadLetterEvent>(&json).unwrap(),
        letter
    );
}
