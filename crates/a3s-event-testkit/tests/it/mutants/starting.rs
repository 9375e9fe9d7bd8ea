//! What goes wrong at the start of a subscription.

use a3s_event_core::{
    EventError,
    provider::EventProvider,
    types::{DeliverPolicy, SubscribeOptions},
};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{GOOD, Inner};

/// A mutant that starts elsewhere than it is asked to.
macro_rules! starts {
    ($policy:expr) => {
        Mutant {
            subscribe: |inner, pattern, mut options| {
                Box::pin(async move {
                    options.deliver_policy = policy($policy, &inner, &options).await;
                    inner.subscribe_with_options(&pattern, &options).await
                })
            },
            durable: |inner, name, pattern, mut options| {
                Box::pin(async move {
                    options.deliver_policy = policy($policy, &inner, &options).await;
                    inner
                        .subscribe_durable_with_options(&name, &pattern, &options)
                        .await
                })
            },
            ..GOOD
        }
    };
}

/// The number of events and the policy that was asked for, to another policy.
type Start = fn(u64, DeliverPolicy) -> DeliverPolicy;

async fn policy(start: Start, inner: &Inner, options: &SubscribeOptions) -> DeliverPolicy {
    let messages = inner.info().await.map_or(0, |info| info.messages);
    start(messages, options.deliver_policy.clone())
}

pub(super) const MUTANTS: Table = &[
    (
        "ignores where to start",
        starts!(|_, _| DeliverPolicy::All),
        &["start::a_start_time_in_the_future_is_new"],
    ),
    (
        "starts with what is new by default",
        starts!(|_, policy| match policy {
            DeliverPolicy::All => DeliverPolicy::New,
            other => other,
        }),
        &["ack::a_delay_may_be_longer_than_the_ack_wait"],
    ),
    (
        "starts durables with what is new",
        Mutant {
            durable: |inner, name, pattern, mut options| {
                Box::pin(async move {
                    if options.deliver_policy == DeliverPolicy::All {
                        options.deliver_policy = DeliverPolicy::New;
                    }
                    inner
                        .subscribe_durable_with_options(&name, &pattern, &options)
                        .await
                })
            },
            ..GOOD
        },
        &["durable::a_new_durable_starts_with_everything_retained"],
    ),
    (
        "lets subscriptions of one pattern share a consumer",
        Mutant {
            subscribe: |inner, pattern, options| {
                Box::pin(async move {
                    inner
                        .subscribe_durable_with_options(&pattern, &pattern, &options)
                        .await
                })
            },
            ..GOOD
        },
        &[
            "durable::an_ephemeral_subscription_leaves_no_position",
            "subscribe::every_subscription_gets_every_event",
        ],
    ),
    (
        // More than a case publishes: with threads, others may publish the first ones early.
        "misses the first thousand new events",
        starts!(|messages, policy| match policy {
            DeliverPolicy::New => DeliverPolicy::ByStartSequence {
                sequence: messages + 1001,
            },
            other => other,
        }),
        &[
            "start::a_durable_starts_by_policy",
            "start::new_starts_when_the_subscription_exists",
            "subscribe::a_subscription_opened_during_a_storm_has_no_hole",
        ],
    ),
    (
        "takes the last event for a new one",
        starts!(|_, policy| match policy {
            DeliverPolicy::Last => DeliverPolicy::New,
            other => other,
        }),
        &["options::every_subscribe_option_is_honored_or_refused"],
    ),
    (
        "starts with the last event of any subject",
        starts!(|messages, policy| match policy {
            DeliverPolicy::Last => DeliverPolicy::ByStartSequence { sequence: messages },
            other => other,
        }),
        &["start::last_starts_with_the_newest_match"],
    ),
    (
        "knows one last event for all subjects",
        starts!(|_, policy| match policy {
            DeliverPolicy::LastPerSubject => DeliverPolicy::Last,
            other => other,
        }),
        &["start::last_per_subject_is_a_snapshot_then_everything_newer"],
    ),
    (
        "excludes the start sequence",
        starts!(|_, policy| match policy {
            DeliverPolicy::ByStartSequence { sequence } => DeliverPolicy::ByStartSequence {
                sequence: sequence.saturating_add(1),
            },
            other => other,
        }),
        &["start::a_start_sequence_is_inclusive"],
    ),
    (
        "starts with the next event where the start is beyond the tip",
        starts!(|messages, policy| match policy {
            DeliverPolicy::ByStartSequence { sequence } if sequence > messages => {
                DeliverPolicy::New
            }
            other => other,
        }),
        &["start::a_start_sequence_beyond_the_tip_waits_for_it"],
    ),
    (
        "takes a start sequence of zero for new",
        starts!(|_, policy| match policy {
            DeliverPolicy::ByStartSequence { sequence: 0 } => DeliverPolicy::New,
            other => other,
        }),
        &["start::start_sequence_zero_is_all"],
    ),
    (
        "starts a minute early",
        starts!(|_, policy| match policy {
            DeliverPolicy::ByStartTime { timestamp } => DeliverPolicy::ByStartTime {
                timestamp: timestamp.saturating_sub(60_000),
            },
            other => other,
        }),
        &[
            "start::a_start_time_after_everything_is_new",
            "start::a_start_time_is_the_time_of_storing",
        ],
    ),
    (
        "takes a start time for new",
        starts!(|_, policy| match policy {
            DeliverPolicy::ByStartTime { .. } => DeliverPolicy::New,
            other => other,
        }),
        &["start::a_start_time_before_everything_is_all"],
    ),
    (
        "waits for a start time in the future",
        starts!(|messages, policy| match policy {
            DeliverPolicy::ByStartTime { timestamp } if timestamp > 3_600_000 => {
                DeliverPolicy::ByStartSequence {
                    sequence: messages + 100,
                }
            }
            other => other,
        }),
        &["start::a_start_time_in_the_future_is_new"],
    ),
    (
        "compares where durables start",
        Mutant {
            durable: |inner, name, pattern, options| {
                Box::pin(async move {
                    let before = inner.info().await?.consumers;
                    let opened = inner
                        .subscribe_durable_with_options(&name, &pattern, &options)
                        .await?;
                    let existed = inner.info().await?.consumers == before;
                    if existed && options.deliver_policy != DeliverPolicy::All {
                        return Err(EventError::consumer_mismatch(&name, Vec::new()));
                    }
                    Ok(opened)
                })
            },
            ..GOOD
        },
        &["naming::start_and_prefetch_are_not_compared"],
    ),
    (
        "starts an existing durable anew",
        Mutant {
            durable: |inner, name, pattern, options| {
                Box::pin(async move {
                    if options.deliver_policy != DeliverPolicy::All {
                        inner.unsubscribe(&name).await?;
                    }
                    inner
                        .subscribe_durable_with_options(&name, &pattern, &options)
                        .await
                })
            },
            ..GOOD
        },
        &["start::an_existing_durable_goes_on_from_its_position"],
    ),
];

#[test]
fn providers_that_start_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
