//! Where a subscription starts.

use a3s_event_core::types::{DeliverPolicy, SubscribeOptions};

use crate::{Case, Limits, Reader};

fn starting(policy: DeliverPolicy) -> SubscribeOptions {
    SubscribeOptions::default().with_deliver_policy(policy)
}

/// Reads until the newest event, `last`, and returns all sequences.
async fn up_to(reader: &mut Reader, last: u64) -> Vec<u64> {
    let mut sequences = Vec::new();
    while sequences.last() != Some(&last) {
        sequences.push(reader.received().await.sequence);
    }
    sequences
}

/// `All`, said explicitly, is the default.
pub async fn all_starts_with_everything_retained(case: Case) {
    case.publish_many("a", 3).await;
    let Some(mut reader) = case.ephemeral(&starting(DeliverPolicy::All)).await else {
        return;
    };
    let last = case.publish("a").await;
    assert_eq!(up_to(&mut reader, last).await, [1, 2, 3, 4]);
}

/// `New` starts when the subscription exists: what is published right after it
/// was opened is delivered.
pub async fn new_starts_when_the_subscription_exists(case: Case) {
    case.publish_many("a", 3).await;
    let Some(mut reader) = case.ephemeral(&starting(DeliverPolicy::New)).await else {
        return;
    };
    let last = case.publish("a").await;
    assert_eq!(up_to(&mut reader, last).await, [4]);
}

/// `Last` starts with the newest event that matches.
pub async fn last_starts_with_the_newest_match(case: Case) {
    for topic in ["a", "b", "a", "b"] {
        case.publish(topic).await;
    }
    let options = starting(DeliverPolicy::Last);
    let Some(mut reader) = case.ephemeral_on(&case.subject("a"), &options).await else {
        return;
    };
    case.publish("b").await;
    let last = case.publish("a").await;
    assert_eq!(up_to(&mut reader, last).await, [3, 6]);
}

/// "`Last` without a match is New."
pub async fn last_without_a_match_is_new(case: Case) {
    case.publish("other").await;
    let options = starting(DeliverPolicy::Last);
    let Some(mut reader) = case.ephemeral_on(&case.subject("a"), &options).await else {
        return;
    };
    reader.nothing().await;
    let last = case.publish("a").await;
    assert_eq!(up_to(&mut reader, last).await, [last]);
}

/// "`LastPerSubject` is a snapshot at creation, ascending by sequence, then
/// everything newer": also further events of a subject in the snapshot.
pub async fn last_per_subject_is_a_snapshot_then_everything_newer(case: Case) {
    for topic in ["a.x", "a.y", "b.x", "a.x", "a.z", "a.y"] {
        case.publish(topic).await;
    }
    let options = starting(DeliverPolicy::LastPerSubject);
    let Some(mut reader) = case.ephemeral_on(&case.subject("a.*"), &options).await else {
        return;
    };
    for topic in ["a.x", "b.x", "a.z", "a.x"] {
        case.publish(topic).await;
    }
    assert_eq!(up_to(&mut reader, 10).await, [4, 5, 6, 7, 9, 10]);
    reader.nothing().await;
}

/// `LastPerSubject` selects over everything as well.
pub async fn last_per_subject_of_everything(case: Case) {
    for topic in ["a", "b", "a", "c", "b"] {
        case.publish(topic).await;
    }
    let options = starting(DeliverPolicy::LastPerSubject);
    let Some(mut reader) = case.ephemeral_on(">", &options).await else {
        return;
    };
    let last = case.publish("a").await;
    assert_eq!(up_to(&mut reader, last).await, [3, 4, 5, 6]);
}

/// A start sequence is inclusive, and the filter still selects.
pub async fn a_start_sequence_is_inclusive(case: Case) {
    for topic in ["a", "b", "a", "b", "a"] {
        case.publish(topic).await;
    }
    for (sequence, expected) in [(1, &[1, 3, 5][..]), (3, &[3, 5]), (4, &[5]), (5, &[5])] {
        let options = starting(DeliverPolicy::ByStartSequence { sequence });
        let opened = case.ephemeral_on(&case.subject("a"), &options).await;
        let Some(mut reader) = opened else {
            return;
        };
        assert_eq!(up_to(&mut reader, 5).await, expected, "from {sequence}");
        reader.close().await;
    }
}

/// "Start sequence 0 is All."
pub async fn start_sequence_zero_is_all(case: Case) {
    case.publish_many("a", 3).await;
    let options = starting(DeliverPolicy::ByStartSequence { sequence: 0 });
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    assert_eq!(up_to(&mut reader, 3).await, [1, 2, 3]);
}

