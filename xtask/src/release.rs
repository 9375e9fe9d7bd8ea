//! `release`: packaging the crates in the order of their dependencies.

use xshell::cmd;

use crate::{
    process::{Result, failure, run as run_command},
    project::Project,
};

pub(crate) fn run(project: &Project, dry_run: bool) -> Result {
    if !dry_run {
        return Err(failure(
            "the crates are marked `publish = false`, so there is only `release --dry-run`",
        ));
    }
    for member in project.published() {
        let list = cmd!(project.shell, "cargo package --locked --list -p");
        run_command(list.arg(&member.name))?;
    }
    // In one call: cargo orders the crates, and verifies each against the packages of those before it.
    let packages = project.published().flat_map(|member| ["-p", &member.name]);
    run_command(cmd!(project.shell, "cargo package --locked").args(packages))
}
