//! How events leave the normal path.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use a3s_event::{
    EventBus, EventError, Result, SubscriptionFilter, async_trait,
    crypto::{EncryptedPayload, EventEncryptor},
    dlq::{DeadLetterEvent, DeadLetterKind, DlqHandler},
    provider::{EventProvider, Subscription},
};
use a3s_event_testkit::{eventually, within};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    stage::Stage,
    support::{
        ACK_WAIT, PATIENCE, at_rest, capped, durable, encrypting, encryptor, event, impatient,
        is_settled, next, next_pending, read_until, settled,
    },
};

cases! {
    an_event_refused_on_its_last_delivery_goes_to_the_handler
    an_event_refused_earlier_comes_again_and_is_no_dead_letter
    an_event_unanswered_on_its_last_delivery_goes_to_the_handler
    an_event_whose_reader_crashed_on_its_last_delivery_goes_to_the_handler
    a_crash_spends_no_delivery_of_an_event_that_nobody_saw
    an_event_terminated_by_its_reader_goes_to_the_handler
    an_event_that_cannot_be_decrypted_goes_to_the_handler_as_ciphertext
    a_refused_event_goes_to_the_handler_as_ciphertext
    the_letter_is_stored_before_the_event_is_settled
    a_failing_handler_leaves_the_event_in_place_and_the_subscription_going
    a_crash_between_storing_and_settling_stores_the_letter_again
    without_a_handler_an_exhausted_event_is_one_error_and_stays_in_the_history
    without_a_handler_a_crash_on_the_last_delivery_strands_nothing
    ; on nats only:
    a_message_that_is_no_event_goes_to_the_handler_with_its_bytes
    a_message_that_is_no_event_is_one_error_without_a_handler
}

/// A handler that keeps every letter, repeated ones too.
#[derive(Default)]
struct Letters {
    kept: Mutex<Vec<DeadLetterEvent>>,
    /// How often it fails before it keeps one.
    failures: AtomicUsize,
    /// Whether it returns once it has kept a letter.
    hangs: AtomicBool,
}

impl Letters {
    fn len(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    #[track_caller]
    fn only(&self) -> DeadLetterEvent {
        let kept = self.kept.lock().unwrap();
        assert_eq!(kept.len(), 1, "{kept:?}");
        kept[0].clone()
    }
}

#[async_trait]
impl DlqHandler for Letters {
    async fn handle(&self, letter: DeadLetterEvent) -> Result<()> {
        let fewer = |left: usize| left.checked_sub(1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.failures.fetch_update(set, fetch, fewer).is_ok() {
            return Err(EventError::provider(
                "letters",
                "keep a letter",
                "disk full",
            ));
        }
        self.kept.lock().unwrap().push(letter);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn count(&self) -> Result<usize> {
        Ok(self.len())
    }

    async fn list(&self, limit: usize) -> Result<Vec<DeadLetterEvent>> {
        let kept = self.kept.lock().unwrap();
        Ok(kept.iter().rev().take(limit).cloned().collect())
    }
}

/// The subscriber of all cases, and its consumer.
const READER: &str = "reader";

fn consumer(stage: &Stage) -> String {
    format!("{READER} {}", stage.below("orders.>"))
}

/// A process that gives its letters to `letters`.
async fn with_handler(stage: &Stage, letters: &Arc<Letters>) -> EventBus {
    let mut bus = EventBus::from_provider(stage.process().await);
    bus.set_dlq_handler(Arc::clone(letters) as _);
    bus
}

/// The filter of the reader, who waits 30 s for answers.
fn reader(stage: &Stage, max_deliver: i64) -> SubscriptionFilter {
    capped(durable(stage, READER, &["orders.>"]), max_deliver)
}

async fn open(bus: &EventBus, filter: SubscriptionFilter) -> Box<dyn Subscription> {
    bus.update_subscription(filter).await.unwrap();
    bus.subscribe_as(READER).await.unwrap()
}

async fn publish(stage: &Stage, bus: &EventBus) -> u64 {
    let order = event(stage, "orders.placed", json!({"pin": "0451"}));
    bus.publish_event(&order).await.unwrap()
}

/// Shows that the subscription goes on, and that nothing is left behind.
async fn goes_on(stage: &Stage, bus: &EventBus, subscription: &mut Box<dyn Subscription>) {
    let sequence = publish(stage, bus).await;
    let pending = next_pending(subscription).await;
    assert_eq!(
        (pending.received.sequence, pending.received.num_delivered),
        (sequence, 1)
    );
    pending.ack_confirmed().await.unwrap();
    settled(bus, &consumer(stage)).await;
}

async fn an_event_refused_on_its_last_delivery_goes_to_the_handler(stage: Stage) {
    let letters = Arc::default();
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, reader(&stage, 3)).await;
    publish(&stage, &bus).await;
    for delivery in 1..=3 {
        assert_eq!(letters.len(), 0);
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.num_delivered, delivery);
        pending.nak().await.unwrap();
    }

    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Rejected);
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 3));
    assert_eq!(letter.event.event, at_rest(bus.provider()).await);
    assert_eq!(letter.consumer, Some(consumer(&stage)));
    assert!(letter.first_failure_at.unwrap() <= letter.last_failure_at.unwrap());
    assert!(letter.last_failure_at.unwrap() <= letter.dead_lettered_at);
    assert!(!letter.reason.is_empty());
    goes_on(&stage, &bus, &mut subscription).await;
    let figures = bus.metrics().snapshot();
    assert_eq!((figures.dead_lettered, figures.nacked), (1, 3));
}

