use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use a3s_event_core::types::{SubscribeOptions, SubscriptionFilter};

use super::table::{Numbers, consumer_name};

/// What the id of a note in the store begins with; the consumer's name follows.
const NOTE: &str = "$retired ";

/// One subscriber: what it asks for, and what rests in consumers that it does
/// not ask for any more.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Subscriber {
    pub(crate) filter: Option<SubscriptionFilter>,
    /// The consumers that were retired, by name.
    pub(crate) retired: BTreeMap<String, Retired>,
    /// A number for each durable consumer that is needed or retired: one that was
    /// removed and is created again has another.
    pub(crate) numbers: HashMap<String, u64>,
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

impl Subscriber {
    /// Puts `filter` in place of the earlier one, and names the consumers that
    /// this retires.
    ///
    /// Durable subjects that stay keep their order and added ones follow: whoever
    /// owned an event that several subjects match must go on to own it.
    pub(super) fn put(&mut self, mut filter: SubscriptionFilter, numbers: &Numbers) -> Vec<String> {
        let earlier = self.filter.take().filter(|earlier| earlier.durable);
        if let Some(earlier) = &earlier
            && filter.durable
        {
            let places: HashMap<&String, usize> = earlier.subjects.iter().zip(0..).collect();
            let place = |subject: &String| places.get(subject).copied().unwrap_or(usize::MAX);
            filter.subjects.sort_by_key(place);
        }
        self.filter = Some(filter);
        let mut retired = Vec::new();
        for consumer in earlier.iter().flat_map(Retired::all_of) {
            if !self.needs(&consumer.subject) {
                retired.push(consumer.consumer.clone());
                self.retire(consumer, numbers);
            }
        }
        self.number_consumers(numbers);
        retired
    }

    /// Takes the filter out and retires its consumers.
    pub(super) fn remove(&mut self, numbers: &Numbers) {
        let filter = self.filter.take().filter(|filter| filter.durable);
        for consumer in filter.iter().flat_map(Retired::all_of) {
            self.retire(consumer, numbers);
        }
    }

    pub(super) fn retire(&mut self, mut retired: Retired, numbers: &Numbers) {
        retired.time = numbers.next();
        self.retired.insert(retired.consumer.clone(), retired);
    }

    /// Whether the consumer of `subject` is needed.
    pub(super) fn needs(&self, subject: &str) -> bool {
        let filter = self.filter.as_ref().filter(|filter| filter.durable);
        filter.is_some_and(|filter| filter.subjects.iter().any(|it| it == subject))
    }

    /// Drops the notes of those of `consumers` that are its own.
    pub(super) fn forget(&mut self, consumers: &[String], numbers: &Numbers) {
        self.retired.retain(|name, _| !consumers.contains(name));
        self.number_consumers(numbers);
    }

    /// Whether nothing is left to know about it.
    pub(super) fn is_gone(&self) -> bool {
        self.filter.is_none() && self.retired.is_empty()
    }

    /// Adds what was stored. What is registered here wins, as if it had been put
    /// over the stored filter. Returns whether that retired a consumer.
    pub(super) fn merge(&mut self, stored: Self, numbers: &Numbers) -> bool {
        let registered = mem::replace(self, stored);
        self.numbers.extend(registered.numbers);
        for retired in registered.retired.into_values() {
            self.retire(retired, numbers);
        }
        let filter = registered.filter;
        let changed = filter.is_some_and(|filter| !self.put(filter, numbers).is_empty());
        self.number_consumers(numbers);
        changed
    }

    /// Numbers the consumers that have none, and forgets those that are gone.
    fn number_consumers(&mut self, numbers: &Numbers) {
        let filter = self.filter.iter().filter(|filter| filter.durable);
        let needed = filter.flat_map(Retired::all_of).map(|it| it.consumer);
        let mut earlier = mem::take(&mut self.numbers);
        for consumer in needed.chain(self.retired.keys().cloned()) {
            let number = earlier.remove(&consumer);
            self.numbers
                .entry(consumer)
                .or_insert_with(|| number.unwrap_or_else(|| numbers.next()));
        }
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

    pub(super) fn to_note(&self) -> SubscriptionFilter {
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
