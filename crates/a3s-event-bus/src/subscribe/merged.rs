mod source;

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use a3s_event_core::{
    BoxFuture, EventError, Result,
    provider::{Delivery, Subscription},
    subject::SubjectPattern,
    types::SubscriptionFilter,
};
use tokio::sync::watch;

use super::route::Origin;
use crate::registry::{Registry, Retired, Retirement, Subscriber, consumer_name};
use source::{Reader, Source};

/// Deliveries that are acknowledged unseen in one go before others get a turn.
const MOST_UNSEEN: usize = 64;

/// The consumers of one subscriber as one flow, in fair turns.
///
/// An event that several patterns match belongs to the first of them; the
/// others acknowledge it unseen. A durable subscription follows changes of its
/// filter, and reads retired consumers until they are drained.
pub(crate) struct Merged {
    /// Gone with the bus; then nothing changes any more.
    registry: Weak<Registry>,
    subscriber_id: String,
    scope: Scope,
    /// What the subscriber asks for, in the order that decides whose an event is.
    patterns: Vec<SubjectPattern>,
    sources: Vec<Source>,
    /// The source whose turn it is.
    turn: usize,
    /// Wakes when the subscriber changed, or when a retired consumer may be drained.
    changed: BoxFuture<'static, watch::Receiver<()>>,
    /// The subscription is no longer there, or no longer durable.
    removed: bool,
    /// A consumer could not be opened, and may be the next time.
    unopened: bool,
    /// Tells readers to give their subscription back.
    stop: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Its consumers are its own: it keeps its subjects.
    Ephemeral,
    /// All consumers of the subscriber, retired ones included.
    Durable,
    /// One retired consumer.
    Draining,
}

type Next = Result<Option<(Delivery, Origin)>>;

impl Merged {
    /// Merges ephemeral subscriptions.
    pub(crate) fn ephemeral(
        registry: &Arc<Registry>,
        subscriber_id: &str,
        opened: Vec<(SubjectPattern, Box<dyn Subscription>)>,
    ) -> Self {
        let changes = registry.changes(subscriber_id);
        let mut merged = Self::new(registry, subscriber_id, Scope::Ephemeral, changes);
        for (pattern, subscription) in opened {
            merged.patterns.push(pattern.clone());
            merged
                .sources
                .push(Source::new(pattern, None, Reader::Idle(subscription)));
        }
        merged
    }

    /// Merges handles on durable consumers, and reads retired ones too. `view`
    /// was taken after `changes` was subscribed, and before anything was opened.
    pub(crate) fn durable(
        registry: &Arc<Registry>,
        subscriber_id: &str,
        changes: watch::Receiver<()>,
        view: &Subscriber,
        opened: Vec<(SubjectPattern, Box<dyn Subscription>)>,
    ) -> Self {
        let mut merged = Self::new(registry, subscriber_id, Scope::Durable, changes);
        for (pattern, subscription) in opened {
            merged.patterns.push(pattern.clone());
            merged.add(pattern, view, Reader::Idle(subscription));
        }
        for retired in view.retired.values() {
            merged.read_retired(registry, view, retired);
        }
        merged
    }

    /// Reads one retired consumer until it is drained. The consumers of the
    /// filter have handles of their own.
    pub(crate) fn draining(
        registry: &Arc<Registry>,
        subscriber_id: &str,
        changes: watch::Receiver<()>,
        view: &Subscriber,
        retired: &Retired,
    ) -> Self {
        let mut merged = Self::new(registry, subscriber_id, Scope::Draining, changes);
        merged.patterns = view.filter.as_ref().map(parsed).unwrap_or_default();
        merged.read_retired(registry, view, retired);
        merged
    }

    fn new(
        registry: &Arc<Registry>,
        subscriber_id: &str,
        scope: Scope,
        changes: watch::Receiver<()>,
    ) -> Self {
        Self {
            registry: Arc::downgrade(registry),
            subscriber_id: subscriber_id.to_owned(),
            scope,
            patterns: Vec::new(),
            sources: Vec::new(),
            turn: 0,
            changed: next_change(changes),
            removed: false,
            unopened: false,
            stop: Arc::default(),
        }
    }