async fn an_event_refused_earlier_comes_again_and_is_no_dead_letter(stage: Stage) {
    let letters = Arc::default();
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, reader(&stage, 3)).await;
    publish(&stage, &bus).await;
    for _ in 1..=2 {
        next_pending(&mut subscription).await.nak().await.unwrap();
    }
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.num_delivered, 3);
    pending.ack_confirmed().await.unwrap();
    goes_on(&stage, &bus, &mut subscription).await;
    assert_eq!(letters.len(), 0);
}

async fn an_event_unanswered_on_its_last_delivery_goes_to_the_handler(stage: Stage) {
    let letters: Arc<Letters> = Arc::default();
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, impatient(reader(&stage, 2))).await;
    publish(&stage, &bus).await;
    for delivery in 1..=2 {
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.num_delivered, delivery);
        drop(pending);
        assert_eq!(letters.len(), 0);
    }
    let consumer = consumer(&stage);
    read_until(&mut subscription, async || {
        is_settled(&bus, &consumer).await
    })
    .await;

    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Exhausted);
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 3));
    assert!(letter.first_failure_at.unwrap() <= letter.last_failure_at.unwrap());
    goes_on(&stage, &bus, &mut subscription).await;
}

async fn an_event_whose_reader_crashed_on_its_last_delivery_goes_to_the_handler(stage: Stage) {
    let letters: Arc<Letters> = Arc::default();
    stage.crash(async |provider| {
        let mut bus = EventBus::from_provider(provider);
        bus.set_dlq_handler(Arc::clone(&letters) as _);
        let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
        publish(&stage, &bus).await;
        let pending = next_pending(&mut subscription).await;
        (bus, subscription, pending)
    });

    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
    let consumer = consumer(&stage);
    read_until(&mut subscription, async || {
        is_settled(&bus, &consumer).await
    })
    .await;
    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Exhausted);
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 2));
    // This process saw no failure.
    assert_eq!(letter.first_failure_at, None);
    goes_on(&stage, &bus, &mut subscription).await;
}

async fn a_crash_spends_no_delivery_of_an_event_that_nobody_saw(stage: Stage) {
    stage.crash(async |provider| {
        let bus = EventBus::from_provider(provider);
        let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
        for _ in 1..=5 {
            publish(&stage, &bus).await;
        }
        let received = next(&mut subscription).await;
        assert_eq!(received.sequence, 1);
        (bus, subscription)
    });

    let letters: Arc<Letters> = Arc::default();
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
    for sequence in 2..=5 {
        let pending = next_pending(&mut subscription).await;
        assert_eq!(
            (pending.received.sequence, pending.received.num_delivered),
            (sequence, 1)
        );
        pending.ack_confirmed().await.unwrap();
    }
    let consumer = consumer(&stage);
    read_until(&mut subscription, async || {
        is_settled(&bus, &consumer).await
    })
    .await;
    assert_eq!(letters.only().event.sequence, 1);
}

async fn an_event_terminated_by_its_reader_goes_to_the_handler(stage: Stage) {
    let letters = Arc::default();
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, reader(&stage, 5)).await;
    publish(&stage, &bus).await;
    let pending = next_pending(&mut subscription).await;
    pending.term("the rate is no number").await.unwrap();
    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Terminated);
    assert_eq!(letter.reason, "the rate is no number");
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 1));
    goes_on(&stage, &bus, &mut subscription).await;
    assert_eq!(letters.len(), 1);
}

