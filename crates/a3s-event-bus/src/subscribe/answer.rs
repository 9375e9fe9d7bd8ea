use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use a3s_event_core::{
    Result,
    dlq::DeadLetterKind,
    provider::{Answer, DeliveryHandle, PendingEvent, Settle, Settled},
    types::ReceivedEvent,
};

use super::route::{Origin, Route};
use crate::{metrics::Outcome, trace};

/// An event on its way to the reader, and the way back for its answer: counts
/// it, and takes the event to the dead-letter handler where it leaves the
/// normal path.
#[derive(Clone)]
pub(crate) struct Delivered {
    pub(crate) route: Arc<Route>,
    pub(crate) origin: Origin,
    /// The event as it is stored.
    pub(crate) received: ReceivedEvent,
    pub(crate) handle: DeliveryHandle,
}

impl Delivered {
    /// Leaves the answer to the reader, who sees `received`.
    pub(crate) fn into_pending(self, received: ReceivedEvent) -> PendingEvent {
        let answering = Answering {
            delivered: self,
            answered: AtomicBool::new(false),
        };
        PendingEvent::with_handle(received, DeliveryHandle::new(Arc::new(answering), 0))
    }

    pub(crate) fn settle(&self, answer: Answer) -> Settled {
        let (outcome, operation) = match answer {
            Answer::Ack | Answer::AckConfirmed => (Outcome::Acked, "ack"),
            Answer::Nak | Answer::NakAfter(_) => (Outcome::Nacked, "nak"),
            Answer::Term(_) => (Outcome::Terminated, "term"),
            // In progress: the answer is still to come.
            _ => return self.handle.settle(answer),
        };
        let route = &self.route;
        let span = trace::settle(
            &route.status.provider_name,
            &route.template,
            operation,
            &self.received,
        );
        if let Some((kind, reason)) = self.leaves(&answer)
            && let Some(dead_letters) = &route.dead_letters
        {
            route.metrics.answered(outcome);
            let consumer = self.origin.consumer.as_ref();
            let letter = dead_letters.letter(self.received.clone(), consumer, kind, reason);
            let gone = dead_letters.give_up(letter, self.handle.clone());
            let this = self.clone();
            return Settled::Later(Box::pin(async move {
                let result = trace::within(span, gone).await;
                this.origin.settled();
                result
            }));
        }
        let answer = match answer {
            // What follows is the question whether the consumer is drained. It
            // must not overtake the answer: nobody would ask again.
            Answer::Ack if self.origin.is_retired() => Answer::AckConfirmed,
            answer => answer,
        };
        match span.in_scope(|| self.handle.settle(answer)) {
            Settled::Now(result) => {
                trace::failed(&span, result.as_ref().err());
                self.settled(outcome, &result);
                Settled::Now(result)
            }
            Settled::Later(answered) => {
                let this = self.clone();
                Settled::Later(Box::pin(async move {
                    let result = trace::within(span, answered).await;
                    this.settled(outcome, &result);
                    result
                }))
            }
        }
    }

    /// Gives back what the reader did not come back from: it comes again at
    /// once. This is no refusal by the reader, even on the last delivery.
    pub(crate) fn give_back(&self) -> Settled {
        self.dropped();
        self.handle.settle(Answer::Nak)
    }

    /// The kind and the reason of the dead letter that `answer` asks for, where
    /// a handler takes one.
    fn leaves(&self, answer: &Answer) -> Option<(DeadLetterKind, String)> {
        self.route.dead_letters.as_ref()?;
        match answer {
            Answer::Term(reason) => Some((DeadLetterKind::Terminated, reason.clone())),
            Answer::Nak | Answer::NakAfter(_) if self.route.is_last_delivery(&self.received) => {
                let times = self.received.num_delivered;
                let reason = format!("refused on its last permitted delivery, number {times}");
                Some((DeadLetterKind::Rejected, reason))
            }
            _ => None,
        }
    }

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
        self.origin.settled();
    }

    fn dropped(&self) {
        self.route.metrics.unanswered();
        self.failed();
    }

    /// Remembers when the event failed, for the letter that may follow.
    fn failed(&self) {
        if let Some(dead_letters) = &self.route.dead_letters {
            let consumer = self.origin.consumer.as_ref();
            dead_letters.failures.note(consumer, self.received.sequence);
        }
    }
}

/// A delivery whose answer is up to the reader.
struct Answering {
    delivered: Delivered,
    answered: AtomicBool,
}

impl Settle for Answering {
    fn settle(&self, _delivery: u64, answer: Answer) -> Settled {
        if answer != Answer::InProgress {
            self.answered.store(true, Ordering::Relaxed);
        }
        self.delivered.settle(answer)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.answered.load(Ordering::Relaxed) {
            self.delivered.dropped();
        }
    }
}
