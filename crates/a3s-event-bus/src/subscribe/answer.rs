use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use a3s_event_core::{
    Result,
    dlq::DeadLetterKind,
    provider::{Answer, DeliveryHandle, Settle, Settled},
    types::ReceivedEvent,
};

use super::route::{Origin, Route};
use crate::{metrics::Outcome, trace};

/// The way back for one event that was handed over: counts its answer, and
/// takes it to the dead-letter handler where it leaves the normal path.
pub(crate) struct Answering {
    delivery: Delivered,
    handle: DeliveryHandle,
    answered: AtomicBool,
}

/// An event as it is stored, and where it came from.
#[derive(Clone)]
struct Delivered {
    route: Arc<Route>,
    origin: Origin,
    received: ReceivedEvent,
}

impl Answering {
    pub(crate) fn new(
        route: Arc<Route>,
        origin: Origin,
        received: ReceivedEvent,
        handle: DeliveryHandle,
    ) -> Self {
        Self {
            delivery: Delivered {
                route,
                origin,
                received,
            },
            handle,
            answered: AtomicBool::new(false),
        }
    }

    pub(crate) fn into_handle(self) -> DeliveryHandle {
        DeliveryHandle::new(Arc::new(self), 0)
    }

    /// The kind and the reason of the dead letter that `answer` asks for, where
    /// a handler takes one.
    fn leaves(&self, answer: &Answer) -> Option<(DeadLetterKind, String)> {
        let Delivered {
            route, received, ..
        } = &self.delivery;
        route.dead_letters.as_ref()?;
        match answer {
            Answer::Term(reason) => Some((DeadLetterKind::Terminated, reason.clone())),
            Answer::Nak | Answer::NakAfter(_) if route.is_last_delivery(received) => {
                let times = received.num_delivered;
                let reason = format!("refused on its last permitted delivery, number {times}");
                Some((DeadLetterKind::Rejected, reason))
            }
            _ => None,
        }
    }
}

impl Settle for Answering {
    fn settle(&self, _delivery: u64, answer: Answer) -> Settled {
        let (outcome, operation) = match answer {
            Answer::Ack | Answer::AckConfirmed => (Outcome::Acked, "ack"),
            Answer::Nak | Answer::NakAfter(_) => (Outcome::Nacked, "nak"),
            Answer::Term(_) => (Outcome::Terminated, "term"),
            // In progress: the answer is still to come.
            _ => return self.handle.settle(answer),
        };
        self.answered.store(true, Ordering::Relaxed);

        let Delivered {
            route,
            origin,
            received,
        } = &self.delivery;
        let span = trace::settle(route.backend.name(), &route.template, operation, received);
        if let Some((kind, reason)) = self.leaves(&answer)
            && let Some(dead_letters) = &route.dead_letters
        {
            route.metrics.answered(outcome);
            let consumer = origin.consumer.as_ref();
            let letter = dead_letters.letter(received.clone(), consumer, kind, reason);
            let gone = dead_letters.give_up(letter, self.handle.clone());
            let delivery = self.delivery.clone();
            return Settled::Later(Box::pin(async move {
                let result = trace::within(span, gone).await;
                delivery.nudge();
                result
            }));
        }
        match span.in_scope(|| self.handle.settle(answer)) {
            Settled::Now(result) => {
                trace::failed(&span, result.as_ref().err());
                self.delivery.settled(outcome, &result);
                Settled::Now(result)
            }
            Settled::Later(answered) => {
                let delivery = self.delivery.clone();
                Settled::Later(Box::pin(async move {
                    let result = trace::within(span, answered).await;
                    delivery.settled(outcome, &result);
                    result
                }))
            }
        }
    }
}

impl Delivered {
    /// Counts an answer that the provider took.
    fn settled(&self, outcome: Outcome, result: &Result<()>) {
        if result.is_err() {
            return;
        }
        self.route.metrics.answered(outcome);
        if outcome == Outcome::Nacked {
            self.failed();
        } else if self.received.num_delivered > 1
            && let Some(dead_letters) = &self.route.dead_letters
        {
            let consumer = self.origin.consumer.as_ref();
            dead_letters
                .failures
                .forget(consumer, self.received.sequence);
        }
        self.nudge();
    }

    /// Remembers when the event failed, for the letter that may follow.
    fn failed(&self) {
        if let Some(dead_letters) = &self.route.dead_letters {
            let consumer = self.origin.consumer.as_ref();
            dead_letters.failures.note(consumer, self.received.sequence);
        }
    }

    fn nudge(&self) {
        if let Some(registry) = &self.origin.retired_in {
            registry.nudge();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.answered.load(Ordering::Relaxed) {
            self.delivery.route.metrics.unanswered();
            self.delivery.failed();
        }
    }
}
