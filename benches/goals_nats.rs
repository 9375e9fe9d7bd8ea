//! What does the NATS provider cost beside the bare client with the same JSON
//! work, on the same stream, with storage in files?
//!
//! Starts a server as the tests do. Beside the bare client: publishing one at a
//! time and with a window, consuming with acknowledgements, the bus above the
//! provider. On its own: the newest events of a long stream, and the time from
//! the return of a killed server to the next event.

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use a3s_event::{
    Event, EventBus,
    provider::{
        EventProvider,
        nats::{NatsConfig, NatsProvider},
    },
    types::SubscribeOptions,
};
use a3s_event_benches::{
    Arguments, Goal, Stopwatch, Table, event, payload, quantiles, runtime, unique_name,
};
use a3s_event_nats_server::Server;
use async_nats::jetstream::{self, AckKind, consumer::pull, context::PublishAckFuture};
use futures_util::StreamExt;
use tokio::{runtime::Runtime, time::sleep};

/// Publishes that may wait for their acknowledgement, on both sides.
const WINDOW: usize = 256;
const OPEN: &str = "an open subscription";

/// One stream, seen by the provider and by the bare client.
struct Sides {
    stream: String,
    provider: Arc<dyn EventProvider>,
    bare: jetstream::Context,
}

impl Sides {
    async fn connect(server: &Server) -> Self {
        let stream = unique_name();
        let config = NatsConfig {
            url: server.url().to_owned(),
            stream_name: stream.clone(),
            subject_prefix: stream.clone(),
            max_events: 0,
            ..NatsConfig::default()
        };
        let client = async_nats::connect(server.url()).await.expect("connected");
        Self {
            provider: Arc::new(NatsProvider::connect(config).await.expect("connected")),
            bare: jetstream::new(client),
            stream,
        }
    }

    /// Distinct events on subjects that are selected by category.
    fn events(&self, count: usize) -> Vec<Event> {
        let subject = |number| {
            self.provider
                .build_subject("market", &format!("forex.s{}", number % 64))
        };
        (0..count)
            .map(|number| event(&subject(number), payload()))
            .collect()
    }
}

fn main() {
    let arguments = Arguments::read();
    let title = "NATS JetStream, file storage, beside the bare client with the same JSON work";
    let table = Table::new(title, &arguments);
    let runtime = runtime();
    let server = Server::shared().expect("a server");
    publishing(&table, &runtime, &server, &arguments);
    consuming(&table, &runtime, &server, &arguments);
    reading_back(&table, &runtime, &server, &arguments);
    drop(server);
    reconnecting(&table, &runtime);
}

fn publishing(table: &Table, runtime: &Runtime, server: &Server, arguments: &Arguments) {
    let sides = runtime.block_on(Sides::connect(server));
    let few = sides.events(arguments.scaled(3000));
    table.compare(
        "publish one at a time,",
        [("p50", Goal::AtMost(1.1)), ("p99", Goal::AtMost(1.25))],
        || {
            one_at_a_time(runtime, &few, async |event| {
                sides.provider.publish(event).await.expect("published");
            })
        },
        || {
            one_at_a_time(runtime, &few, async |event| {
                let json = serde_json::to_vec(event).expect("JSON");
                let sent = sides.bare.publish(event.subject.clone(), json.into()).await;
                sent.expect("sent").await.expect("published");
            })
        },
    );
    let bus = EventBus::from_provider(Arc::clone(&sides.provider));
    table.compare(
        "publish through the bus, beside the provider,",
        [("p50", Goal::AtMost(1.05)), ("p99", Goal::Stated)],
        || {
            one_at_a_time(runtime, &few, async |event| {
                bus.publish_event(event).await.expect("published");
            })
        },
        || {
            one_at_a_time(runtime, &few, async |event| {
                sides.provider.publish(event).await.expect("published");
            })
        },
    );

    let many = sides.events(arguments.scaled(20_000));
    table.compare(
        "publish with a window of 256,",
        [("time", Goal::AtLeast(0.9)), ("cpu", Goal::AtMost(1.15))],
        || {
            let stopwatch = Stopwatch::start();
            let stored = runtime.block_on(sides.provider.publish_batch(&many));
            assert_eq!(stored.expect("published").len(), many.len());
            stopwatch.time_and_cpu(many.len())
        },
        || {
            let stopwatch = Stopwatch::start();
            runtime.block_on(async {
                let mut waiting = VecDeque::<PublishAckFuture>::with_capacity(WINDOW);
                for event in &many {
                    if waiting.len() == WINDOW
                        && let Some(oldest) = waiting.pop_front()
                    {
                        oldest.await.expect("published");
                    }
                    let json = serde_json::to_vec(event).expect("JSON");
                    let sent = sides.bare.publish(event.subject.clone(), json.into()).await;
                    waiting.push_back(sent.expect("sent"));
                }
                for rest in waiting {
                    rest.await.expect("published");
                }
            });
            stopwatch.time_and_cpu(many.len())
        },
    );
}

/// Quantiles of the time that single operations take.
fn one_at_a_time(runtime: &Runtime, events: &[Event], publish: impl AsyncFn(&Event)) -> [f64; 2] {
    let mut times = Vec::with_capacity(events.len());
    runtime.block_on(async {
        for event in events {
            let start = Instant::now();
            publish(event).await;
            times.push(start.elapsed().as_nanos() as u64);
        }
    });
    quantiles(times, [0.5, 0.99])
}

