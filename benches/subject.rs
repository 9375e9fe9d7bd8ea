//! What does it cost to check a subject, and to hold one against a pattern?

use std::hint::black_box;

use a3s_event::subject::{SubjectPattern, SubjectPrefix, matches};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SUBJECT: &str = "events.market.forex.usd_cny";

fn check(c: &mut Criterion) {
    let mut group = c.benchmark_group("subject");
    group.throughput(Throughput::Elements(1));
    let prefix = SubjectPrefix::parse("events").expect("a valid prefix");
    let long = ["events.market", &".token".repeat(100)].concat();
    for (size, subject) in [("4 tokens", SUBJECT), ("102 tokens", &long)] {
        group.bench_function(format!("check/{size}"), |b| {
            b.iter(|| prefix.check_subject(black_box(subject)));
        });
    }
    group.bench_function("parse a pattern/3 tokens", |b| {
        b.iter(|| SubjectPattern::parse(black_box("events.market.>")));
    });
    group.finish();
}

fn against_one_pattern(c: &mut Criterion) {
    let mut group = c.benchmark_group("subject");
    group.throughput(Throughput::Elements(1));
    for (variant, pattern) in [
        ("itself", SUBJECT),
        ("one token free", "events.*.forex.usd_cny"),
        ("a category", "events.market.>"),
        ("another category", "events.system.>"),
        ("another topic", "events.market.forex.usd_eur"),
    ] {
        group.bench_function(format!("match/{variant}"), |b| {
            b.iter(|| matches(black_box(pattern), black_box(SUBJECT)));
        });
    }
    group.finish();
}

criterion_group!(benches, check, against_one_pattern);
criterion_main!(benches);
