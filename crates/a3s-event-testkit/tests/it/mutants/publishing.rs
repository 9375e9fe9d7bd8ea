//! What goes wrong with publishing.

use std::time::Duration;

use a3s_event_core::{
    EventError,
    provider::EventProvider,
    types::{MAX_PAYLOAD_DEPTH, PublishOptions},
};
use serde_json::{Value, json};

use super::{Mutant, Table, assert_all_caught, clean, last_sequence, stores};
use crate::mutant::GOOD;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
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
                    tokio::time::sleep(Duration::from_millis(1)).await;
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