    /// Adds the consumer of a subject.
    fn add(&mut self, pattern: SubjectPattern, view: &Subscriber, reader: Reader) {
        let consumer = consumer_name(&self.subscriber_id, pattern.as_str());
        // One that is not in the table is none that the table may have later.
        let number = view.numbers.get(&consumer).copied().unwrap_or(0);
        let consumer = Some((consumer.into(), number));
        let mut source = Source::new(pattern, consumer, reader);
        self.place(&mut source, view);
        self.sources.push(source);
    }

    /// Tells a source what the table says, and whether to keep it.
    fn place(&self, source: &mut Source, view: &Subscriber) -> bool {
        let retired = view.retired.values().find(|retired| source.reads(retired));
        let asked_for = self.patterns.contains(&source.pattern);
        source.current = asked_for && self.scope == Scope::Durable;
        source.set_past(retired);
        // One that ended before its subject returned is opened anew.
        let reads_on = source.current && !source.is_over();
        source.is_among(&view.numbers) && (reads_on || (retired.is_some() && !asked_for))
    }

    /// Reads a retired consumer, unless it has a source.
    fn read_retired(&mut self, registry: &Arc<Registry>, view: &Subscriber, retired: &Retired) {
        let Ok(pattern) = SubjectPattern::parse(&retired.subject) else {
            return;
        };
        if self.sources.iter().any(|source| source.reads(retired)) {
            return;
        }
        let (registry, retired) = (Arc::clone(registry), retired.clone());
        let opening = Box::pin(async move { registry.open_retired(&retired).await });
        self.add(pattern, view, Reader::Opening(opening));
    }

    /// How many events retention removed before they were read.
    pub(crate) fn missed(&self) -> u64 {
        self.sources.iter().map(Source::missed).sum()
    }

    /// Closes every source; a dropped call goes on where it stopped.
    pub(crate) async fn close(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let mut outcome = Ok(());
        while let Some(source) = self.sources.last_mut() {
            outcome = outcome.and(source.close().await);
            self.sources.pop();
        }
        outcome
    }

