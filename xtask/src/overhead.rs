//! The instruction-count gate: what the bus and its measuring add to a publish.
//!
//! Instructions instead of time, because a ratio of 1.05 of some hundred nanoseconds drowns in the noise of any machine.

use std::{collections::HashMap, env::consts::EXE_SUFFIX};

use xshell::cmd;

use crate::{
    process::{Result, failure, run as run_command},
    project::Project,
};

const BENCHES: &str = "a3s-event-benches";
const PROGRAM: &str = "publishes";

/// The difference of the two counts is free of what a process costs to start and end.
const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

/// What is compared (see `benches/src/bin/publishes.rs`), with what, and the most that the ratio may be.
///
/// The default is `sampled`. No goal says what timing each publish may cost, which nobody asks for in memory; its limit
/// holds it where it is.
const LIMITS: &[(&str, &str, f64)] = &[
    ("sampled", "provider", 1.10),
    ("counters", "off", 1.05),
    ("sampled", "off", 1.05),
    ("exported", "off", 1.05),
    ("full", "off", 1.30),
];

pub(crate) fn run(project: &Project) -> Result {
    if project.member(BENCHES).is_none() {
        return Ok(());
    }
    ensure_valgrind(project)?;
    let shell = &project.shell;
    run_command(cmd!(
        shell,
        "cargo build -p {BENCHES} --bin {PROGRAM} --profile bench --all-features --locked"
    ))?;
    let mut missed = Vec::new();
    let mut counted = HashMap::new();
    println!("instructions a publish");
    for (ours, other, limit) in LIMITS {
        for what in [ours, other] {
            if !counted.contains_key(what) {
                counted.insert(what, instructions(project, what)?);
            }
        }
        let (a, b) = (counted[ours], counted[other]);
        let ratio = a / b;
        let text = format!("{ours} {a:.0}, {other} {b:.0}: {ratio:.3} of at most {limit}");
        println!("{text}");
        if ratio > *limit {
            missed.push(text);
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(failure(format!(
        "a publish takes too many instructions: {}",
        missed.join("; ")
    )))
}

/// Without valgrind nothing was measured, which is no success.
fn ensure_valgrind(project: &Project) -> Result {
    match cmd!(project.shell, "valgrind --version")
        .quiet()
        .ignore_stderr()
        .read()
    {
        Ok(_) => Ok(()),
        Err(_) => Err(failure(
            "counting instructions needs valgrind; one of these installs it: \
             apt-get install valgrind, dnf install valgrind, apk add valgrind. \
             It does not run on macOS and Windows: leave this step to Linux",
        )),
    }
}

/// Returns the instructions of one publish.
fn instructions(project: &Project, what: &str) -> Result<f64> {
    let spent = total(project, what, MANY)? - total(project, what, FEW)?;
    Ok(spent as f64 / (MANY - FEW) as f64)
}

fn total(project: &Project, what: &str, count: u64) -> Result<u64> {
    let program = project
        .target
        .join(format!("release/{PROGRAM}{EXE_SUFFIX}"));
    let count = count.to_string();
    let valgrind = cmd!(
        project.shell,
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null {program} {what} {count}"
    );
    let report = valgrind.quiet().read_stderr()?;
    refs(&report).ok_or_else(|| failure(format!("valgrind counted nothing:\n{report}")))
}

/// Reads the count out of what callgrind prints.
fn refs(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains("refs:"))?;
    let count = line.rsplit(' ').next()?.replace(',', "");
    count.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_prints() {
        let report = "==7== Collected : 2013046\n==7== \n==7== I   refs:      2,013,046\n";
        assert_eq!(refs(report), Some(2_013_046));
        assert_eq!(refs("==7== error"), None);
    }
}
