//! Subscriptions: handing events over, giving the rest back.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use a3s_event_core::{
    BoxFuture, EventError, Result, async_trait,
    provider::{
        Answer, Delivery, DeliveryHandle, PendingEvent, Settled, Subscription, UndecodableEvent,
    },
    types::{ReceivedEvent, StreamName},
};
use futures_util::task::noop_waker;
use tokio::{
    task::AbortHandle,
    time::{self, MissedTickBehavior},
};

use crate::{
    convert,
    reader::{Buffered, Reader, Source},
    settle::{Link, Unanswered},
};

/// A reader that its subscription, its keeper and its provider share.
#[derive(Clone)]
pub(crate) struct SharedReader(Arc<Mutex<Reader>>);

/// A reader that is not kept alive.
pub(crate) struct WeakReader(Weak<Mutex<Reader>>);

impl WeakReader {
    pub(crate) fn upgrade(&self) -> Option<SharedReader> {
        self.0.upgrade().map(SharedReader)
    }
}

impl SharedReader {
    pub(crate) fn new(reader: Reader) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }

    pub(crate) fn downgrade(&self) -> WeakReader {
        WeakReader(Arc::downgrade(&self.0))
    }

    fn lock(&self) -> MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the subscription and gives back what nobody saw. Does nothing the
    /// second time.
    pub(crate) async fn close(self, last: Option<DeliveryHandle>) -> Result<()> {
        let (rest, provider, source, link, cap) = {
            let mut reader = self.lock();
            let Some(rest) = reader.end() else {
                return Ok(());
            };
            if reader.is_gone() {
                return Ok(());
            }
            let cap = reader.plan.options.delivery_cap();
            (
                rest,
                Arc::clone(&reader.provider),
                reader.source.clone(),
                Arc::clone(&reader.link),
                cap,
            )
        };
        if !provider.connection.is_up() {
            // Nothing can be given back; it comes again after the ack wait.
            return Ok(());
        }
        match source {
            // With the consumer goes everything that it delivered.
            Source::Ephemeral => {
                drop(rest);
                provider
                    .api
                    .delete_consumer(&provider.connection, &link.consumer)
                    .await
            }
            Source::Durable(_) => rest.give_back(&link, cap, last).await,
        }
    }
}

/// A subscription of this provider.
pub(crate) struct NatsSubscription {
    reader: SharedReader,
    stream: StreamName,
    keeper: AbortHandle,
    /// What `next` handed over last.
    last: Option<DeliveryHandle>,
    /// An answer that found no room.
    settling: Option<BoxFuture<'static, Result<()>>>,
    /// The end of a message that is no event.
    terminating: Option<BoxFuture<'static, EventError>>,
    /// A close that its caller gave up.
    closing: Option<BoxFuture<'static, Result<()>>>,
}

impl NatsSubscription {
    pub(crate) fn new(reader: SharedReader, stream: StreamName, shortest_wait: Duration) -> Self {
        let keeper = tokio::spawn(keep_alive(reader.downgrade(), shortest_wait));
        Self {
            reader,
            stream,
            keeper: keeper.abort_handle(),
            last: None,
            settling: None,
            terminating: None,
            closing: None,
        }
    }

