//! Reading with automatic answers: an event is acknowledged when its reader
//! comes back for the next one.

use crate::{Case, case::impatient, reader::next_of, within};

/// "`next()` acknowledges an event when the caller comes back for the next one",
/// and not before: a reader that leaves while it works gets it again, and only
/// the one it worked on.
pub async fn next_acknowledges_when_the_caller_comes_back(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 3).await;
    assert_eq!(reader.received().await.sequence, 1);
    assert_eq!(reader.received().await.sequence, 2);
    drop(reader);
    assert_left(&case).await;
}

/// Coming back and waiting in vain is coming back.
pub async fn next_acknowledges_while_it_waits(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    assert_eq!(reader.received().await.sequence, 1);
    let wait = case.long_after();
    let came = tokio::time::timeout(wait, reader.subscription.next()).await;
    assert!(came.is_err(), "not nothing but {came:?}");
    reader.nothing_for(wait).await;
}

/// An event that was not acknowledged when its reader closed comes again.
pub async fn closing_does_not_acknowledge_the_last_event(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish("event").await;
    assert_eq!(reader.received().await.sequence, 1);
    reader.close().await;
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    let again = reader.pending().await.received;
    assert_eq!((again.sequence, again.num_delivered), (1, 2));
}

/// A stream acknowledges an event "when it is polled for the one after it".
pub async fn a_stream_acknowledges_when_it_is_polled_again(case: Case) {
    let Some(reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 3).await;
    let mut stream = reader.subscription.into_stream();
    for expected in [1, 2] {
        let received = within(case.patience(), next_of(&mut stream)).await;
        assert_eq!(received.unwrap().unwrap().sequence, expected);
    }
    drop(stream);
    assert_left(&case).await;
}

/// Of three events the first is acknowledged, the second was being worked on.
async fn assert_left(case: &Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    let mut left = Vec::new();
    for _ in 0..2 {
        let received = reader.pending().await.received;
        left.push((received.sequence, received.num_delivered > 1));
    }
    left.sort_unstable();
    assert_eq!(left[0], (2, true), "what was being worked on comes again");
    assert_eq!(left[1].0, 3);
}
