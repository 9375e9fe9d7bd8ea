use std::{
    future::poll_fn,
    panic::Location,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use a3s_event_core::{
    EventError, Result,
    provider::{EventStream, PendingEvent, Subscription},
    types::ReceivedEvent,
};
use futures_core::Stream;
use tokio::time::timeout;

use crate::within::fail;

/// A subscription that is read under deadlines.
pub(crate) struct Reader {
    pub(crate) subscription: Box<dyn Subscription>,
    pub(crate) patience: Duration,
    pub(crate) quiet: Duration,
}

impl Reader {
    /// The next event, to be answered by the case.
    #[track_caller]
    pub(crate) fn pending(&mut self) -> impl Future<Output = PendingEvent> {
        self.pending_for(Location::caller())
    }

    /// The next event, acknowledged when the case comes back.
    #[track_caller]
    pub(crate) fn received(&mut self) -> impl Future<Output = ReceivedEvent> {
        self.received_for(Location::caller())
    }

    /// The next `count` events, unanswered.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> impl Future<Output = Vec<PendingEvent>> {
        let caller = Location::caller();
        async move {
            let mut taken = Vec::new();
            for _ in 0..count {
                taken.push(self.pending_for(caller).await);
            }
            taken
        }
    }

    /// The sequences of the next `count` events, all but the last acknowledged.
    #[track_caller]
    pub(crate) fn sequences(&mut self, count: usize) -> impl Future<Output = Vec<u64>> {
        let caller = Location::caller();
        async move {
            let mut sequences = Vec::new();
            for _ in 0..count {
                sequences.push(self.received_for(caller).await.sequence);
            }
            sequences
        }
    }

    /// The sequence of the next event, which is acknowledged, and so it is when
    /// this returns as far as the backend lets one know.
    #[track_caller]
    pub(crate) fn acknowledge(&mut self) -> impl Future<Output = u64> {
        let caller = Location::caller();
        async move {
            let pending = self.pending_for(caller).await;
            let sequence = pending.received.sequence;
            if let Err(error) = pending.ack_confirmed().await {
                fail(caller, format_args!("not acknowledged: {error:?}"));
            }
            sequence
        }
    }

    async fn pending_for(&mut self, caller: &'static Location<'static>) -> PendingEvent {
        match timeout(self.patience, self.subscription.next_manual_ack()).await {
            Ok(Ok(Some(pending))) => pending,
            Ok(outcome) => fail(caller, format_args!("no event but {outcome:?}")),
            Err(_) => fail(caller, format_args!("no event in {:?}", self.patience)),
        }
    }

    async fn received_for(&mut self, caller: &'static Location<'static>) -> ReceivedEvent {
        match timeout(self.patience, self.subscription.next()).await {
            Ok(Ok(Some(received))) => received,
            Ok(outcome) => fail(caller, format_args!("no event but {outcome:?}")),
            Err(_) => fail(caller, format_args!("no event in {:?}", self.patience)),
        }
    }

    /// Watches that nothing comes for a moment.
    #[track_caller]
    pub(crate) fn nothing(&mut self) -> impl Future<Output = ()> {
        self.nothing_for(self.quiet)
    }

    /// Watches that nothing comes for `duration`.
    #[track_caller]
    pub(crate) fn nothing_for(&mut self, duration: Duration) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            if let Ok(outcome) = timeout(duration, self.subscription.next_manual_ack()).await {
                fail(caller, format_args!("not nothing but {outcome:?}"));
            }
        }
    }

    /// Waits for the end of the subscription.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            match timeout(self.patience, self.subscription.next_manual_ack()).await {
                Ok(Ok(None)) => {}
                Ok(outcome) => fail(caller, format_args!("no end but {outcome:?}")),
                Err(_) => fail(caller, format_args!("no end in {:?}", self.patience)),
            }
        }
    }

    /// Waits for an error.
    #[track_caller]
    pub(crate) fn error(&mut self) -> impl Future<Output = EventError> {
        let caller = Location::caller();
        async move {
            match timeout(self.patience, self.subscription.next_manual_ack()).await {
                Ok(Err(error)) => error,
                Ok(outcome) => fail(caller, format_args!("no error but {outcome:?}")),
                Err(_) => fail(caller, format_args!("no error in {:?}", self.patience)),
            }
        }
    }

    /// Closes the subscription in time and without an error.
    #[track_caller]
    pub(crate) fn close(&mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            match timeout(self.patience, self.subscription.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => fail(caller, format_args!("not closed: {error:?}")),
                Err(_) => fail(caller, format_args!("not closed in {:?}", self.patience)),
            }
        }
    }
}

/// The next event of either reader.
pub(crate) async fn whichever(one: &mut Reader, other: &mut Reader) -> PendingEvent {
    let mut one = pin!(one.pending());
    let mut other = pin!(other.pending());
    poll_fn(|context| {
        let first = one.as_mut().poll(context);
        if first.is_ready() {
            return first;
        }
        other.as_mut().poll(context)
    })
    .await
}

/// The next item of a stream.
pub(crate) async fn next_of(stream: &mut EventStream) -> Option<Result<ReceivedEvent>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Polls once; `None` if the future was not ready. It is dropped either way.
pub(crate) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
