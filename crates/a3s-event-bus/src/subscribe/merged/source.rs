use std::{
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
    /// The durable consumer, where it is one.
    consumer: Option<Arc<str>>,
    pub(super) role: Role,
    reader: Reader,
    /// An acknowledgement of a delivery that nobody sees.
    unseen: Option<BoxFuture<'static, Result<()>>>,
    missed: u64,
}

pub(super) enum Role {
    Current,
    Retired(Retiring),
}

/// A consumer that is read until it is drained.
pub(super) struct Retiring {
    /// How many first deliveries may be from before the change; unknown until
    /// the registry has answered once.
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
        consumer: Option<Arc<str>>,
        role: Role,
        reader: Reader,
    ) -> Self {
        Self {
            pattern,
            consumer,
            role,
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
        if let Role::Retired(retiring) = &self.role
            && (retiring.resting.is_none() || self.is_over())
        {
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
        let answer = match self.role {
            Role::Current => Answer::Ack,
            Role::Retired(_) => Answer::AckConfirmed,
        };
        self.unseen = match handle.settle(answer) {
            Settled::Now(Ok(())) => None,
            Settled::Now(failed) => Some(Box::pin(ready(failed))),
            Settled::Later(answered) => Some(answered),
        };
        if let Role::Retired(retiring) = &mut self.role {
            retiring.ask |= retiring.resting == Some(0) || pending.is_none_or(|more| more == 0);
        }
    }

    /// Whether the registry is to be asked, and can be.
    pub(super) fn asks(&self) -> bool {
        match &self.role {
            Role::Current => false,
            Role::Retired(retiring) => retiring.ask && self.unseen.is_none(),
        }
    }

    /// The retired consumer, and whether a handle has seen everything from
    /// before the change.
    pub(super) fn question(&self) -> Option<(Arc<str>, bool)> {
        match &self.role {
            Role::Current => None,
            Role::Retired(retiring) => Some((self.consumer.clone()?, retiring.resting == Some(0))),
        }
    }

    /// Notes that the registry has answered.
    pub(super) fn is_draining(&mut self, resting: u64) {
        if let Role::Retired(retiring) = &mut self.role {
            retiring.ask = false;
            retiring.resting.get_or_insert(resting);
        }
    }

    /// Retires the source, or has it ask again.
    pub(super) fn retire(&mut self) {
        match &mut self.role {
            Role::Retired(retiring) => retiring.ask = true,
            Role::Current => self.role = Role::retired(),
        }
    }

    /// Notes that the retired consumer is gone. The source stays until the
    /// registry, which may be about to say so in the store, agrees.
    pub(super) fn end(&mut self) {
        self.reader = Reader::Gone;
        self.retire();
    }

    pub(super) fn is_retired(&self) -> bool {
        matches!(self.role, Role::Retired(_))
    }

    /// Whether it could not be opened, or ended.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.reader, Reader::Gone)
    }

    pub(super) fn reads(&self, retired: &Retired) -> bool {
        self.consumer.as_deref() == Some(retired.consumer.as_str())
    }

    pub(super) fn origin(&self, registry: &Weak<Registry>) -> Origin {
        Origin {
            consumer: self.consumer.clone(),
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

impl Role {
    pub(super) fn retired() -> Self {
        Self::Retired(Retiring {
            resting: None,
            ask: true,
        })
    }
}

impl Retiring {
    /// Counts a first delivery, and says whether it may be from before the change.
    pub(super) fn was_there_before(&mut self) -> bool {
        match &mut self.resting {
            Some(resting) if *resting > 0 => {
                *resting -= 1;
                true
            }
            _ => false,
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
