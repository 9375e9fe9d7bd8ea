//! Publish, receive and query events without knowing the backend.
//!
//! An application talks to an [`EventBus`], and the bus to a
//! [provider](provider::EventProvider): [memory](provider::memory) inside the
//! process, [NATS JetStream](provider::nats) between processes, or one of your
//! own. The provider can be swapped without touching application code: they
//! deliver alike, down to redelivery counts and subject rules, and one suite of
//! tests holds them to it.
//!
//! ```
//! use a3s_event::{EventBus, provider::memory::MemoryProvider};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> a3s_event::Result<()> {
//! let bus = EventBus::new(MemoryProvider::default());
//! let mut rates = bus.subscribe("events.market.>").await?;
//!
//! let rate = serde_json::json!({"rate": 7.3521});
//! bus.publish("market", "forex.usd_cny", "USD/CNY broke through 7.35", "reuters", rate).await?;
//!
//! if let Some(received) = rates.next().await? {
//!     assert_eq!(received.event.subject, "events.market.forex.usd_cny");
//!     assert_eq!(received.event.payload["rate"], 7.3521);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Events and subjects
//!
//! An [`Event`] has a subject, a JSON payload and a few words for people. The
//! subject is the prefix of the provider, a category of one token and a topic of
//! one or more: `events.market.forex.usd_cny`. Patterns select subjects: `*` is
//! exactly one token, `>` at the end is one or more. The rules are in [`subject`]
//! and hold on every provider; a call that breaks one fails before anything is
//! sent. An event is a cheap handle: clones share the payload.
//!
//! # Subscribing
//!
//! - [`EventBus::subscribe`] reads a pattern, what is retained first and then
//!   what follows. Its position ends with it.
//! - A subscriber is registered under an id with its subjects
//!   ([`EventBus::update_subscription`]) and opened with
//!   [`EventBus::subscribe_as`]. With `durable: true` its position outlives the
//!   handle, and several handles share the work.
//! - [`Subscription::next`](provider::Subscription::next) acknowledges an event
//!   when you come back for the one after it.
//!   [`Subscription::next_manual_ack`](provider::Subscription::next_manual_ack)
//!   leaves the answer to you: ack, nak for again, term for never again.
//!   A [`futures` stream](provider::EventStream) is there too.
//!
//! # At least once
//!
//! An event is delivered until it is answered, so **it may come more than once**:
//! when a reader dropped it or refused it, when its answer came after the ack
//! wait of 30 seconds or got lost, and once more after a reader that used `next`
//! went away, because its last event was not acknowledged yet. Nothing tells a
//! repeat from a first delivery for certain;
//! [`num_delivered`](types::ReceivedEvent::num_delivered) is a hint. So make
//! handlers idempotent: key what they change by the event's id or by stream and
//! sequence.
//!
//! Publishing has the same limit: after
//! [`EventError::Timeout`] the event may be stored. Retry it with a
//! [`msg_id`](types::PublishOptions::msg_id), or let
//! [the bus](store::EventBusBuilder::deduplicate) use the id of the event, and
//! the provider stores it once.
//!
//! What nobody can process does not block a stream: a cap on deliveries
//! ([`max_deliver`](types::SubscribeOptions::max_deliver)) and a
//! [dead-letter handler](dlq::DlqHandler) put it aside, in that order.
//!
//! # What providers guarantee
//!
//! | | memory | NATS JetStream |
//! |---|---|---|
//! | Stored where | in the process | in the server's stream, on file or in memory |
//! | Retained | the newest 100 000 events, unless configured | the same, and 7 days |
//! | Lost when the process ends | everything | nothing that was acknowledged |
//! | Lost when a reader crashes | nothing | nothing |
//! | Lost when a reader is slow | what leaves retention first; counted and logged | the same |
//! | Order within a subscribed pattern | that of the stream, redeliveries first | the same |
//! | Shared by several processes | no | yes |
//! | Options honored | all | all |
//!
//! A provider of your own says what it honors in its
//! [`Capabilities`](provider::Capabilities). An option that changes what a call
//! means is refused where it is not honored, one that only tunes is left out
//! with one warning; none is ignored in silence.
//!
//! # Features
//!
//! | Feature | Default | Adds |
//! |---|---|---|
//! | `memory` | yes | [`provider::memory`]: the embedded provider |
//! | `nats` | | [`provider::nats`]: NATS JetStream; brings a network stack |
//! | `schema` | yes | [`schema::MemorySchemaRegistry`]: a schema registry in memory |
//! | `crypto` | yes | [`crypto::Aes256GcmEncryptor`]: encryption of payloads |
//! | `state` | yes | [`state::FileStateStore`]: subscriptions that survive a restart |
//! | `metrics` | | the figures of the bus through the `metrics` crate |
//! | `otel` | | traces across processes, through OpenTelemetry |
//! | `full` | | all of the above |
//!
//! What runs inside one process is on, what brings a network stack is off.
//! Features only add: the traits are there without any.
//!
//! Items below come from single crates that libraries may depend on instead, and
//! their examples name those: read `a3s_event_core` and `a3s_event_bus` as
//! `a3s_event`, `a3s_event_memory` as `a3s_event::provider::memory`.

#[doc(inline)]
pub use a3s_event_bus::EventBus;
#[doc(inline)]
pub use a3s_event_core::{
    EventError, Result, async_trait, error, subject, types,
    types::{Event, SubscriptionFilter},
};

/// What a backend provides, and the backends that come along.
pub mod provider {
    #[doc(inline)]
    pub use a3s_event_core::provider::*;

    /// **Feature `memory`**, on by default.
    ///
    #[cfg(feature = "memory")]
    #[doc(inline)]
    pub use a3s_event_memory as memory;

    /// **Feature `nats`**: NATS JetStream.
    ///
    #[cfg(feature = "nats")]
    #[doc(inline)]
    pub use a3s_event_nats as nats;
}

/// The event bus: one pipeline above any provider.
pub mod store {
    #[doc(inline)]
    pub use a3s_event_bus::{EventBus, EventBusBuilder};
}

/// What the bus counts.
pub mod metrics {
    #[doc(inline)]
    pub use a3s_event_bus::{BucketSnapshot, EventMetrics, HistogramSnapshot, MetricsSnapshot};
}

/// What becomes of events that leave the normal path.
pub mod dlq {
    #[doc(inline)]
    pub use a3s_event_bus::MemoryDlqHandler;
    #[doc(inline)]
    pub use a3s_event_core::dlq::*;
}

/// Schemas of event types, and which changes of them are compatible.
pub mod schema {
    #[doc(inline)]
    pub use a3s_event_core::schema::*;

    /// **Feature `schema`**, on by default.
    ///
    #[cfg(feature = "schema")]
    #[doc(inline)]
    pub use a3s_event_schema::{MemorySchemaRegistry, check_evolution};
}

/// Encryption of payloads.
pub mod crypto {
    #[doc(inline)]
    pub use a3s_event_bus::EncryptionPolicy;
    #[doc(inline)]
    pub use a3s_event_core::crypto::*;

    /// **Feature `crypto`**, on by default.
    ///
    #[cfg(feature = "crypto")]
    #[doc(inline)]
    pub use a3s_event_crypto::{Aes256GcmEncryptor, KeyStatus, SecretKey};
}

/// Subscriptions that survive a restart.
pub mod state {
    #[doc(inline)]
    pub use a3s_event_core::state::*;

    /// **Feature `state`**, on by default.
    ///
    #[cfg(feature = "state")]
    #[doc(inline)]
    pub use a3s_event_state::{FileStateStore, MemoryStateStore};
}
