//! What goes wrong with batches.

use a3s_event_core::{EventError, provider::EventProvider};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::GOOD;

pub(super) const MUTANTS: Table = &[
    (
        "returns the sequences of a batch backwards",
        Mutant {
            batch: |inner, events| {
                Box::pin(async move {
                    let mut sequences = inner.publish_batch(&events).await?;
                    sequences.reverse();
                    Ok(sequences)
                })
            },
            ..GOOD
        },
        &["retention::sequences_go_on_after_eviction"],
    ),
    (
        "stores a batch backwards",
        Mutant {
            batch: |inner, mut events| {
                events.reverse();
                Box::pin(async move { inner.publish_batch(&events).await })
            },
            ..GOOD
        },
        &[
            "batch::a_batch_is_stored_in_its_order",
            "subjects::history_agrees_with_a_naive_matcher",
            "subjects::subscriptions_agree_with_a_naive_matcher",
        ],
    ),
    (
        "stores a thousand events of a batch",
        Mutant {
            batch: |inner, mut events| {
                events.truncate(1000);
                Box::pin(async move { inner.publish_batch(&events).await })
            },
            ..GOOD
        },
        &["batch::a_long_batch_is_stored_whole"],
    ),
    (
        "numbers every batch from one",
        Mutant {
            batch: |inner, events| {
                Box::pin(async move {
                    inner.publish_batch(&events).await?;
                    Ok((1..=events.len() as u64).collect())
                })
            },
            ..GOOD
        },
        &["batch::a_batch_follows_what_is_stored"],
    ),
    (
        "refuses an empty batch",
        Mutant {
            batch: |inner, events| {
                Box::pin(async move {
                    if events.is_empty() {
                        return Err(EventError::invalid_option("events", "empty"));
                    }
                    inner.publish_batch(&events).await
                })
            },
            ..GOOD
        },
        &["batch::an_empty_batch_stores_nothing"],
    ),
    (
        "skips what it cannot store of a batch",
        Mutant {
            batch: |inner, events| {
                Box::pin(async move {
                    let mut stored = Vec::new();
                    for event in &events {
                        match inner.publish(event).await {
                            Ok(sequence) => stored.push(sequence),
                            Err(EventError::Closed { what, .. }) => {
                                return Err(EventError::closed(what));
                            }
                            Err(_) => {}
                        }
                    }
                    Ok(stored)
                })
            },
            ..GOOD
        },
        &["batch::an_invalid_member_reports_the_stored_prefix"],
    ),
    (
        "does not report the stored prefix",
        Mutant {
            batch: |inner, events| {
                Box::pin(async move {
                    let mut stored = Vec::new();
                    for event in &events {
                        match inner.publish(event).await {
                            Ok(sequence) => stored.push(sequence),
                            Err(error) => return Err(EventError::partial_batch(Vec::new(), error)),
                        }
                    }
                    Ok(stored)
                })
            },
            ..GOOD
        },
        &["batch::an_invalid_member_reports_the_stored_prefix"],
    ),
];

#[test]
fn providers_that_store_batches_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
