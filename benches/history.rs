//! What does it cost to read the newest events back, of how many retained ones
//! whatever, and to ask for the state of the stream?

use std::hint::black_box;

use a3s_event_benches::{Arguments, event, memory, payload, single_thread};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn newest(c: &mut Criterion) {
    let mut group = c.benchmark_group("history");
    let runtime = single_thread();
    for retained in [10_000, 100_000, 1_000_000] {
        let provider = memory(0);
        runtime.block_on(async {
            // A hundred categories, and a subject of its own for each event of the category `many`.
            for number in 0..Arguments::read().scaled(retained) {
                let subject = match number % 100 {
                    0 => format!("events.many.t{number}"),
                    category => format!("events.cat{category}.t"),
                };
                let event = event(&subject, payload());
                provider.publish(&event).await.expect("published");
            }
        });
        for limit in [50, 1000] {
            group.throughput(Throughput::Elements(limit));
            for (variant, filter) in [
                ("everything", None),
                ("one subject", Some("events.cat7.t")),
                ("many subjects", Some("events.many.>")),
                ("no match", Some("events.none.>")),
            ] {
                group.bench_function(format!("{variant}, {limit}/{retained}"), |b| {
                    let limit = limit as usize;
                    b.to_async(&runtime)
                        .iter(|| provider.history(black_box(filter), limit));
                });
            }
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("info/{retained}"), |b| {
            b.to_async(&runtime).iter(|| provider.info());
        });
    }
    group.finish();
}

criterion_group!(benches, newest);
criterion_main!(benches);
