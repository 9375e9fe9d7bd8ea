//! What a backend provides: [`EventProvider`] and [`Subscription`].

mod forward;
mod info;
mod pending;
mod stream;
mod subscription;

use async_trait::async_trait;

pub use info::{Capabilities, ConsumerInfo, ProviderInfo};
pub use pending::{Answer, DeliveryHandle, PendingEvent, Settle, Settled};
pub use stream::EventStream;
pub use subscription::{Delivery, Subscription, UndecodableEvent};

use crate::{
    EventError, Result,
    types::{Event, PublishOptions, SubscribeOptions},
};

/// A backend that stores events in one stream and delivers them.
///
/// # For implementers
///
/// Nine methods are required; the others have defaults. Every clause below has
/// a case in `a3s-event-testkit`, and what [`capabilities`](Self::capabilities)
/// claims decides which cases apply.
///
/// - All methods may be called concurrently, from any thread, at any time.
/// - Subjects and patterns follow [`subject`](crate::subject) and are checked
///   before anything is sent; use
///   [`SubjectPrefix`](crate::subject::SubjectPrefix).
/// - Sequences start at 1 and strictly increase in the order of the stream,
///   which is the order of [`history`](Self::history).
/// - What `publish` returned is visible to `history` and to every subscription.
/// - An option is honored or refused: what a provider does not claim it answers
///   with [`EventError::Unsupported`], and nothing was sent.
/// - Dropping the future of any method leaves the provider usable. A dropped
///   publish may or may not be stored.
/// - After [`close`](Self::close), calls are [`EventError::Closed`].
/// - A method that is added later has a default, here and in the forwarding
///   implementations for `Box` and `Arc`.
///
/// # For users
///
/// Talking to a provider directly goes around the pipeline of the bus: no
/// schema, no encryption, no dead letters.
#[async_trait]
pub trait EventProvider: Send + Sync {
    /// Stores `event` and returns its sequence. Returns once the backend has
    /// acknowledged it.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] for a subject that is malformed or outside
    /// the prefix, [`EventError::TooLarge`], [`EventError::Timeout`] after which
    /// the event may still be stored, and what the backend reports.
    ///
    /// # Cancellation
    ///
    /// A dropped call may or may not have stored the event.
    async fn publish(&self, event: &Event) -> Result<u64>;

    /// Opens an ephemeral subscription: its position ends with it. Delivers what
    /// is retained and matches, then what follows.
    ///
    /// The same as [`subscribe_with_options`](Self::subscribe_with_options)
    /// with default options.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] for a malformed pattern or one that can
    /// match nothing below the prefix.
    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>>;

    /// Opens a handle on the durable consumer `consumer_name` and creates it if
    /// it does not exist, at the start of what is retained.
    ///
    /// The position belongs to the name and outlives every handle; handles of
    /// one name share the events among them. Any name that
    /// [`validate_consumer_name`](crate::subject::validate_consumer_name) takes
    /// is a name of its own.
    ///
    /// # Errors
    ///
    /// [`EventError::ConsumerMismatch`] when the name exists with another filter
    /// or other options, and the errors of [`subscribe`](Self::subscribe).
    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>>;

    /// Returns the newest `limit` events that match, newest first.
    ///
    /// Moves no consumer and leaves none behind. The cost grows with `limit`,
    /// not with what is stored. Events that retention removes during the call
    /// may be missing, nothing else: an answer that is incomplete for another
    /// reason is an error. `limit` 0 is empty, a huge one allocates nothing in
    /// advance.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] for a malformed pattern.
    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>>;

    /// Stops the durable consumer `consumer_name` and forgets its position.
    ///
    /// Succeeds when no such consumer exists, so callers may repeat it. Open
    /// handles end with [`EventError::NotFound`]. Events already handed out stay
    /// valid; answering them does nothing.
    async fn unsubscribe(&self, consumer_name: &str) -> Result<()>;

    /// Describes the backend. The cost does not depend on what is stored.
    async fn info(&self) -> Result<ProviderInfo>;