    /// Waits for the next delivery that is the subscriber's.
    pub(crate) async fn next(&mut self) -> Next {
        if self.unopened {
            self.follow();
        }
        loop {
            self.ask(Source::must_ask).await?;
            let next = poll_fn(|cx| {
                while let Poll::Ready(changes) = self.changed.as_mut().poll(cx) {
                    self.changed = next_change(changes);
                    self.follow();
                }
                match self.poll_sources(cx) {
                    Poll::Ready(next) => Poll::Ready(Some(next)),
                    Poll::Pending if self.sources.iter().any(Source::wants_to_ask) => {
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(next) = next.await {
                return next;
            }
            self.ask(Source::wants_to_ask).await?;
        }
    }

    /// Asks the registry about retired consumers that may be drained.
    ///
    /// Not kept beyond a call of `next`: the registry makes one change at a time,
    /// and a future that nobody polls must not be the one that holds it up.
    async fn ask(&mut self, which: fn(&Source) -> bool) -> Result<()> {
        while let Some((index, consumer, caught_up)) = self.question(which) {
            let Some(registry) = self.registry.upgrade() else {
                // The bus is gone, and what it would decide with it.
                self.sources.remove(index);
                continue;
            };
            match registry.finish(&consumer, caught_up).await? {
                Retirement::Draining { resting } => self.sources[index].is_draining(resting),
                // Gone, or drained: the table says which.
                Retirement::Over => self.follow(),
                // Anything may be from before: better twice than never.
                Retirement::Unknown if self.sources[index].current => {
                    self.sources[index].is_draining(u64::MAX);
                }
                // It is kept, unread.
                Retirement::Unknown => drop(self.sources.remove(index)),
            }
        }
        Ok(())
    }

    /// The next source that asks, its consumer, and whether it has seen
    /// everything from before the change.
    fn question(&self, which: fn(&Source) -> bool) -> Option<(usize, Arc<str>, bool)> {
        let index = self.sources.iter().position(which)?;
        let (consumer, caught_up) = self.sources[index].question()?;
        Some((index, consumer, caught_up))
    }

    fn poll_sources(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let (mut pending, mut unseen) = (0, 0);
        while pending < self.sources.len() {
            self.turn %= self.sources.len();
            let source = &mut self.sources[self.turn];
            match source.poll(cx, &self.stop) {
                Poll::Pending => {
                    pending += 1;
                    self.turn += 1;
                }
                Poll::Ready(Ok(Some(delivery))) => {
                    pending = 0;
                    if self.hands_over(&delivery) {
                        let origin = self.sources[self.turn].origin(&self.registry);
                        self.turn += 1;
                        return Poll::Ready(Ok(Some((delivery, origin))));
                    }
                    self.sources[self.turn].acknowledge_unseen(delivery);
                    unseen += 1;
                    if unseen == MOST_UNSEEN {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Ok(None)) => {
                    pending = 0;
                    self.sources.remove(self.turn);
                }
                Poll::Ready(Err(error)) => {
                    pending = 0;
                    let gone = matches!(error, EventError::NotFound { .. });
                    if gone && !source.current && source.is_noted() {
                        source.end();
                        continue;
                    }
                    let closed = matches!(error, EventError::Closed { .. });
                    if gone || closed || source.is_over() {
                        self.sources.remove(self.turn);
                        self.unopened |= error.is_retryable();
                    } else {
                        self.turn += 1;
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
        if !self.sources.is_empty() {
            return Poll::Pending;
        }
        if mem::take(&mut self.removed) {
            let error = EventError::not_found("durable subscription", &self.subscriber_id);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(None))
    }

    /// Whether the delivery of the source whose turn it is goes to the reader.
    fn hands_over(&mut self, delivery: &Delivery) -> bool {
        let (subject, num_delivered) = match delivery {
            Delivery::Event(pending) => {
                let received = &pending.received;
                (received.event.subject.as_str(), received.num_delivered)
            }
            Delivery::Undecodable(message) => (message.subject.as_str(), message.num_delivered),
            _ => return true,
        };
        let owner = self.patterns.iter().find(|it| it.matches(subject));
        let source = &mut self.sources[self.turn];
        if source.is_past(num_delivered, owner.is_some()) {
            return true;
        }
        source.current && owner.is_none_or(|owner| *owner == source.pattern)
    }

    /// Brings the sources in line with the table.
    fn follow(&mut self) {
        if self.scope == Scope::Ephemeral {
            return;
        }
        let Some(registry) = self.registry.upgrade() else {
            return;
        };
        self.unopened = false;
        let view = registry.view(&self.subscriber_id);
        let filter = view.filter.as_ref().filter(|filter| filter.durable);
        let reads_current = self.scope == Scope::Durable;
        self.removed = reads_current && filter.is_none();
        self.patterns = filter.map(parsed).unwrap_or_default();

        let mut sources = mem::take(&mut self.sources);
        sources.retain_mut(|source| self.place(source, &view));
        self.sources = sources;
        if reads_current {
            self.open_added(&registry, &view);
            for retired in view.retired.values() {
                self.read_retired(&registry, &view, retired);
            }
        }
    }

    /// Opens the consumers that the filter names and that have no source.
    fn open_added(&mut self, registry: &Arc<Registry>, view: &Subscriber) {
        let options = view.filter.as_ref().and_then(|it| it.options.clone());
        let options = options.unwrap_or_default();
        for pattern in self.patterns.clone() {
            if self.sources.iter().any(|source| source.pattern == pattern) {
                continue;
            }
            let (registry, options) = (Arc::clone(registry), options.clone());
            let subscriber_id = self.subscriber_id.clone();
            let subject = pattern.as_str().to_owned();
            let opening = Box::pin(async move {
                registry
                    .open_durable(&subscriber_id, &subject, &options)
                    .await
            });
            self.add(pattern, view, Reader::Opening(opening));
        }
    }
}

/// The patterns of a registered filter, which was checked.
fn parsed(filter: &SubscriptionFilter) -> Vec<SubjectPattern> {
    filter
        .subjects
        .iter()
        .filter_map(|subject| SubjectPattern::parse(subject).ok())
        .collect()
}

fn next_change(mut changes: watch::Receiver<()>) -> BoxFuture<'static, watch::Receiver<()>> {
    Box::pin(async move {
        if changes.changed().await.is_err() {
            // The bus is gone.
            std::future::pending::<()>().await;
        }
        changes
    })
}
