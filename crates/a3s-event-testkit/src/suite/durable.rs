//! Durable consumers: a position per name that outlives the handle.

use a3s_event_core::types::SubscribeOptions;

use crate::{Case, Reader, case::impatient};

fn plain() -> SubscribeOptions {
    SubscribeOptions::default()
}

/// A durable goes on where it was when its handle was dropped.
pub async fn a_durable_resumes_after_drop(case: Case) {
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    case.publish_many("event", 4).await;
    assert_eq!(reader.acknowledge().await, 1);
    assert_eq!(reader.acknowledge().await, 2);
    drop(reader);
    let mut reader = reopen(&case, "reader").await;
    for expected in 3..=4 {
        assert_eq!(reader.acknowledge().await, expected);
    }
    let sequence = case.publish("event").await;
    assert_eq!(reader.acknowledge().await, sequence);
    reader.nothing().await;
}

/// A durable goes on where it was when its handle was closed; answers that were
/// under way are counted.
pub async fn a_durable_resumes_after_close(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 4).await;
    for pending in reader.take(3).await {
        pending.ack().await.unwrap();
    }
    reader.close().await;
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    assert_eq!(reader.acknowledge().await, 4);
    reader.nothing_for(case.long_after()).await;
}

/// A durable that exists before an event gets it, read or not in between.
pub async fn a_durable_gets_what_was_published_while_nobody_read(case: Case) {
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    reader.close().await;
    case.publish_many("event", 50).await;
    let mut reader = reopen(&case, "reader").await;
    assert_eq!(reader.sequences(50).await, (1..=50).collect::<Vec<_>>());
}

/// A durable opened without options starts with everything retained, as
/// `subscribe` does.
pub async fn a_new_durable_starts_with_everything_retained(case: Case) {
    case.publish_many("event", 3).await;
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    case.publish("event").await;
    assert_eq!(reader.sequences(4).await, [1, 2, 3, 4]);
}

/// A durable delivers what its filter selects.
pub async fn a_durable_delivers_what_its_filter_selects(case: Case) {
    let pattern = case.subject("wanted.*");
    let Some(mut reader) = case.durable_on("reader", &pattern, &plain()).await else {
        return;
    };
    for topic in ["wanted.a", "other", "wanted", "wanted.b.c", "wanted.b"] {
        case.publish(topic).await;
    }
    assert_eq!(reader.sequences(2).await, [1, 5]);
    reader.nothing().await;
}

/// Every name gets everything.
pub async fn two_names_each_get_everything(case: Case) {
    let Some(mut one) = case.durable("one", &plain()).await else {
        return;
    };
    let Some(mut other) = case.durable("other", &plain()).await else {
        unreachable!("it was claimed before");
    };
    case.publish_many("event", 5).await;
    for reader in [&mut one, &mut other] {
        assert_eq!(reader.sequences(5).await, [1, 2, 3, 4, 5]);
    }
}

/// An ephemeral subscription leaves no position: the next one starts anew.
pub async fn an_ephemeral_subscription_leaves_no_position(case: Case) {
    case.publish_many("event", 3).await;
    for _ in 0..3 {
        let mut reader = case.subscribe_all().await;
        assert_eq!(reader.acknowledge().await, 1);
        assert_eq!(reader.acknowledge().await, 2);
        reader.close().await;
    }
}

/// The position belongs to the storage: another process goes on from it. Where
/// the storage ends with its provider, a new one knows of nothing.
pub async fn a_position_outlives_the_process(case: Case) {
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    case.publish_many("event", 4).await;
    assert_eq!(reader.acknowledge().await, 1);
    assert_eq!(reader.acknowledge().await, 2);
    reader.close().await;
    case.provider.close().await.unwrap();
    let Some(case) = case.reopened().await else {
        let fresh = case.another().await;
        fresh.assert_nothing_stored().await;
        return assert_eq!(fresh.consumers().await, 0);
    };
    let mut reader = reopen(&case, "reader").await;
    assert_eq!(reader.acknowledge().await, 3);
    assert_eq!(reader.acknowledge().await, 4);
}

/// `unsubscribe` forgets the position: the name starts anew.
pub async fn unsubscribe_forgets_the_position(case: Case) {
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    case.publish_many("event", 3).await;
    assert_eq!(reader.acknowledge().await, 1);
    reader.close().await;
    case.provider.unsubscribe("reader").await.unwrap();
    let mut reader = reopen(&case, "reader").await;
    assert_eq!(reader.sequences(3).await, [1, 2, 3]);
}

/// After `unsubscribe` the name may have another configuration.
pub async fn unsubscribe_frees_the_name(case: Case) {
    let Some(reader) = case
        .durable_on("reader", &case.subject("a"), &plain())
        .await
    else {
        return;
    };
    drop(reader);
    case.provider.unsubscribe("reader").await.unwrap();
    case.publish("b").await;
    let pattern = case.subject("b");
    let Some(mut reader) = case.durable_on("reader", &pattern, &plain()).await else {
        unreachable!("it was claimed before");
    };
    assert_eq!(reader.received().await.sequence, 1);
}

/// "Unknown name: Ok, idempotent."
pub async fn unsubscribing_an_unknown_name_is_ok(case: Case) {
    case.provider.unsubscribe("never").await.unwrap();
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    reader.close().await;
    case.provider.unsubscribe("reader").await.unwrap();
    case.provider.unsubscribe("reader").await.unwrap();
    case.settles_at_consumers(0).await;
}

/// `unsubscribe` concerns one name.
pub async fn unsubscribe_leaves_the_other_names(case: Case) {
    case.publish_many("event", 2).await;
    let mut names = vec!["reader", "reader.2", "reade", "READER", "other"];
    for name in &names {
        let Some(mut reader) = case.durable(name, &plain()).await else {
            return;
        };
        assert_eq!(reader.acknowledge().await, 1);
        reader.close().await;
    }
    case.provider.unsubscribe(names.remove(0)).await.unwrap();
    for name in names {
        let mut reader = reopen(&case, name).await;
        assert_eq!(reader.acknowledge().await, 2, "{name}");
        reader.close().await;
    }
}

/// Events that were handed out stay valid after `unsubscribe`; answering them
/// does nothing, also not to a new consumer of the name.
pub async fn answers_after_unsubscribe_do_nothing(case: Case) {
    let Some(mut reader) = case.durable("reader", &plain()).await else {
        return;
    };
    case.publish_many("event", 3).await;
    let taken = reader.take(3).await;
    case.provider.unsubscribe("reader").await.unwrap();
    let mut again = reopen(&case, "reader").await;
    for pending in taken {
        pending.ack().await.unwrap();
    }
    for expected in 1..=3 {
        let received = again.pending().await.received;
        assert_eq!((received.sequence, received.num_delivered), (expected, 1));
    }
}

async fn reopen(case: &Case, name: &str) -> Reader {
    let reader = case.durable(name, &plain()).await;
    reader.expect("durability was claimed before")
}
