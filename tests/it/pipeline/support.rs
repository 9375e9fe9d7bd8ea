//! What the cases share: events, filters, deadlines, keys.

use std::{sync::Arc, time::Duration};

use a3s_event::{
    Event, EventBus, SubscriptionFilter,
    crypto::Aes256GcmEncryptor,
    provider::{EventProvider, PendingEvent, Subscription},
    types::{ReceivedEvent, SubscribeOptions},
};
use a3s_event_testkit::{eventually, within};
use serde_json::Value;

use super::stage::Stage;

/// How long to wait for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long an impatient subscriber waits for an answer: worth waiting for, and
/// long enough for one that is on its way on a busy machine.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(2);

/// An event below the prefix of `stage`.
pub(crate) fn event(stage: &Stage, rest: &str, payload: Value) -> Event {
    let category = rest.split('.').next().unwrap_or_default();
    Event::new(stage.below(rest), category, "summary", "test", payload)
}

/// A durable subscriber of subjects below the prefix of `stage`.
pub(crate) fn durable(stage: &Stage, id: &str, subjects: &[&str]) -> SubscriptionFilter {
    SubscriptionFilter {
        subscriber_id: id.to_owned(),
        subjects: subjects.iter().map(|rest| stage.below(rest)).collect(),
        durable: true,
        ..Default::default()
    }
}

/// `filter` with an ack wait of [`ACK_WAIT`].
pub(crate) fn impatient(filter: SubscriptionFilter) -> SubscriptionFilter {
    let options = filter.options.unwrap_or_default();
    SubscriptionFilter {
        options: Some(SubscribeOptions {
            ack_wait_secs: Some(ACK_WAIT.as_secs()),
            ..options
        }),
        ..filter
    }
}

/// `filter` with at most `max_deliver` deliveries of an event.
pub(crate) fn capped(filter: SubscriptionFilter, max_deliver: i64) -> SubscriptionFilter {
    let options = filter.options.unwrap_or_default();
    SubscriptionFilter {
        options: Some(options.with_max_deliver(max_deliver)),
        ..filter
    }
}

/// An encryptor with one key, which follows from its id.
pub(crate) fn encryptor(key_id: &str) -> Arc<Aes256GcmEncryptor> {
    let byte = key_id.bytes().fold(7, u8::wrapping_add);
    Arc::new(Aes256GcmEncryptor::new(key_id, &[byte; 32]))
}

/// A bus of another process that encrypts with `key_id`.
pub(crate) async fn encrypting(stage: &Stage, key_id: &str) -> EventBus {
    let mut bus = EventBus::from_provider(stage.process().await);
    bus.set_encryptor(encryptor(key_id));
    bus
}

/// The newest event as it is stored.
pub(crate) async fn at_rest(provider: &dyn EventProvider) -> Event {
    provider.history(None, 1).await.unwrap().remove(0)
}

/// The next event, acknowledged when the case comes back.
#[track_caller]
pub(crate) fn next(
    subscription: &mut Box<dyn Subscription>,
) -> impl Future<Output = ReceivedEvent> {
    let next = within(PATIENCE, subscription.next());
    async move { next.await.unwrap().unwrap() }
}

/// The next event, to be answered by the case.
#[track_caller]
pub(crate) fn next_pending(
    subscription: &mut Box<dyn Subscription>,
) -> impl Future<Output = PendingEvent> {
    let next = within(PATIENCE, subscription.next_manual_ack());
    async move { next.await.unwrap().unwrap() }
}

/// Reads until `done`; nothing may come for the reader meanwhile.
#[track_caller]
pub(crate) fn read_until<F: Future<Output = bool>>(
    subscription: &mut Box<dyn Subscription>,
    done: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let done = eventually(PATIENCE, done);
    async move {
        tokio::select! {
            outcome = subscription.next_manual_ack() => {
                panic!("not nothing but {outcome:?}, at {caller}");
            }
            () = done => {}
        }
    }
}

/// Whether nothing is left for `consumer`: neither unanswered nor undelivered.
pub(crate) async fn is_settled(bus: &EventBus, consumer: &str) -> bool {
    let info = bus.provider().consumer_info(consumer).await.unwrap();
    (info.pending, info.unanswered) == (0, 0)
}

/// Waits until nothing is left for `consumer`.
#[track_caller]
pub(crate) fn settled(bus: &EventBus, consumer: &str) -> impl Future<Output = ()> {
    eventually(PATIENCE, async || is_settled(bus, consumer).await)
}
