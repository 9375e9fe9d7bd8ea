use std::collections::{BTreeMap, HashMap};

use a3s_event_core::types::{SubscribeOptions, SubscriptionFilter};

use super::consumer_name;

/// What the id of a note in the store begins with; the consumer's name follows.
const NOTE: &str = "$retired ";

/// Filters by subscriber, and the consumers that were retired, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    pub(super) filters: BTreeMap<String, SubscriptionFilter>,
    pub(super) retired: BTreeMap<String, Retired>,
    /// A number for each consumer that is needed or retired: one that was
    /// removed and is created again has another.
    numbers: BTreeMap<String, u64>,
    next_number: u64,
}

/// A consumer that was retired and is not known to be drained. Its subject may
/// have returned to the filter meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retired {
    pub(crate) consumer: String,
    pub(crate) subscriber_id: String,
    pub(crate) subject: String,
    /// What it was created with.
    pub(crate) options: Option<SubscribeOptions>,
    /// How many events rested in it when the provider was asked first.
    pub(super) resting: Option<u64>,
    /// A number of its own for each time that it is retired.
    pub(crate) time: u64,
}

impl Table {
    /// Puts `filter` in place of the subscriber's earlier one, and names the
    /// consumers that this retires.
    ///
    /// Durable subjects that stay keep their order and added ones follow: whoever
    /// owned an event that several subjects match must go on to own it.
    pub(super) fn put(&mut self, mut filter: SubscriptionFilter) -> Vec<String> {
        let earlier = self.filters.remove(&filter.subscriber_id);
        let earlier = earlier.filter(|earlier| earlier.durable);
        if let Some(earlier) = &earlier
            && filter.durable
        {
            let earlier = &earlier.subjects;
            filter.subjects.sort_by_key(|subject| {
                let place = earlier.iter().position(|other| other == subject);
                place.unwrap_or(usize::MAX)
            });
        }
        let mut retired = Vec::new();
        for consumer in earlier.iter().flat_map(Retired::all_of) {
            if !(filter.durable && filter.subjects.contains(&consumer.subject)) {
                retired.push(consumer.consumer.clone());
                self.retire(consumer);
            }
        }
        self.filters.insert(filter.subscriber_id.clone(), filter);
        self.number_consumers();
        retired
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

    pub(super) fn retire(&mut self, mut retired: Retired) {
        self.next_number += 1;
        retired.time = self.next_number;
        self.retired.insert(retired.consumer.clone(), retired);
    }

    /// Whether the subject of a retired consumer has returned.
    pub(super) fn needs(&self, retired: &Retired) -> bool {
        let filter = self.filters.get(&retired.subscriber_id);
        filter.is_some_and(|filter| filter.durable && filter.subjects.contains(&retired.subject))
    }

    /// Drops the notes of `consumers`.
    pub(super) fn forget(&mut self, consumers: &[String]) {
        self.retired.retain(|name, _| !consumers.contains(name));
        self.number_consumers();
    }

    /// The number of each consumer of a subscriber.
    pub(super) fn numbers_of(&self, subscriber_id: &str) -> HashMap<String, u64> {
        let numbers = self.numbers.iter();
        numbers
            .filter(|(consumer, _)| {
                let named = consumer.rsplit_once(' ');
                named.is_some_and(|(owner, _)| owner == subscriber_id)
            })
            .map(|(consumer, number)| (consumer.clone(), *number))
            .collect()
    }

    /// Numbers the consumers that have none, and forgets those that are gone.
    fn number_consumers(&mut self) {
        let durable = self.filters.values().filter(|filter| filter.durable);
        let needed = durable.flat_map(Retired::all_of).map(|it| it.consumer);
        let mut earlier = std::mem::take(&mut self.numbers);
        for consumer in needed.chain(self.retired.keys().cloned()) {
            if self.numbers.contains_key(&consumer) {
                continue;
            }
            let number = earlier.remove(&consumer).unwrap_or_else(|| {
                self.next_number += 1;
                self.next_number
            });
            self.numbers.insert(consumer, number);
        }
    }

    pub(super) fn retired_of(&self, subscriber_id: &str) -> impl Iterator<Item = &Retired> {
        self.retired
            .values()
            .filter(move |retired| retired.subscriber_id == subscriber_id)
    }

    /// Whether the consumer of a subject is needed, or noted to be removed.
    pub(super) fn knows(&self, subscriber_id: &str, subject: &str) -> bool {
        let filter = self.filters.get(subscriber_id);
        filter
            .is_some_and(|filter| filter.durable && filter.subjects.iter().any(|it| it == subject))
            || self
                .retired
                .contains_key(&consumer_name(subscriber_id, subject))
    }

    /// Adds what was stored. What is registered here wins, as if it had been put
    /// over the stored filter: the subscribers of which that retired a consumer
    /// are returned.
    pub(super) fn merge(&mut self, mut stored: Self) -> Vec<String> {
        let registered = std::mem::take(self);
        stored.numbers.extend(registered.numbers);
        stored.next_number = stored.next_number.max(registered.next_number);
        for retired in registered.retired.into_values() {
            stored.retire(retired);
        }
        let mut changed = Vec::new();
        for (id, filter) in registered.filters {
            if !stored.put(filter).is_empty() {
                changed.push(id);
            }
        }
        stored.number_consumers();
        *self = stored;
        changed
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
            time: 0,
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
            time: 0,
        })
    }
}
