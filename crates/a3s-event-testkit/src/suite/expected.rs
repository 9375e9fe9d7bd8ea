//! `expected_sequence`: optimistic concurrency over the whole stream.

use a3s_event_core::{EventError, Result, types::PublishOptions};

use crate::{Case, Limits};

fn expecting(sequence: u64) -> PublishOptions {
    PublishOptions::default().with_expected_sequence(sequence)
}

#[track_caller]
fn assert_conflict(outcome: Result<u64>, wanted: u64, found: u64) {
    match outcome {
        Err(EventError::Conflict {
            expected, actual, ..
        }) => assert_eq!((expected, actual), (wanted, found)),
        other => panic!("no conflict but {other:?}"),
    }
}

/// The stream's last sequence is accepted.
pub async fn the_last_sequence_is_accepted(case: Case) {
    let last = case.publish("a").await;
    let Some(next) = case.publish_with("a", &expecting(last)).await else {
        return;
    };
    let next = next.unwrap();
    assert!(next > last);
    let third = case.publish_with("b", &expecting(next)).await.unwrap();
    assert!(third.unwrap() > next);
}

/// "A mismatch is a conflict with both numbers", and nothing is stored.
pub async fn any_other_sequence_is_a_conflict_with_both_numbers(case: Case) {
    case.publish_many("a", 3).await;
    for wrong in [0, 2, 4, u64::MAX] {
        let Some(outcome) = case.publish_with("a", &expecting(wrong)).await else {
            return;
        };
        assert_conflict(outcome, wrong, 3);
    }
    assert_eq!(case.stored_ids().await.len(), 3);
}

/// "It is the last sequence over all subjects."
pub async fn the_expectation_counts_over_all_subjects(case: Case) {
    let a = case.publish("a").await;
    let b = case.publish("b").await;
    let Some(outcome) = case.publish_with("a", &expecting(a)).await else {
        return;
    };
    assert_conflict(outcome, a, b);
    let outcome = case.publish_with("a", &expecting(b)).await.unwrap();
    assert_eq!(outcome.unwrap(), b + 1);
}

/// "`Some(0)` means that the stream never held anything."
pub async fn zero_means_that_nothing_was_ever_stored(case: Case) {
    let Some(first) = case.publish_with("a", &expecting(0)).await else {
        return;
    };
    assert_eq!(first.unwrap(), 1);
    let second = case.publish_with("a", &expecting(0)).await.unwrap();
    assert_conflict(second, 0, 1);
}

/// "Purging does not reset it": what retention took still counts. Where the
/// harness cannot make a stream small, what it keeps counts.
pub async fn eviction_does_not_reset_the_last_sequence(case: Case) {
    let limits = Limits::default().with_max_events(1);
    let case = case.limited(limits).await.unwrap_or(case);
    case.publish_many("a", 5).await;
    let Some(outcome) = case.publish_with("a", &expecting(1)).await else {
        return;
    };
    assert_conflict(outcome, 1, 5);
    let outcome = case.publish_with("a", &expecting(5)).await.unwrap();
    assert_eq!(outcome.unwrap(), 6);
}

/// "Of many racing publishers exactly one wins."
pub async fn exactly_one_of_racing_publishers_wins(case: Case) {
    let last = case.publish("a").await;
    let Some(warm_up) = case.publish_with("a", &expecting(last)).await else {
        return;
    };
    let last = warm_up.unwrap();
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (provider, event) = (case.shared(), case.event("race"));
            tokio::spawn(async move {
                let options = expecting(last);
                provider.publish_with_options(&event, &options).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            Ok(sequence) => winners.push(sequence),
            lost => assert_conflict(lost, last, last + 1),
        }
    }
    assert_eq!(winners, [last + 1]);
}

/// Compare and swap in a loop counts exactly: five workers add twenty each.
pub async fn compare_and_swap_loops_total_exactly(case: Case) {
    const WORKERS: usize = 5;
    const EACH: usize = 20;

    let Some(first) = case.publish_with("count", &expecting(0)).await else {
        return;
    };
    let start = first.unwrap();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let provider = case.shared();
            let events: Vec<_> = (0..EACH).map(|_| case.event("count")).collect();
            tokio::spawn(async move {
                let mut known = start;
                for event in events {
                    loop {
                        let options = expecting(known);
                        match provider.publish_with_options(&event, &options).await {
                            Ok(sequence) => {
                                assert_eq!(sequence, known + 1, "another was in between");
                                break known = sequence;
                            }
                            Err(EventError::Conflict { actual, .. }) => {
                                assert!(actual > known, "a stream only grows");
                                known = actual;
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(case.stored_ids().await.len(), WORKERS * EACH + 1);
}

/// With both options, "a repeat succeeds if and only if the event at
/// expected + 1 carries the same `msg_id`". All four combinations of a fresh or
/// repeated id and a right or stale expectation.
pub async fn with_a_msg_id_only_the_natural_retry_succeeds(case: Case) {
    let both = |id: &str, sequence| expecting(sequence).with_msg_id(id);

    let Some(fresh) = case.publish_with("a", &both("one", 0)).await else {
        return;
    };
    assert_eq!(fresh.unwrap(), 1, "a fresh id and the right expectation");
    let stale = case.publish_with("a", &both("two", 0)).await.unwrap();
    assert_conflict(stale, 0, 1);
    let retry = case.publish_with("a", &both("one", 0)).await.unwrap();
    assert_eq!(retry.unwrap(), 1, "the retry of what was stored");
    assert_repeat_refused(&case, &both("one", 1)).await;

    case.publish("b").await;
    let retry = case.publish_with("a", &both("one", 0)).await.unwrap();
    assert_eq!(retry.unwrap(), 1, "the retry after the stream went on");
    for expected in [1, 2] {
        assert_repeat_refused(&case, &both("one", expected)).await;
    }
    assert_eq!(case.stored_ids().await.len(), 2);
}

/// A repeat whose original is elsewhere is a conflict, right expectation or not.
async fn assert_repeat_refused(case: &Case, options: &PublishOptions) {
    let outcome = case.publish_with("a", options).await.unwrap();
    assert!(
        matches!(outcome, Err(EventError::Conflict { .. })),
        "{options:?}: {outcome:?}"
    );
}

/// What was refused leaves its id free.
pub async fn a_refused_publish_leaves_its_msg_id_free(case: Case) {
    case.publish("a").await;
    let options = expecting(7).with_msg_id("one");
    let Some(outcome) = case.publish_with("a", &options).await else {
        return;
    };
    assert_conflict(outcome, 7, 1);
    let options = PublishOptions::default().with_msg_id("one");
    let outcome = case.publish_with("a", &options).await.unwrap();
    assert_eq!(outcome.unwrap(), 2);
}
