//! Several handles on one durable name: they share the work.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Duration};

use a3s_event_core::types::SubscribeOptions;
use tokio::{sync::Mutex, time::timeout};

use crate::{Case, Reader, eventually, reader::whichever};

/// Short enough that what a member left behind comes within the patience.
fn impatient(case: &Case) -> SubscribeOptions {
    case.on_demand().with_ack_wait_secs(1)
}

/// "Several handles on one name share the work": nothing comes twice.
pub async fn handles_share_without_duplicates(case: Case) {
    let options = case.on_demand();
    let Some(mut one) = case.durable("reader", &options).await else {
        return;
    };
    let Some(mut other) = case.durable("reader", &options).await else {
        unreachable!("it was claimed before");
    };
    case.publish_many("event", 20).await;
    let mut got = Vec::new();
    for _ in 0..20 {
        let pending = whichever(&mut one, &mut other).await;
        assert_eq!(pending.received.num_delivered, 1);
        got.push(pending.received.sequence);
        pending.ack().await.unwrap();
    }
    got.sort_unstable();
    assert_eq!(got, (1..=20).collect::<Vec<_>>());
    one.nothing().await;
    other.nothing().await;
}

/// Handles are one consumer.
pub async fn handles_of_one_name_are_one_consumer(case: Case) {
    let mut handles = Vec::new();
    for _ in 0..3 {
        let Some(handle) = case.durable("reader", &SubscribeOptions::default()).await else {
            return;
        };
        handles.push(handle);
    }
    case.settles_at_consumers(1).await;
    for mut handle in handles {
        handle.close().await;
    }
    case.settles_at_consumers(1).await;
}

/// An event refused through one handle may come to another, with its count.
pub async fn a_refused_event_may_come_to_another_handle(case: Case) {
    if !case.redelivers().await {
        return;
    }
    let options = case.on_demand();
    let Some(mut one) = case.durable("reader", &options).await else {
        return;
    };
    case.publish("event").await;
    let pending = one.pending().await;
    let Some(mut other) = case.durable("reader", &options).await else {
        unreachable!("it was claimed before");
    };
    pending.nak().await.unwrap();
    let again = other.pending().await.received;
    assert_eq!((again.sequence, again.num_delivered), (1, 2));
}

/// What a member that died had taken is given to the others after the ack wait.
pub async fn a_dead_members_work_is_given_to_the_others(case: Case) {
    let options = impatient(&case);
    let Some(mut dead) = case.durable("reader", &options).await else {
        return;
    };
    case.publish_many("event", 3).await;
    let taken = dead.take(2).await;
    drop(dead);
    let Some(mut alive) = case.durable("reader", &options).await else {
        unreachable!("it was claimed before");
    };
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(alive.acknowledge().await);
    }
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3]);
    drop(taken);
}

/// "Closing gives back every event that was not handed over, so that another
/// handle of the durable gets it at once", and only that.
pub async fn close_gives_back_unseen_events_at_once(case: Case) {
    let Some(mut leaving) = case.durable("reader", &SubscribeOptions::default()).await else {
        return;
    };
    case.publish_many("event", 50).await;
    assert_eq!(leaving.acknowledge().await, 1);
    assert_eq!(leaving.acknowledge().await, 2);
    leaving.close().await;
    let Some(mut staying) = case.durable("reader", &SubscribeOptions::default()).await else {
        unreachable!("it was claimed before");
    };
    assert_all_come(&mut staying, 3..=50).await;
    staying.nothing().await;
}

/// Dropping a handle gives back what it had not handed over as well, "as far as
/// it can without waiting".
pub async fn drop_gives_back_unseen_events(case: Case) {
    let Some(mut leaving) = case.durable("reader", &SubscribeOptions::default()).await else {
        return;
    };
    case.publish_many("event", 50).await;
    assert_eq!(leaving.acknowledge().await, 1);
    drop(leaving);
    let Some(mut staying) = case.durable("reader", &SubscribeOptions::default()).await else {
        unreachable!("it was claimed before");
    };
    assert_all_come(&mut staying, 2..=50).await;
}

