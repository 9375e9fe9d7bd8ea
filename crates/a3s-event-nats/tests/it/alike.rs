//! Where this provider once behaved unlike the one in memory, as the comparison
//! of the two in the tests of the workspace found.

use a3s_event_core::{EventError, provider::EventProvider, types::PublishOptions};
use a3s_event_testkit::sample_event;

use crate::common::{provider, shared_server};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_largest_expected_sequence_is_a_conflict() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let options = PublishOptions::default()
        .with_msg_id("once")
        .with_expected_sequence(u64::MAX);
    let event = sample_event(&provider, "a");
    let outcome = provider.publish_with_options(&event, &options).await;
    assert!(
        matches!(
            outcome,
            Err(EventError::Conflict {
                expected: u64::MAX,
                actual: 0,
                ..
            })
        ),
        "{outcome:?}"
    );
}
