//! What does an event cost before anybody publishes it: to make, to share, to
//! change, to write as JSON and to read back?

use std::hint::black_box;

use a3s_event::Event;
use a3s_event_benches::{event, payload_of};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const SUBJECT: &str = "events.market.forex.usd_cny";
const SIZES: [usize; 4] = [64, 1024, 64 * 1024, 1024 * 1024];

fn handles(c: &mut Criterion) {
    let mut group = c.benchmark_group("event");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let payload = payload_of(size);
        group.bench_function(format!("new/{size}"), |b| {
            b.iter_batched(
                || payload.clone(),
                |payload| event(SUBJECT, payload),
                BatchSize::SmallInput,
            );
        });
        let shared = event(SUBJECT, payload);
        group.bench_function(format!("clone/{size}"), |b| {
            b.iter(|| black_box(&shared).clone())
        });
        group.bench_function(format!("change a shared one/{size}"), |b| {
            b.iter(|| {
                let mut own = black_box(&shared).clone();
                own.version = 2;
                own
            });
        });
    }
    group.finish();
}

fn json(c: &mut Criterion) {
    let mut group = c.benchmark_group("event");
    for size in SIZES {
        let event = event(SUBJECT, payload_of(size));
        let text = serde_json::to_vec(&event).expect("an event is JSON");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("to json/{size}"), |b| {
            b.iter(|| serde_json::to_vec(black_box(&event)));
        });
        group.bench_function(format!("from json/{size}"), |b| {
            b.iter(|| serde_json::from_slice::<Event>(black_box(&text)));
        });
    }
    group.finish();
}

criterion_group!(benches, handles, json);
criterion_main!(benches);
