use std::{
    collections::HashMap,
    future::{poll_fn, ready},
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use a3s_event_core::{
    BoxFuture, Result,
    provider::{Answer, Delivery, Settled, Subscription},
    subject::SubjectPattern,
};

use crate::{
    registry::{Registry, Retired},
    subscribe::route::Origin,
};

/// One consumer of a merged subscription.
pub(super) struct Source {
    pub(super) pattern: SubjectPattern,
    /// The durable consumer, where it is one, and its number.
    consumer: Option<(Arc<str>, u64)>,
    /// Whether the subscriber asks for its pattern.
    pub(super) current: bool,
    /// Set while events from before a change may rest in it.
    past: Option<Past>,
    reader: Reader,
    /// An acknowledgement of a delivery that nobody sees.
    unseen: Option<BoxFuture<'static, Result<()>>>,
    missed: u64,
}

/// What a consumer holds from before it was retired.
struct Past {
    /// Which time it was retired.
    time: u64,
    /// How many first deliveries may be from before; unknown until the registry
    /// has answered once.
    resting: Option<u64>,
    /// Whether to ask the registry whether it is drained.
    ask: bool,
}

/// The subscription, which moves into the future of its next delivery: that
/// future must survive the one of the merged subscription.
pub(super) enum Reader {
    Opening(BoxFuture<'static, Result<Box<dyn Subscription>>>),
    Idle(Box<dyn Subscription>),
    Waiting(BoxFuture<'static, Read>),
    Gone,
}

/// The subscription, and what it delivered unless it was stopped.
type Read = (Box<dyn Subscription>, Option<Result<Option<Delivery>>>);

impl Source {
    pub(super) fn new(
        pattern: SubjectPattern,
        consumer: Option<(Arc<str>, u64)>,
        reader: Reader,
    ) -> Self {
        Self {
            pattern,
            consumer,
            current: true,
            past: None,
            reader,
            unseen: None,
            missed: 0,
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stop: &Arc<AtomicBool>,
    ) -> Poll<Result<Option<Delivery>>> {
        let unknown = self.past.as_ref().is_some_and(|it| it.resting.is_none());
        if unknown || (!self.current && self.is_over()) {
            // The registry has to answer first, or once more.
            return Poll::Pending;
        }
        ready!(self.poll_unseen(cx))?;
        loop {
            match mem::replace(&mut self.reader, Reader::Gone) {
                Reader::Opening(mut opening) => match opening.as_mut().poll(cx) {
                    Poll::Ready(opened) => self.reader = Reader::Idle(opened?),
                    Poll::Pending => {
                        self.reader = Reader::Opening(opening);
                        return Poll::Pending;
                    }
                },
                Reader::Idle(subscription) => {
                    self.reader = Reader::Waiting(read(subscription, Arc::clone(stop)));
                }
                Reader::Waiting(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Ready((subscription, outcome)) => {
                        self.missed = subscription.missed();
                        self.reader = Reader::Idle(subscription);
                        return outcome.map_or(Poll::Pending, Poll::Ready);
                    }
                    Poll::Pending => {
                        self.reader = Reader::Waiting(reading);
                        return Poll::Pending;
                    }
                },
                Reader::Gone => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn poll_unseen(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(unseen) = &mut self.unseen else {
            return Poll::Ready(Ok(()));
        };
        let outcome = ready!(unseen.as_mut().poll(cx));
        self.unseen = None;
        Poll::Ready(outcome)
    }

    /// Acknowledges a delivery that another source hands over, or that nobody
    /// asked for; nothing more is read before that is done.
    pub(super) fn acknowledge_unseen(&mut self, delivery: Delivery) {
        let (handle, pending) = match delivery {
            Delivery::Event(event) => {
                let (received, handle) = event.into_parts();
                (handle, received.pending)
            }
            Delivery::Undecodable(message) => (message.handle().clone(), None),
            _ => return,
        };
        // The question that follows must not overtake the answer.
        let answer = match self.past {
            None => Answer::Ack,
            Some(_) => Answer::AckConfirmed,
        };
        self.unseen = match handle.settle(answer) {
            Settled::Now(Ok(())) => None,
            Settled::Now(failed) => Some(Box::pin(ready(failed))),
            Settled::Later(answered) => Some(answered),
        };
        if let Some(past) = &mut self.past {
            past.ask |= past.resting == Some(0) || pending.is_none_or(|more| more == 0);
        }
    }

    /// Whether a delivery that may belong to another source is handed over all
    /// the same, because it comes from before a change.
    pub(super) fn is_past(&mut self, num_delivered: u64, asked_for: bool) -> bool {
        let Some(past) = &mut self.past else {
            return false;
        };
        if num_delivered > 1 {
            // It was delivered before, and nothing settled it.
            return true;
        }
        match &mut past.resting {
            Some(resting) if *resting > 0 => {
                *resting -= 1;
                asked_for
            }
            _ => false,
        }
    }

    /// Whether nothing is read before the registry has answered.
    pub(super) fn must_ask(&self) -> bool {
        let unknown = |past: &Past| past.resting.is_none();
        self.past.as_ref().is_some_and(unknown) && self.unseen.is_none()
    }

    /// Whether to ask the registry when there is nothing to read.
    pub(super) fn wants_to_ask(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.ask) && self.unseen.is_none()
    }

    /// The consumer to ask about, and whether everything from before the change
    /// was seen.
    pub(super) fn question(&self) -> Option<(Arc<str>, bool)> {
        let caught_up = self.past.as_ref()?.resting == Some(0);
        let (consumer, _) = self.consumer.as_ref()?;
        Some((Arc::clone(consumer), caught_up))
    }

    /// Notes that the registry has answered.
    pub(super) fn is_draining(&mut self, resting: u64) {
        if let Some(past) = &mut self.past {
            past.ask = false;
            past.resting.get_or_insert(resting);
        }
    }

    /// Notes what the table says of its past; one that goes on is asked about
    /// again.
    pub(super) fn set_past(&mut self, retired: Option<&Retired>) {
        self.past = retired.map(|retired| {
            let earlier = self.past.take().filter(|it| it.time == retired.time);
            Past {
                time: retired.time,
                resting: earlier.and_then(|earlier| earlier.resting),
                ask: true,
            }
        });
    }

    /// Notes that the consumer, which nobody asks for any more, is gone. The
    /// source stays until the registry, which may be about to say so in the
    /// store, agrees.
    pub(super) fn end(&mut self) {
        self.reader = Reader::Gone;
        if let Some(past) = &mut self.past {
            past.ask = true;
        }
    }

    /// Whether events from before a change may rest in it.
    pub(super) const fn is_noted(&self) -> bool {
        self.past.is_some()
    }

    /// Whether it could not be opened, or ended.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.reader, Reader::Gone)
    }

    /// Whether it reads one of `consumers`, and not one of the same name that
    /// was removed meanwhile.
    pub(super) fn is_among(&self, consumers: &HashMap<String, u64>) -> bool {
        let Some((consumer, number)) = &self.consumer else {
            return false;
        };
        consumers.get(&**consumer) == Some(number)
    }

    pub(super) fn reads(&self, retired: &Retired) -> bool {
        let consumer = self.consumer.as_ref();
        consumer.is_some_and(|(consumer, _)| **consumer == *retired.consumer)
    }

    pub(super) fn origin(&self, registry: &Weak<Registry>) -> Origin {
        Origin {
            consumer: self.consumer.as_ref().map(|(name, _)| Arc::clone(name)),
            registry: Weak::clone(registry),
        }
    }

    pub(super) fn missed(&self) -> u64 {
        match &self.reader {
            Reader::Idle(subscription) => subscription.missed(),
            _ => self.missed,
        }
    }

    /// Closes the subscription; the stop signal must be set before.
    pub(super) async fn close(&mut self) -> Result<()> {
        let answered = poll_fn(|cx| self.poll_unseen(cx)).await;
        if let Reader::Waiting(reading) = &mut self.reader {
            let (subscription, _) = reading.await;
            self.reader = Reader::Idle(subscription);
        }
        match &mut self.reader {
            Reader::Idle(subscription) => answered.and(subscription.close().await),
            _ => answered,
        }
    }
}

/// Waits for the next delivery, or until `stop` is set and the future polled.
fn read(
    mut subscription: Box<dyn Subscription>,
    stop: Arc<AtomicBool>,
) -> BoxFuture<'static, Read> {
    Box::pin(async move {
        let outcome = {
            let mut next = subscription.next_delivery();
            poll_fn(|cx| {
                if stop.load(Ordering::Relaxed) {
                    return Poll::Ready(None);
                }
                next.as_mut().poll(cx).map(Some)
            })
            .await
        };
        (subscription, outcome)
    })
}