async fn an_event_that_cannot_be_decrypted_goes_to_the_handler_as_ciphertext(stage: Stage) {
    let writer = encrypting(&stage, "key-of-the-writer").await;
    publish(&stage, &writer).await;
    let stored = at_rest(writer.provider()).await;

    let letters = Arc::default();
    let mut bus = with_handler(&stage, &letters).await;
    bus.set_encryptor(encryptor("key-of-the-reader"));
    let mut subscription = open(&bus, reader(&stage, 5)).await;
    goes_on(&stage, &bus, &mut subscription).await;
    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Undecryptable);
    assert_eq!(letter.event.event, stored);
    assert!(EncryptedPayload::is_encrypted(&letter.event.event.payload));
    assert!(letter.reason.contains("key-of-the-writer"));

    // The key arrives, and the letter can be read.
    let late = encryptor("key-of-the-writer").decrypt_event(&letter.event.event);
    assert_eq!(late.unwrap(), json!({"pin": "0451"}));
}

async fn a_refused_event_goes_to_the_handler_as_ciphertext(stage: Stage) {
    let letters = Arc::default();
    let mut bus = with_handler(&stage, &letters).await;
    bus.set_encryptor(encryptor("key-1"));
    let mut subscription = open(&bus, reader(&stage, 1)).await;
    publish(&stage, &bus).await;
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.event.payload, json!({"pin": "0451"}));
    pending.nak().await.unwrap();
    let letter = letters.only();
    assert_eq!(letter.event.event, at_rest(bus.provider()).await);
    assert!(EncryptedPayload::is_encrypted(&letter.event.event.payload));
    goes_on(&stage, &bus, &mut subscription).await;
}

/// A handler that watches whether the event is answered before it returns.
struct Witness {
    provider: Arc<dyn EventProvider>,
    consumer: String,
    unanswered: Mutex<Vec<bool>>,
}

#[async_trait]
impl DlqHandler for Witness {
    async fn handle(&self, _: DeadLetterEvent) -> Result<()> {
        // An answer may take a moment to arrive.
        let moment = Duration::from_millis(500);
        let info = async || self.provider.consumer_info(&self.consumer).await.unwrap();
        let answered = eventually(PATIENCE, async || info().await.unanswered == 0);
        let watched = timeout(moment, answered).await;
        self.unanswered.lock().unwrap().push(watched.is_err());
        Ok(())
    }

    async fn count(&self) -> Result<usize> {
        Ok(0)
    }

    async fn list(&self, _: usize) -> Result<Vec<DeadLetterEvent>> {
        Ok(Vec::new())
    }
}

async fn the_letter_is_stored_before_the_event_is_settled(stage: Stage) {
    let provider = stage.process().await;
    let witness = Arc::new(Witness {
        provider: Arc::clone(&provider),
        consumer: consumer(&stage),
        unanswered: Mutex::default(),
    });
    let mut bus = EventBus::from_provider(provider);
    bus.set_dlq_handler(Arc::clone(&witness) as _);
    let mut subscription = open(&bus, reader(&stage, 1)).await;
    publish(&stage, &bus).await;
    next_pending(&mut subscription).await.nak().await.unwrap();
    settled(&bus, &consumer(&stage)).await;
    publish(&stage, &bus).await;
    let pending = next_pending(&mut subscription).await;
    pending.term("no use").await.unwrap();
    settled(&bus, &consumer(&stage)).await;
    assert_eq!(*witness.unanswered.lock().unwrap(), [true, true]);
}

async fn a_failing_handler_leaves_the_event_in_place_and_the_subscription_going(stage: Stage) {
    let letters: Arc<Letters> = Arc::default();
    letters.failures.store(2, Ordering::Relaxed);
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
    let before = Instant::now();
    publish(&stage, &bus).await;
    let pending = next_pending(&mut subscription).await;
    // The failure is not the reader's.
    pending.nak().await.unwrap();
    assert_eq!(letters.len(), 0);
    assert_eq!(bus.metrics().snapshot().dead_letter_errors, 1);
    assert!(!is_settled(&bus, &consumer(&stage)).await);

    publish(&stage, &bus).await;
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.sequence, 2);
    pending.ack_confirmed().await.unwrap();

    let consumer = consumer(&stage);
    read_until(&mut subscription, async || {
        is_settled(&bus, &consumer).await
    })
    .await;
    // It came again after each wait for an answer, and not in a loop.
    assert!(before.elapsed() > ACK_WAIT * 3 / 2);
    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Exhausted);
    assert_eq!((letter.event.sequence, letter.event.num_delivered), (1, 3));
    goes_on(&stage, &bus, &mut subscription).await;
    let figures = bus.metrics().snapshot();
    assert_eq!((figures.dead_letter_errors, figures.dead_lettered), (2, 1));
}

