//! What does it cost to encrypt a payload and to read it back?

use std::hint::black_box;

use a3s_event::crypto::{Aes256GcmEncryptor, EventEncryptor};
use a3s_event_benches::{event, payload_of};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("crypto");
    let encryptor = Aes256GcmEncryptor::new("bench", &[7; 32]);
    for size in [64, 1024, 64 * 1024, 1024 * 1024] {
        group.throughput(Throughput::Bytes(size as u64));
        let event = event("events.market.forex.usd_cny", payload_of(size));
        let sealed = encryptor.encrypt_event(&event).expect("encrypted");
        group.bench_function(format!("encrypt/{size}"), |b| {
            b.iter(|| encryptor.encrypt_event(black_box(&event)));
        });
        let sealed = event.with_payload(sealed);
        group.bench_function(format!("decrypt/{size}"), |b| {
            b.iter(|| encryptor.decrypt_event(black_box(&sealed)));
        });
    }
    group.finish();
}

criterion_group!(benches, round_trip);
criterion_main!(benches);
