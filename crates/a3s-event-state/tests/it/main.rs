//! The public behavior of the crate.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod child;
mod crash;
mod file;
mod format;
mod memory;
mod order;
mod paths;
mod processes;

use std::{collections::HashMap, error::Error, fs, path::Path};

use a3s_event_core::{
    EventError, Result,
    types::{SubscribeOptions, SubscriptionFilter},
};

type Subscriptions = HashMap<String, SubscriptionFilter>;

fn filter(id: &str) -> SubscriptionFilter {
    SubscriptionFilter {
        subscriber_id: id.to_owned(),
        subjects: vec![format!("events.{id}.>")],
        durable: true,
        ..Default::default()
    }
}

fn subscriptions(ids: &[&str]) -> Subscriptions {
    ids.iter().map(|&id| (id.to_owned(), filter(id))).collect()
}

/// A state of many filters that all carry `generation`, so that a mixture of
/// two of them would show.
fn generation(generation: u64) -> Subscriptions {
    let carry = |position| {
        let options = SubscribeOptions::default().with_ack_wait_secs(generation);
        let mut filter = filter(&format!("subscriber-{position}"));
        filter.options = Some(options);
        (filter.subscriber_id.clone(), filter)
    };
    (0..50).map(carry).collect()
}

/// The generation that all filters carry; `None` of no filters.
#[track_caller]
fn generation_of(subscriptions: &Subscriptions) -> Option<u64> {
    let mut generations: Vec<_> = subscriptions
        .values()
        .map(|filter| filter.options.as_ref().unwrap().ack_wait_secs.unwrap())
        .collect();
    generations.dedup();
    assert!(generations.len() <= 1, "a mixture of {generations:?}");
    assert!([0, 50].contains(&subscriptions.len()), "a part of a state");
    generations.pop()
}

/// Checks that the result is a state error that names `path`, and returns it
/// with all its causes as text.
#[track_caller]
fn refusal<T>(result: Result<T>, path: &Path) -> String {
    let error = result.err().unwrap();
    assert!(
        matches!(&error, EventError::State { location, .. } if Path::new(location) == path),
        "{error:?}"
    );
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text += &format!(": {current}");
        cause = current.source();
    }
    text
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}