/// An event that came while nobody looked, to a reader whose `next` had been
/// dropped, is given back when it closes.
pub async fn close_gives_back_what_a_dropped_next_had_asked_for(case: Case) {
    let Some(mut leaving) = case.durable("reader", &SubscribeOptions::default()).await else {
        return;
    };
    leaving.nothing().await;
    case.publish_many("event", 3).await;
    case.pass(case.harness().quiet()).await;
    leaving.close().await;
    let Some(mut staying) = case.durable("reader", &SubscribeOptions::default()).await else {
        unreachable!("it was claimed before");
    };
    assert_all_come(&mut staying, 1..=3).await;
}

/// Members join and leave while four publishers are at work: every event is
/// acknowledged, and at least once.
pub async fn members_join_and_leave_without_a_loss(case: Case) {
    const EVENTS: usize = 400;

    let options = impatient(&case);
    let Some(first) = case.durable("reader", &options).await else {
        return;
    };
    drop(first);
    let done = Arc::new(Mutex::new(BTreeMap::<u64, usize>::new()));
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let provider = case.shared();
            let events: Vec<_> = (0..EVENTS / 4).map(|_| case.event("event")).collect();
            tokio::spawn(async move {
                for event in events {
                    provider.publish(&event).await.unwrap();
                }
            })
        })
        .collect();
    let mut members = Vec::new();
    for member in 0..6 {
        let (provider, done) = (case.shared(), Arc::clone(&done));
        let (options, pattern) = (options.clone(), case.everything());
        members.push(tokio::spawn(async move {
            // Reads a few, leaves by close or by drop, comes again.
            for round in 0.. {
                let opened = provider.subscribe_durable_with_options("reader", &pattern, &options);
                let mut subscription = opened.await.unwrap();
                for _ in 0..20 {
                    let next = subscription.next_manual_ack();
                    let Ok(next) = timeout(Duration::from_millis(100), next).await else {
                        break;
                    };
                    let pending = next.unwrap().unwrap();
                    let sequence = pending.received.sequence;
                    pending.ack_confirmed().await.unwrap();
                    *done.lock().await.entry(sequence).or_default() += 1;
                }
                if (round + member) % 2 == 0 {
                    subscription.close().await.unwrap();
                }
                drop(subscription);
                if done.lock().await.len() == EVENTS {
                    break;
                }
            }
        }));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    eventually(case.patience(), || async {
        done.lock().await.len() == EVENTS
    })
    .await;
    for member in members {
        member.await.unwrap();
    }
    let done = done.lock().await;
    assert!(done.keys().copied().eq(1..=EVENTS as u64));
}

/// Handles on threads of their own share a backlog: nothing is lost, and what
/// was acknowledged does not come again.
pub async fn concurrent_handles_share_a_backlog(case: Case) {
    const EVENTS: usize = 400;

    let Some(first) = case.durable("reader", &case.on_demand()).await else {
        return;
    };
    drop(first);
    case.publish_many("event", EVENTS).await;
    let mut handles = Vec::new();
    for _ in 0..4 {
        let Some(mut reader) = case.durable("reader", &case.on_demand()).await else {
            unreachable!("it was claimed before");
        };
        handles.push(tokio::spawn(async move {
            let mut got = Vec::new();
            let quiet = reader.quiet;
            while let Ok(next) = timeout(quiet, reader.subscription.next_manual_ack()).await {
                let pending = next.unwrap().unwrap();
                got.push(pending.received.sequence);
                pending.ack().await.unwrap();
            }
            reader.close().await;
            got
        }));
    }
    let mut got = Vec::new();
    for handle in handles {
        got.extend(handle.await.unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (1..=EVENTS as u64).collect::<Vec<_>>());
}

/// Every sequence of `expected` comes, in any order, and is acknowledged.
async fn assert_all_come(reader: &mut Reader, expected: RangeInclusive<u64>) {
    let mut got = Vec::new();
    for _ in expected.clone() {
        got.push(reader.acknowledge().await);
    }
    got.sort_unstable();
    assert!(got.iter().copied().eq(expected), "{got:?}");
}
