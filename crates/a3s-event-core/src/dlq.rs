//! What becomes of events that leave the normal path. The bus decides when and
//! has a handler in memory.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Result,
    clock::now_millis,
    provider::UndecodableEvent,
    types::{Event, ReceivedEvent},
};

/// Longest reason text that is kept, in bytes.
const MAX_REASON_BYTES: usize = 8 * 1024;

/// An event that left the normal path, unchanged: a ciphertext stays one.
///
/// Stream and sequence, in [`event`](Self::event), are the key of the event, and
/// [`consumer`](Self::consumer) tells letters of one event apart that several
/// consumers gave up. A crash between storing a letter and settling the event
/// stores the letter again. The streams of memory providers all have one name,
/// and their sequences start anew with each.
///
/// JSON names are camelCase. The JSON holds what `Debug` hides: the payload, and
/// the [`raw`](Self::raw) bytes as numbers.
///
/// # Examples
///
/// ```
/// use a3s_event_core::{dlq::DeadLetterEvent, types::{Event, ReceivedEvent}};
///
/// let event = Event::new("events.a.b", "a", "", "", serde_json::json!({"total": 9.5}));
/// let letter = DeadLetterEvent::new(ReceivedEvent::new(event, 7, 3, "stream"), "no rate");
///
/// let line = serde_json::to_string(&letter)?;
/// assert!(line.contains(r#""kind":"rejected""#));
/// assert_eq!(serde_json::from_str::<DeadLetterEvent>(&line)?, letter);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeadLetterEvent {
    /// The event as it was delivered last. Where the message was no event, a
    /// stand-in with its subject and an empty id; see [`raw`](Self::raw).
    pub event: ReceivedEvent,
    /// Why, for people. Cut at 8 KiB.
    pub reason: String,
    /// Why, for programs.
    pub kind: DeadLetterKind,
    /// When it was dead-lettered, in Unix milliseconds.
    pub dead_lettered_at: u64,
    /// The durable consumer that gave it up, where there is one.
    pub consumer: Option<String>,
    /// When it failed first, in Unix milliseconds, as far as this process knows.
    pub first_failure_at: Option<u64>,
    /// When it failed last, in Unix milliseconds, as far as this process knows.
    pub last_failure_at: Option<u64>,
    /// The stored message, where it was no event.
    pub raw: Option<Vec<u8>>,
}

/// Why an event was dead-lettered. In JSON as [`as_str`](Self::as_str) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadLetterKind {
    /// Refused on its last permitted delivery.
    Rejected,
    /// Came again after its last permitted delivery went unanswered.
    Exhausted,
    /// Terminated by its reader.
    Terminated,
    /// The message is no event.
    Undecodable,
    /// The payload could not be decrypted.
    Undecryptable,
}

impl DeadLetterKind {
    /// The kind in snake case: a label for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::Terminated => "terminated",
            Self::Undecodable => "undecodable",
            Self::Undecryptable => "undecryptable",
        }
    }
}

impl DeadLetterEvent {
    /// Gives up `event` for `reason`, now, as [`DeadLetterKind::Rejected`].
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_core::{dlq::DeadLetterEvent, types::{Event, ReceivedEvent}};
    ///
    /// let event = Event::new("events.a.b", "a", "", "", serde_json::Value::Null);
    /// let letter = DeadLetterEvent::new(ReceivedEvent::new(event, 7, 3, "stream"), "no rate");
    /// assert_eq!((letter.event.sequence, letter.reason.as_str()), (7, "no rate"));
    /// ```
    #[must_use]
    pub fn new(event: ReceivedEvent, reason: impl Into<String>) -> Self {
        let now = now_millis();
        Self {
            event,
            reason: shortened(reason.into()),
            kind: DeadLetterKind::Rejected,
            dead_lettered_at: now,
            consumer: None,
            first_failure_at: None,
            last_failure_at: Some(now),
            raw: None,
        }
    }

