use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use a3s_event_core::{
    EventError, Result, async_trait,
    provider::{Answer, DeliveryHandle, PendingEvent, Settle, Subscription},
    types::ReceivedEvent,
};
use tokio::{
    task::coop,
    time::{Sleep, sleep_until},
};

use crate::{
    clock::Nanos,
    consumer::{Consumer, Places, Take, Taken},
    store::Store,
};

/// How many unfinished steps one poll takes before it lets other tasks run.
const STEPS_PER_POLL: usize = 16;

/// A handle on a consumer.
pub(crate) struct MemorySubscription {
    store: Arc<Store>,
    consumer: Arc<Consumer>,
    settle: Arc<dyn Settle>,
    places: Places,
    /// The delivery that `next` handed over and the caller has not come back from.
    current: Option<u64>,
    timer: Option<(Nanos, Pin<Box<Sleep>>)>,
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
            consumer,
            places: Places::default(),
            current: None,
            timer: None,
            ended: false,
        }
    }

    /// Takes the next delivery; with `answered` the caller comes back for the
    /// one after it as its acknowledgement.
    fn poll_taken(&mut self, cx: &mut Context<'_>, answered: bool) -> Poll<Result<Option<Taken>>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        // A reader that always finds an event has to yield now and then.
        let budget = ready!(coop::poll_proceed(cx));
        for _ in 0..STEPS_PER_POLL {
            match self.consumer.take(answered, &mut self.places, cx.waker()) {
                Take::Event(taken) => {
                    budget.made_progress();
                    return Poll::Ready(Ok(Some(taken)));
                }
                Take::Unfinished => {}
                Take::Wait(None) => return Poll::Pending,
                Take::Wait(Some(deadline)) => ready!(self.poll_timer(deadline, cx)),
                Take::Ended => {
                    self.ended = true;
                    return Poll::Ready(Ok(None));
                }
                Take::Removed => {
                    self.ended = true;
                    let label = self.consumer.label();
                    return Poll::Ready(Err(EventError::not_found("consumer", label)));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_timer(&mut self, deadline: Nanos, cx: &mut Context<'_>) -> Poll<()> {
        let instant = self.store.clock.instant(deadline);
        let (armed, timer) = self
            .timer
            .get_or_insert_with(|| (deadline, Box::pin(sleep_until(instant))));
        if *armed != deadline || timer.is_elapsed() {
            *armed = deadline;
            timer.as_mut().reset(instant);
        }
        timer.as_mut().poll(cx)
    }

    /// The caller came back from the event that `next` handed over.
    fn acknowledge_current(&mut self) -> Result<()> {
        match self.current.take() {
            Some(position) => self.answer(position, Answer::Ack),
            None => Ok(()),
        }
    }

    fn answer(&self, position: u64, answer: Answer) -> Result<()> {
        match self.consumer.settle(position, answer) {
            a3s_event_core::provider::Settled::Now(result) => result,
            a3s_event_core::provider::Settled::Later(_) => Ok(()),
        }
    }

    fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ReceivedEvent>>> {
        if let Err(error) = self.acknowledge_current() {
            // Only a closed provider refuses, and then nothing more comes.
            return Poll::Ready(if self.store.is_closed() {
                Ok(None)
            } else {
                Err(error)
            });
        }
        self.poll_taken(cx, true).map_ok(|taken| {
            taken.map(|taken| {
                self.current = taken.position;
                received(taken)
            })
        })
    }

    /// Ends the handle. What it held goes back: unseen events are the
    /// consumer's anyway, and the last one that `next` handed over comes again.
    fn end(&mut self) {
        if let Some(position) = self.current.take() {
            // Only a closed provider refuses, and it forgets everything.
            let _: Result<()> = self.answer(position, Answer::Nak);
        }
        self.ended = true;
        self.timer = None;
        self.consumer.leave(&mut self.places);
        if !self.consumer.is_durable() && self.consumer.remove() {
            self.store.ephemerals.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn received(taken: Taken) -> ReceivedEvent {
    let received = ReceivedEvent::new(taken.event, taken.sequence, taken.deliveries, Store::STREAM);
    match taken.pending {
        Some(pending) => received.with_pending(pending),
        None => received,
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        poll_fn(|cx| {
            if let Err(error) = self.acknowledge_current() {
                return Poll::Ready(if self.store.is_closed() {
                    Ok(None)
                } else {
                    Err(error)
                });
            }
            self.poll_taken(cx, false).map_ok(|taken| {
                taken.map(|taken| {
                    let position = taken.position.unwrap_or(u64::MAX);
                    let handle = DeliveryHandle::new(Arc::clone(&self.settle), position);
                    PendingEvent::with_handle(received(taken), handle)
                })
            })
        })
        .await
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
