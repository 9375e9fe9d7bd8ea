use std::{borrow::Cow, sync::atomic::Ordering};

use a3s_event_core::{
    EventError, Result,
    subject::{validate_category, validate_topic},
    types::{Event, PublishOptions},
};
use serde_json::Value;
use tracing::Instrument;

use crate::{EventBus, trace};

static NO_OPTIONS: PublishOptions = PublishOptions {
    msg_id: None,
    expected_sequence: None,
    timeout_secs: None,
};

impl EventBus {
    /// Creates an event of `topic` in `category` and publishes it.
    ///
    /// Returns the event as it was made, in plaintext even with an encryptor, so
    /// that publishing the returned event again encrypts it once.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] when `category` is not one token or
    /// `topic` not one or more, and the errors of
    /// [`publish_event`](Self::publish_event).
    ///
    /// # Cancellation
    ///
    /// A dropped call may or may not have stored the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// let event = bus
    ///     .publish(
    ///         "market",
    ///         "forex.usd_cny",
    ///         "USD/CNY broke through 7.35",
    ///         "reuters",
    ///         serde_json::json!({"rate": 7.3521}),
    ///     )
    ///     .await?;
    /// assert_eq!(event.subject, "events.market.forex.usd_cny");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(
        &self,
        category: &str,
        topic: &str,
        summary: &str,
        source: &str,
        payload: Value,
    ) -> Result<Event> {
        if let Err(error) = validate_category(category).and_then(|()| validate_topic(topic)) {
            return Err(self.publish_failed(error));
        }
        let subject = self.backend.provider().build_subject(category, topic);
        let event = Event::new(subject, category, summary, source, payload);
        self.publish_event(&event).await?;
        Ok(event)
    }

    /// Publishes `event` and returns its sequence.
    ///
    /// The payload is checked against its schema in plaintext, then encrypted in
    /// a copy; the event itself stays as it is.
    ///
    /// # Errors
    ///
    /// Nothing is sent: [`EventError::InvalidSubject`] for a subject that is
    /// malformed or outside the prefix, [`EventError::SchemaValidation`],
    /// [`EventError::Encryption`] and the errors about keys,
    /// [`EventError::TooLarge`], [`EventError::Closed`]. Otherwise those of the
    /// provider; after [`EventError::Timeout`] the event may be stored, retry
    /// with a `msg_id`.
    ///
    /// # Cancellation
    ///
    /// A dropped call may or may not have stored the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::Event;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// let event = Event::new("events.market.forex", "market", "", "ecb", serde_json::json!({}));
    /// assert_eq!(bus.publish_event(&event).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_event(&self, event: &Event) -> Result<u64> {
        if self.is_direct.load(Ordering::Relaxed) && !trace::is_enabled() {
            let started = self.metrics.start_publish();
            let outcome = self.backend.provider().publish(event).await;
            self.metrics.publish_took(started);
            return match outcome {
                Ok(sequence) => {
                    self.metrics.published(1);
                    Ok(sequence)
                }
                Err(error) => Err(self.publish_failed(error)),
            };
        }
        // Boxed, so that the way above stays a small future.
        Box::pin(self.send(event, &NO_OPTIONS)).await
    }

    /// Publishes as [`publish_event`](Self::publish_event) does, with options.
    ///
    /// # Errors
    ///
    /// Those of `publish_event`; [`EventError::InvalidOption`];
    /// [`EventError::Conflict`] when `expected_sequence` is not the stream's
    /// last sequence; [`EventError::Unsupported`] for a `msg_id` or an
    /// `expected_sequence` that the provider does not offer. A timeout that it
    /// does not offer is left out, with one warning.
    ///
    /// # Cancellation
    ///
    /// A dropped call may or may not have stored the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::{Event, PublishOptions};
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// let event = Event::new("events.order.paid", "order", "", "shop", serde_json::json!({}));
    /// let options = PublishOptions::default().with_msg_id("order-4711-paid");
    ///
    /// let first = bus.publish_event_with_options(&event, &options).await?;
    /// let repeat = bus.publish_event_with_options(&event, &options).await?;
    /// assert_eq!(first, repeat);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_event_with_options(
        &self,
        event: &Event,
        options: &PublishOptions,
    ) -> Result<u64> {
        self.send(event, options).await
    }

    /// Publishes `events` in order and returns their sequences in that order.
    ///
    /// All of them are checked and encrypted before the first is sent.
    ///
    /// # Errors
    ///
    /// Those of [`publish_event`](Self::publish_event) for the first event that
    /// the bus refuses, and then nothing is sent. [`EventError::PartialBatch`]
    /// with the stored prefix when the provider refuses or fails. One that takes
    /// batches refuses an event that is too large before it sends the first;
    /// where the bus [deduplicates](crate::EventBusBuilder::deduplicate) it sends
    /// one by one, so that those before it are stored, and the whole batch can be
    /// repeated.
    ///
    /// # Cancellation
    ///
    /// Of a dropped call, some prefix of the events may be stored.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::Event;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// let rates = [1.08, 1.09].map(|rate| {
    ///     Event::new("events.market.forex", "market", "", "ecb", serde_json::json!({"rate": rate}))
    /// });
    /// assert_eq!(bus.publish_batch(&rates).await?, [1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        match self.send_batch(events).await {
            Ok(stored) => {
                self.metrics.published(stored.len() as u64);
                Ok(stored)
            }
            Err(error) => Err(self.publish_failed(error)),
        }
    }

    // The pipeline.

    async fn send(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        let prepare = || Ok((self.prepare(event)?, self.options_for(event, options)?));
        self.send_prepared(event, prepare).await
    }

    /// Publishes an event as it was stored.
    pub(crate) async fn send_again(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        let prepare = || {
            self.backend.ensure_open()?;
            self.backend.check_subject(&event.subject)?;
            self.encryption.check_stored(event)?;
            let options = self.backend.honored_publish(Cow::Borrowed(options))?;
            Ok((None, options))
        };
        self.send_prepared(event, prepare).await
    }

    async fn send_prepared<'a>(
        &self,
        event: &Event,
        prepare: impl FnOnce() -> Result<(Option<Event>, Cow<'a, PublishOptions>)>,
    ) -> Result<u64> {
        let provider = self.backend.provider();
        let span = trace::publish(provider, event);
        let prepared = span.in_scope(prepare);
        let outcome = match prepared {
            Ok((sealed, options)) => {
                let copy = trace::inject(&span, event, sealed);
                let outgoing = copy.as_ref().unwrap_or(event);
                let started = self.metrics.start_publish();
                // Only the provider's boxed future moves into the span.
                let sending = provider.publish_with_options(outgoing, &options);
                let outcome = sending.instrument(span.clone()).await;
                self.metrics.publish_took(started);
                outcome
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(sequence) => {
                self.metrics.published(1);
                Ok(sequence)
            }
            Err(error) => {
                trace::failed(&span, Some(&error));
                Err(self.publish_failed(error))
            }
        }
    }

    async fn send_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        self.backend.ensure_open()?;
        let provider = self.backend.provider();
        let mut sealed = Vec::new();
        for event in events {
            sealed.extend(self.prepare(event)?);
        }
        let span = trace::publish_batch(provider, events.len());
        let copies = trace::inject_all(&span, events, sealed);
        let outgoing = if copies.is_empty() { events } else { &copies };
        if !self.deduplicate {
            return trace::within(span, provider.publish_batch(outgoing)).await;
        }
        trace::within(span, self.send_one_by_one(outgoing)).await
    }

    /// A batch whose events carry their ids as `msg_id`.
    async fn send_one_by_one(&self, events: &[Event]) -> Result<Vec<u64>> {
        // All ids are checked before the first event is sent.
        for event in events {
            self.options_for(event, &NO_OPTIONS)?;
        }
        let provider = self.backend.provider();
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            let options = self.options_for(event, &NO_OPTIONS)?;
            match provider.publish_with_options(event, &options).await {
                Ok(sequence) => stored.push(sequence),
                Err(error) => return Err(EventError::partial_batch(stored, error)),
            }
        }
        Ok(stored)
    }

    /// Everything that happens before an event is sent: the encrypted copy, or
    /// `None` for the event itself.
    fn prepare(&self, event: &Event) -> Result<Option<Event>> {
        self.backend.ensure_open()?;
        self.backend.check_subject(&event.subject)?;
        if let Some(registry) = &self.schema_registry {
            registry.validate(event)?;
        }
        self.encryption.seal(event, &self.metrics)
    }

    /// What to ask the provider for: with the id of the event as `msg_id` where
    /// the bus deduplicates, and without what the provider cannot do.
    fn options_for<'a>(
        &self,
        event: &Event,
        options: &'a PublishOptions,
    ) -> Result<Cow<'a, PublishOptions>> {
        let mut options = Cow::Borrowed(options);
        if self.deduplicate && options.msg_id.is_none() {
            options.to_mut().msg_id = Some(event.id.clone());
        }
        self.backend.honored_publish(options)
    }

    /// Notes whether the pipeline does nothing before an event is sent. A publish
    /// then goes straight to the provider: in memory, an empty pipeline would
    /// cost a good part of what the publish does.
    pub(crate) fn update_direct(&self) {
        let adds_nothing = self.backend.capabilities.in_process
            && self.schema_registry.is_none()
            && self.encryption.publishes_as_given()
            && !self.deduplicate
            && !self.backend.is_closed();
        self.is_direct.store(adds_nothing, Ordering::Relaxed);
    }

    #[cold]
    fn publish_failed(&self, error: EventError) -> EventError {
        self.metrics.publish_failed(&error);
        error
    }
}

#[cfg(test)]
mod tests;
