//! What do operations over NATS JetStream cost, with storage in files, on a
//! server on this machine?
//!
//! Starts a server as the tests do; `A3S_EVENT_NATS_URL` names another.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use a3s_event::provider::{
    EventProvider,
    nats::{NatsConfig, NatsProvider},
};
use a3s_event_benches::{Arguments, event, payload_of, runtime, unique_name};
use a3s_event_nats_server::Server;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

async fn connect(server: &Server) -> NatsProvider {
    // A stream and a prefix of its own.
    let name = unique_name();
    let config = NatsConfig {
        url: server.url().to_owned(),
        subject_prefix: name.clone(),
        stream_name: name,
        ..NatsConfig::default()
    };
    NatsProvider::connect(config).await.expect("connected")
}

fn publish(c: &mut Criterion) {
    let (runtime, server) = (runtime(), Server::shared().expect("a server"));
    let provider = runtime.block_on(connect(&server));
    let subject = provider.build_subject("market", "forex.usd_cny");
    let mut group = c.benchmark_group("nats");
    for size in [64, 1024, 64 * 1024] {
        group.throughput(Throughput::Elements(1));
        let event = event(&subject, payload_of(size));
        group.bench_function(format!("publish/one/{size}"), |b| {
            b.to_async(&runtime).iter(|| provider.publish(&event));
        });
    }
    let batch = vec![event(&subject, payload_of(64)); 1000];
    group.throughput(Throughput::Elements(batch.len() as u64));
    group.bench_function("publish/batch/1000", |b| {
        b.to_async(&runtime).iter(|| provider.publish_batch(&batch));
    });
    group.finish();
}

fn deliver(c: &mut Criterion) {
    let (runtime, server) = (runtime(), Server::shared().expect("a server"));
    let provider = runtime.block_on(connect(&server));
    let subject = provider.build_subject("market", "forex.usd_cny");
    let filling: Vec<_> = vec![event(&subject, payload_of(64)); Arguments::read().scaled(20_000)];
    runtime
        .block_on(provider.publish_batch(&filling))
        .expect("published");
    let mut group = c.benchmark_group("nats");
    group.throughput(Throughput::Elements(filling.len() as u64));
    group.sample_size(10);
    let mut round = 0;
    group.bench_function(format!("deliver/next and ack/{}", filling.len()), |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                round += 1;
                let name = format!("round-{round}");
                let start = Instant::now();
                runtime.block_on(async {
                    let pattern = provider.category_subject("market");
                    let mut durable = provider
                        .subscribe_durable(&name, &pattern)
                        .await
                        .expect("subscribed");
                    for _ in &filling {
                        let pending = durable
                            .next_manual_ack()
                            .await
                            .expect("open")
                            .expect("open");
                        black_box(pending).ack().await.expect("answered");
                    }
                });
                spent += start.elapsed();
                runtime
                    .block_on(provider.unsubscribe(&name))
                    .expect("removed");
            }
            spent
        });
    });
    group.throughput(Throughput::Elements(50));
    group.bench_function("history/newest/50", |b| {
        b.to_async(&runtime).iter(|| provider.history(None, 50));
    });
    group.finish();
}

criterion_group!(benches, publish, deliver);
criterion_main!(benches);
