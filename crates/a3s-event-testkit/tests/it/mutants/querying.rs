//! What goes wrong with history, filters and figures.

use a3s_event_core::{provider::EventProvider, types::SubscribeOptions};
use a3s_event_testkit::Limits;

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{GOOD, build};

/// A mutant that reads every pattern as another one.
macro_rules! reads {
    ($read:expr) => {
        Mutant {
            history: |inner, filter, limit| {
                let read: fn(&str) -> String = $read;
                let filter = filter.map(|pattern| read(&pattern));
                Box::pin(async move { inner.history(filter.as_deref(), limit).await })
            },
            subscribe: |inner, pattern, options| {
                let read: fn(&str) -> String = $read;
                let pattern = read(&pattern);
                Box::pin(async move { inner.subscribe_with_options(&pattern, &options).await })
            },
            durable: |inner, name, pattern, options| {
                let read: fn(&str) -> String = $read;
                let pattern = read(&pattern);
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

fn is_valid(pattern: &str) -> bool {
    a3s_event_core::subject::SubjectPattern::parse(pattern).is_ok()
}

pub(super) const MUTANTS: Table = &[
    (
        "ignores filters",
        reads!(|_| ">".to_owned()),
        &[
            "start::last_without_a_match_is_new",
            "subscribe::an_exact_filter_selects_one_subject",
            "subscribe::many_subscriptions_get_exactly_their_own",
        ],
    ),
    (
        "lets a star stand for several tokens",
        reads!(|pattern| match pattern.strip_suffix(".*") {
            Some(head) => format!("{head}.>"),
            None => pattern.to_owned(),
        }),
        &[
            "durable::a_durable_delivers_what_its_filter_selects",
            "subjects::the_star_matches_exactly_one_token",
        ],
    ),
    (
        "takes the tail wildcard for a text prefix",
        reads!(|pattern| match pattern.strip_suffix(".>") {
            Some(head) if is_valid(pattern) => match head.rsplit_once('.') {
                Some((head, _)) => format!("{head}.>"),
                None => pattern.to_owned(),
            },
            _ => pattern.to_owned(),
        }),
        &["subjects::the_tail_wildcard_needs_at_least_one_token"],
    ),
    (
        "lets the tail wildcard stand for no token",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let mut history = inner.history(filter.as_deref(), limit).await?;
                    let head = filter.as_deref().and_then(|text| text.strip_suffix(".>"));
                    if let Some(head) = head.filter(|head| head.contains("sample.")) {
                        history.extend(inner.history(Some(head), limit).await?);
                    }
                    Ok(history)
                })
            },
            ..GOOD
        },
        &["subjects::history_agrees_with_a_naive_matcher"],
    ),
    (
        "matches in lower case",
        reads!(|pattern| pattern.to_ascii_lowercase()),
        &["subjects::patterns_that_can_match_nothing_are_refused"],
    ),
    (
        "refuses the tail wildcard alone",
        reads!(|pattern| if pattern == ">" {
            "*>".to_owned()
        } else {
            pattern.to_owned()
        }),
        &[
            "history::the_history_of_nothing_is_empty",
            "start::last_per_subject_of_everything",
            "subjects::the_tail_wildcard_alone_is_everything",
        ],
    ),
    (
        "cleans patterns instead of refusing them",
        reads!(|pattern| if is_valid(pattern) {
            pattern.to_owned()
        } else {
            ">".to_owned()
        }),
        &["subjects::malformed_patterns_are_refused"],
    ),
    (
        "takes patterns that match nothing",
        reads!(
            |pattern| if pattern.starts_with("events.") || !is_valid(pattern) {
                pattern.to_owned()
            } else {
                ">".to_owned()
            }
        ),
        &["subjects::patterns_that_can_match_nothing_are_refused"],
    ),
    (
        "has another prefix than it says",
        Mutant {
            prefix: |_| "other",
            ..GOOD
        },
        &["subjects::the_builders_agree_with_the_prefix"],
    ),
    (
        "returns history oldest first",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let mut history = inner.history(filter.as_deref(), limit).await?;
                    history.reverse();
                    Ok(history)
                })
            },
            ..GOOD
        },
        &[
            "batch::concurrent_batches_keep_their_order",
            "history::history_during_publishes_has_no_hole",
            "history::history_is_newest_first",
            "retention::the_oldest_event_is_evicted",
        ],
    ),
    (
        "limits before it filters",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let matching = inner.history(filter.as_deref(), limit).await?;
                    let newest = inner.history(None, limit).await?;
                    let both = matching.into_iter().filter(|event| newest.contains(event));
                    Ok(both.collect())
                })
            },
            ..GOOD
        },
        &[
            "history::a_match_far_back_is_found",
            "history::the_limit_counts_matching_events",
        ],
    ),
    (
        "takes a limit of zero for none",
        Mutant {
            history: |inner, filter, limit| {
                let limit = if limit == 0 { usize::MAX } else { limit };
                Box::pin(async move { inner.history(filter.as_deref(), limit).await })
            },
            ..GOOD
        },
        &["history::a_limit_of_zero_is_empty"],
    ),
    (
        "panics at a huge limit",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let bytes = limit.checked_mul(64).expect("no overflow");
                    inner.history(filter.as_deref(), bytes / 64).await
                })
            },
            ..GOOD
        },
        &["history::a_huge_limit_returns_what_there_is"],
    ),
    (
        "misses the newest event",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let history = inner.history(filter.as_deref(), limit).await?;
                    Ok(history.into_iter().skip(1).collect())
                })
            },
            ..GOOD
        },
        &["publish::numbers_survive_bit_for_bit"],
    ),
    (
        "sorts history by id",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let mut history = inner.history(filter.as_deref(), limit).await?;
                    history.sort_by(|a, b| b.id.cmp(&a.id));
                    Ok(history)
                })
            },
            ..GOOD
        },
        &["batch::concurrent_batches_keep_their_order"],
    ),
    (
        "invents history where there is none",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let mut history = inner.history(filter.as_deref(), limit).await?;
                    if history.is_empty() && limit > 0 {
                        let event = a3s_event_testkit::sample_event(&*inner, "invented");
                        history.push(event);
                    }
                    Ok(history)
                })
            },
            ..GOOD
        },
        &["history::the_history_of_nothing_is_empty"],
    ),
    (
        "leaves a consumer behind by every history",
        Mutant {
            history: |inner, filter, limit| {
                Box::pin(async move {
                    let options = SubscribeOptions::default();
                    std::mem::forget(inner.subscribe_with_options(">", &options).await);
                    inner.history(filter.as_deref(), limit).await
                })
            },
            ..GOOD
        },
        &["history::history_moves_no_consumer_and_leaves_none"],
    ),
    (
        "counts one message too many",
        Mutant {
            info: |info| {
                let messages = info.messages + 1;
                info.with_messages(messages)
            },
            ..GOOD
        },
        &["info::messages_count_what_is_retained"],
    ),
    (
        "always has three messages",
        Mutant {
            info: |info| info.with_messages(3),
            ..GOOD
        },
        &["batch::a_long_batch_is_stored_whole"],
    ),
    (
        "counts no bytes",
        Mutant {
            info: |info| info.with_bytes(0),
            ..GOOD
        },
        &[
            "info::bytes_grow_with_what_is_stored",
            "info::bytes_shrink_with_what_is_evicted",
        ],
    ),
    (
        "counts bytes by the message",
        Mutant {
            info: |info| {
                let bytes = info.messages * 100;
                info.with_bytes(bytes)
            },
            ..GOOD
        },
        &["info::bytes_grow_with_what_is_stored"],
    ),
    (
        "counts no consumers",
        Mutant {
            info: |info| info.with_consumers(0),
            ..GOOD
        },
        &[
            "lifecycle::closing_an_ephemeral_removes_its_consumer",
            "naming::racing_openers_of_one_configuration_all_succeed",
            "sharing::handles_of_one_name_are_one_consumer",
        ],
    ),
    (
        "is called otherwise in its figures",
        Mutant {
            info: |mut info| {
                info.provider = "Mutant".to_owned();
                info
            },
            ..GOOD
        },
        &["info::the_name_is_the_same_everywhere"],
    ),
    (
        "has no limits",
        Mutant {
            build: |_| build(Limits::default()),
            ..GOOD
        },
        &["start::a_start_sequence_that_was_evicted_starts_with_the_first_retained"],
    ),
    (
        "retains one event more than it may",
        Mutant {
            build: |limits| match limits.max_events {
                Some(events) => build(limits.with_max_events(events + 1)),
                None => build(limits),
            },
            ..GOOD
        },
        &[
            "retention::a_durable_that_was_away_goes_on_with_what_is_retained",
            "retention::answers_to_evicted_events_are_ok",
            "retention::evicted_events_are_not_delivered",
            "retention::evicted_events_are_not_redelivered",
            "start::a_start_sequence_that_was_evicted_starts_with_the_first_retained",
        ],
    ),
];

#[test]
fn providers_that_query_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
