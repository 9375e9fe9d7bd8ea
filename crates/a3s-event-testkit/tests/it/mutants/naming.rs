//! What goes wrong with durables.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use a3s_event_core::{
    EventError, Result,
    provider::{ConsumerInfo, EventProvider, Subscription},
    types::SubscribeOptions,
};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{GOOD, Inner};

type Opened = Result<Box<dyn Subscription>>;

async fn open(inner: &Inner, name: &str, pattern: &str, options: &SubscribeOptions) -> Opened {
    inner
        .subscribe_durable_with_options(name, pattern, options)
        .await
}

/// A mutant that calls its durables by another name behind the scenes.
macro_rules! renamed {
    ($rename:expr) => {
        Mutant {
            durable: |inner, name, pattern, options| {
                let rename: fn(&str) -> String = $rename;
                Box::pin(async move { open(&inner, &rename(&name), &pattern, &options).await })
            },
            unsubscribe: |inner, name| {
                let rename: fn(&str) -> String = $rename;
                Box::pin(async move { inner.unsubscribe(&rename(&name)).await })
            },
            ..GOOD
        }
    };
}

pub(super) const MUTANTS: Table = &[
    (
        "replaces dots in names by dashes",
        renamed!(|name| name.replace('.', "-")),
        &["naming::names_that_differ_a_little_are_different_consumers"],
    ),
    (
        "writes names in lower case",
        renamed!(|name| name.to_lowercase()),
        &["durable::unsubscribe_leaves_the_other_names"],
    ),
    (
        "cuts long names",
        renamed!(|name| name.chars().take(64).collect()),
        &["naming::names_that_cannot_travel_are_refused"],
    ),
    (
        "takes all names for one",
        renamed!(
            |name| if name.is_empty() || name.contains(char::is_control) {
                name.to_owned()
            } else {
                "one".to_owned()
            }
        ),
        &["durable::two_names_each_get_everything"],
    ),
    (
        "trims names",
        renamed!(|name| name.trim().to_owned()),
        &["naming::names_that_differ_a_little_are_different_consumers"],
    ),
    (
        "makes something of every name",
        renamed!(|name| {
            let plain = |c: char| !c.is_control();
            let name: String = name.chars().filter(|c| plain(*c)).take(1000).collect();
            format!("x{name}")
        }),
        &["naming::names_that_cannot_travel_are_refused"],
    ),
    (
        "gives every handle a consumer of its own",
        Mutant {
            durable: |inner, name, pattern, options| {
                static HANDLES: AtomicU64 = AtomicU64::new(0);
                let name = format!("{name}-{}", HANDLES.fetch_add(1, Relaxed));
                Box::pin(async move { open(&inner, &name, &pattern, &options).await })
            },
            ..GOOD
        },
        &["lifecycle::unsubscribe_ends_a_waiting_handle"],
    ),
    (
        "takes durables for ephemeral subscriptions",
        Mutant {
            durable: |inner, _, pattern, options| {
                Box::pin(async move { inner.subscribe_with_options(&pattern, &options).await })
            },
            ..GOOD
        },
        &["lifecycle::unsubscribe_ends_a_waiting_handle"],
    ),
    (
        "takes over a durable that is configured otherwise",
        Mutant {
            durable: |inner, name, pattern, options| {
                Box::pin(async move {
                    let opened = open(&inner, &name, &pattern, &options).await;
                    if let Err(EventError::ConsumerMismatch { .. }) = opened {
                        inner.unsubscribe(&name).await?;
                        return open(&inner, &name, &pattern, &options).await;
                    }
                    opened
                })
            },
            ..GOOD
        },
        &[
            "naming::options_left_out_are_a_mismatch",
            "naming::racing_creators_agree_on_one_configuration",
        ],
    ),
    (
        "does not say what differs",
        Mutant {
            error: |error| match error {
                EventError::ConsumerMismatch { consumer, .. } => {
                    EventError::consumer_mismatch(&consumer, vec!["something".to_owned()])
                }
                other => other,
            },
            ..GOOD
        },
        &["naming::another_filter_is_a_mismatch_that_says_so"],
    ),
    (
        "says only the first thing that differs",
        Mutant {
            error: |error| match error {
                EventError::ConsumerMismatch {
                    consumer,
                    mut differences,
                    ..
                } => {
                    differences.truncate(1);
                    EventError::consumer_mismatch(&consumer, differences)
                }
                other => other,
            },
            ..GOOD
        },
        &["naming::other_options_are_a_mismatch_that_names_them"],
    ),
    (
        "compares options as they are written",
        Mutant {
            durable: |inner, name, pattern, options| {
                Box::pin(async move {
                    let before = inner.info().await?.consumers;
                    let opened = open(&inner, &name, &pattern, &options).await?;
                    let existed = inner.info().await?.consumers == before;
                    if existed && options != SubscribeOptions::default() {
                        return Err(EventError::consumer_mismatch(&name, Vec::new()));
                    }
                    Ok(opened)
                })
            },
            ..GOOD
        },
        &[
            "limits::a_reader_that_waited_and_left_spends_no_delivery",
            "sharing::a_dead_members_work_is_given_to_the_others",
            "sharing::concurrent_handles_share_a_backlog",
        ],
    ),
    (
        "keeps a durable that is unsubscribed",
        Mutant {
            unsubscribe: |_, _| Box::pin(async { Ok(()) }),
            ..GOOD
        },
        &[
            "durable::answers_after_unsubscribe_do_nothing",
            "durable::unsubscribe_forgets_the_position",
            "durable::unsubscribe_frees_the_name",
            "lifecycle::unsubscribe_ends_a_waiting_handle",
            "lifecycle::unsubscribe_ends_an_idle_handle",
        ],
    ),
    (
        "does not find an unknown durable",
        Mutant {
            unsubscribe: |inner, name| {
                Box::pin(async move {
                    let before = inner.info().await?.consumers;
                    inner.unsubscribe(&name).await?;
                    if inner.info().await?.consumers == before {
                        return Err(EventError::not_found("consumer", &name));
                    }
                    Ok(())
                })
            },
            ..GOOD
        },
        &[
            "durable::unsubscribing_an_unknown_name_is_ok",
            "lifecycle::two_storages_are_isolated",
        ],
    ),
    (
        "unsubscribes names that only begin alike",
        Mutant {
            unsubscribe: |inner, name| {
                Box::pin(async move {
                    inner.unsubscribe(&name).await?;
                    inner.unsubscribe(&format!("{name}.2")).await
                })
            },
            ..GOOD
        },
        &["durable::unsubscribe_leaves_the_other_names"],
    ),
    (
        "counts what is pending as unanswered",
        Mutant {
            consumer_info: |_, _| Box::pin(async { Ok(ConsumerInfo::new(0, 5)) }),
            ..GOOD
        },
        &[
            "info::consumer_info_of_an_unknown_name_is_not_found",
            "info::consumer_info_tells_what_is_left",
        ],
    ),
];

#[test]
fn providers_with_wrong_durables_are_caught() {
    assert_all_caught(MUTANTS);
}
