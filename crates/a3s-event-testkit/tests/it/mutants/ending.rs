//! What goes wrong at the end.

use std::sync::{Arc, OnceLock};

use a3s_event_core::{EventError, provider::EventProvider};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{Closing, GOOD, Inner, build};

/// One storage for all.
fn common() -> Inner {
    static COMMON: OnceLock<Inner> = OnceLock::new();
    Arc::clone(COMMON.get_or_init(|| build(Default::default())))
}

pub(super) const MUTANTS: Table = &[
    (
        "stays open when it is closed",
        Mutant {
            close: |_| Box::pin(async { Ok(()) }),
            ..GOOD
        },
        &[
            "lifecycle::a_waiting_reader_ends_with_its_provider",
            "lifecycle::an_idle_reader_ends_with_its_provider",
        ],
    ),
    (
        "is closed only once",
        Mutant {
            close: |inner| {
                Box::pin(async move {
                    inner.info().await?;
                    inner.close().await
                })
            },
            ..GOOD
        },
        &["lifecycle::a_closed_provider_refuses_every_call"],
    ),
    (
        "is healthy after it was closed",
        Mutant {
            health: |_| Box::pin(async { Ok(true) }),
            ..GOOD
        },
        &["lifecycle::a_closed_provider_refuses_every_call"],
    ),
    (
        "is never healthy",
        Mutant {
            health: |inner| {
                Box::pin(async move {
                    inner.health().await?;
                    Ok(false)
                })
            },
            ..GOOD
        },
        &[
            "info::a_fresh_provider_is_empty_and_healthy",
            "info::info_and_health_may_be_asked_concurrently",
        ],
    ),
    (
        "says of every error that something failed",
        Mutant {
            error: |error| EventError::provider("mutant", "do it", error),
            ..GOOD
        },
        &["expected::compare_and_swap_loops_total_exactly"],
    ),
    (
        "does not close subscriptions",
        Mutant {
            close_subscription: Closing::Nothing,
            ..GOOD
        },
        &[
            "info::consumers_count_durables_and_open_subscriptions",
            "lifecycle::next_after_close_is_the_end",
        ],
    ),
    (
        "fails to close subscriptions",
        Mutant {
            close_subscription: Closing::Fails,
            ..GOOD
        },
        &["subscribe::dropping_one_subscription_leaves_the_others"],
    ),
    (
        "closes a subscription only once",
        Mutant {
            close_subscription: Closing::Once,
            ..GOOD
        },
        &["lifecycle::closing_a_subscription_twice_is_ok"],
    ),
    (
        "leaves a consumer behind when a subscription is dropped",
        Mutant {
            leaks: true,
            ..GOOD
        },
        &[
            "lifecycle::an_open_and_close_storm_leaves_nothing_behind",
            "lifecycle::dropping_a_stream_removes_its_consumer",
            "lifecycle::dropping_an_ephemeral_removes_its_consumer",
        ],
    ),
    (
        "shares one storage with every other provider",
        Mutant {
            build: |_| common(),
            ..GOOD
        },
        &["lifecycle::two_storages_are_isolated"],
    ),
    (
        "opens an empty storage again",
        Mutant {
            reopens: true,
            ..GOOD
        },
        &[
            "storage::what_one_provider_stores_another_reads",
            "storage::publish_options_hold_over_all_providers",
            "storage::providers_share_the_work_of_a_durable",
            "storage::closing_a_provider_flushes_its_answers",
            "storage::a_mismatch_is_seen_by_every_provider",
            "storage::unsubscribe_ends_the_handles_of_every_provider",
            "durable::a_position_outlives_the_process",
            "lifecycle::closing_concerns_one_provider",
        ],
    ),
];

#[test]
fn providers_that_end_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