fn consuming(table: &Table, runtime: &Runtime, server: &Server, arguments: &Arguments) {
    let sides = runtime.block_on(Sides::connect(server));
    let events = sides.events(arguments.scaled(20_000));
    runtime
        .block_on(sides.provider.publish_batch(&events))
        .expect("published");
    for prefetch in [200, 1000] {
        table.compare(
            &format!("consume and ack, prefetch {prefetch},"),
            [
                ("time", Goal::AtLeast(0.9)),
                ("cpu", Goal::AtMost(1.15)),
                ("longest wait", Goal::Stated),
            ],
            || runtime.block_on(consume(&sides, prefetch, events.len())),
            || runtime.block_on(consume_bare(&sides, prefetch, events.len())),
        );
    }
}

/// Time and CPU an event, and the longest wait for one.
async fn consume(sides: &Sides, prefetch: usize, count: usize) -> [f64; 3] {
    let (name, pattern) = (unique_name(), sides.provider.category_subject("market"));
    let options = SubscribeOptions::default().with_prefetch(prefetch);
    let durable = sides
        .provider
        .subscribe_durable_with_options(&name, &pattern, &options);
    let mut durable = durable.await.expect("subscribed");
    let mut longest = Duration::ZERO;
    let stopwatch = Stopwatch::start();
    let mut last = Instant::now();
    for number in 1..=count {
        let pending = durable.next_manual_ack().await.expect(OPEN).expect(OPEN);
        longest = longest.max(last.elapsed());
        last = Instant::now();
        black_box(&pending.received);
        // The last answer is confirmed, and with it that all before it have left.
        let answered = if number < count {
            pending.ack().await
        } else {
            pending.ack_confirmed().await
        };
        answered.expect("answered");
    }
    let [time, cpu] = stopwatch.time_and_cpu(count);
    drop(durable);
    sides.provider.unsubscribe(&name).await.expect("removed");
    [time, cpu, longest.as_nanos() as f64]
}

async fn consume_bare(sides: &Sides, prefetch: usize, count: usize) -> [f64; 3] {
    let name = unique_name();
    let stream = sides
        .bare
        .get_stream(&sides.stream)
        .await
        .expect("a stream");
    let config = pull::Config {
        durable_name: Some(name.clone()),
        filter_subject: sides.provider.category_subject("market"),
        max_ack_pending: 1000,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.expect("created");
    let messages = consumer
        .stream()
        .max_messages_per_batch(prefetch)
        .messages();
    let mut messages = messages.await.expect("subscribed");
    let mut longest = Duration::ZERO;
    let stopwatch = Stopwatch::start();
    let mut last = Instant::now();
    for number in 1..=count {
        let message = messages.next().await.expect(OPEN).expect(OPEN);
        longest = longest.max(last.elapsed());
        last = Instant::now();
        black_box(serde_json::from_slice::<Event>(&message.payload).expect("an event"));
        black_box(message.info().expect("a delivery").stream_sequence);
        let answered = if number < count {
            message.ack().await
        } else {
            message.double_ack_with(AckKind::Ack).await
        };
        answered.expect("answered");
    }
    let [time, cpu] = stopwatch.time_and_cpu(count);
    drop(messages);
    stream.delete_consumer(&name).await.expect("removed");
    [time, cpu, longest.as_nanos() as f64]
}

fn reading_back(table: &Table, runtime: &Runtime, server: &Server, arguments: &Arguments) {
    let provider = runtime.block_on(Sides::connect(server)).provider;
    let count = arguments.scaled(1_000_000);
    for start in (0..count).step_by(10_000) {
        // One event in 10,000 of the category `rare`, one in 100 of `some`.
        let subject = |number| match number % 10_000 {
            0 => provider.build_subject("rare", "t"),
            number if number % 100 == 1 => provider.build_subject("some", "t"),
            number => provider.build_subject("market", &format!("forex.s{}", number % 64)),
        };
        let chunk = start..count.min(start + 10_000);
        let events: Vec<_> = chunk
            .map(|number| event(&subject(number), payload()))
            .collect();
        runtime
            .block_on(provider.publish_batch(&events))
            .expect("published");
    }
    let rare = provider.build_subject("rare", "t");
    let [some, rare_pattern] = ["some", "rare"].map(|name| provider.category_subject(name));
    for (name, filter, limit) in [
        ("newest 50 of 1M, unfiltered", None, 5.0),
        ("newest 50 of 1M, 1 % match", Some(some), 5.0),
        (
            "newest 50 of 1M, 0.01 % match, one subject",
            Some(rare),
            30.0,
        ),
        (
            "newest 50 of 1M, 0.01 % match, a pattern",
            Some(rare_pattern),
            30.0,
        ),
    ] {
        let calls = arguments.scaled(50_000).min(50);
        let mut times = Vec::new();
        for _ in 0..calls {
            let start = Instant::now();
            let found = runtime
                .block_on(provider.history(filter.as_deref(), 50))
                .expect("read");
            times.push(start.elapsed().as_nanos() as u64);
            black_box(found);
        }
        let [p50] = quantiles(times, [0.5]);
        table.figure(name, "ms", Some(limit), p50 / 1e6);
    }
}

/// A server is killed and started again while a reader waits.
fn reconnecting(table: &Table, runtime: &Runtime) {
    let server = Server::start().expect("a server");
    let sides = runtime.block_on(Sides::connect(&server));
    let pattern = sides.provider.category_subject("market");
    let mut durable = runtime
        .block_on(sides.provider.subscribe_durable("desk", &pattern))
        .expect("subscribed");
    let event = sides.events(1).remove(0);
    server.kill().expect("killed");
    server.restart().expect("restarted");
    let start = Instant::now();
    runtime.block_on(async {
        while sides.provider.publish(&event).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
        durable.next().await.expect(OPEN).expect(OPEN);
    });
    let spent = start.elapsed().as_secs_f64() * 1e3;
    table.figure("reconnect to the first event", "ms", Some(500.0), spent);
}
