use std::{
    collections::BTreeMap,
    fmt::{Arguments, Display, Write},
};

use super::{
    MetricsSnapshot,
    figures::SERIES,
    histogram::HistogramSnapshot,
    kinds::{DEAD_LETTERS, FAILED, Kinds, REFUSED},
    names::{
        DLQ_DEPTH, FAMILIES, Family, Kind, LATENCY_SAMPLING, Label, OPERATION_DURATION, PUBLISH,
        SUBSCRIPTIONS_ACTIVE, SYSTEM,
    },
};

pub(super) fn render(system: &str, figures: &MetricsSnapshot) -> String {
    let mut page = Page {
        text: String::with_capacity(16 * 1024),
        system: escaped(system),
        family: String::new(),
    };
    for &family in FAMILIES {
        if *family == DLQ_DEPTH && figures.dlq_depth.is_none() {
            continue;
        }
        page.begin(family);
        for (_, labels, count) in SERIES.iter().filter(|(of, ..)| *of == family) {
            page.sample("", labels, count(figures));
        }
        page.kinds(family, &FAILED, &figures.publish_errors);
        page.kinds(family, &REFUSED, &figures.publish_errors);
        page.kinds(family, &DEAD_LETTERS, &figures.dead_lettered_by_kind);
        match *family {
            OPERATION_DURATION => page.histogram(&[PUBLISH], &figures.publish_latency),
            LATENCY_SAMPLING => page.sample("", &[], figures.publish_latency.sampling),
            SUBSCRIPTIONS_ACTIVE => page.sample("", &[], figures.active_subscriptions),
            DLQ_DEPTH => page.sample("", &[], figures.dlq_depth.unwrap_or(0)),
            _ => {}
        }
    }
    page.text
}

struct Page {
    text: String,
    /// The value of the label that every series has.
    system: String,
    /// The name that the samples to come begin with.
    family: String,
}

impl Page {
    /// Begins a family; the samples that follow are its own.
    fn begin(&mut self, family: &Family) {
        let (kind, suffix) = match family.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Seconds => ("histogram", "_seconds"),
        };
        let name = underscored(family.name) + suffix;
        let help = family.help;
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self.family = name;
    }

    /// The series of `kinds`, zeros included, so that the first failure is an
    /// increase and not a series that was not there before.
    fn kinds<const N: usize>(
        &mut self,
        family: &Family,
        kinds: &Kinds<N>,
        counted: &BTreeMap<&'static str, u64>,
    ) {
        if kinds.family != family {
            return;
        }
        for (kind, labels) in kinds.series() {
            self.sample("", &labels, counted.get(kind).copied().unwrap_or(0));
        }
    }

    fn histogram(&mut self, labels: &[Label], latency: &HistogramSnapshot) {
        let mut below = 0;
        for bucket in &latency.buckets {
            below += bucket.count;
            let bound = bucket
                .upper_micros
                .map_or_else(|| "+Inf".to_owned(), |micros| seconds(micros * 1_000));
            let labels: Vec<_> = labels.iter().copied().chain([("le", &*bound)]).collect();
            self.sample("_bucket", &labels, below);
        }
        self.sample("_sum", labels, seconds(latency.sum_nanos));
        self.sample("_count", labels, latency.count);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let mut line = format!(
            "{}{suffix}{{{}=\"{}\"",
            self.family,
            underscored(SYSTEM),
            self.system
        );
        for (name, value) in labels {
            line += &format!(",{}=\"{value}\"", underscored(name));
        }
        self.push(format_args!("{line}}} {value}\n"));
    }

    fn push(&mut self, text: Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(text);
    }
}

/// A name as Prometheus spells it.
fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

/// The name of a provider as the value of a label; all others are our own.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Nanoseconds as a decimal number of seconds, exactly.
fn seconds(nanos: u64) -> String {
    let digits = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    digits
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}
