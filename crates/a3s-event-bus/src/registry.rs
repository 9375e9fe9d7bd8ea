//! The table of subscriptions, how it is kept, and how consumers come to an
//! end. The reasons are in `docs/decisions/0004-subscriptions.md`.

mod followers;
mod subscriber;
mod table;

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use a3s_event_core::{
    EventError, Result,
    provider::{ConsumerInfo, Subscription},
    state::StateStore,
    subject::{SubjectPattern, validate_consumer_name},
    types::{SubscribeOptions, SubscriptionFilter},
};
use tokio::sync::{Mutex, watch};

use crate::backend::Backend;
use followers::Followers;
pub(crate) use subscriber::{Retired, Subscriber};
pub(crate) use table::consumer_name;
use table::{Changes, Numbers, Table, owner_of};

/// The subscriptions of one bus.
pub(crate) struct Registry {
    backend: Arc<Backend>,
    table: RwLock<Table>,
    store: RwLock<Option<Arc<dyn StateStore>>>,
    /// One change at a time, so that saves land in the order of the changes.
    turn: Mutex<()>,
    numbers: Numbers,
    followers: Followers,
}

/// What became of a retired consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retirement {
    /// It is not retired any more: removed, or drained after its subject had
    /// returned.
    Over,
    /// Something rests in it: at most so many events from before it was asked
    /// first.
    Draining { resting: u64 },
    /// The provider cannot tell what rests in it.
    Unknown,
}