    /// How far the durable consumer `consumer_name` is behind. The cost does not
    /// depend on what is stored.
    ///
    /// The default cannot tell.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`] when there is no such consumer,
    /// [`EventError::Unsupported`] where the backend cannot tell.
    async fn consumer_info(&self, consumer_name: &str) -> Result<ConsumerInfo> {
        let _: &str = consumer_name;
        Err(EventError::unsupported(
            self.name().to_owned(),
            "information about a consumer",
        ))
    }

    /// The subject of `topic` in `category`, unchecked.
    fn build_subject(&self, category: &str, topic: &str) -> String;

    /// The pattern of everything in `category`, unchecked.
    fn category_subject(&self, category: &str) -> String;

    /// A short lower-case name: `memory`, `nats`, …
    fn name(&self) -> &str;

    /// Publishes as [`publish`](Self::publish) does, with options.
    ///
    /// The default checks the options, publishes when none is set and refuses
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Those of `publish`; [`EventError::InvalidOption`];
    /// [`EventError::Conflict`] when `expected_sequence` is not the last
    /// sequence; [`EventError::Unsupported`] for an option that is not claimed.
    /// With both `msg_id` and `expected_sequence`, a repeat succeeds if and only
    /// if the event after the expected one carries the same id.
    async fn publish_with_options(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        options.validate()?;
        refuse_first(self.name(), options.set_options())?;
        self.publish(event).await
    }

    /// Publishes `events` in order and returns their sequences in that order.
    ///
    /// The default publishes one after the other; a provider that can keeps a
    /// bounded number in flight.
    ///
    /// # Errors
    ///
    /// [`EventError::PartialBatch`] with the stored prefix and the reason. What
    /// can be known in advance (subjects, sizes) is checked before the first
    /// event is sent where the provider overrides this method.
    async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            match self.publish(event).await {
                Ok(sequence) => stored.push(sequence),
                Err(error) => return Err(EventError::partial_batch(stored, error)),
            }
        }
        Ok(stored)
    }

    /// Subscribes as [`subscribe`](Self::subscribe) does, with options.
    ///
    /// The default checks the options, subscribes when none is set and refuses
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Those of `subscribe`; [`EventError::InvalidOption`];
    /// [`EventError::Unsupported`] for an option that is not claimed.
    async fn subscribe_with_options(
        &self,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        options.validate()?;
        refuse_first(self.name(), options.set_options())?;
        self.subscribe(filter_subject).await
    }

    /// Opens a durable as [`subscribe_durable`](Self::subscribe_durable) does,
    /// with options. The start position counts only when the name is new and is
    /// not compared; `prefetch` belongs to the handle and is not compared either.
    ///
    /// The default checks the options, subscribes when none is set and refuses
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Those of `subscribe_durable`; [`EventError::InvalidOption`];
    /// [`EventError::Unsupported`] for an option that is not claimed.
    async fn subscribe_durable_with_options(
        &self,
        consumer_name: &str,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        options.validate()?;
        refuse_first(self.name(), options.set_options())?;
        self.subscribe_durable(consumer_name, filter_subject).await
    }

    /// Whether the backend answers, within the request timeout: `Ok(false)` when
    /// it does not.
    ///
    /// The default asks for [`info`](Self::info).
    ///
    /// # Errors
    ///
    /// [`EventError::Closed`] after `close`.
    async fn health(&self) -> Result<bool> {
        match self.info().await {
            Ok(_) => Ok(true),
            Err(error @ EventError::Closed { .. }) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The prefix of all subjects; `events` by default.
    fn subject_prefix(&self) -> &str {
        "events"
    }

    /// What the provider honors. The default claims what the nine required
    /// methods imply: durability and redelivery, and no option.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Ends the provider: open subscriptions end with `None`, answers under way
    /// are flushed, later calls and answers are [`EventError::Closed`]. May be
    /// repeated.
    ///
    /// A backend that is away is waited for, at most as long as for any other
    /// request. An answer that was not confirmed
    /// ([`ack_confirmed`](crate::provider::PendingEvent::ack_confirmed)) may then
    /// be lost, and its event comes again.
    ///
    /// The default does nothing.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Refuses the first of the options that are set, on behalf of a provider that
/// claims none.
fn refuse_first(provider: &str, mut set: impl Iterator<Item = &'static str>) -> Result<()> {
    match set.next() {
        Some(option) => Err(EventError::unsupported(provider.to_owned(), option)),
        None => Ok(()),
    }
}