async fn a_crash_between_storing_and_settling_stores_the_letter_again(stage: Stage) {
    let letters: Arc<Letters> = Arc::default();
    letters.hangs.store(true, Ordering::Relaxed);
    stage.crash(async |provider| {
        let mut bus = EventBus::from_provider(provider);
        bus.set_dlq_handler(Arc::clone(&letters) as _);
        let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
        publish(&stage, &bus).await;
        let mut refusal = Box::pin(next_pending(&mut subscription).await.nak());
        tokio::select! {
            outcome = &mut refusal => panic!("the handler hangs, but {outcome:?}"),
            () = eventually(PATIENCE, async || letters.len() == 1) => {}
        }
        // What was sent before this has arrived.
        assert!(bus.health().await.unwrap());
        (bus, subscription, refusal)
    });
    letters.hangs.store(false, Ordering::Relaxed);

    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
    let consumer = consumer(&stage);
    read_until(&mut subscription, async || {
        is_settled(&bus, &consumer).await
    })
    .await;
    let keys: Vec<_> = {
        let kept = letters.kept.lock().unwrap();
        let key = |letter: &DeadLetterEvent| (letter.event.stream.clone(), letter.event.sequence);
        kept.iter().map(key).collect()
    };
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    goes_on(&stage, &bus, &mut subscription).await;
}

async fn without_a_handler_an_exhausted_event_is_one_error_and_stays_in_the_history(stage: Stage) {
    let bus = EventBus::from_provider(stage.process().await);
    let mut subscription = open(&bus, reader(&stage, 2)).await;
    publish(&stage, &bus).await;
    publish(&stage, &bus).await;
    for _ in 1..=2 {
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.sequence, 1);
        pending.nak().await.unwrap();
    }
    let exhausted = within(PATIENCE, subscription.next_manual_ack()).await;
    assert!(matches!(
        exhausted,
        Err(EventError::Exhausted {
            sequence: 1,
            max_deliver: 2,
            ..
        })
    ));
    let pending = next_pending(&mut subscription).await;
    assert_eq!(pending.received.sequence, 2);
    pending.ack_confirmed().await.unwrap();
    goes_on(&stage, &bus, &mut subscription).await;
    assert_eq!(bus.list_events(None, 10).await.unwrap().len(), 3);
    assert_eq!(bus.metrics().snapshot().exhausted, 1);
}

async fn without_a_handler_a_crash_on_the_last_delivery_strands_nothing(stage: Stage) {
    stage.crash(async |provider| {
        let bus = EventBus::from_provider(provider);
        let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
        publish(&stage, &bus).await;
        let received = next(&mut subscription).await;
        (bus, subscription, received)
    });

    let bus = EventBus::from_provider(stage.process().await);
    let mut subscription = open(&bus, impatient(reader(&stage, 1))).await;
    let exhausted = within(PATIENCE, subscription.next()).await;
    assert!(matches!(
        exhausted,
        Err(EventError::Exhausted {
            sequence: 1,
            max_deliver: 1,
            ..
        })
    ));
    goes_on(&stage, &bus, &mut subscription).await;
    assert_eq!(bus.list_events(None, 10).await.unwrap().len(), 2);
}

#[cfg(feature = "full")]
async fn a_message_that_is_no_event_goes_to_the_handler_with_its_bytes(stage: Stage) {
    let letters = Arc::default();
    let bus = with_handler(&stage, &letters).await;
    let mut subscription = open(&bus, reader(&stage, 5)).await;
    let subject = stage.below("orders.placed");
    stage.store_foreign(&subject, b"\xff\x00no event");
    goes_on(&stage, &bus, &mut subscription).await;

    let letter = letters.only();
    assert_eq!(letter.kind, DeadLetterKind::Undecodable);
    assert_eq!(letter.raw.as_deref(), Some(&b"\xff\x00no event"[..]));
    assert_eq!(letter.event.sequence, 1);
    assert_eq!(letter.event.event.subject, subject);
    assert_eq!(letter.consumer, Some(consumer(&stage)));
}

#[cfg(feature = "full")]
async fn a_message_that_is_no_event_is_one_error_without_a_handler(stage: Stage) {
    let bus = EventBus::from_provider(stage.process().await);
    let mut subscription = open(&bus, reader(&stage, 5)).await;
    stage.store_foreign(&stage.below("orders.placed"), b"[1,2");
    let outcome = within(PATIENCE, subscription.next_manual_ack()).await;
    assert!(matches!(
        outcome,
        Err(EventError::Undecodable { sequence: 1, .. })
    ));
    goes_on(&stage, &bus, &mut subscription).await;
}
