//! The table of subscriptions, how it is kept, and how consumers come to an
//! end. The reasons are in `docs/decisions/0004-subscriptions.md`.

mod table;

use std::{
    collections::HashMap,
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
pub(crate) use table::Retired;
use table::Table;

/// The subscriptions of one bus.
pub(crate) struct Registry {
    backend: Arc<Backend>,
    table: RwLock<Table>,
    store: RwLock<Option<Arc<dyn StateStore>>>,
    /// One change at a time, so that saves land in the order of the changes.
    turn: Mutex<()>,
    /// Tells open handles that the table changed.
    changes: watch::Sender<()>,
}

/// A subscriber, as the table has it at one moment.
pub(crate) struct View {
    pub(crate) filter: Option<SubscriptionFilter>,
    pub(crate) retired: Vec<Retired>,
    /// The number of each of its durable consumers: one that was removed and is
    /// created again has another.
    pub(crate) numbers: HashMap<String, u64>,
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
            changes: watch::Sender::new(()),
        }
    }

    /// Wakes on every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(crate) fn is_retired(&self, consumer: &str) -> bool {
        self.table().retired.contains_key(consumer)
    }

    /// Says that a delivery of `consumer` is settled.
    pub(crate) fn settled(&self, consumer: &str) {
        if self.is_retired(consumer) {
            self.wake_handles();
        }
    }

    /// Makes open handles look at the table, and ask about retired consumers.
    fn wake_handles(&self) {
        self.changes.send_replace(());
    }

    pub(crate) fn list(&self) -> Vec<SubscriptionFilter> {
        self.table().filters.values().cloned().collect()
    }

    pub(crate) fn find(&self, subscriber_id: &str) -> Option<SubscriptionFilter> {
        self.table().filters.get(subscriber_id).cloned()
    }

    /// What the table says about a subscriber.
    pub(crate) fn view(&self, subscriber_id: &str) -> View {
        let table = self.table();
        View {
            filter: table.filters.get(subscriber_id).cloned(),
            retired: table.retired_of(subscriber_id).cloned().collect(),
            numbers: table.numbers_of(subscriber_id),
        }
    }

    pub(crate) async fn update(&self, filter: SubscriptionFilter) -> Result<()> {
        let filter = self.checked(filter)?;
        let _turn = self.turn.lock().await;
        let mut table = self.table().clone();
        let subscriber_id = filter.subscriber_id.clone();
        let retired = table.put(filter);
        self.commit(table).await?;
        // A new subject without its consumer must not cost the old one.
        if !retired.is_empty() && self.create_consumers(&subscriber_id).await {
            self.clean_up(&retired).await;
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, subscriber_id: &str) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut table = self.table().clone();
        table.remove(subscriber_id);
        let consumers: Vec<String> = table
            .retired_of(subscriber_id)
            .map(|retired| retired.consumer.clone())
            .collect();
        if table != *self.table() {
            self.commit(table).await?;
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
        let mut table = self.table().clone();
        let mut stored = Table::default();
        for (id, filter) in loaded.clone() {
            let unreadable = |cause| EventError::state("load", format!("subscription {id}"), cause);
            match Retired::from_note(&filter) {
                Some(retired) => stored.retire(retired),
                None => {
                    let filter = self.checked(filter).map_err(unreadable)?;
                    stored.put(filter);
                }
            }
        }
        let changed = table.merge(stored);
        if table.to_state() != loaded {
            store.save(&table.to_state()).await?;
        }
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        let retired: Vec<String> = table.retired.keys().cloned().collect();
        self.replace(table);
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
            let Some(retired) = table.retired.get(consumer) else {
                return Ok(Retirement::Over);
            };
            let owner = table.filters.get(&retired.subscriber_id);
            let overlapping = owner.is_some_and(|filter| overlaps(filter, &retired.subject));
            (owner.is_some(), overlapping, table.needs(retired))
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
        let retired = table.retired.get_mut(consumer);
        retired.map_or(resting, |retired| *retired.resting.get_or_insert(resting))
    }

    async fn unsubscribe(&self, consumer: &str) -> Result<()> {
        if !self.backend.capabilities.durability {
            return Ok(());
        }
        self.backend.provider().unsubscribe(consumer).await
    }

    /// Drops the notes of `consumers`, which are gone.
    async fn forget(&self, consumers: &[String]) {
        let mut table = self.table().clone();
        table.forget(consumers);
        if table == *self.table() {
            return;
        }
        if let Err(error) = self.save(&table).await {
            // Harmless: the next start finds the notes and removes the
            // consumers again.
            tracing::warn!(%error, "could not save that consumers were removed");
        }
        self.replace(table);
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
        if self.table().knows(subscriber_id, subject) {
            return Ok(true);
        }
        let _turn = self.turn.lock().await;
        // Needed again, perhaps, while others had their turn.
        let needed = self.table().knows(subscriber_id, subject);
        if !needed {
            self.unsubscribe(&consumer_name(subscriber_id, subject))
                .await?;
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

    /// Saves `table`, then puts it in force.
    async fn commit(&self, table: Table) -> Result<()> {
        self.save(&table).await?;
        self.replace(table);
        Ok(())
    }

    async fn save(&self, table: &Table) -> Result<()> {
        let store = self
            .store
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match store {
            Some(store) => store.save(&table.to_state()).await,
            None => Ok(()),
        }
    }

    fn replace(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.wake_handles();
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the consumer of one subject. No subject holds a space, so that
/// the last one separates the two whatever the id is.
pub(crate) fn consumer_name(subscriber_id: &str, subject: &str) -> String {
    format!("{subscriber_id} {subject}")
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