impl Registry {
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self {
            backend,
            table: RwLock::default(),
            store: RwLock::default(),
            turn: Mutex::default(),
            numbers: Numbers::default(),
            followers: Followers::default(),
        }
    }

    /// Wakes on every change of a subscriber from now on.
    pub(crate) fn changes(&self, subscriber_id: &str) -> watch::Receiver<()> {
        self.followers.follow(subscriber_id)
    }

    pub(crate) fn is_retired(&self, consumer: &str) -> bool {
        self.table().find_retired(consumer).is_some()
    }

    /// Says that a delivery of `consumer` is settled: handles ask about retired ones.
    pub(crate) fn settled(&self, consumer: &str) {
        if self.is_retired(consumer) {
            self.followers.wake(owner_of(consumer));
        }
    }

    pub(crate) fn list(&self) -> Vec<SubscriptionFilter> {
        self.table().filters().cloned().collect()
    }

    pub(crate) fn find(&self, subscriber_id: &str) -> Option<SubscriptionFilter> {
        self.table().get(subscriber_id)?.filter.clone()
    }

    /// A subscriber, as the table has it now.
    pub(crate) fn view(&self, subscriber_id: &str) -> Subscriber {
        self.table().copy_of(subscriber_id)
    }

    pub(crate) async fn update(&self, filter: SubscriptionFilter) -> Result<()> {
        let filter = self.checked(filter)?;
        let _turn = self.turn.lock().await;
        let subscriber_id = filter.subscriber_id.clone();
        let mut subscriber = self.view(&subscriber_id);
        let retired = subscriber.put(filter, &self.numbers);
        self.commit(&subscriber_id, subscriber).await?;
        // A new subject without its consumer must not cost the old one.
        if !retired.is_empty() && self.create_consumers(&subscriber_id).await {
            self.clean_up(&retired).await;
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, subscriber_id: &str) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut subscriber = self.view(subscriber_id);
        let registered = subscriber.filter.is_some();
        subscriber.remove(&self.numbers);
        let consumers: Vec<String> = subscriber.retired.keys().cloned().collect();
        if registered {
            self.commit(subscriber_id, subscriber).await?;
        }
        let mut removed = Vec::new();
        let mut outcome = Ok(());
        for consumer in consumers {
            match self.unsubscribe(&consumer).await {
                Ok(()) => removed.push(consumer),
                // Its note stays, so that a repeated call finds it.
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.forget(&removed).await;
        outcome
    }

    /// Loads what `store` keeps, adds it to what is registered, and keeps
    /// changes there from now on.
    pub(crate) async fn restore(&self, store: Arc<dyn StateStore>) -> Result<()> {
        let _turn = self.turn.lock().await;
        let loaded = store.load().await?;
        let mut merged = Changes::new();
        for (id, filter) in loaded.clone() {
            let unreadable = |cause| EventError::state("load", format!("subscription {id}"), cause);
            if let Some(retired) = Retired::from_note(&filter) {
                let owner = merged.entry(retired.subscriber_id.clone()).or_default();
                owner.retire(retired, &self.numbers);
            } else {
                let filter = self.checked(filter).map_err(unreadable)?;
                let owner = merged.entry(filter.subscriber_id.clone()).or_default();
                owner.put(filter, &self.numbers);
            }
        }
        let mut changed = Vec::new();
        for (id, stored) in &mut merged {
            let mut subscriber = self.view(id);
            if subscriber.merge(mem::take(stored), &self.numbers) {
                changed.push(id.clone());
            }
            *stored = subscriber;
        }
        let state = self.table().to_state(&merged);
        if state != loaded {
            store.save(&state).await?;
        }
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        self.apply(merged);
        let retired: Vec<String> = self
            .table()
            .retired()
            .map(|it| it.consumer.clone())
            .collect();
        let mut created = true;
        for subscriber_id in changed {
            created &= self.create_consumers(&subscriber_id).await;
        }
        if created {
            self.clean_up(&retired).await;
        }
        Ok(())
    }

    /// Removes the retired `consumer` if nothing rests in it, or lets it be
    /// where its subject has returned. `caught_up` says that a handle has seen
    /// everything from before the change.
    pub(crate) async fn finish(&self, consumer: &str, caught_up: bool) -> Result<Retirement> {
        let _turn = self.turn.lock().await;
        let retirement = self.finish_in_turn(consumer, caught_up).await?;
        if retirement == Retirement::Over {
            self.forget(&[consumer.to_owned()]).await;
        }
        Ok(retirement)
    }

    /// Removes what can be removed of `consumers`. The change that retired them
    /// is in force, so failing is no reason to fail it: they are tried again
    /// whenever the subscription is opened.
    async fn clean_up(&self, consumers: &[String]) {
        let mut removed = Vec::new();
        for consumer in consumers {
            match self.finish_in_turn(consumer, false).await {
                Ok(Retirement::Over) => removed.push(consumer.clone()),
                Ok(Retirement::Draining { .. }) => {}
                Ok(Retirement::Unknown) => tracing::warn!(
                    provider = self.backend.name(),
                    consumer,
                    "the provider cannot tell whether the consumer is drained: it is kept until \
                     the subscription is removed"
                ),
                Err(error) => tracing::warn!(
                    consumer,
                    %error,
                    "could not remove a consumer that is no longer needed"
                ),
            }
        }
        self.forget(&removed).await;
    }

    async fn finish_in_turn(&self, consumer: &str, caught_up: bool) -> Result<Retirement> {
        let (wanted, overlapping, returned) = {
            let table = self.table();
            let Some((subscriber, retired)) = table.find_retired(consumer) else {
                return Ok(Retirement::Over);
            };
            let subject = &retired.subject;
            let filter = subscriber.filter.as_ref();
            let overlapping = filter.is_some_and(|filter| overlaps(filter, subject));
            (filter.is_some(), overlapping, subscriber.needs(subject))
        };
        if wanted && self.backend.capabilities.durability {
            let info = match self.backend.provider().consumer_info(consumer).await {
                Ok(info) => info,
                Err(EventError::NotFound { .. }) => ConsumerInfo::new(0, 0),
                Err(EventError::Unsupported { .. }) => return Ok(Retirement::Unknown),
                Err(error) => return Err(error),
            };
            let undelivered = info.pending > 0 && overlapping && !caught_up;
            if info.unanswered > 0 || undelivered {
                let now = info.pending.saturating_add(info.unanswered);
                let resting = self.note_resting(consumer, now);
                return Ok(Retirement::Draining { resting });
            }
        }
        if !returned {
            self.unsubscribe(consumer).await?;
        }
        Ok(Retirement::Over)
    }

    /// Remembers what rested in a consumer when it was asked first.
    fn note_resting(&self, consumer: &str, resting: u64) -> u64 {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.note_resting(consumer, resting)
    }

    async fn unsubscribe(&self, consumer: &str) -> Result<()> {
        if !self.backend.capabilities.durability {
            return Ok(());
        }
        self.backend.provider().unsubscribe(consumer).await
    }

    /// Drops the notes of `consumers`, which are gone.
    async fn forget(&self, consumers: &[String]) {
        let owners: BTreeSet<&str> = consumers.iter().map(|name| owner_of(name)).collect();
        let mut changes = Changes::new();
        for owner in owners {
            let mut subscriber = self.view(owner);
            subscriber.forget(consumers, &self.numbers);
            if self.table().get(owner).is_some_and(|it| *it != subscriber) {
                changes.insert(owner.to_owned(), subscriber);
            }
        }
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.save(&changes).await {
            // Harmless: the next start finds the notes and removes the
            // consumers again.
            tracing::warn!(%error, "could not save that consumers were removed");
        }
        self.apply(changes);
    }

    /// Creates the consumers of a subscriber that do not exist yet, before retired
    /// ones go: what is published from now on waits in them. Returns whether all
    /// of them exist.
    async fn create_consumers(&self, subscriber_id: &str) -> bool {
        let filter = self.find(subscriber_id).filter(|filter| filter.durable);
        let Some(filter) = filter.filter(|_| self.backend.capabilities.durability) else {
            return true;
        };
        let mut created = true;
        let options = self.without_reading_ahead(filter.options);
        for subject in &filter.subjects {
            let opened = self.open_durable(subscriber_id, subject, &options).await;
            let outcome = match opened {
                Ok(mut subscription) => subscription.close().await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                // Opening the subscription meets the same error and returns it.
                tracing::warn!(subscriber_id, subject, %error, "could not create a consumer");
                created = false;
            }
        }
        created
    }

    /// Opens a handle on the consumer of one subject.
    pub(crate) async fn open_durable(
        &self,
        subscriber_id: &str,
        subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let options = self.backend.honored_subscribe(options)?;
        self.backend
            .provider()
            .subscribe_durable_with_options(
                &consumer_name(subscriber_id, subject),
                subject,
                &options,
            )
            .await
    }

    /// Whether the consumer that was just opened for a subject is still needed.
    /// Removes it otherwise: what forgot it meanwhile came before it existed.
    pub(crate) async fn keep_opened(&self, subscriber_id: &str, subject: &str) -> Result<bool> {
        let consumer = consumer_name(subscriber_id, subject);
        let is_known = || {
            let table = self.table();
            let subscriber = table.get(subscriber_id);
            subscriber.is_some_and(|it| it.needs(subject) || it.retired.contains_key(&consumer))
        };
        if is_known() {
            return Ok(true);
        }
        let _turn = self.turn.lock().await;
        // Needed again, perhaps, while others had their turn.
        let needed = is_known();
        if !needed {
            self.unsubscribe(&consumer).await?;
        }
        Ok(needed)
    }

    /// Opens a handle on a retired consumer. What is read ahead would count as
    /// unanswered.
    pub(crate) async fn open_retired(&self, retired: &Retired) -> Result<Box<dyn Subscription>> {
        let options = self.without_reading_ahead(retired.options.clone());
        self.open_durable(&retired.subscriber_id, &retired.subject, &options)
            .await
    }

    fn without_reading_ahead(&self, options: Option<SubscribeOptions>) -> SubscribeOptions {
        SubscribeOptions {
            prefetch: self.backend.capabilities.prefetch.then_some(0),
            ..options.unwrap_or_default()
        }
    }

    /// Checks a filter and drops subjects that another one covers.
    fn checked(&self, mut filter: SubscriptionFilter) -> Result<SubscriptionFilter> {
        let id = filter.subscriber_id.as_str();
        let rule = if id.is_empty() {
            Some("must not be empty")
        } else if id.starts_with('$') {
            Some("must not begin with `$`: such ids belong to the bus")
        } else if id.chars().any(char::is_control) {
            Some("must not hold control characters")
        } else {
            None
        };
        if let Some(rule) = rule {
            return Err(EventError::invalid_option("subscriber_id", rule));
        }
        if filter.subjects.is_empty() {
            return Err(EventError::invalid_subject(
                "",
                "a subscription needs at least one subject",
            ));
        }
        let patterns = filter
            .subjects
            .iter()
            .map(|subject| self.backend.parse_pattern(subject))
            .collect::<Result<Vec<_>>>()?;
        filter.subjects = uncovered(&patterns);
        if let Some(options) = &filter.options {
            self.backend.honored_subscribe(options)?;
        }
        if self.backend.honored_durability(filter.durable)? {
            for subject in &filter.subjects {
                validate_consumer_name(&consumer_name(&filter.subscriber_id, subject))?;
            }
        }
        Ok(filter)
    }

    /// Saves what a subscriber becomes, then puts it in force.
    async fn commit(&self, subscriber_id: &str, subscriber: Subscriber) -> Result<()> {
        let changes = Changes::from([(subscriber_id.to_owned(), subscriber)]);
        self.save(&changes).await?;
        self.apply(changes);
        Ok(())
    }

    async fn save(&self, changes: &Changes) -> Result<()> {
        let store = self
            .store
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(store) = store else {
            return Ok(());
        };
        let state = self.table().to_state(changes);
        store.save(&state).await
    }

    /// Puts `changes` in force, and lets the handles of these subscribers follow.
    fn apply(&self, changes: Changes) {
        let changed: Vec<String> = changes.keys().cloned().collect();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.apply(changes);
        drop(table);
        for subscriber_id in changed {
            self.followers.wake(&subscriber_id);
        }
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The patterns that no other one covers, in their order; of equal ones the first.
fn uncovered(patterns: &[SubjectPattern]) -> Vec<String> {
    let covered = |(index, pattern): (usize, &SubjectPattern)| {
        patterns.iter().enumerate().any(|(other, covering)| {
            let first = other < index;
            other != index && covering.covers(pattern) && (first || !pattern.covers(covering))
        })
    };
    patterns
        .iter()
        .enumerate()
        .filter(|&indexed| !covered(indexed))
        .map(|(_, pattern)| pattern.as_str().to_owned())
        .collect()
}

fn overlaps(filter: &SubscriptionFilter, subject: &str) -> bool {
    // Both were parsed when they were registered.
    let Ok(subject) = SubjectPattern::parse(subject) else {
        return false;
    };
    filter
        .subjects
        .iter()
        .filter_map(|other| SubjectPattern::parse(other).ok())
        .any(|other| other.overlaps(&subject))
}
