//! How an event leaves the normal path: stored by the handler first, settled
//! second, so that a crash in between stores it twice and never loses it.

mod failures;
mod memory;
mod replay;

use std::{future::Future, sync::Arc};

use a3s_event_core::{
    Result,
    dlq::{DeadLetterEvent, DeadLetterKind, DlqHandler},
    provider::{Answer, DeliveryHandle, UndecodableEvent},
    types::ReceivedEvent,
};

use crate::metrics::EventMetrics;
pub(crate) use failures::Failures;
pub use memory::MemoryDlqHandler;

/// The handler, and what its letters say.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    pub(crate) handler: Arc<dyn DlqHandler>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) metrics: EventMetrics,
}

impl DeadLetters {
    /// Writes the letter of `event`, as it is stored.
    pub(crate) fn letter(
        &self,
        event: ReceivedEvent,
        consumer: Option<&Arc<str>>,
        kind: DeadLetterKind,
        reason: impl Into<String>,
    ) -> DeadLetterEvent {
        let times = self.failures.of(consumer, event.sequence);
        let mut letter = DeadLetterEvent::new(event, reason).with_kind(kind);
        if kind == DeadLetterKind::Exhausted {
            // Nothing failed now; the last delivery went unanswered earlier.
            letter.last_failure_at = times.map(|times| times.last);
        }
        letter.first_failure_at = times.map(|times| times.first).or(letter.last_failure_at);
        letter.consumer = consumer.map(|name| name.to_string());
        letter
    }

    /// Writes the letter of a message that is no event.
    pub(crate) fn raw_letter(
        &self,
        message: &UndecodableEvent,
        consumer: Option<&Arc<str>>,
    ) -> DeadLetterEvent {
        let mut letter = DeadLetterEvent::undecodable(message);
        letter.first_failure_at = letter.last_failure_at;
        letter.consumer = consumer.map(|name| name.to_string());
        letter
    }

    /// Gives `letter` to the handler and, once it is stored, terminates the
    /// delivery behind `handle`.
    ///
    /// When the handler fails, the delivery stays unanswered and the event comes
    /// again after the ack wait: refusing it would bring it at once, in a loop.
    ///
    /// # Errors
    ///
    /// When the answer could not be sent. A failing handler is counted and
    /// logged instead, because the subscription goes on.
    pub(crate) fn give_up(
        &self,
        letter: DeadLetterEvent,
        handle: DeliveryHandle,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let this = self.clone();
        async move {
            let (kind, reason) = (letter.kind, letter.reason.clone());
            let (stream, sequence) = (letter.event.stream.clone(), letter.event.sequence);
            let consumer = letter.consumer.as_deref().map(Arc::from);
            if let Err(error) = this.handler.handle(letter).await {
                this.metrics.dead_letter_failed();
                tracing::error!(
                    stream = stream.as_str(),
                    sequence,
                    kind = kind.as_str(),
                    %error,
                    "the dead-letter handler failed: the event stays in its stream"
                );
                return Ok(());
            }
            this.metrics.dead_lettered(kind);
            this.failures.forget(consumer.as_ref(), sequence);
            tracing::warn!(
                stream = stream.as_str(),
                sequence,
                kind = kind.as_str(),
                consumer = consumer.as_deref(),
                "event dead-lettered"
            );
            handle.answer(Answer::Term(reason)).await
        }
    }
}
