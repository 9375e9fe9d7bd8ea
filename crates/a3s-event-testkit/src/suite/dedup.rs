//! `msg_id`: a repeat is stored once.

use std::time::Duration;

use a3s_event_core::{EventError, types::PublishOptions};

use crate::{Case, Limits, eventually};

fn msg_id(id: &str) -> PublishOptions {
    PublishOptions::default().with_msg_id(id)
}

/// "A repeat inside the window is stored once; the call succeeds and returns
/// the first one's sequence."
pub async fn a_repeat_returns_the_first_sequence(case: Case) {
    let Some(first) = case.publish_with("paid", &msg_id("order-1")).await else {
        return;
    };
    let first = first.unwrap();
    case.publish("between").await;
    for _ in 0..3 {
        let repeat = case.publish_with("paid", &msg_id("order-1")).await.unwrap();
        assert_eq!(repeat.unwrap(), first);
    }
    assert_eq!(case.stored_ids().await.len(), 2);
    assert_eq!(case.publish("after").await, 3);
}

/// The id belongs to the stream, not to a subject.
pub async fn a_repeat_on_another_subject_is_a_repeat(case: Case) {
    let Some(first) = case.publish_with("a", &msg_id("order-1")).await else {
        return;
    };
    let repeat = case.publish_with("b", &msg_id("order-1")).await.unwrap();
    assert_eq!(repeat.unwrap(), first.unwrap());
    assert_eq!(case.stored_ids().await.len(), 1);
}

/// Different ids are different, however little: each is stored, or refused as
/// one that the backend cannot carry. None is taken for a repeat.
pub async fn ids_that_differ_a_little_are_different(case: Case) {
    let long = "x".repeat(300);
    let ids = ["a", "A", " a", "a ", "ä", "a:b", "a/b", "日本", &long];
    let mut stored = 0;
    for id in ids {
        match case.publish_with("id", &msg_id(id)).await {
            Some(Ok(sequence)) => {
                stored += 1;
                assert_eq!(sequence, stored, "{id:?} was taken for a repeat");
            }
            Some(Err(EventError::InvalidOption { .. })) => {}
            Some(Err(error)) => panic!("{id:?}: {error:?}"),
            None => return,
        }
    }
    assert_eq!(case.stored_ids().await.len() as u64, stored);
    assert!(stored >= 5, "plain ids are taken");
}

/// "Returns the first one's sequence, also after that event was purged." Where
/// the harness cannot make a stream small, the id is repeated behind a crowd.
pub async fn a_repeat_is_known_after_its_event_was_evicted(case: Case) {
    let limits = Limits::default().with_max_events(3);
    let small = case.limited(limits).await;
    let evicts = small.is_some();
    let case = small.unwrap_or(case);
    let Some(first) = case.publish_with("gone", &msg_id("order-1")).await else {
        return;
    };
    case.publish_many("later", 10).await;
    let stored = case.stored_ids().await.len();
    assert_eq!(stored, if evicts { 3 } else { 11 });
    let repeat = case.publish_with("gone", &msg_id("order-1")).await.unwrap();
    assert_eq!(repeat.unwrap(), first.unwrap());
    assert_eq!(case.stored_ids().await.len(), stored);
}

/// After the window an id is new again. Where the harness cannot shorten the
/// window, the default one holds for longer than a moment.
pub async fn the_window_ends(case: Case) {
    const WINDOW: Duration = Duration::from_secs(1);

    let limits = Limits::default().with_duplicate_window(WINDOW);
    let Some(short) = case.limited(limits).await else {
        if let Some(first) = case.publish_with("id", &msg_id("order-1")).await {
            case.pass(case.harness().quiet()).await;
            let repeat = case.publish_with("id", &msg_id("order-1")).await.unwrap();
            assert_eq!(repeat.unwrap(), first.unwrap());
        }
        return;
    };
    let Some(first) = short.publish_with("id", &msg_id("order-1")).await else {
        return;
    };
    let first = first.unwrap();
    let repeat = short.publish_with("id", &msg_id("order-1")).await.unwrap();
    assert_eq!(repeat.unwrap(), first);
    // A backend may forget in rounds, so the end comes some time after the window.
    short.pass(WINDOW).await;
    eventually(short.patience(), || async {
        let again = short.publish_with("id", &msg_id("order-1")).await.unwrap();
        again.unwrap() > first
    })
    .await;
    assert_eq!(short.stored_ids().await.len(), 2);
}

/// Of many who publish one id at the same time one is stored, and all are told
/// its sequence.
pub async fn racing_repeats_store_one(case: Case) {
    let Some(before) = case.publish_with("race", &msg_id("before")).await else {
        return;
    };
    let expected = before.unwrap() + 1;
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let (provider, event) = (case.shared(), case.event("race"));
            tokio::spawn(async move {
                let options = msg_id("order-1");
                provider.publish_with_options(&event, &options).await
            })
        })
        .collect();
    for racer in racers {
        assert_eq!(racer.await.unwrap().unwrap(), expected);
    }
    assert_eq!(case.stored_ids().await.len(), 2);
}

/// "Empty ids, and ids with control characters, are refused" by every provider,
/// and so are ids that begin or end with white space: an id travels in a header.
pub async fn empty_ids_and_control_characters_are_refused(case: Case) {
    for id in ["", "a\r\nb", "\n", "a\0", "a\u{7f}", "\t", " a", "a "] {
        let event = case.event("id");
        let outcome = case
            .provider
            .publish_with_options(&event, &msg_id(id))
            .await;
        let as_claimed = match &outcome {
            Err(EventError::InvalidOption { option, .. }) => option == "msg_id",
            Err(EventError::Unsupported { .. }) => !case.claims().deduplication,
            _ => false,
        };
        assert!(as_claimed, "{id:?}: {outcome:?}");
    }
    case.assert_nothing_stored().await;
}