    /// Everything that has to be done in the end, or the rest of it.
    fn end(&mut self) -> BoxFuture<'static, Result<()>> {
        self.keeper.abort();
        self.reader.lock().end_answers();
        if let Some(closing) = self.closing.take() {
            return closing;
        }
        let (reader, last) = (self.reader.clone(), self.last.take());
        let settling = self.settling.take();
        Box::pin(async move {
            let settled = match settling {
                Some(settling) => settling.await,
                None => Ok(()),
            };
            let closed = reader.close(last).await;
            settled.and(closed)
        })
    }

    /// Acknowledges what `next` handed over last, waiting for a connection: an
    /// acknowledgement that is known to be lost would deliver it again.
    fn poll_settle_last(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if let Some(settling) = &mut self.settling {
                let settled = ready!(settling.as_mut().poll(cx));
                self.settling = None;
                return Poll::Ready(settled);
            }
            if self.last.is_none() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.reader.lock().poll_up(cx)) {
                // Closed: the event comes again.
                return Poll::Ready(Ok(()));
            }
            let Some(last) = self.last.take() else {
                return Poll::Ready(Ok(()));
            };
            match last.settle(Answer::Ack) {
                // The connection went between the two looks: wait for the next one.
                Settled::Now(Err(EventError::Connection { .. })) => self.last = Some(last),
                Settled::Now(Err(EventError::Closed { .. })) => return Poll::Ready(Ok(())),
                Settled::Now(settled) => return Poll::Ready(settled),
                Settled::Later(settling) => self.settling = Some(settling),
            }
        }
    }

    fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Delivery>>> {
        ready!(self.poll_settle_last(cx))?;
        let (next, link) = {
            let mut reader = self.reader.lock();
            let next = ready!(reader.poll_message(cx))?;
            (next, Arc::clone(&reader.link))
        };
        Poll::Ready(Ok(next.map(|next| self.delivery(next, link))))
    }

    /// Polls for the next event; a message that is none is terminated.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<PendingEvent>>> {
        if let Some(terminating) = &mut self.terminating {
            let error = ready!(terminating.as_mut().poll(cx));
            self.terminating = None;
            return Poll::Ready(Err(error));
        }
        match ready!(self.poll_delivery(cx))? {
            Some(Delivery::Event(pending)) => Poll::Ready(Ok(Some(pending))),
            Some(Delivery::Undecodable(undecodable)) => {
                self.terminating = Some(Box::pin(undecodable.terminate()));
                self.poll_pending(cx)
            }
            _ => Poll::Ready(Ok(None)),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ReceivedEvent>>> {
        let pending = ready!(self.poll_pending(cx))?;
        Poll::Ready(Ok(pending.map(|pending| {
            let (received, handle) = pending.into_parts();
            self.last = Some(handle);
            received
        })))
    }

    fn delivery(&self, next: Buffered, link: Arc<Link>) -> Delivery {
        let Buffered {
            message,
            reply,
            delivered,
        } = next;
        let answers = Unanswered {
            link,
            reply,
            sequence: delivered.sequence,
            times: delivered.times,
        };
        let handle = DeliveryHandle::new(Arc::new(answers), delivered.sequence);
        match convert::event_of(&message.payload) {
            Ok(event) => {
                let received = ReceivedEvent::new(
                    event,
                    delivered.sequence,
                    delivered.times,
                    self.stream.clone(),
                )
                .with_pending(delivered.pending);
                Delivery::Event(PendingEvent::with_handle(received, handle))
            }
            Err(cause) => Delivery::Undecodable(UndecodableEvent::new(
                self.stream.clone(),
                delivered.sequence,
                delivered.times,
                message.subject.as_str(),
                message.payload.to_vec(),
                cause,
                handle,
            )),
        }
    }
}

#[async_trait]
impl Subscription for NatsSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        poll_fn(|cx| self.poll_pending(cx)).await
    }

    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        poll_fn(|cx| self.poll_delivery(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        Some(self.poll_event(cx))
    }

    fn missed(&self) -> u64 {
        self.reader.lock().missed()
    }

    async fn close(&mut self) -> Result<()> {
        let end = self.end();
        // Kept where a caller that stops waiting does not drop it.
        let closed = self.closing.insert(end).await;
        self.closing = None;
        closed
    }
}

impl Drop for NatsSubscription {
    fn drop(&mut self) {
        let end = self.end();
        // Giving back needs answers of the server. Without a runtime the
        // events come again after the ack wait.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                match end.await {
                    Ok(()) => {}
                    Err(error @ EventError::Exhausted { .. }) => {
                        tracing::error!(%error, "a dropped subscription had not handed over an event");
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a dropped subscription could not give back its events");
                    }
                }
            });
        }
    }
}

impl fmt::Debug for NatsSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSubscription")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// Restarts the wait of what a subscription holds in its buffer, often enough
/// to miss one round.
async fn keep_alive(reader: WeakReader, shortest_wait: Duration) {
    let mut rounds = time::interval(shortest_wait / 3);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds.tick().await;
    loop {
        rounds.tick().await;
        let Some(reader) = reader.upgrade() else {
            return;
        };
        reader.keep_alive();
    }
}

impl SharedReader {
    fn keep_alive(&self) {
        let waker = {
            let mut reader = self.lock();
            // Looking into the inbox replaces the waker of whoever waits there.
            reader.keep_alive(&mut Context::from_waker(&noop_waker()));
            reader.take_waker()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
