use std::{error::Error, io, time::Duration};

use super::EventError;

#[test]
fn text_escapes_and_bounds_what_users_typed() {
    let error = EventError::invalid_subject("a\r\nPUB x", "no control characters");
    assert_eq!(
        error.to_string(),
        r"invalid subject `a\r\nPUB x`: no control characters"
    );

    let long = "x".repeat(5000);
    assert!(EventError::not_found("consumer", &long).to_string().len() < 300);
}

#[test]
fn text_speaks_for_one_layer_and_keeps_its_cause() {
    let cause = io::Error::other("disk on fire");
    let error = EventError::state("save", "state.json", cause);

    assert_eq!(error.to_string(), "could not save state `state.json`");
    let source = error.source().map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("disk on fire"));
}

#[test]
fn a_publish_timeout_says_that_the_event_may_be_stored() {
    let publish = EventError::timeout("publish", Duration::from_secs(5)).to_string();
    assert!(publish.contains("may still be stored"), "{publish}");

    let info = EventError::timeout("info", Duration::from_secs(5)).to_string();
    assert!(!info.contains("stored"), "{info}");
}

#[test]
fn a_partial_batch_is_retryable_when_its_cause_is() {
    let timeout = EventError::timeout("publish", Duration::from_secs(1));
    assert!(EventError::partial_batch(vec![1, 2], timeout).is_retryable());
    assert!(!EventError::partial_batch(vec![], EventError::conflict(1, 2)).is_retryable());
}

#[test]
fn validation_names_all_missing_fields_at_once() {
    let missing = vec!["rate".to_owned(), "pair".to_owned()];
    let text = EventError::schema_validation("forex", 2, missing).to_string();
    assert_eq!(
        text,
        "payload of `forex` version 2 is invalid: missing required fields `rate`, `pair`"
    );
}

#[test]
fn names_of_fields_are_escaped_like_all_foreign_text() {
    let missing = vec!["ra\nte".to_owned()];
    let text = EventError::schema_validation("forex", 1, missing).to_string();
    assert!(text.ends_with(r"`ra\nte`"), "{text}");
}
