use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use a3s_event_core::{
    BoxFuture, EventError, Result, async_trait,
    provider::{Answer, DeliveryHandle, PendingEvent, Settle, Settled, Subscription},
    types::ReceivedEvent,
};
use tokio::task::coop;

use crate::{
    consumer::{Consumer, Places, Taken, Without},
    cursor::Fetched,
    store::Store,
    timer::Timer,
};

/// How many unfinished steps one poll takes before it lets other tasks run.
const STEPS_PER_POLL: usize = 16;

/// The consumer was removed. An error for itself: an [`EventError`] is large,
/// and hands would pass it for every event.
struct Removed;

/// A handle on a consumer.
pub(crate) struct MemorySubscription {
    store: Arc<Store>,
    consumer: Arc<Consumer>,
    settle: Arc<dyn Settle>,
    places: Places,
    /// Fetched events that need no answer, while `owes_nothing`.
    batch: VecDeque<Fetched>,
    /// The consumer is ephemeral and only `next` was used: coming back is the
    /// answer to everything, so nothing has to be remembered.
    owes_nothing: bool,
    /// The delivery that `next` handed over and the caller has not come back from.
    current: Option<u64>,
    timer: Option<Timer>,
    ended: bool,
}

impl MemorySubscription {
    pub(crate) fn new(store: Arc<Store>, consumer: Arc<Consumer>) -> Self {
        if !consumer.is_durable() {
            store.ephemerals.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            settle: Arc::<Consumer>::clone(&consumer),
            store,
            places: Places::default(),
            batch: VecDeque::new(),
            owes_nothing: !consumer.is_durable(),
            consumer,
            current: None,
            timer: None,
            ended: false,
        }
    }

    fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ReceivedEvent>>> {
        let next = if self.owes_nothing {
            self.poll_batch(cx)
                .map_ok(|fetched| fetched.map(|fetched| received(fetched, 1)))
        } else {
            self.answer_current(Answer::Ack);
            self.poll_taken(cx).map_ok(|taken| {
                taken.map(|taken| {
                    self.current = Some(taken.position);
                    taken.received()
                })
            })
        };
        next.map_err(|Removed| self.not_found())
    }

    fn poll_next_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<PendingEvent>>> {
        if std::mem::take(&mut self.owes_nothing) {
            self.consumer.return_batch(&mut self.batch);
        }
        self.answer_current(Answer::Ack);
        self.poll_taken(cx)
            .map_ok(|taken| {
                taken.map(|taken| {
                    let handle = DeliveryHandle::new(Arc::clone(&self.settle), taken.position);
                    PendingEvent::with_handle(taken.received(), handle)
                })
            })
            .map_err(|Removed| self.not_found())
    }

    /// Takes the next event that needs no answer.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Fetched>, Removed>> {
        // A reader that always finds an event has to yield now and then.
        let budget = ready!(coop::poll_proceed(cx));
        for _ in 0..STEPS_PER_POLL {
            if self.ended || self.store.is_closed() {
                return Poll::Ready(Ok(None));
            }
            self.store.expire_due();
            while let Some(fetched) = self.batch.pop_front() {
                if self.store.is_evicted(fetched.sequence) {
                    self.consumer.lost_fetched();
                    continue;
                }
                budget.made_progress();
                return Poll::Ready(Ok(Some(fetched)));
            }
            let (places, waker) = (&mut self.places, cx.waker());
            if let Err(without) = self.consumer.take_batch(&mut self.batch, places, waker) {
                ready!(self.poll_without_event(without, cx)?);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes the next delivery.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Taken>, Removed>> {
        let budget = ready!(coop::poll_proceed(cx));
        for _ in 0..STEPS_PER_POLL {
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            match self.consumer.take(&mut self.places, cx.waker()) {
                Ok(taken) => {
                    self.stop_waiting();
                    budget.made_progress();
                    return Poll::Ready(Ok(Some(taken)));
                }
                Err(without) => ready!(self.poll_without_event(without, cx)?),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What it means for the caller that there is no event; ready to ask again.
    fn poll_without_event(
        &mut self,
        without: Without,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Removed> {
        match without {
            Without::Unfinished => Ok(Poll::Ready(())),
            Without::Until(None) => Ok(Poll::Pending),
            Without::Until(Some(deadline)) => {
                let clock = &self.store.clock;
                Ok(Timer::poll(&mut self.timer, deadline, clock, cx))
            }
            Without::Ended => {
                self.ended = true;
                Ok(Poll::Ready(()))
            }
            Without::Removed => {
                self.ended = true;
                Err(Removed)
            }
        }
    }

    fn not_found(&self) -> EventError {
        EventError::not_found("consumer", self.consumer.label())
    }

    /// No timer runs while nobody waits.
    #[inline]
    fn stop_waiting(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.disarm();
        }
    }

    /// Answers the event that `next` handed over, if it is not answered yet.
    fn answer_current(&mut self, answer: Answer) {
        if let Some(position) = self.current.take() {
            // Memory answers at once; only a closed provider refuses, and that
            // has forgotten everything.
            let _: Settled = self.consumer.settle(position, answer);
        }
    }

    /// Ends the handle. What it held goes back: unseen events are the
    /// consumer's anyway, and the last one that `next` handed over comes again.
    fn end(&mut self) {
        self.answer_current(Answer::Nak);
        self.ended = true;
        self.timer = None;
        self.batch.clear();
        self.consumer.leave(&mut self.places);
        if !self.consumer.is_durable() && self.consumer.remove() {
            self.store.ephemerals.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Taken {
    fn received(self) -> ReceivedEvent {
        received(self.fetched, self.deliveries)
    }
}

fn received(fetched: Fetched, deliveries: u64) -> ReceivedEvent {
    let Fetched {
        sequence,
        event,
        pending,
    } = fetched;
    let received = ReceivedEvent::new(event, sequence, deliveries, Store::STREAM);
    match pending {
        Some(pending) => received.with_pending(pending),
        None => received,
    }
}

/// A wait, which may be given up at any time.
struct Waiting<'a, P>(&'a mut MemorySubscription, P);

impl<T, P> Future for Waiting<'_, P>
where
    P: FnMut(&mut MemorySubscription, &mut Context<'_>) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self(handle, poll) = self.get_mut();
        poll(handle, cx)
    }
}

impl<P> Drop for Waiting<'_, P> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    // Without `async`, whose state machine copies every event once more.

    fn next<'life0, 'async_trait>(
        &'life0 mut self,
    ) -> BoxFuture<'async_trait, Result<Option<ReceivedEvent>>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(Waiting(self, Self::poll_next_event))
    }

    fn next_manual_ack<'life0, 'async_trait>(
        &'life0 mut self,
    ) -> BoxFuture<'async_trait, Result<Option<PendingEvent>>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(Waiting(self, Self::poll_next_pending))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        Some(self.poll_next_event(cx))
    }

    fn missed(&self) -> u64 {
        self.consumer.missed()
    }

    async fn close(&mut self) -> Result<()> {
        self.end();
        Ok(())
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for MemorySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubscription")
            .field("consumer", &self.consumer.label())
            .finish_non_exhaustive()
    }
}
