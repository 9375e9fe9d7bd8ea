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
use crate::registry::{Registry, Retired, Retirement, consumer_name};
use source::{Reader, Role, Source};

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
    /// Wakes when the table changed, or when a retired consumer may be drained.
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
        let changes = registry.changes();
        let mut merged = Self::new(registry, subscriber_id, Scope::Ephemeral, changes);
        for (pattern, subscription) in opened {
            merged.add(pattern, None, Role::Current, Reader::Idle(subscription));
        }
        merged
    }

    /// Merges handles on durable consumers, and reads `retired` ones too.
    /// `changes` was subscribed before the filter was read.
    pub(crate) fn durable(
        registry: &Arc<Registry>,
        subscriber_id: &str,
        changes: watch::Receiver<()>,
        opened: Vec<(SubjectPattern, Box<dyn Subscription>)>,
        retired: &[Retired],
    ) -> Self {
        let mut merged = Self::new(registry, subscriber_id, Scope::Durable, changes);
        for (pattern, subscription) in opened {
            let consumer = consumer_name(subscriber_id, pattern.as_str());
            let reader = Reader::Idle(subscription);
            merged.add(pattern, Some(consumer.into()), Role::Current, reader);
        }
        for retired in retired {
            merged.read_retired(registry, retired);
        }
        merged
    }

    /// Reads one retired consumer until it is drained. The consumers of `filter`
    /// have handles of their own.
    pub(crate) fn draining(
        registry: &Arc<Registry>,
        filter: &SubscriptionFilter,
        retired: &Retired,
    ) -> Self {
        let changes = registry.changes();
        let mut merged = Self::new(registry, &filter.subscriber_id, Scope::Draining, changes);
        merged.patterns = parsed(filter);
        merged.read_retired(registry, retired);
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

    /// Adds a source; a current one is asked for.
    fn add(
        &mut self,
        pattern: SubjectPattern,
        consumer: Option<Arc<str>>,
        role: Role,
        reader: Reader,
    ) {
        if matches!(role, Role::Current) && !self.patterns.contains(&pattern) {
            self.patterns.push(pattern.clone());
        }
        self.sources
            .push(Source::new(pattern, consumer, role, reader));
    }

    fn read_retired(&mut self, registry: &Arc<Registry>, retired: &Retired) {
        let Ok(pattern) = SubjectPattern::parse(&retired.subject) else {
            return;
        };
        let consumer = Some(Arc::from(retired.consumer.as_str()));
        let (registry, retired) = (Arc::clone(registry), retired.clone());
        let opening = Box::pin(async move { registry.open_retired(&retired).await });
        self.add(pattern, consumer, Role::retired(), Reader::Opening(opening));
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
            self.ask_about_retired().await?;
            let next = poll_fn(|cx| {
                while let Poll::Ready(changes) = self.changed.as_mut().poll(cx) {
                    self.changed = next_change(changes);
                    self.follow();
                }
                match self.poll_sources(cx) {
                    Poll::Ready(next) => Poll::Ready(Some(next)),
                    Poll::Pending if self.sources.iter().any(Source::asks) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(next) = next.await {
                return next;
            }
        }
    }

    /// Asks the registry about retired consumers that may be drained.
    ///
    /// Not kept beyond a call of `next`: the registry makes one change at a time,
    /// and a future that nobody polls must not be the one that holds it up.
    async fn ask_about_retired(&mut self) -> Result<()> {
        while let Some((index, consumer, caught_up)) = self.question() {
            let Some(registry) = self.registry.upgrade() else {
                // The bus is gone, and what it would decide with it.
                self.sources.remove(index);
                continue;
            };
            match registry.finish(&consumer, caught_up).await? {
                Retirement::Draining { resting } => self.sources[index].is_draining(resting),
                // Gone, or needed again: the table says which.
                Retirement::Over => self.follow(),
                // It is kept, unread.
                Retirement::Unknown => drop(self.sources.remove(index)),
            }
        }
        Ok(())
    }

    /// The next source that asks, its consumer, and whether it has seen
    /// everything from before the change.
    fn question(&self) -> Option<(usize, Arc<str>, bool)> {
        let index = self.sources.iter().position(Source::asks)?;
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
                    if gone && source.is_retired() {
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
        match &mut source.role {
            Role::Current => owner.is_none_or(|owner| *owner == source.pattern),
            // It was delivered before, and nothing settled it.
            Role::Retired(_) if num_delivered > 1 => true,
            Role::Retired(retiring) => retiring.was_there_before() && owner.is_some(),
        }
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
        let filter = registry.find(&self.subscriber_id);
        let filter = filter.filter(|filter| filter.durable);
        let retired = registry.retired(&self.subscriber_id);
        let reads_current = self.scope == Scope::Durable;
        self.removed = reads_current && filter.is_none();
        self.patterns = filter.as_ref().map(parsed).unwrap_or_default();

        let patterns = &self.patterns;
        self.sources.retain_mut(|source| {
            if reads_current && patterns.contains(&source.pattern) {
                source.role = Role::Current;
                return true;
            }
            let is_retired = retired.iter().any(|retired| source.reads(retired));
            if is_retired {
                source.retire();
            }
            is_retired
        });
        if let Some(filter) = filter.filter(|_| reads_current) {
            self.open_added(&registry, &filter);
        }
    }

    /// Opens the consumers that the filter names and that have no source.
    fn open_added(&mut self, registry: &Arc<Registry>, filter: &SubscriptionFilter) {
        for pattern in self.patterns.clone() {
            if self.sources.iter().any(|source| source.pattern == pattern) {
                continue;
            }
            let registry = Arc::clone(registry);
            let subscriber_id = self.subscriber_id.clone();
            let subject = pattern.as_str().to_owned();
            let options = filter.options.clone().unwrap_or_default();
            let consumer = Some(Arc::from(consumer_name(&subscriber_id, &subject)));
            let reader = Reader::Opening(Box::pin(async move {
                registry
                    .open_durable(&subscriber_id, &subject, &options)
                    .await
            }));
            self.add(pattern, consumer, Role::Current, reader);
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
