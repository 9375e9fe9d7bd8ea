//! `bench` and `soak`.

use xshell::cmd;

use crate::{
    nats,
    process::{Result, run as run_command},
    project::Project,
};

/// Runs all benchmarks, one target, or those whose names contain a text.
pub(crate) fn run(project: &Project, name: Option<&str>) -> Result {
    let arguments = match name {
        None => vec![],
        Some(name) if targets(project).any(|target| target == name) => vec!["--bench", name],
        Some(filter) => vec!["--", filter],
    };
    cargo_bench(project, &arguments)
}

/// Runs every benchmark once without measuring, built like the tests.
pub(crate) fn once(project: &Project) -> Result {
    cargo_bench(project, &["--profile", "dev", "--", "--test"])
}

/// Runs the soak, which is too long for the tests.
pub(crate) fn soak(project: &Project, events: Option<u64>) -> Result {
    nats::ensure(project)?;
    let events = events.map(|events| events.to_string());
    run_command(cmd!(
        project.shell,
        "cargo run --release --package a3s-event-benches --all-features --locked --example soak -- {events...}"
    ))
}

fn cargo_bench(project: &Project, arguments: &[&str]) -> Result {
    if targets(project).next().is_none() {
        return Ok(());
    }
    nats::ensure(project)?;
    run_command(cmd!(
        project.shell,
        "cargo bench --workspace --all-features --locked {arguments...}"
    ))
}

fn targets(project: &Project) -> impl Iterator<Item = &str> {
    project
        .members
        .iter()
        .flat_map(|member| member.targets("bench"))
}
