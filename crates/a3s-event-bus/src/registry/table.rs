use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use a3s_event_core::types::SubscriptionFilter;

use super::subscriber::{Retired, Subscriber};

/// Subscribers by id, each a unit of its own: a change of one costs the same
/// beside ten others and beside ten thousand.
#[derive(Default)]
pub(super) struct Table {
    subscribers: BTreeMap<String, Subscriber>,
    /// How many consumers are retired: mostly none, which every answer asks.
    retired: usize,
}

/// What some subscribers are to become.
pub(super) type Changes = BTreeMap<String, Subscriber>;

impl Table {
    pub(super) fn get(&self, subscriber_id: &str) -> Option<&Subscriber> {
        self.subscribers.get(subscriber_id)
    }

    /// A copy of a subscriber to change; a new one where there is none.
    pub(super) fn copy_of(&self, subscriber_id: &str) -> Subscriber {
        self.get(subscriber_id).cloned().unwrap_or_default()
    }

    pub(super) fn filters(&self) -> impl Iterator<Item = &SubscriptionFilter> {
        self.subscribers
            .values()
            .filter_map(|it| it.filter.as_ref())
    }

    pub(super) fn retired(&self) -> impl Iterator<Item = &Retired> {
        self.subscribers.values().flat_map(|it| it.retired.values())
    }

    /// The subscriber of a retired consumer, and the note about that.
    pub(super) fn find_retired(&self, consumer: &str) -> Option<(&Subscriber, &Retired)> {
        if self.retired == 0 {
            return None;
        }
        let subscriber = self.get(owner_of(consumer))?;
        Some((subscriber, subscriber.retired.get(consumer)?))
    }

    /// Remembers what rested in a consumer when it was asked first.
    pub(super) fn note_resting(&mut self, consumer: &str, resting: u64) -> u64 {
        let subscriber = self.subscribers.get_mut(owner_of(consumer));
        let retired = subscriber.and_then(|it| it.retired.get_mut(consumer));
        retired.map_or(resting, |retired| *retired.resting.get_or_insert(resting))
    }

    /// Puts `changes` in force.
    pub(super) fn apply(&mut self, changes: Changes) {
        for (id, subscriber) in changes {
            self.retired += subscriber.retired.len();
            let earlier = if subscriber.is_gone() {
                self.subscribers.remove(&id)
            } else {
                self.subscribers.insert(id, subscriber)
            };
            self.retired -= earlier.map_or(0, |earlier| earlier.retired.len());
        }
    }

    /// What a store keeps once `changes` are in force: the filters, and a note for
    /// each retired consumer.
    pub(super) fn to_state(&self, changes: &Changes) -> HashMap<String, SubscriptionFilter> {
        let unchanged = self
            .subscribers
            .iter()
            .filter(|(id, _)| !changes.contains_key(*id));
        unchanged
            .chain(changes)
            .flat_map(|(_, subscriber)| {
                let notes = subscriber.retired.values().map(Retired::to_note);
                subscriber.filter.iter().cloned().chain(notes)
            })
            .map(|filter| (filter.subscriber_id.clone(), filter))
            .collect()
    }
}

/// Numbers that are given once.
#[derive(Default)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed) + 1
    }
}

/// The name of the consumer of one subject. No subject holds a space, so that
/// the last one separates the two whatever the id is.
pub(crate) fn consumer_name(subscriber_id: &str, subject: &str) -> String {
    format!("{subscriber_id} {subject}")
}

/// The subscriber id in the name of a consumer.
pub(super) fn owner_of(consumer: &str) -> &str {
    consumer.rsplit_once(' ').map_or("", |(owner, _)| owner)
}
