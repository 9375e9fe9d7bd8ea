use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::Subscription;
use crate::{BoxFuture, EventError, Result, types::ReceivedEvent};

type Next = (Box<dyn Subscription>, Result<Option<ReceivedEvent>>);

/// A [`Subscription`] as a [`Stream`] of events.
///
/// Each event is acknowledged when the stream is polled for the one after it.
/// The stream ends when the subscription is closed or its consumer is gone;
/// other errors are items, and the stream goes on. Dropping it drops the
/// subscription.
#[must_use = "streams do nothing unless polled"]
pub struct EventStream {
    state: State,
}

enum State {
    Ready(Box<dyn Subscription>),
    /// A subscription without `poll_next` waits inside its own `next`.
    Waiting(BoxFuture<'static, Next>),
    Ended,
}

impl EventStream {
    pub(super) const fn new(subscription: Box<dyn Subscription>) -> Self {
        Self {
            state: State::Ready(subscription),
        }
    }

    /// Closes the subscription as [`Subscription::close`] does.
    ///
    /// A subscription without [`Subscription::poll_next`] that waits for an
    /// event cannot be reached and is dropped instead.
    ///
    /// # Errors
    ///
    /// Those of [`Subscription::close`].
    pub async fn close(self) -> Result<()> {
        match self.state {
            State::Ready(mut subscription) => subscription.close().await,
            State::Waiting(_) | State::Ended => Ok(()),
        }
    }
}

impl Stream for EventStream {
    type Item = Result<ReceivedEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let outcome = match &mut self.state {
            State::Ready(subscription) => match subscription.poll_next(cx) {
                // As most calls end, and without a look at what else it may be.
                Some(Poll::Ready(Ok(Some(received)))) => return Poll::Ready(Some(Ok(received))),
                Some(Poll::Ready(outcome)) => outcome,
                Some(Poll::Pending) => return Poll::Pending,
                None => {
                    self.wait();
                    return self.poll_next(cx);
                }
            },
            State::Waiting(next) => match next.as_mut().poll(cx) {
                Poll::Ready((subscription, outcome)) => {
                    self.state = State::Ready(subscription);
                    outcome
                }
                Poll::Pending => return Poll::Pending,
            },
            State::Ended => return Poll::Ready(None),
        };
        let ended = matches!(
            outcome,
            Ok(None) | Err(EventError::NotFound { .. } | EventError::Closed { .. })
        );
        if ended {
            self.state = State::Ended;
        }
        Poll::Ready(outcome.transpose())
    }
}

impl EventStream {
    /// Moves the subscription into a future of its `next`.
    fn wait(&mut self) {
        if let State::Ready(mut subscription) = std::mem::replace(&mut self.state, State::Ended) {
            self.state = State::Waiting(Box::pin(async move {
                let outcome = subscription.next().await;
                (subscription, outcome)
            }));
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}
