use std::{
    fmt,
    task::{Context, Poll},
};

use async_trait::async_trait;

use super::{Answer, DeliveryHandle, EventStream, PendingEvent};
use crate::{
    BoxError, EventError, Result,
    types::{ReceivedEvent, StreamName},
};

/// A flow of events from a provider.
///
/// `Ok(None)` means that the subscription or its provider was closed: nothing
/// more comes. An error leaves the subscription usable unless it says that the
/// consumer is gone ([`EventError::NotFound`]), which is said once, or that
/// something is closed ([`EventError::Closed`]).
///
/// # For implementers
///
/// - Redeliveries come before new events: refused ones in the order of the
///   refusals, unanswered ones by sequence, delayed ones when they are due.
/// - With a cap on deliveries nothing is read ahead: a delivery that nobody saw
///   would count.
/// - **Drop** gives back what was not handed over, as [`close`](Self::close)
///   does, as far as it can without waiting.
///
/// # Cancellation
///
/// Dropping the future of any method loses no event.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next event and **acknowledges it when the caller comes
    /// back** for the one after it.
    ///
    /// A crash while working on an event therefore delivers it again, and so
    /// does dropping or closing the subscription: the last event that was handed
    /// over comes again.
    async fn next(&mut self) -> Result<Option<ReceivedEvent>>;

    /// Waits for the next event and leaves the answer to the caller.
    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>>;

    /// Waits for the next delivery, readable or not: for layers that keep what
    /// cannot be decoded.
    ///
    /// The default is [`next_manual_ack`](Self::next_manual_ack). Override it
    /// where a stored message may be no event; `next` and `next_manual_ack`
    /// then answer one with [`UndecodableEvent::terminate`].
    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        Ok(self.next_manual_ack().await?.map(Delivery::Event))
    }

    /// Polls as [`next`](Self::next) does, without a future in between: what
    /// makes [`into_stream`](trait@Subscription#method.into_stream) cheap.
    ///
    /// `None`, the default, means that there is no such way and the stream
    /// drives `next` instead. A subscription gives either always `None` or
    /// never.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        let _: &mut Context<'_> = cx;
        None
    }

    /// How many events retention removed before this subscription got to them.
    ///
    /// Exact for a reader that keeps up with its own events; a reader that was
    /// still in older history when they went counts every sequence it had to
    /// skip, matching or not. The default knows of none.
    fn missed(&self) -> u64 {
        0
    }

    /// Stops, gives back every event that was not handed over, so that another
    /// handle of the durable gets it at once, and flushes the answers. An
    /// ephemeral subscription is removed. Afterwards `next` is `Ok(None)`. May
    /// be repeated.
    ///
    /// The default does nothing and leaves it to drop.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl dyn Subscription {
    /// Turns the subscription into a [`Stream`](futures_core::Stream) of events,
    /// each acknowledged when the next one is asked for.
    pub fn into_stream(self: Box<Self>) -> EventStream {
        EventStream::new(self)
    }
}

#[async_trait]
impl<S: Subscription + ?Sized> Subscription for Box<S> {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        (**self).next().await
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        (**self).next_manual_ack().await
    }

    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        (**self).next_delivery().await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        (**self).poll_next(cx)
    }

    fn missed(&self) -> u64 {
        (**self).missed()
    }

    async fn close(&mut self) -> Result<()> {
        (**self).close().await
    }
}

/// What a subscription delivered.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// An event.
    Event(PendingEvent),
    /// A stored message that is no event.
    Undecodable(UndecodableEvent),
}

/// A stored message that is no event, waiting for its answer.
///
/// Dropped without one, it comes back after the ack wait.
#[non_exhaustive]
pub struct UndecodableEvent {
    /// The stream that stores it.
    pub stream: StreamName,
    /// Its sequence.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub num_delivered: u64,
    /// The subject it was stored under.
    pub subject: String,
    /// The message as stored.
    pub raw: Vec<u8>,
    /// Why it is no event. Quotes nothing of the message.
    pub cause: BoxError,
    handle: DeliveryHandle,
}

impl UndecodableEvent {
    /// Describes message `sequence` of `stream`, answered through `handle`.
    #[must_use]
    pub fn new(
        stream: impl Into<StreamName>,
        sequence: u64,
        num_delivered: u64,
        subject: impl Into<String>,
        raw: Vec<u8>,
        cause: impl Into<BoxError>,
        handle: DeliveryHandle,
    ) -> Self {
        Self {
            stream: stream.into(),
            sequence,
            num_delivered,
            subject: subject.into(),
            raw,
            cause: cause.into(),
            handle,
        }
    }

    /// Where the answer goes.
    #[must_use]
    pub const fn handle(&self) -> &DeliveryHandle {
        &self.handle
    }

    /// Terminates the message, so that it blocks nobody, and returns the error
    /// that its reader gets instead of an event.
    pub async fn terminate(self) -> EventError {
        let reason = "no event".to_owned();
        match self.handle.answer(Answer::Term(reason)).await {
            Ok(()) => EventError::undecodable(&self.stream, self.sequence, self.cause),
            Err(error) => error,
        }
    }
}

impl fmt::Debug for UndecodableEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UndecodableEvent")
            .field("stream", &self.stream)
            .field("sequence", &self.sequence)
            .field("num_delivered", &self.num_delivered)
            .field("subject", &self.subject)
            .field("raw_bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}
