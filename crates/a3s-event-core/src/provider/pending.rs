use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{BoxFuture, EventError, Result, types::ReceivedEvent};

/// A delivered event that waits for its answer.
///
/// Exactly one answer can be given: each of them consumes the value, except
/// [`in_progress`](Self::in_progress). **Dropped without an answer, the event
/// comes back** after the ack wait.
///
/// An answer settles the event, not the delivery. A late ack or term from an
/// earlier delivery settles it for everybody, a late nak brings it again at
/// once, and answers to an event that is settled do nothing and are `Ok`.
///
/// # Cancellation
///
/// A dropped answer may or may not have been given.
///
/// # Examples
///
/// ```
/// use a3s_event_core::{Result, provider::Subscription};
///
/// async fn work(subscription: &mut dyn Subscription) -> Result<()> {
///     while let Some(pending) = subscription.next_manual_ack().await? {
///         match process(&pending.received.event.summary) {
///             Ok(()) => pending.ack().await?,
///             Err(()) => pending.nak().await?,
///         }
///     }
///     Ok(())
/// }
/// # fn process(_: &str) -> std::result::Result<(), ()> { Ok(()) }
/// ```
// No `Drop` of its own: `received` can be moved out.
pub struct PendingEvent {
    /// The event and its delivery.
    pub received: ReceivedEvent,
    handle: DeliveryHandle,
}

impl PendingEvent {
    /// Builds a pending event from two callbacks: the short way for a provider
    /// whose backend knows only ack and nak.
    ///
    /// `ack_confirmed` and `term` call `ack`; `nak_after` and `in_progress` are
    /// [`EventError::Unsupported`].
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_core::{provider::PendingEvent, types::{Event, ReceivedEvent}};
    ///
    /// let event = Event::new("events.a.b", "a", "", "", serde_json::Value::Null);
    /// let pending = PendingEvent::new(
    ///     ReceivedEvent::new(event, 1, 1, "stream"),
    ///     || Box::pin(async { Ok(()) }),
    ///     || Box::pin(async { Ok(()) }),
    /// );
    /// assert_eq!(pending.received.sequence, 1);
    /// ```
    #[must_use]
    pub fn new<A, N>(received: ReceivedEvent, ack: A, nak: N) -> Self
    where
        A: FnOnce() -> BoxFuture<'static, Result<()>> + Send + 'static,
        N: FnOnce() -> BoxFuture<'static, Result<()>> + Send + 'static,
    {
        let callbacks = Callbacks(Mutex::new(Some((Box::new(ack), Box::new(nak)))));
        Self::with_handle(received, DeliveryHandle::new(Arc::new(callbacks), 0))
    }

    /// Builds a pending event that answers through `handle`.
    #[must_use]
    pub const fn with_handle(received: ReceivedEvent, handle: DeliveryHandle) -> Self {
        Self { received, handle }
    }

    /// Takes the value apart without answering: for layers that decide about
    /// answers themselves.
    #[must_use]
    pub fn into_parts(self) -> (ReceivedEvent, DeliveryHandle) {
        (self.received, self.handle)
    }

    /// Acknowledges: the event is done and does not come back.
    ///
    /// # Errors
    ///
    /// When the answer could not be sent; the event comes back.
    pub async fn ack(self) -> Result<()> {
        self.handle.answer(Answer::Ack).await
    }

    /// Acknowledges and returns once the backend has answered.
    ///
    /// On NATS the answer proves receipt, not durability: a server that is
    /// killed right afterwards may deliver the event again.
    ///
    /// # Errors
    ///
    /// When the backend did not answer; the event may come back.
    pub async fn ack_confirmed(self) -> Result<()> {
        self.handle.answer(Answer::AckConfirmed).await
    }

    /// Refuses: the event comes again at once, whatever the backoff says.
    ///
    /// # Errors
    ///
    /// When the answer could not be sent; the event comes back after the ack wait.
    pub async fn nak(self) -> Result<()> {
        self.handle.answer(Answer::Nak).await
    }

    /// Refuses: the event comes again after `delay`, whatever the backoff says.
    /// A delay of zero is a [`nak`](Self::nak).
    ///
    /// # Errors
    ///
    /// [`EventError::Unsupported`] where the backend cannot delay; the event
    /// comes back after the ack wait.
    pub async fn nak_after(self, delay: Duration) -> Result<()> {
        let answer = if delay.is_zero() {
            Answer::Nak
        } else {
            Answer::NakAfter(delay)
        };
        self.handle.answer(answer).await
    }

