//! What does a delivery in memory cost: to one subscriber and to a thousand, as
//! `next`, as a stream and with answers, with events of any size, and through
//! the bus?

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use a3s_event::{
    Event, EventBus,
    provider::{EventProvider, Subscription, memory::MemoryProvider},
};
use a3s_event_benches::{event, events, memory, payload_of, runtime, single_thread};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt;
use tokio::runtime::Runtime;

const EVERYTHING: &str = "events.market.>";

/// How a subscriber reads.
#[derive(Clone, Copy)]
enum Reading {
    Next,
    Stream,
    Answers,
}

async fn read(mut subscription: Box<dyn Subscription>, reading: Reading, count: usize) {
    const OPEN: &str = "an open subscription";
    match reading {
        Reading::Next => {
            for _ in 0..count {
                black_box(subscription.next().await.expect(OPEN).expect(OPEN));
            }
        }
        Reading::Stream => {
            let mut stream = subscription.into_stream();
            for _ in 0..count {
                black_box(stream.next().await.expect(OPEN).expect(OPEN));
            }
        }
        Reading::Answers => {
            for _ in 0..count {
                let pending = subscription
                    .next_manual_ack()
                    .await
                    .expect(OPEN)
                    .expect(OPEN);
                black_box(pending).ack().await.expect("answered");
            }
        }
    }
}

/// Publishes `count` events to `readers` at once and returns the time until
/// all are read.
fn fan_out(runtime: &Runtime, readers: usize, reading: Reading, count: usize) -> Duration {
    let provider = memory(0);
    let fresh = events(count);
    let start = Instant::now();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..readers {
            let subscription = provider.subscribe(EVERYTHING).await.expect("subscribed");
            tasks.push(tokio::spawn(read(subscription, reading, count)));
        }
        tasks.push(tokio::spawn(async move {
            for event in &fresh {
                provider.publish(event).await.expect("published");
            }
        }));
        for task in tasks {
            task.await.expect("a task that ends");
        }
    });
    start.elapsed()
}

fn to_many(c: &mut Criterion) {
    let mut group = c.benchmark_group("deliver");
    let runtime = runtime();
    for readers in [1, 10, 100, 1000] {
        group.throughput(Throughput::Elements(readers as u64));
        for (variant, reading) in [("next", Reading::Next), ("stream", Reading::Stream)] {
            group.bench_function(format!("{variant}/{readers}"), |b| {
                b.iter_custom(|count| fan_out(&runtime, readers, reading, count as usize));
            });
        }
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("answers/1", |b| {
        b.iter_custom(|count| fan_out(&runtime, 1, Reading::Answers, count as usize));
    });
    group.finish();
}

/// Publishes one event and reads it, `count` times, on one thread.
fn one_by_one(
    runtime: &Runtime,
    event: &Event,
    provider: &dyn EventProvider,
    subscription: &mut dyn Subscription,
    count: u64,
) -> Duration {
    let start = Instant::now();
    runtime.block_on(async {
        for _ in 0..count {
            provider.publish(event).await.expect("published");
            let pending = subscription
                .next_manual_ack()
                .await
                .expect("open")
                .expect("open");
            black_box(pending).ack().await.expect("answered");
        }
    });
    start.elapsed()
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("deliver");
    group.throughput(Throughput::Elements(1));
    let runtime = single_thread();
    for size in [64, 1024, 64 * 1024, 1024 * 1024] {
        let event = event("events.market.forex.usd_cny", payload_of(size));
        let provider = memory(100);
        let mut durable = runtime
            .block_on(provider.subscribe_durable("desk", EVERYTHING))
            .expect("subscribed");
        group.bench_function(format!("durable round trip/{size}"), |b| {
            b.iter_custom(|count| one_by_one(&runtime, &event, &*provider, &mut *durable, count));
        });
    }
    let provider: Arc<dyn EventProvider> = Arc::new(MemoryProvider::default());
    let bus = EventBus::from_provider(Arc::clone(&provider));
    let mut subscription = runtime
        .block_on(bus.subscribe(EVERYTHING))
        .expect("subscribed");
    let event = event("events.market.forex.usd_cny", payload_of(64));
    group.bench_function("bus round trip/64", |b| {
        b.iter_custom(|count| one_by_one(&runtime, &event, &*provider, &mut *subscription, count));
    });
    group.finish();
}

criterion_group!(benches, to_many, round_trip);
criterion_main!(benches);