/// Below the first retained sequence it starts with the first retained one.
pub async fn a_start_sequence_that_was_evicted_starts_with_the_first_retained(case: Case) {
    let limits = Limits::default().with_max_events(3);
    let small = case.limited(limits).await;
    let first_retained = if small.is_some() { 8 } else { 2 };
    let case = small.unwrap_or(case);
    case.publish_many("a", 10).await;
    let options = starting(DeliverPolicy::ByStartSequence { sequence: 2 });
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    let expected: Vec<u64> = (first_retained..=10).collect();
    assert_eq!(up_to(&mut reader, 10).await, expected);
}

/// "Beyond the tip it waits for that sequence."
pub async fn a_start_sequence_beyond_the_tip_waits_for_it(case: Case) {
    case.publish_many("a", 3).await;
    let options = starting(DeliverPolicy::ByStartSequence { sequence: 6 });
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    case.publish_many("a", 2).await;
    reader.nothing().await;
    case.publish_many("a", 2).await;
    assert_eq!(up_to(&mut reader, 7).await, [6, 7]);
}

/// "Start time is when the event was stored", not when it says it was created.
pub async fn a_start_time_is_the_time_of_storing(case: Case) {
    let mut old = case.event("a");
    old.timestamp = case.now_millis() + 3_600_000;
    case.provider.publish(&old).await.unwrap();
    case.pass(case.gap()).await;
    let timestamp = case.now_millis();
    case.pass(case.gap()).await;
    let mut new = case.event("a");
    new.timestamp = 1;
    case.provider.publish(&new).await.unwrap();

    for (timestamp, expected) in [(timestamp, &[2][..]), (timestamp - 3_600_000, &[1, 2])] {
        let options = starting(DeliverPolicy::ByStartTime { timestamp });
        let Some(mut reader) = case.ephemeral(&options).await else {
            return;
        };
        assert_eq!(up_to(&mut reader, 2).await, expected);
        reader.close().await;
    }
}

/// Before everything it is `All`, also at the beginning of time.
pub async fn a_start_time_before_everything_is_all(case: Case) {
    case.publish_many("a", 3).await;
    for timestamp in [0, 1] {
        let options = starting(DeliverPolicy::ByStartTime { timestamp });
        let Some(mut reader) = case.ephemeral(&options).await else {
            return;
        };
        assert_eq!(up_to(&mut reader, 3).await, [1, 2, 3]);
        reader.close().await;
    }
}

/// After everything retained it is what follows.
pub async fn a_start_time_after_everything_is_new(case: Case) {
    case.publish_many("a", 3).await;
    case.pass(case.gap()).await;
    let timestamp = case.now_millis();
    let options = starting(DeliverPolicy::ByStartTime { timestamp });
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    reader.nothing().await;
    case.publish("a").await;
    assert_eq!(up_to(&mut reader, 4).await, [4]);
}

/// "In the future it is New": the next event comes at once.
pub async fn a_start_time_in_the_future_is_new(case: Case) {
    case.publish_many("a", 3).await;
    let timestamp = case.now_millis() + 3_600_000;
    let options = starting(DeliverPolicy::ByStartTime { timestamp });
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    case.publish("a").await;
    assert_eq!(up_to(&mut reader, 4).await, [4]);
}

/// A durable starts where its first opening says, whatever the policy.
pub async fn a_durable_starts_by_policy(case: Case) {
    for topic in ["a", "b", "a"] {
        case.publish(topic).await;
    }
    let policies = [
        (DeliverPolicy::All, &[1, 2, 3, 4][..]),
        (DeliverPolicy::New, &[4]),
        (DeliverPolicy::Last, &[3, 4]),
        (DeliverPolicy::LastPerSubject, &[2, 3, 4]),
        (DeliverPolicy::ByStartSequence { sequence: 3 }, &[3, 4]),
        (DeliverPolicy::ByStartTime { timestamp: 0 }, &[1, 2, 3, 4]),
    ];
    let mut readers = Vec::new();
    for (number, (policy, expected)) in policies.into_iter().enumerate() {
        let name = format!("policy-{number}");
        let Some(reader) = case.durable(&name, &starting(policy)).await else {
            return;
        };
        readers.push((reader, expected));
    }
    case.publish("b").await;
    for (mut reader, expected) in readers {
        assert_eq!(up_to(&mut reader, 4).await, expected);
    }
}

/// "The start position counts only at creation and is not compared": an
/// existing durable goes on from its position.
pub async fn an_existing_durable_goes_on_from_its_position(case: Case) {
    case.publish_many("a", 9).await;
    let policies = [
        DeliverPolicy::All,
        DeliverPolicy::New,
        DeliverPolicy::Last,
        DeliverPolicy::ByStartSequence { sequence: 1 },
        DeliverPolicy::ByStartTime { timestamp: 0 },
        DeliverPolicy::LastPerSubject,
    ];
    for (position, policy) in (1..).zip(policies) {
        let Some(mut reader) = case.durable("reader", &starting(policy)).await else {
            return;
        };
        assert_eq!(reader.acknowledge().await, position);
        reader.close().await;
    }
}