    /// Terminates: the event is not delivered again, for `reason`.
    ///
    /// # Errors
    ///
    /// When the answer could not be sent; the event comes back.
    pub async fn term(self, reason: impl Into<String>) -> Result<()> {
        self.handle.answer(Answer::Term(reason.into())).await
    }

    /// Asks for more time: the ack wait, or the current step of the backoff,
    /// starts anew.
    ///
    /// # Errors
    ///
    /// [`EventError::Unsupported`] where the backend cannot extend.
    pub async fn in_progress(&self) -> Result<()> {
        self.handle.answer(Answer::InProgress).await
    }
}

impl fmt::Debug for PendingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingEvent")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// An answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Done.
    Ack,
    /// Done, and say so.
    AckConfirmed,
    /// Again, at once.
    Nak,
    /// Again, after the delay, which is not zero.
    NakAfter(Duration),
    /// Never again, for this reason.
    Term(String),
    /// Still working.
    InProgress,
}

/// How answers reach a backend: one shared object per subscription, with a
/// number per delivery, so that a delivery costs no allocation.
///
/// # For implementers
///
/// - Answers may come from any thread, in any order, late, and more than once
///   when they are [`Answer::InProgress`].
/// - An answer to an event that is settled, evicted or unknown does nothing and
///   is `Ok`.
/// - Do not wait inside: return [`Settled::Later`].
pub trait Settle: Send + Sync {
    /// Gives `answer` to the delivery that the implementer numbered `delivery`.
    fn settle(&self, delivery: u64, answer: Answer) -> Settled;
}

/// What became of an answer.
pub enum Settled {
    /// It was given.
    Now(Result<()>),
    /// It is given by driving the future.
    Later(BoxFuture<'static, Result<()>>),
}

impl Settled {
    /// Waits until the answer is given.
    ///
    /// # Errors
    ///
    /// What the backend reports.
    pub async fn outcome(self) -> Result<()> {
        match self {
            Self::Now(result) => result,
            Self::Later(future) => future.await,
        }
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(result) => f.debug_tuple("Now").field(result).finish(),
            Self::Later(_) => f.write_str("Later(..)"),
        }
    }
}

/// The way back for one delivery: where its answer goes and its number there.
#[derive(Clone)]
pub struct DeliveryHandle {
    settle: Arc<dyn Settle>,
    delivery: u64,
}

impl DeliveryHandle {
    /// Addresses delivery number `delivery` of `settle`.
    #[must_use]
    pub const fn new(settle: Arc<dyn Settle>, delivery: u64) -> Self {
        Self { settle, delivery }
    }

    /// Gives `answer` and waits until it is given.
    ///
    /// # Errors
    ///
    /// What the backend reports.
    pub async fn answer(&self, answer: Answer) -> Result<()> {
        // Not through `outcome`: a future more would copy the result once more.
        match self.settle(answer) {
            Settled::Now(result) => result,
            Settled::Later(future) => future.await,
        }
    }

    /// Gives `answer` without waiting.
    pub fn settle(&self, answer: Answer) -> Settled {
        self.settle.settle(self.delivery, answer)
    }
}

impl fmt::Debug for DeliveryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryHandle")
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

type Callback = Box<dyn FnOnce() -> BoxFuture<'static, Result<()>> + Send>;

/// Two callbacks as a [`Settle`]; both are dropped once one was called.
struct Callbacks(Mutex<Option<(Callback, Callback)>>);

impl Settle for Callbacks {
    fn settle(&self, _delivery: u64, answer: Answer) -> Settled {
        let unsupported = match answer {
            Answer::NakAfter(_) => Some("a delayed nak"),
            Answer::InProgress => Some("in-progress"),
            Answer::Ack | Answer::AckConfirmed | Answer::Term(_) | Answer::Nak => None,
        };
        if let Some(feature) = unsupported {
            return Settled::Now(Err(EventError::unsupported("event's", feature)));
        }
        let callbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match callbacks {
            Some((_, nak)) if answer == Answer::Nak => Settled::Later(nak()),
            Some((ack, _)) => Settled::Later(ack()),
            None => Settled::Now(Ok(())),
        }
    }
}
