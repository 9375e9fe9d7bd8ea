use std::sync::{Arc, Weak};

use a3s_event_core::{
    BoxFuture, EventError, Result,
    dlq::DeadLetterKind,
    provider::{Answer, Delivery, PendingEvent, UndecodableEvent},
    types::ReceivedEvent,
};

use super::answer::Delivered;
use crate::{
    backend::Status, dead_letter::DeadLetters, encryption::Encryption, metrics::EventMetrics,
    registry::Registry, trace,
};

/// The receive pipeline of one subscription: what becomes of each delivery.
pub(crate) struct Route {
    pub(crate) status: Arc<Status>,
    pub(crate) encryption: Encryption,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) metrics: EventMetrics,
    /// How often an event may be delivered.
    pub(crate) cap: Option<u64>,
    /// The patterns of the subscription, for spans.
    pub(crate) template: String,
    /// The durable consumer, or the subscriber where there are several.
    pub(crate) group: Option<Arc<str>>,
}

/// Where a delivery came from.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    /// The durable consumer, where there is one.
    pub(crate) consumer: Option<Arc<str>>,
    /// Who keeps the consumer. Gone with the bus.
    pub(crate) registry: Weak<Registry>,
}

impl Origin {
    /// Whether the consumer is no longer needed.
    pub(crate) fn is_retired(&self) -> bool {
        let (Some(consumer), Some(registry)) = (&self.consumer, self.registry.upgrade()) else {
            return false;
        };
        registry.is_retired(consumer)
    }

    /// Says that a delivery is settled: a retired consumer may be drained now.
    pub(crate) fn settled(&self) {
        if let Some(consumer) = &self.consumer
            && let Some(registry) = self.registry.upgrade()
        {
            registry.settled(consumer);
        }
    }
}

/// What became of a delivery.
pub(crate) enum Admitted {
    /// It is the reader's, as the reader sees it.
    Event(ReceivedEvent, Delivered),
    /// It leaves the normal path once the future is driven; an error is the reader's.
    Leaves(Leaving),
}

type Leaving = BoxFuture<'static, Result<()>>;

impl Route {
    /// Whether deliveries are handed over exactly as the provider gives them.
    pub(crate) fn is_transparent(&self) -> bool {
        self.encryption.reads_as_stored() && self.dead_letters.is_none() && self.cap.is_none()
    }

    /// The pipeline: decode, count deliveries, decrypt, hand over.
    pub(crate) fn admit(self: &Arc<Self>, delivery: Delivery, origin: Origin) -> Admitted {
        let pending = match delivery {
            Delivery::Event(pending) => pending,
            Delivery::Undecodable(message) => {
                return leave(self.undecodable(message, &origin), origin);
            }
            _ => return leave(Box::pin(async { Err(unknown_delivery()) }), origin),
        };
        self.metrics.received(pending.received.num_delivered);
        if let Some(cap) = self.cap
            && pending.received.num_delivered > cap
        {
            return leave(self.exhausted(pending, cap, &origin), origin);
        }
        let opened = self.encryption.open(&pending.received.event, &self.metrics);
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return leave(self.undecryptable(pending, error, &origin), origin),
        };
        let (stored, handle) = pending.into_parts();
        let mut received = stored.clone();
        if let Some(event) = opened {
            received.event = event;
        }
        let delivered = Delivered {
            route: Arc::clone(self),
            origin,
            received: stored,
            handle,
        };
        Admitted::Event(received, delivered)
    }

    /// Whether a refusal of `received` is its last.
    pub(crate) fn is_last_delivery(&self, received: &ReceivedEvent) -> bool {
        self.cap.is_some_and(|cap| received.num_delivered >= cap)
    }

    fn undecodable(&self, message: UndecodableEvent, origin: &Origin) -> Leaving {
        self.metrics.received(message.num_delivered);
        match &self.dead_letters {
            Some(dead_letters) => {
                let letter = dead_letters.raw_letter(&message, origin.consumer.as_ref());
                Box::pin(dead_letters.give_up(letter, message.handle().clone()))
            }
            None => Box::pin(async { Err(message.terminate().await) }),
        }
    }

    /// It came again although its last permitted delivery is over: that one
    /// went unanswered, or its dead letter was not stored.
    fn exhausted(&self, pending: PendingEvent, cap: u64, origin: &Origin) -> Leaving {
        let (received, handle) = pending.into_parts();
        let Some(dead_letters) = &self.dead_letters else {
            self.metrics.exhausted();
            let error = EventError::exhausted(&received.stream, received.sequence, cap);
            return Box::pin(async move {
                let reason = "used up its deliveries".to_owned();
                handle.answer(Answer::Term(reason)).await?;
                Err(error)
            });
        };
        let reason = format!("came again after its {cap} permitted deliveries");
        let kind = DeadLetterKind::Exhausted;
        let letter = dead_letters.letter(received, origin.consumer.as_ref(), kind, reason);
        Box::pin(dead_letters.give_up(letter, handle))
    }

    /// Every reason counts alike, a key that may still arrive included: waiting
    /// for it would deliver the event over and over. The letter keeps the
    /// ciphertext, and so does the stream.
    fn undecryptable(&self, pending: PendingEvent, error: EventError, origin: &Origin) -> Leaving {
        let (received, handle) = pending.into_parts();
        let reason = error.to_string();
        let Some(dead_letters) = &self.dead_letters else {
            return Box::pin(async move {
                handle.answer(Answer::Term(reason)).await?;
                Err(error)
            });
        };
        let kind = DeadLetterKind::Undecryptable;
        let letter = dead_letters.letter(received, origin.consumer.as_ref(), kind, reason);
        Box::pin(dead_letters.give_up(letter, handle))
    }

    pub(crate) fn receive_span(&self) -> tracing::Span {
        trace::receive(
            &self.status.provider_name,
            &self.template,
            self.group.as_deref(),
        )
    }
}

/// Lets a delivery go, and tells where it came from.
fn leave(leaving: Leaving, origin: Origin) -> Admitted {
    Admitted::Leaves(Box::pin(async move {
        let outcome = leaving.await;
        origin.settled();
        outcome
    }))
}

fn unknown_delivery() -> EventError {
    EventError::unsupported("event bus", "a delivery of a kind that it does not know")
}
