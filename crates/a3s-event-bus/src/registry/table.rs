use std::collections::{BTreeMap, HashMap};

use a3s_event_core::types::{SubscribeOptions, SubscriptionFilter};

use super::consumer_name;

/// What the id of a note in the store begins with; the consumer's name follows.
const NOTE: &str = "$retired ";

/// Filters by subscriber, and the consumers that are to be removed, by name.
///
/// Invariant: no retired consumer is one that a filter needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    pub(super) filters: BTreeMap<String, SubscriptionFilter>,
    pub(super) retired: BTreeMap<String, Retired>,
}

/// A consumer that is no longer needed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retired {
    pub(crate) consumer: String,
    pub(crate) subscriber_id: String,
    pub(crate) subject: String,
    /// What it was created with.
    pub(crate) options: Option<SubscribeOptions>,
    /// How many events rested in it when the provider was asked first.
    pub(super) resting: Option<u64>,
}

/// What putting a filter changed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Change {
    /// Subjects of a durable filter whose consumers may not exist yet.
    pub(super) added: Vec<String>,
    /// The consumers that were retired.
    pub(super) retired: Vec<String>,
}

impl Table {
    /// Puts `filter` in place of the subscriber's earlier one. Subjects that
    /// stay keep their order and added ones follow: who owns an event that
    /// several subjects match must not change.
    pub(super) fn put(&mut self, mut filter: SubscriptionFilter) -> Change {
        let mut change = Change::default();
        if let Some(earlier) = self.filters.remove(&filter.subscriber_id) {
            let (mut subjects, added): (Vec<_>, Vec<_>) = filter
                .subjects
                .into_iter()
                .partition(|subject| earlier.subjects.contains(subject));
            subjects.sort_by_key(|subject| earlier.subjects.iter().position(|old| old == subject));
            subjects.extend(added);
            filter.subjects = subjects;
            change.added.clone_from(&filter.subjects);
            if earlier.durable {
                change
                    .added
                    .retain(|subject| !earlier.subjects.contains(subject));
                let retired = Retired::all_of(&earlier);
                change.retired = retired.iter().map(|it| it.consumer.clone()).collect();
                retired.into_iter().for_each(|it| self.retire(it));
            }
        }
        if filter.durable {
            for subject in &filter.subjects {
                let needed = consumer_name(&filter.subscriber_id, subject);
                self.retired.remove(&needed);
                change.retired.retain(|retired| *retired != needed);
            }
        } else {
            change.added.clear();
        }
        self.filters.insert(filter.subscriber_id.clone(), filter);
        change
    }

    /// Takes the subscriber's filter out and retires its consumers.
    pub(super) fn remove(&mut self, subscriber_id: &str) {
        if let Some(filter) = self.filters.remove(subscriber_id)
            && filter.durable
        {
            Retired::all_of(&filter)
                .into_iter()
                .for_each(|retired| self.retire(retired));
        }
    }

    pub(super) fn retire(&mut self, retired: Retired) {
        self.retired.insert(retired.consumer.clone(), retired);
    }

    pub(super) fn retired_of(&self, subscriber_id: &str) -> impl Iterator<Item = &Retired> {
        self.retired
            .values()
            .filter(move |retired| retired.subscriber_id == subscriber_id)
    }

    /// Adds what was stored. What is registered here wins, as if it had been put
    /// over the stored filter: what that changed is returned by subscriber.
    pub(super) fn merge(&mut self, mut stored: Self) -> Vec<(String, Change)> {
        let registered = std::mem::take(self);
        for retired in registered.retired.into_values() {
            stored.retire(retired);
        }
        let put = |(id, filter)| (id, stored.put(filter));
        let changes = registered.filters.into_iter().map(put).collect();
        stored.drop_needless_notes();
        *self = stored;
        changes
    }

    /// Restores the invariant after notes and filters came in any order.
    fn drop_needless_notes(&mut self) {
        let filters = &self.filters;
        self.retired.retain(|_, retired| {
            !filters
                .get(&retired.subscriber_id)
                .is_some_and(|filter| filter.durable && filter.subjects.contains(&retired.subject))
        });
    }

    /// What a store keeps: the filters, and a note for each retired consumer.
    pub(super) fn to_state(&self) -> HashMap<String, SubscriptionFilter> {
        let notes = self.retired.values().map(Retired::to_note);
        self.filters
            .values()
            .cloned()
            .chain(notes)
            .map(|filter| (filter.subscriber_id.clone(), filter))
            .collect()
    }
}

impl Retired {
    fn all_of(filter: &SubscriptionFilter) -> Vec<Self> {
        let retire = |subject: &String| Self {
            consumer: consumer_name(&filter.subscriber_id, subject),
            subscriber_id: filter.subscriber_id.clone(),
            subject: subject.clone(),
            options: filter.options.clone(),
            resting: None,
        };
        filter.subjects.iter().map(retire).collect()
    }

    fn to_note(&self) -> SubscriptionFilter {
        SubscriptionFilter {
            subscriber_id: format!("{NOTE}{}", self.consumer),
            subjects: vec![self.subject.clone()],
            durable: true,
            options: self.options.clone(),
        }
    }

    /// Reads what [`to_note`](Self::to_note) wrote.
    pub(super) fn from_note(filter: &SubscriptionFilter) -> Option<Self> {
        let consumer = filter.subscriber_id.strip_prefix(NOTE)?;
        let (subscriber_id, subject) = consumer.rsplit_once(' ')?;
        Some(Self {
            consumer: consumer.to_owned(),
            subscriber_id: subscriber_id.to_owned(),
            subject: subject.to_owned(),
            options: filter.options.clone(),
            resting: None,
        })
    }
}
