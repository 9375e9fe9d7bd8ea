//! What does a publish in memory cost: alone, with a schema, encrypted, with
//! options, with a full history, and with four publishers at once?

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use a3s_event::{
    Event, EventBus,
    crypto::Aes256GcmEncryptor,
    provider::{EventProvider, memory::MemoryProvider},
    schema::{EventSchema, MemorySchemaRegistry, SchemaRegistry},
    types::PublishOptions,
};
use a3s_event_benches::{Arguments, event, events, memory, payload_of, runtime, single_thread};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const SUBJECT: &str = "events.market.forex.usd_cny";

/// Publishes `count` fresh events and returns the time without their making.
fn publish_fresh(runtime: &Runtime, provider: &dyn EventProvider, count: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let fresh = events(left.min(10_000) as usize);
        left -= fresh.len() as u64;
        let start = Instant::now();
        runtime.block_on(async {
            for event in &fresh {
                black_box(provider.publish(event).await.expect("published"));
            }
        });
        spent += start.elapsed();
    }
    spent
}

fn plain(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.throughput(Throughput::Elements(1));
    let runtime = single_thread();
    for size in [64, 1024, 64 * 1024, 1024 * 1024] {
        let (provider, event) = (memory(10_000), event(SUBJECT, payload_of(size)));
        group.bench_function(format!("plain/{size}"), |b| {
            b.to_async(&runtime).iter(|| provider.publish(&event));
        });
    }
    for retained in [10_000, 100_000, 1_000_000] {
        let provider = memory(retained);
        let filling = Arguments::read().scaled(retained) as u64;
        publish_fresh(&runtime, &*provider, filling);
        group.bench_function(format!("history full/{retained}"), |b| {
            b.iter_custom(|count| publish_fresh(&runtime, &*provider, count));
        });
    }
    let provider = memory(100_000);
    let mut number = 0u64;
    group.bench_function("with a fresh msg_id/64", |b| {
        let event = event(SUBJECT, payload_of(64));
        b.to_async(&runtime).iter(|| {
            number += 1;
            let options = PublishOptions::default().with_msg_id(format!("order-{number}"));
            let (provider, event) = (&provider, &event);
            async move { provider.publish_with_options(event, &options).await }
        });
    });
    group.throughput(Throughput::Elements(256));
    let batch = events(256);
    group.bench_function("batch/256", |b| {
        b.to_async(&runtime).iter(|| provider.publish_batch(&batch));
    });
    group.finish();
}

fn four_publishers(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.throughput(Throughput::Elements(1));
    let runtime = runtime();
    group.bench_function("four at once/64", |b| {
        b.iter_custom(|count| {
            let provider = memory(100_000);
            let each = (count / 4).max(1);
            let start = Instant::now();
            runtime.block_on(async {
                let publishers: Vec<_> = (0..4)
                    .map(|_| {
                        let (provider, event) =
                            (Arc::clone(&provider), event(SUBJECT, payload_of(64)));
                        tokio::spawn(async move {
                            for _ in 0..each {
                                provider.publish(&event).await.expect("published");
                            }
                        })
                    })
                    .collect();
                for publisher in publishers {
                    publisher.await.expect("a publisher that ends");
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

fn through_the_bus(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.throughput(Throughput::Elements(1));
    let runtime = single_thread();
    let registry = MemorySchemaRegistry::new();
    registry
        .register(EventSchema {
            event_type: "rate".to_owned(),
            version: 1,
            required_fields: ["rate", "pair"].map(str::to_owned).to_vec(),
            description: String::new(),
        })
        .expect("a valid schema");
    let registry: Arc<dyn SchemaRegistry> = Arc::new(registry);
    for size in [64, 1024, 64 * 1024] {
        let plain = event(SUBJECT, payload_of(size));
        let typed = Event::typed(
            SUBJECT,
            "market",
            "rate",
            1,
            "",
            "reuters",
            payload_of(size),
        );
        let mut encrypted = EventBus::new(MemoryProvider::default());
        encrypted.set_encryptor(Arc::new(Aes256GcmEncryptor::new("bench", &[7; 32])));
        let validated =
            EventBus::with_schema_registry(MemoryProvider::default(), Arc::clone(&registry));
        for (variant, bus, event) in [
            ("bus", EventBus::new(MemoryProvider::default()), &plain),
            ("validated", validated, &typed),
            ("encrypted", encrypted, &plain),
        ] {
            group.bench_function(format!("{variant}/{size}"), |b| {
                b.to_async(&runtime).iter(|| bus.publish_event(event));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, plain, four_publishers, through_the_bus);
criterion_main!(benches);
