//! `bench`.

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
