//! What goes wrong with subscribe options.

use a3s_event_core::{
    EventError,
    provider::{Capabilities, EventProvider},
    types::SubscribeOptions,
};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::GOOD;

/// A mutant that makes other options of those it is given.
macro_rules! changed {
    ($change:expr) => {
        Mutant {
            subscribe: |inner, pattern, mut options| {
                let change: fn(&mut SubscribeOptions) = $change;
                change(&mut options);
                Box::pin(async move { inner.subscribe_with_options(&pattern, &options).await })
            },
            durable: |inner, name, pattern, mut options| {
                let change: fn(&mut SubscribeOptions) = $change;
                change(&mut options);
                Box::pin(async move {
                    inner
                        .subscribe_durable_with_options(&name, &pattern, &options)
                        .await
                })
            },
            ..GOOD
        }
    };
}

pub(super) const MUTANTS: Table = &[
    (
        "ignores max_deliver",
        changed!(|options| options.max_deliver = None),
        &[
            "limits::an_exhausted_event_frees_its_place",
            "limits::max_deliver_is_exact_for_silence",
        ],
    ),
    (
        "delivers once too often",
        changed!(|options| options.max_deliver = options.max_deliver.map(|cap| cap + 1)),
        &["limits::an_exhausted_event_frees_its_place"],
    ),
    (
        "takes a cap of zero for one",
        changed!(|options| options.max_deliver = options.max_deliver.map(|cap| cap.abs().max(1))),
        &["limits::zero_and_minus_one_deliveries_are_unlimited"],
    ),
    (
        "ignores ack_wait_secs",
        changed!(|options| options.ack_wait_secs = None),
        &["ack::an_event_taken_apart_is_unanswered"],
    ),
    (
        "waits ten seconds by default",
        changed!(|options| options.ack_wait_secs = options.ack_wait_secs.or(Some(10))),
        &["naming::defaults_written_out_are_the_same_configuration"],
    ),
    (
        "waits an hour by default",
        changed!(|options| options.ack_wait_secs = options.ack_wait_secs.or(Some(3600))),
        &["limits::an_unanswered_event_returns_after_30_seconds_by_default"],
    ),
    (
        "waits a second longer",
        changed!(|options| options.ack_wait_secs =
            options.ack_wait_secs.map(|wait| wait.saturating_add(1))),
        &[
            "ack::a_dropped_event_returns_after_the_ack_wait",
            "ack::silence_redelivers_after_the_ack_wait",
            "redelivery::expired_events_come_before_new_ones",
        ],
    ),
    (
        "ignores backoff_secs",
        changed!(|options| options.backoff_secs.clear()),
        &["naming::a_backoff_step_is_not_an_ack_wait"],
    ),
    (
        "knows only the first backoff step",
        changed!(|options| options.backoff_secs.truncate(1)),
        &[
            "redelivery::backoff_steps_follow_silence_and_the_last_repeats",
            "redelivery::in_progress_restarts_the_current_step",
        ],
    ),
    (
        "prefers the ack wait to the backoff",
        changed!(|options| if options.ack_wait_secs.is_some() {
            options.backoff_secs.clear();
        }),
        &[
            "naming::a_backoff_step_is_not_an_ack_wait",
            "redelivery::backoff_replaces_the_ack_wait",
        ],
    ),
    (
        "takes one backoff step for an ack wait",
        changed!(|options| if let [step] = options.backoff_secs[..] {
            options.ack_wait_secs = Some(step);
            options.backoff_secs.clear();
        }),
        &[
            "options::meaningless_options_open_no_durable",
            "options::meaningless_options_open_no_subscription",
        ],
    ),
    (
        "ignores max_ack_pending",
        changed!(|options| options.max_ack_pending = Some(-1)),
        &[
            "limits::max_ack_pending_bounds_what_is_unanswered",
            "limits::max_ack_pending_counts_over_all_handles",
            "limits::redeliveries_pass_at_the_limit",
            "retention::evicted_events_free_their_places",
        ],
    ),
    (
        "holds a thousand whatever max_ack_pending says",
        changed!(|options| options.max_ack_pending = None),
        &["limits::max_ack_pending_bounds_what_is_unanswered"],
    ),
    (
        "holds one more than max_ack_pending",
        changed!(|options| options.max_ack_pending =
            options.max_ack_pending.map(|bound| bound.saturating_add(1))),
        &["naming::defaults_written_out_are_the_same_configuration"],
    ),
    (
        "makes something of values without meaning",
        changed!(|options| {
            options.max_deliver = options.max_deliver.map(|cap| cap.max(-1));
            options.max_ack_pending = options.max_ack_pending.filter(|bound| *bound > 0);
            options.ack_wait_secs = options.ack_wait_secs.filter(|wait| *wait > 0);
            options.backoff_secs.retain(|step| *step > 0);
        }),
        &["limits::minus_one_pending_is_unlimited"],
    ),
    (
        "panics at huge values",
        changed!(|options| {
            let wait = options.ack_wait_secs.unwrap_or(30);
            options.ack_wait_secs = Some(wait.checked_mul(1000).expect("no overflow") / 1000);
        }),
        &["options::huge_values_work_or_are_refused"],
    ),
    (
        "claims nothing and honors it all the same",
        Mutant {
            claims: |_| Capabilities::default(),
            ..GOOD
        },
        &["expected::the_last_sequence_is_accepted"],
    ),
    (
        "claims to honor prefetch and refuses it",
        Mutant {
            subscribe: |inner, pattern, options| {
                Box::pin(async move {
                    if options.prefetch.is_some() {
                        return Err(EventError::unsupported("mutant", "prefetch"));
                    }
                    inner.subscribe_with_options(&pattern, &options).await
                })
            },
            ..GOOD
        },
        &[
            "limits::any_prefetch_delivers_the_same",
            "redelivery::expired_events_come_by_sequence",
        ],
    ),
    (
        "opens nothing by default options",
        Mutant {
            subscribe: |inner, pattern, options| {
                Box::pin(async move {
                    if options == SubscribeOptions::default() {
                        return Err(EventError::unsupported("mutant", "defaults"));
                    }
                    inner.subscribe_with_options(&pattern, &options).await
                })
            },
            ..GOOD
        },
        &[
            "subscribe::next_delivery_gives_the_same_events",
            "subscribe::what_is_retained_comes_first_then_what_follows",
        ],
    ),
];

#[test]
fn providers_that_misread_options_are_caught() {
    assert_all_caught(MUTANTS);
}
