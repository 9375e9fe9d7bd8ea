//! `ci`: every check in order, a table of times, and the sum of the tests as the last line.

use std::time::{Duration, Instant};

use crate::{
    bench, check, cov, examples, flags, overhead,
    process::{Result, failure},
    project::Project,
    tally::Tally,
    test, tidy,
};

type Step = (&'static str, fn(&Project, &mut Tally) -> Result);

const STEPS: &[Step] = &[
    ("fmt", |project, _| check::fmt(project, true)),
    ("lint", |project, _| check::lint(project)),
    ("tidy", |project, _| tidy::run(project)),
    ("test", |project, tally| {
        let flags = flags::Test {
            filter: None,
            verbose: false,
            package: None,
        };
        test::everything(project, &flags, tally)
    }),
    ("doc", |project, _| check::doc(project, false, true)),
    ("examples", |project, _| examples::run(project)),
    ("bench", |project, _| bench::once(project)),
];

const FULL: &[Step] = &[
    ("servers", |project, _| servers(project, false)),
    ("cluster", |project, _| servers(project, true)),
    ("cov", |project, _| {
        let flags = flags::Cov {
            table: true,
            html: false,
            lcov: false,
            open: false,
        };
        cov::run(project, &flags)
    }),
    ("overhead", |project, _| overhead::run(project)),
];

fn servers(project: &Project, cluster: bool) -> Result {
    let flags = flags::TestNats {
        filter: None,
        server: Some("all".into()),
        cluster,
        package: None,
    };
    test::servers(project, &flags)
}

pub(crate) fn run(project: &Project, full: bool, from: Option<&str>) -> Result {
    let steps: Vec<_> = STEPS.iter().chain(FULL.iter().filter(|_| full)).collect();
    let first = match from {
        None => 0,
        Some(from) => steps
            .iter()
            .position(|(name, _)| *name == from)
            .ok_or_else(|| {
                let names: Vec<_> = steps.iter().map(|(name, _)| *name).collect();
                failure(format!(
                    "no step `{from}`; the steps are {}",
                    names.join(", ")
                ))
            })?,
    };
    let mut tally = Tally::default();
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for (name, step) in &steps[first..] {
        eprintln!("\n== {name}");
        let start = Instant::now();
        outcome = step(project, &mut tally);
        times.push((*name, start.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    println!("\n{}", table(&times, outcome.is_err()));
    if times.iter().any(|(name, _)| *name == "test") {
        println!("{tally}");
    }
    outcome
}

/// One line a step; the last one may have failed.
fn table(times: &[(&str, Duration)], failed: bool) -> String {
    let total = times.iter().map(|(_, time)| *time).sum();
    let mut table = String::new();
    for (name, time) in times.iter().chain([&("total", total)]) {
        table += &format!("{name:<10}{:>8.1} s\n", time.as_secs_f64());
    }
    if let (true, Some((name, _))) = (failed, times.last()) {
        table += &format!("failed at {name}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_sums_up_and_names_the_step_that_failed() {
        let times = [
            ("fmt", Duration::from_millis(1200)),
            ("lint", Duration::from_secs(71)),
        ];
        assert_eq!(
            table(&times, true),
            "fmt            1.2 s\nlint          71.0 s\ntotal         72.2 s\nfailed at lint\n"
        );
    }
}
