//! What goes wrong with publishing.

use std::time::Duration;

use a3s_event_core::{
    EventError, Result,
    provider::EventProvider,
    types::{Event, MAX_PAYLOAD_DEPTH, PublishOptions},
};
use serde_json::{Value, json};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{GOOD, Inner};

/// A mutant that stores something else than it is given, in batches too.
macro_rules! stores {
    ($change:expr) => {
        Mutant {
            publish: |inner, mut event, mut options| {
                let change: fn(&mut Event, &mut PublishOptions) = $change;
                change(&mut event, &mut options);
                Box::pin(async move { inner.publish_with_options(&event, &options).await })
            },
            batch: |inner, mut events| {
                let change: fn(&mut Event, &mut PublishOptions) = $change;
                for event in &mut events {
                    change(event, &mut PublishOptions::default());
                }
                Box::pin(async move { inner.publish_batch(&events).await })
            },
            ..GOOD
        }
    };
}

/// The last sequence, which the stream does not tell directly.
async fn last_sequence(inner: &Inner, event: &Event) -> Result<u64> {
    let probe = PublishOptions::default().with_expected_sequence(u64::MAX);
    match inner.publish_with_options(event, &probe).await {
        Err(EventError::Conflict { actual, .. }) => Ok(actual),
        Err(error) => Err(error),
        Ok(_) => unreachable!("no stream is that long"),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn clean(text: &str) -> String {
    let mut tokens: Vec<String> = Vec::new();
    for token in text.split('.') {
        let plain = |c: &char| !c.is_control() && !c.is_whitespace();
        let token: String = token.chars().filter(plain).collect();
        if !token.is_empty() {
            tokens.push(token);
        }
    }
    tokens.push("x".to_owned());
    tokens.join(".")
}

pub(super) const MUTANTS: Table = &[
    (
        "returns sequences from zero",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    let sequence = inner.publish_with_options(&event, &options).await?;
                    Ok(sequence - 1)
                })
            },
            ..GOOD
        },
        &[
            "expected::the_last_sequence_is_accepted",
            "publish::sequences_start_at_one_and_strictly_increase",
            "start::all_starts_with_everything_retained",
            "subscribe::overlapping_subscriptions_get_an_event_once_each",
        ],
    ),
    (
        "tells two publishers the same sequence",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    inner.publish_with_options(&event, &options).await?;
                    tokio::task::yield_now().await;
                    last_sequence(&inner, &event).await
                })
            },
            ..GOOD
        },
        &[
            "dedup::a_repeat_returns_the_first_sequence",
            "history::history_agrees_with_the_sequences_of_racing_publishers",
            "publish::concurrent_publishers_get_distinct_sequences",
        ],
    ),
    (
        "returns before an event is stored",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    let next = last_sequence(&inner, &event).await? + 1;
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        inner.publish_with_options(&event, &options).await
                    });
                    Ok(next)
                })
            },
            ..GOOD
        },
        &["publish::sequences_start_at_one_and_strictly_increase"],
    ),
    (
        "stores an event twice",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    inner.publish(&event).await?;
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["publish::sequences_start_at_one_and_strictly_increase"],
    ),
    (
        "drops metadata",
        stores!(|event, _| event.metadata.clear()),
        &["publish::every_field_of_the_envelope_survives"],
    ),
    (
        "overwrites trace headers",
        stores!(|event, _| {
            let fresh = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
            if event.metadata.contains_key("traceparent") {
                event.metadata.insert("traceparent".to_owned(), fresh);
            }
        }),
        &["publish::trace_context_in_the_metadata_survives"],
    ),
    (
        "forgets the event type",
        stores!(|event, _| event.event_type.clear()),
        &["publish::every_field_of_the_envelope_survives"],
    ),
    (
        "stamps events anew",
        stores!(|event, _| event.timestamp = 7),
        &["subscribe::a_delivered_event_belongs_to_its_reader"],
    ),
    (
        "trims text",
        stores!(|event, _| event.summary = event.summary.trim().to_owned()),
        &["publish::awkward_text_survives_in_every_field"],
    ),
    (
        "rounds numbers",
        stores!(|event, _| {
            if let Some(number) = event.payload.get("number").and_then(Value::as_f64) {
                event.payload["number"] = json!(number as f32);
            }
        }),
        &["publish::numbers_survive_bit_for_bit"],
    ),
    (
        "takes no payload but objects",
        stores!(|event, _| {
            if !event.payload.is_object() {
                event.payload = json!({"value": event.payload});
            }
        }),
        &["publish::every_shape_of_payload_survives"],
    ),
    (
        "cuts a large payload",
        stores!(|event, _| {
            if let Value::String(text) = &mut event.payload
                && text.len() > 64 * 1024
            {
                *text = text.chars().take(1024).collect();
            }
        }),
        &[
            "publish::a_payload_of_200_kib_survives",
            "publish::an_event_above_the_limit_is_refused",
        ],
    ),
    (
        "takes no large event",
        Mutant {
            build: |_| {
                let builder = a3s_event_memory::MemoryProvider::builder();
                std::sync::Arc::new(builder.max_event_bytes(100 * 1024).build().unwrap())
            },
            ..GOOD
        },
        &["start::a_start_sequence_that_was_evicted_starts_with_the_first_retained"],
    ),
    (
        "refuses depth that is allowed",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    if depth(&event.payload) >= MAX_PAYLOAD_DEPTH {
                        return Err(EventError::invalid_option("payload", "deep"));
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["publish::a_payload_at_the_depth_limit_survives"],
    ),
    (
        "flattens what nests too deep",
        stores!(|event, _| {
            if depth(&event.payload) > MAX_PAYLOAD_DEPTH {
                event.payload = Value::Null;
            }
        }),
        &[
            "batch::an_unacceptable_member_reports_the_stored_prefix",
            "publish::a_payload_nested_too_deep_is_refused",
        ],
    ),
    (
        "cleans subjects instead of refusing them",
        stores!(|event, _| {
            if a3s_event_core::subject::validate_subject(&event.subject).is_err() {
                event.subject = clean(&event.subject);
            }
        }),
        &["subjects::malformed_subjects_are_refused"],
    ),
    (
        "publishes wildcards",
        stores!(|event, _| event.subject = event.subject.replace(['*', '>'], "w")),
        &[
            "batch::an_invalid_member_reports_the_stored_prefix",
            "subjects::wildcards_are_not_published",
        ],
    ),
    (
        "takes subjects of any prefix",
        stores!(|event, _| {
            if !event.subject.starts_with("events.") {
                event.subject = format!("events.{}", event.subject);
            }
        }),
        &["subjects::subjects_outside_the_prefix_are_refused"],
    ),
    (
        "cuts long subjects",
        stores!(|event, _| event.subject = event.subject.chars().take(1024).collect()),
        &["subjects::the_longest_subject_is_1024_bytes"],
    ),
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
                crate::mutant::build(limits.with_duplicate_window(for_ever))
            },
            ..GOOD
        },
        &["dedup::the_window_ends"],
    ),
    (
        "forgets message ids at once",
        Mutant {
            build: |limits| crate::mutant::build(limits.with_duplicate_window(Duration::ZERO)),
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
    (
        "takes an unfinished publish for a failure for ever",
        Mutant {
            publish: |inner, event, options| {
                Box::pin(async move {
                    if event.subject.ends_with("cancelled") {
                        // Only half of it is done when the future is dropped.
                        inner.publish(&event).await?;
                        inner.publish(&event).await?;
                        tokio::task::yield_now().await;
                    }
                    inner.publish_with_options(&event, &options).await
                })
            },
            ..GOOD
        },
        &["publish::a_cancelled_publish_leaves_the_provider_usable"],
    ),
];

#[test]
fn providers_that_publish_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
