//! Messages in the stream that are no events.

use a3s_event_core::{
    EventError,
    provider::{Delivery, EventProvider},
};
use a3s_event_testkit::{sample_event, within};

use crate::common::{PATIENCE, everything, provider, raw, shared_server};

const FOREIGN: [&str; 4] = ["", "hello", "{\"id\":1}", "[1,2"];

#[tokio::test]
#[ignore = "needs nats-server"]
async fn foreign_messages_are_one_error_each_and_wedge_nobody() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let raw = raw(server.url()).await;
    let subject = provider.build_subject("sample", "foreign");
    for text in FOREIGN {
        raw.0.request(subject.clone(), text.into()).await.unwrap();
    }
    let event = sample_event(&provider, "a");
    provider.publish(&event).await.unwrap();
    for auto in [true, false] {
        let name = format!("worker-{auto}");
        let mut worker = provider
            .subscribe_durable(&name, &everything(&provider))
            .await
            .unwrap();
        for expected in 1..=FOREIGN.len() as u64 {
            let error = if auto {
                within(PATIENCE, worker.next()).await.map(drop).unwrap_err()
            } else {
                within(PATIENCE, worker.next_manual_ack())
                    .await
                    .map(drop)
                    .unwrap_err()
            };
            assert!(
                matches!(&error, EventError::Undecodable { sequence, .. } if *sequence == expected),
                "{error:?}"
            );
        }
        let received = within(PATIENCE, worker.next_manual_ack())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(received.received.event, event);
        received.ack_confirmed().await.unwrap();
        worker.close().await.unwrap();
        let lag = provider.consumer_info(&name).await.unwrap();
        assert_eq!((lag.pending, lag.unanswered), (0, 0), "nothing comes again");
    }
    assert_eq!(provider.history(None, 10).await.unwrap(), [event]);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_layer_that_asks_for_deliveries_gets_the_raw_message() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let raw = raw(server.url()).await;
    let subject = provider.build_subject("sample", "foreign");
    raw.0
        .request(subject.clone(), "not an event".into())
        .await
        .unwrap();
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    let delivery = within(PATIENCE, subscription.next_delivery())
        .await
        .unwrap();
    let Some(Delivery::Undecodable(message)) = delivery else {
        panic!("{delivery:?}");
    };
    assert_eq!(message.raw, b"not an event");
    assert_eq!(
        (message.subject.as_str(), message.sequence),
        (subject.as_str(), 1)
    );
    assert_eq!(message.num_delivered, 1);
}