    /// Gives up a message that is no event, now, with its raw bytes.
    #[must_use]
    pub fn undecodable(message: &UndecodableEvent) -> Self {
        let mut stand_in = Event::new(message.subject.as_str(), "", "", "", Value::Null);
        stand_in.id.clear();
        let received = ReceivedEvent::new(
            stand_in,
            message.sequence,
            message.num_delivered,
            message.stream.clone(),
        );
        Self {
            raw: Some(message.raw.clone()),
            ..Self::new(received, message.cause.to_string())
        }
        .with_kind(DeadLetterKind::Undecodable)
    }

    /// Sets [`kind`](Self::kind).
    #[must_use]
    pub const fn with_kind(mut self, kind: DeadLetterKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets [`consumer`](Self::consumer).
    #[must_use]
    pub fn with_consumer(mut self, consumer: impl Into<String>) -> Self {
        self.consumer = Some(consumer.into());
        self
    }

    /// Sets [`first_failure_at`](Self::first_failure_at), in Unix milliseconds.
    #[must_use]
    pub const fn with_first_failure_at(mut self, timestamp: u64) -> Self {
        self.first_failure_at = Some(timestamp);
        self
    }
}

impl fmt::Debug for DeadLetterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterEvent")
            .field("event", &self.event)
            .field("reason", &self.reason)
            .field("kind", &self.kind)
            .field("dead_lettered_at", &self.dead_lettered_at)
            .field("consumer", &self.consumer)
            .field("raw_bytes", &self.raw.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

fn shortened(mut reason: String) -> String {
    let mut end = MAX_REASON_BYTES.min(reason.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

/// Whether `received` was delivered as often as it may be: from `max_deliver`
/// deliveries on, never when that is 0.
///
/// # Examples
///
/// ```
/// use a3s_event_core::{dlq::should_dead_letter, types::{Event, ReceivedEvent}};
///
/// let event = Event::new("events.a.b", "a", "", "", serde_json::Value::Null);
/// let received = ReceivedEvent::new(event, 1, 3, "stream");
/// assert!(should_dead_letter(&received, 3));
/// assert!(!should_dead_letter(&received, 4));
/// assert!(!should_dead_letter(&received, 0));
/// ```
#[must_use]
pub const fn should_dead_letter(received: &ReceivedEvent, max_deliver: u64) -> bool {
    max_deliver > 0 && received.num_delivered >= max_deliver
}

/// Keeps dead letters.
///
/// # For implementers
///
/// - `handle` returns `Ok` only once the letter is stored: the event is settled
///   right afterwards.
/// - The same letter may come more than once; stream, sequence and consumer
///   identify it.
/// - A failure leaves the event in its stream; it comes again.
///
/// How a letter is read, kept and published again is told in the guide
/// `docs/dead-letters.md`.
#[async_trait]
pub trait DlqHandler: Send + Sync {
    /// Stores one dead letter.
    async fn handle(&self, event: DeadLetterEvent) -> Result<()>;

    /// How many dead letters are stored.
    async fn count(&self) -> Result<usize>;

    /// The newest `limit` dead letters, newest first.
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetterEvent>>;

    /// How many dead letters are stored, if that is known without waiting: for
    /// a gauge. The default does not know.
    fn depth(&self) -> Option<u64> {
        None
    }
}

macro_rules! forward_handler {
    ($($pointer:ident)+) => {$(
        #[async_trait]
        impl<H: DlqHandler + ?Sized> DlqHandler for $pointer<H> {
            async fn handle(&self, event: DeadLetterEvent) -> Result<()> {
                (**self).handle(event).await
            }

            async fn count(&self) -> Result<usize> {
                (**self).count().await
            }

            async fn list(&self, limit: usize) -> Result<Vec<DeadLetterEvent>> {
                (**self).list(limit).await
            }

            fn depth(&self) -> Option<u64> {
                (**self).depth()
            }
        }
    )+};
}

forward_handler!(Box Arc);
