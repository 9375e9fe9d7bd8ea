//! Histories against a naive reading of random streams, and what they cost.

use a3s_event_core::{provider::EventProvider, subject, types::Event};
use a3s_event_nats::{ExistingStream, NatsConfig, NatsProvider};
use a3s_event_testkit::sample_event;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::common::{Raw, config, raw, shared_server};

/// A stream that grew, was cut at its beginning and has holes.
#[derive(Debug, Clone)]
struct Shape {
    /// The topic of each event by number; `None` is a message that is no event.
    topics: Vec<Option<u8>>,
    /// Sequences that are deleted, as parts of the length.
    deleted: Vec<prop::sample::Index>,
    /// How much is purged from the beginning.
    purged: prop::sample::Index,
    queries: Vec<(u8, usize)>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    // Topic 0 is frequent, 3 is rare.
    let topic = prop_oneof![
        60 => Just(Some(0)),
        20 => Just(Some(1)),
        10 => Just(Some(2)),
        1 => Just(Some(3)),
        5 => Just(None),
    ];
    (
        prop::collection::vec(topic, 0..400),
        prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        any::<prop::sample::Index>(),
        prop::collection::vec((0_u8..8, 0_usize..120), 6),
    )
        .prop_map(|(topics, deleted, purged, queries)| Shape {
            topics,
            deleted,
            purged,
            queries,
        })
}

fn pattern(prefix: &str, number: u8) -> Option<String> {
    Some(match number {
        0 => return None,
        1 => ">".to_owned(),
        2 => format!("{prefix}.sample.t0.x"),
        3 => format!("{prefix}.sample.t1.*"),
        4 => format!("{prefix}.*.t2.>"),
        5 => format!("{prefix}.sample.t3.x"),
        6 => format!("{prefix}.other.>"),
        _ => format!("{prefix}.sample.>"),
    })
}

/// Builds the stream; returns what is stored, oldest first.
async fn build(
    shape: &Shape,
    provider: &NatsProvider,
    raw: &Raw,
    stream: &str,
    holes: bool,
) -> Vec<Event> {
    let mut stored: Vec<Option<Event>> = Vec::new();
    for topic in &shape.topics {
        match topic {
            Some(topic) => {
                let event = sample_event(provider, &format!("t{topic}.x"));
                provider.publish(&event).await.unwrap();
                stored.push(Some(event));
            }
            None => {
                let subject = provider.build_subject("sample", "t0.x");
                raw.0.request(subject, "foreign".into()).await.unwrap();
                stored.push(None);
            }
        }
    }
    if holes && !stored.is_empty() {
        for index in &shape.deleted {
            let index = index.index(stored.len());
            let body = json!({"seq": index + 1, "no_erase": true});
            raw.ask(&format!("STREAM.MSG.DELETE.{stream}"), &body).await;
            stored[index] = None;
        }
        let purged = shape.purged.index(stored.len()) / 2;
        // To the server, everything below 1 is everything.
        if purged > 0 {
            let body = json!({"seq": purged + 1});
            raw.ask(&format!("STREAM.PURGE.{stream}"), &body).await;
            stored[..purged].fill(None);
        }
    }
    stored.into_iter().flatten().collect()
}

