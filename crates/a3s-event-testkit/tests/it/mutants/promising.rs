//! What goes wrong with publish options.

use std::time::Duration;

use a3s_event_core::{EventError, provider::EventProvider, types::PublishOptions};

use super::{Mutant, Table, assert_all_caught, clean, last_sequence, stores};
use crate::mutant::{GOOD, build};

pub(super) const MUTANTS: Table = &[
    (
        "refuses default options",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    if options == PublishOptions::default() && event.subject.contains("plain") {
                        return Err(EventError::unsupported("mutant", "options"));
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["publish::default_options_publish_as_publish_does"],
    ),
    (
        "times out at once",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    options.validate()?;
                    if options.timeout_secs.is_some() {
                        return Err(EventError::timeout("publish", Duration::ZERO));
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &[
            "options::every_publish_option_is_honored_or_refused",
            "publish::a_publish_within_its_timeout_is_stored",
        ],
    ),
    (
        "panics at a huge timeout",
        stores!(|_, options| {
            if let Some(seconds) = options.timeout_secs {
                let millis = seconds.checked_mul(1000).expect("no overflow");
                options.timeout_secs = Some(millis / 1000);
            }
        }),
        &["options::a_huge_timeout_works_or_is_refused"],
    ),
    (
        "makes something of publish options without meaning",
        stores!(|_, options| {
            options.timeout_secs = options.timeout_secs.filter(|seconds| *seconds > 0);
            options.msg_id = options.msg_id.as_deref().map(clean);
        }),
        &[
            "dedup::empty_ids_and_control_characters_are_refused",
            "options::meaningless_options_publish_nothing",
        ],
    ),
    (
        "ignores msg_id",
        stores!(|_, options| {
            if options.validate().is_ok() {
                options.msg_id = None;
            }
        }),
        &["dedup::racing_repeats_store_one"],
    ),
    (
        "takes the event id for a msg_id",
        stores!(|event, options| {
            options.msg_id.get_or_insert_with(|| event.id.clone());
        }),
        &["publish::publishing_an_event_twice_stores_two"],
    ),
    (
        "keeps message ids per subject",
        stores!(|event, options| {
            if let Some(id) = &mut options.msg_id
                && !id.is_empty()
            {
                id.push_str(&event.subject);
            }
        }),
        &["dedup::a_repeat_on_another_subject_is_a_repeat"],
    ),
    (
        "writes message ids in lower case",
        stores!(|_, options| {
            if let Some(id) = &mut options.msg_id {
                *id = id.to_lowercase();
            }
        }),
        &["dedup::ids_that_differ_a_little_are_different"],
    ),
    (
        "remembers message ids for ever",
        Mutant {
            build: |limits| {
                let for_ever = Duration::from_secs(1 << 30);
                build(limits.with_duplicate_window(for_ever))
            },
            ..GOOD
        },
        &["dedup::the_window_ends"],
    ),
    (
        "forgets message ids at once",
        Mutant {
            build: |limits| build(limits.with_duplicate_window(Duration::ZERO)),
            ..GOOD
        },
        &["dedup::racing_repeats_store_one"],
    ),
    (
        "forgets message ids with their events",
        Mutant {
            publish: |inner, event, mut options| {
                Box::pin(async move {
                    let last = last_sequence(&inner, &event).await?;
                    if inner.info().await?.messages < last
                        && let Some(id) = &mut options.msg_id
                    {
                        id.push('x');
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["dedup::a_repeat_is_known_after_its_event_was_evicted"],
    ),
    (
        "ignores expected_sequence",
        stores!(|_, options| options.expected_sequence = None),
        &["expected::exactly_one_of_racing_publishers_wins"],
    ),
    (
        "takes an expected sequence of zero for none",
        stores!(|_, options| {
            options.expected_sequence = options.expected_sequence.filter(|last| *last > 0);
        }),
        &[
            "expected::any_other_sequence_is_a_conflict_with_both_numbers",
            "expected::zero_means_that_nothing_was_ever_stored",
        ],
    ),
    (
        "expects the sequence of the subject",
        Mutant {
            publish: |inner, event, mut options| {
                Box::pin(async move {
                    let newest = inner.history(None, 1).await?;
                    let same = newest.first().is_none_or(|e| e.subject == event.subject);
                    if !same {
                        options.expected_sequence = None;
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["expected::the_expectation_counts_over_all_subjects"],
    ),
    (
        "expects the number of events",
        Mutant {
            publish: |inner, event, mut options| {
                Box::pin(async move {
                    let last = last_sequence(&inner, &event).await?;
                    let messages = inner.info().await?.messages;
                    if options.expected_sequence == Some(messages) {
                        options.expected_sequence = Some(last);
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["expected::eviction_does_not_reset_the_last_sequence"],
    ),
    (
        "reports a conflict without its numbers",
        Mutant {
            error: |error| match error {
                EventError::Conflict { .. } => EventError::conflict(0, 0),
                other => other,
            },
            ..GOOD
        },
        &["expected::the_expectation_counts_over_all_subjects"],
    ),
    (
        "checks the expectation before it stores",
        Mutant {
            publish: |inner, event, mut options| {
                Box::pin(async move {
                    if let Some(expected) = options.expected_sequence.take() {
                        let actual = last_sequence(&inner, &event).await?;
                        if actual != expected {
                            return Err(EventError::conflict(expected, actual));
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &[
            "expected::compare_and_swap_loops_total_exactly",
            "expected::with_a_msg_id_only_the_natural_retry_succeeds",
        ],
    ),
    (
        "refuses the natural retry",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    let plain = PublishOptions {
                        msg_id: None,
                        ..options.clone()
                    };
                    if let Some(expected) = plain.expected_sequence {
                        let actual = last_sequence(&inner, &event).await?;
                        if actual != expected {
                            return Err(EventError::conflict(expected, actual));
                        }
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["expected::with_a_msg_id_only_the_natural_retry_succeeds"],
    ),
    (
        "prefers the msg_id to the expectation",
        stores!(|_, options| {
            if options.msg_id.is_some() {
                options.expected_sequence = None;
            }
        }),
        &["expected::a_refused_publish_leaves_its_msg_id_free"],
    ),
];

#[test]
fn providers_that_misread_publish_options_are_caught() {
    assert_all_caught(MUTANTS);
}
