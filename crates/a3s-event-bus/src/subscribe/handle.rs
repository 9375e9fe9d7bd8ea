use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use a3s_event_core::{
    BoxFuture, Result, async_trait,
    provider::{Answer, Delivery, PendingEvent, Settled, Subscription},
    types::ReceivedEvent,
};
use tracing::{Instrument, Span};

use super::{
    answer::Delivered,
    merged::Merged,
    route::{Admitted, Origin, Route},
};
use crate::{
    metrics::{ActiveSubscription, Outcome},
    trace,
};

/// A subscription of the bus: deliveries of the provider, through the pipeline.
pub(crate) struct BusSubscription {
    feed: Feed,
    route: Arc<Route>,
    /// What has to finish before the next delivery is looked at. Kept here
    /// rather than in the future of `next`, so that dropping that one loses
    /// nothing.
    step: Option<BoxFuture<'static, Result<()>>>,
    /// What `next` handed over last and has to acknowledge.
    handed: Option<Handed>,
    /// Whether `next` may leave everything to the provider.
    transparent: bool,
    /// The span of a `poll_next` that waits.
    waiting: Option<Span>,
    gaps: Gaps,
    closed: bool,
    _active: ActiveSubscription,
}

/// Where deliveries come from.
pub(crate) enum Feed {
    One {
        subscription: Box<dyn Subscription>,
        origin: Origin,
    },
    Many(Merged),
}

enum Handed {
    /// The provider acknowledges it when it is asked for the next one.
    ByProvider,
    /// The bus does.
    ByBus(Delivered),
}

impl BusSubscription {
    pub(crate) fn new(feed: Feed, route: Route) -> Self {
        Self {
            transparent: route.is_transparent() && matches!(feed, Feed::One { .. }),
            _active: route.metrics.subscription_opened(),
            gaps: Gaps {
                last: 0,
                missed: feed.missed(),
            },
            feed,
            route: Arc::new(route),
            step: None,
            handed: None,
            waiting: None,
            closed: false,
        }
    }

    /// Acknowledges what `next` handed over last. The provider's answer, if it
    /// takes time, becomes the next step.
    fn acknowledge_handed(&mut self) -> Result<()> {
        match self.handed.take() {
            None => Ok(()),
            Some(Handed::ByProvider) => {
                self.route.metrics.answered(Outcome::Acked);
                Ok(())
            }
            Some(Handed::ByBus(delivered)) => match delivered.settle(Answer::Ack) {
                Settled::Now(result) => result,
                Settled::Later(answered) => {
                    self.step = Some(answered);
                    Ok(())
                }
            },
        }
    }