fn check_random_streams(cases: u32, direct: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = shared_server();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::default()
    });
    // Servers before 2.10 answer wrongly where messages were deleted: they deliver some that they
    // no longer have by their own word, and do not find others.
    let holes = server.version() >= a3s_event_nats_server::Version::new(2, 10, 0);
    let outcome = runner.run(&shapes(), |shape| {
        runtime.block_on(async {
            let config = config(server.url());
            let raw = raw(server.url()).await;
            let stream = config.stream_name.clone();
            let provider = open(config, &raw, direct).await;
            let stored = build(&shape, &provider, &raw, &stream, holes).await;
            for (number, limit) in &shape.queries {
                let pattern = pattern(provider.subject_prefix(), *number);
                let matches = |event: &&Event| match pattern.as_deref() {
                    Some(pattern) => subject::matches(pattern, &event.subject),
                    None => true,
                };
                let naive: Vec<Event> = stored
                    .iter()
                    .rev()
                    .filter(matches)
                    .take(*limit)
                    .cloned()
                    .collect();
                let found = provider.history(pattern.as_deref(), *limit).await.unwrap();
                prop_assert_eq!(found, naive, "{:?}, newest {}", pattern, limit);
            }
            prop_assert_eq!(raw.consumers(&stream).await, Vec::<String>::new());
            raw.delete_stream(&stream).await;
            Ok(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// A provider whose stream answers direct reads or not.
async fn open(config: NatsConfig, raw: &Raw, direct: bool) -> NatsProvider {
    if direct {
        return NatsProvider::connect(config).await.unwrap();
    }
    let stream = json!({
        "name": config.stream_name,
        "subjects": [format!("{}.>", config.subject_prefix)],
        "allow_direct": false,
    });
    raw.ask(&format!("STREAM.CREATE.{}", config.stream_name), &stream)
        .await;
    NatsProvider::builder(config)
        .on_existing(ExistingStream::Bind)
        .connect()
        .await
        .unwrap()
}

#[test]
#[ignore = "needs nats-server"]
fn history_agrees_with_a_naive_reading_of_random_streams() {
    check_random_streams(40, true);
}

#[test]
#[ignore = "needs nats-server"]
fn history_without_direct_reads_agrees_with_a_naive_reading_too() {
    check_random_streams(25, false);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_history_longer_than_a_page_is_whole() {
    let server = shared_server();
    for direct in [true, false] {
        let raw = raw(server.url()).await;
        let provider = open(config(server.url()), &raw, direct).await;
        let events: Vec<Event> = (0..5000).map(|_| sample_event(&provider, "a")).collect();
        provider.publish_batch(&events).await.unwrap();
        for limit in [1, 50, 999, 1000, 1001, 3500, 4999, 5000, usize::MAX] {
            let found = provider.history(None, limit).await.unwrap();
            let expected = events.iter().rev().take(limit);
            assert!(found.iter().eq(expected), "{} of {limit}", found.len());
        }
    }
}

/// Bursts mislead the guess where the wanted events begin: too far back, or not far enough.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_history_of_bursts_is_whole() {
    let server = shared_server();
    for direct in [true, false] {
        let raw = raw(server.url()).await;
        let provider = open(config(server.url()), &raw, direct).await;
        let topic = |number: usize| match number % 700 {
            0..30 => "burst.a",
            200..207 => "burst.b",
            _ => "calm.a",
        };
        let events: Vec<Event> = (0..5000)
            .map(|number| sample_event(&provider, topic(number)))
            .collect();
        provider.publish_batch(&events).await.unwrap();
        let pattern = provider.build_subject("sample", "burst.>");
        for limit in (1..310).step_by(if direct { 3 } else { 40 }) {
            let found = provider.history(Some(&pattern), limit).await.unwrap();
            let matching = events.iter().rev();
            let matching = matching.filter(|event| subject::matches(&pattern, &event.subject));
            assert!(found.iter().eq(matching.take(limit)), "newest {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn history_is_consistent_while_others_publish_and_the_stream_evicts() {
    let server = shared_server();
    let config = NatsConfig {
        max_events: 500,
        ..config(server.url())
    };
    let provider = std::sync::Arc::new(NatsProvider::connect(config).await.unwrap());
    let publishing = tokio::spawn({
        let provider = std::sync::Arc::clone(&provider);
        async move {
            for number in 0..4000_u64 {
                let mut event = sample_event(&*provider, "a");
                event.payload = json!(number);
                provider.publish(&event).await.unwrap();
            }
        }
    });
    while !publishing.is_finished() {
        let found = provider.history(None, 100).await.unwrap();
        let numbers: Vec<u64> = found.iter().filter_map(|e| e.payload.as_u64()).collect();
        for pair in numbers.windows(2) {
            assert_eq!(pair[0], pair[1] + 1, "newest first, without a hole");
        }
    }
    publishing.await.unwrap();
    assert_eq!(provider.history(None, 1000).await.unwrap().len(), 500);
}

/// A million messages, one in ten of topic `t1`, one in a hundred of `t2`, one
/// in ten thousand of `t3`. Counts requests, not time: the machine is shared.
/// Before 2.11 the reads go through consumers, which need more requests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_newest_of_a_million_cost_a_few_requests() {
    const MESSAGES: u64 = 1_000_000;
    const CHUNK: u64 = 10_000;

    let server = a3s_event_nats_server::Server::start().unwrap();
    let direct = server.version() >= a3s_event_nats_server::Version::new(2, 11, 0);
    let config = NatsConfig {
        max_events: 0,
        storage: a3s_event_nats::StorageType::Memory,
        ..config(server.url())
    };
    let provider = NatsProvider::connect(config.clone()).await.unwrap();
    let raw = raw(server.url()).await;
    let topics = ["t0.x", "t1.x", "t2.x", "t3.x"].map(|topic| sample_event(&provider, topic));
    for chunk in 0..MESSAGES / CHUNK {
        let events: Vec<Event> = (chunk * CHUNK + 1..=(chunk + 1) * CHUNK)
            .map(|number| match number {
                n if n % 10_000 == 0 => topics[3].clone(),
                n if n % 100 == 0 => topics[2].clone(),
                n if n % 10 == 0 => topics[1].clone(),
                _ => topics[0].clone(),
            })
            .collect();
        provider.publish_batch(&events).await.unwrap();
    }
    // Not the round trips of this test itself.
    let mut watching = raw.watch("$JS.API.*.>").await;
    for (number, requests) in [(0, 5), (2, 6), (3, 7), (4, 7), (5, 9), (6, 2)] {
        let pattern = pattern(provider.subject_prefix(), number);
        let found = provider.history(pattern.as_deref(), 50).await.unwrap();
        assert_eq!(found.len(), if number == 6 { 0 } else { 50 });
        raw.round_trip().await;
        let mut asked = 0;
        while let Some(Some(message)) =
            futures_util::FutureExt::now_or_never(futures_util::StreamExt::next(&mut watching))
        {
            let reads_directly = !message.subject.contains("CONSUMER");
            assert!(reads_directly || !direct, "{}", message.subject);
            asked += 1;
        }
        let requests = if direct { requests } else { 6 * requests };
        assert!(asked <= requests, "{pattern:?}: {asked} requests");
    }
    let info: Value = raw
        .ask(&format!("STREAM.INFO.{}", config.stream_name), &Value::Null)
        .await;
    assert_eq!(info["state"]["consumer_count"], 0);
}
