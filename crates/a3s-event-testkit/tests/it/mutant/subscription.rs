use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use a3s_event_core::{
    EventError, Result, async_trait,
    provider::{Answer, DeliveryHandle, PendingEvent, Settle, Settled, Subscription},
    types::ReceivedEvent,
};

use super::{Automatic, Closing, Mutant, When};

pub(super) struct MutantSubscription {
    inner: Option<Box<dyn Subscription>>,
    mutant: Mutant,
    hoard: VecDeque<PendingEvent>,
    seen: Arc<Seen>,
}

/// What a subscription has handed over.
#[derive(Default)]
struct Seen {
    /// The latest count of each sequence.
    deliveries: Mutex<HashMap<u64, u64>>,
    closed: AtomicBool,
}

impl Seen {
    fn note(&self, sequence: u64, delivery: u64) {
        let mut deliveries = self.deliveries.lock().unwrap();
        deliveries.insert(sequence, delivery);
    }
}

impl MutantSubscription {
    pub(super) fn new(inner: Box<dyn Subscription>, mutant: Mutant) -> Self {
        Self {
            inner: Some(inner),
            mutant,
            hoard: VecDeque::new(),
            seen: Arc::default(),
        }
    }

    fn inner(&mut self) -> &mut dyn Subscription {
        &mut **self.inner.as_mut().unwrap()
    }

    async fn take(&mut self) -> Result<Option<PendingEvent>> {
        let hoard = self.mutant.hoard;
        while self.hoard.len() < hoard {
            let next =
                tokio::time::timeout(Duration::from_millis(1), self.inner().next_manual_ack());
            match next.await {
                Ok(Ok(Some(pending))) => self.hoard.push_back(pending),
                _ => break,
            }
        }
        let hoarded = if self.mutant.newest_first {
            self.hoard.pop_back()
        } else {
            self.hoard.pop_front()
        };
        match hoarded {
            Some(pending) => Ok(Some(pending)),
            None => self.inner().next_manual_ack().await,
        }
    }
}

#[async_trait]
impl Subscription for MutantSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        loop {
            let automatic = self.mutant.automatic;
            if self.mutant.sleepy {
                let mut next = self.inner().next();
                let polled =
                    std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context)));
                if let Poll::Ready(outcome) = polled.await {
                    return outcome;
                }
                return std::future::pending().await;
            }
            let received = if automatic == Automatic::OnReturn && self.mutant.hoard == 0 {
                self.inner().next().await
            } else {
                let pending = self.take().await;
                match pending {
                    Ok(Some(pending)) => {
                        let (received, handle) = pending.into_parts();
                        if automatic != Automatic::Never {
                            handle.answer(Answer::Ack).await?;
                        }
                        Ok(Some(received))
                    }
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                }
            };
            let Some(received) = received.map_err(self.mutant.error)? else {
                return Ok(None);
            };
            if self.mutant.forgetful {
                tokio::task::yield_now().await;
            }
            if let Some(received) = (self.mutant.deliver)(received) {
                return Ok(Some(received));
            }
        }
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        loop {
            let Some(pending) = self.take().await.map_err(self.mutant.error)? else {
                return Ok(None);
            };
            if self.mutant.forgetful {
                tokio::task::yield_now().await;
            }
            let (received, handle) = pending.into_parts();
            let (sequence, delivery) = (received.sequence, received.num_delivered);
            self.seen.note(sequence, delivery);
            match (self.mutant.deliver)(received) {
                Some(received) => {
                    let answers = MutantAnswers {
                        handle,
                        mutant: self.mutant,
                        seen: Arc::clone(&self.seen),
                        sequence,
                        delivery,
                    };
                    let handle = DeliveryHandle::new(Arc::new(answers), 0);
                    return Ok(Some(PendingEvent::with_handle(received, handle)));
                }
                None => handle.answer(Answer::Ack).await?,
            }
        }
    }

    fn poll_next(&mut self, _: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        (!self.mutant.streams).then_some(Poll::Pending)
    }

    fn missed(&self) -> u64 {
        (self.mutant.missed)(self.inner.as_ref().unwrap().missed())
    }

    async fn close(&mut self) -> Result<()> {
        let again = self.seen.closed.swap(true, Relaxed);
        match self.mutant.close_subscription {
            Closing::Closes => self.inner().close().await.map_err(self.mutant.error),
            Closing::Nothing => Ok(()),
            Closing::Once if !again => self.inner().close().await,
            Closing::Once | Closing::Fails => {
                Err(EventError::provider("mutant", "close", "on purpose"))
            }
            Closing::Swallows => {
                let wait = Duration::from_millis(1);
                while let Ok(Ok(Some(pending))) =
                    tokio::time::timeout(wait, self.inner().next_manual_ack()).await
                {
                    pending.ack().await?;
                }
                self.inner().close().await
            }
        }
    }
}

impl Drop for MutantSubscription {
    fn drop(&mut self) {
        if self.mutant.leaks {
            std::mem::forget(self.inner.take());
        }
    }
}

struct MutantAnswers {
    handle: DeliveryHandle,
    mutant: Mutant,
    seen: Arc<Seen>,
    sequence: u64,
    delivery: u64,
}

impl Settle for MutantAnswers {
    fn settle(&self, _: u64, answer: Answer) -> Settled {
        let latest = self.seen.deliveries.lock().unwrap()[&self.sequence];
        let when = When {
            late: latest > self.delivery,
            closed: self.seen.closed.load(Relaxed),
        };
        (self.mutant.answer)(&self.handle, answer, when)
    }
}
