//! Results in a form that compares.

use std::collections::BTreeSet;

use a3s_event::EventError;

/// What both providers did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both<T> {
    pub(super) memory: T,
    pub(super) nats: T,
}

/// An error as far as the contract fixes it: its kind and its fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    kind: &'static str,
    fields: String,
}

pub(super) fn comparable<T>(outcome: Result<T, EventError>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure::of(&error))
}

impl Failure {
    pub(super) fn of(error: &EventError) -> Self {
        let fields = match error {
            // Named by each provider in its own words.
            EventError::Closed { .. } => String::new(),
            EventError::ConsumerMismatch {
                consumer,
                differences,
                ..
            } => {
                // In any order. An endless wait ends where a server's numbers do.
                let endless = u64::MAX.to_string();
                let shown = |difference: &String| difference.replace("9223372036.854776", &endless);
                let differences: BTreeSet<_> = differences.iter().map(shown).collect();
                format!("{consumer}: {differences:?}")
            }
            EventError::PartialBatch { stored, source, .. } => {
                format!("{stored:?}, then {:?}", Self::of(source))
            }
            error => format!("{error:?}"),
        };
        Self {
            kind: error.kind(),
            fields,
        }
    }
}