    /// Gives back what `next` handed over last, as the provider does with what
    /// its own `next` handed over.
    fn give_back_handed(&mut self) -> Settled {
        match self.handed.take() {
            Some(Handed::ByBus(delivered)) => delivered.give_back(),
            Some(Handed::ByProvider) | None => Settled::Now(Ok(())),
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(step) = &mut self.step else {
            return Poll::Ready(Ok(()));
        };
        let outcome = ready!(step.as_mut().poll(cx));
        self.step = None;
        Poll::Ready(outcome)
    }

    async fn finish_step(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Whether nothing more comes, whatever the provider still holds.
    fn is_closed(&self) -> bool {
        self.closed || self.route.status.is_closed()
    }

    /// Waits for the next event that passes the pipeline.
    async fn receive(&mut self) -> Result<Option<(ReceivedEvent, Delivered)>> {
        // The step of an earlier call that was dropped comes first.
        self.finish_step().await?;
        self.acknowledge_handed()?;
        loop {
            self.finish_step().await?;
            if self.is_closed() {
                return Ok(None);
            }
            let Some((delivery, origin)) = self.feed.next().await? else {
                return Ok(None);
            };
            match self.route.admit(delivery, origin) {
                Admitted::Event(received, delivered) => {
                    self.gaps.follow(received.sequence, &self.feed, &self.route);
                    return Ok(Some((received, delivered)));
                }
                Admitted::Leaves(step) => self.step = Some(step),
            }
        }
    }

    /// Receives inside a span that says what came.
    async fn receive_traced(&mut self) -> Result<Option<(ReceivedEvent, Delivered)>> {
        let span = self.route.receive_span();
        if span.is_disabled() {
            return self.receive().await;
        }
        let outcome = self.receive().instrument(span.clone()).await;
        trace::failed(&span, outcome.as_ref().err());
        if let Ok(Some((received, _))) = &outcome {
            trace::received(&span, received);
        }
        outcome
    }

    /// Polls the provider's own `next`. `None` when it has no such way.
    fn poll_provider(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        if self.is_closed() {
            return Some(Poll::Ready(Ok(None)));
        }
        match self.poll_step(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
            Poll::Pending => return Some(Poll::Pending),
        }
        let Feed::One { subscription, .. } = &mut self.feed else {
            return None;
        };
        let span = match self.waiting.take() {
            Some(span) => span,
            None => self.route.receive_span(),
        };
        let polled = span.in_scope(|| subscription.poll_next(cx))?;
        if let Some(Handed::ByProvider) = self.handed.take() {
            self.route.metrics.answered(Outcome::Acked);
        }
        match &polled {
            Poll::Pending => self.waiting = Some(span),
            Poll::Ready(outcome) => self.handed_over(&span, outcome),
        }
        Some(polled)
    }

    /// Counts what the provider's own `next` gave.
    fn handed_over(&mut self, span: &Span, outcome: &Result<Option<ReceivedEvent>>) {
        trace::failed(span, outcome.as_ref().err());
        if let Ok(Some(received)) = outcome {
            trace::received(span, received);
            self.route.metrics.received(received.num_delivered);
            self.gaps.follow(received.sequence, &self.feed, &self.route);
            self.handed = Some(Handed::ByProvider);
        }
    }

    /// `next` where the pipeline has nothing to do.
    async fn next_from_provider(&mut self) -> Result<Option<ReceivedEvent>> {
        let polled = poll_fn(|cx| match self.poll_provider(cx) {
            Some(polled) => polled.map(Some),
            None => Poll::Ready(None),
        })
        .await;
        if let Some(outcome) = polled {
            return outcome;
        }
        if let Some(Handed::ByProvider) = self.handed.take() {
            self.route.metrics.answered(Outcome::Acked);
        }
        let span = self.route.receive_span();
        let Feed::One { subscription, .. } = &mut self.feed else {
            return Ok(None);
        };
        let outcome = subscription.next().instrument(span.clone()).await;
        self.handed_over(&span, &outcome);
        outcome
    }
}

#[async_trait]
impl Subscription for BusSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        if self.transparent {
            return self.next_from_provider().await;
        }
        let Some((received, delivered)) = self.receive_traced().await? else {
            return Ok(None);
        };
        self.handed = Some(Handed::ByBus(delivered));
        Ok(Some(received))
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        let next = self.receive_traced().await?;
        Ok(next.map(|(received, delivered)| delivered.into_pending(received)))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        if self.transparent {
            self.poll_provider(cx)
        } else {
            None
        }
    }

    fn missed(&self) -> u64 {
        self.feed.missed()
    }

    async fn close(&mut self) -> Result<()> {
        self.closed = true;
        let finished = self.finish_step().await;
        let given_back = match self.give_back_handed() {
            Settled::Now(result) => result,
            Settled::Later(answered) => {
                self.step = Some(answered);
                self.finish_step().await
            }
        };
        finished.and(given_back).and(self.feed.close().await)
    }
}

impl Drop for BusSubscription {
    fn drop(&mut self) {
        self.gaps.count(&self.feed, &self.route);
        // An answer that takes time cannot be waited for here: the event comes
        // back after the ack wait then.
        drop(self.give_back_handed());
    }
}

/// What retention took from a subscription, for the figures.
struct Gaps {
    last: u64,
    /// As many are counted, or were missing before this handle.
    missed: u64,
}

impl Gaps {
    /// Asks the provider where sequences leave a gap: elsewhere nothing is
    /// missing, and asking may take a lock.
    fn follow(&mut self, sequence: u64, feed: &Feed, route: &Route) {
        if sequence != self.last.wrapping_add(1) {
            self.count(feed, route);
        }
        self.last = sequence;
    }

    fn count(&mut self, feed: &Feed, route: &Route) {
        let missed = feed.missed();
        if missed > self.missed {
            route.metrics.missed(missed - self.missed);
            self.missed = missed;
        }
    }
}

impl Feed {
    async fn next(&mut self) -> Result<Option<(Delivery, Origin)>> {
        match self {
            Self::One {
                subscription,
                origin,
            } => {
                let delivery = subscription.next_delivery().await?;
                Ok(delivery.map(|delivery| (delivery, origin.clone())))
            }
            Self::Many(merged) => merged.next().await,
        }
    }

    fn missed(&self) -> u64 {
        match self {
            Self::One { subscription, .. } => subscription.missed(),
            Self::Many(merged) => merged.missed(),
        }
    }

    async fn close(&mut self) -> Result<()> {
        match self {
            Self::One { subscription, .. } => subscription.close().await,
            Self::Many(merged) => merged.close().await,
        }
    }
}
