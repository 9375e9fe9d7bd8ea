//! `fmt`, `lint`, `build`, `doc`.

use xshell::cmd;

use crate::{
    process::{Result, run},
    project::{FACADE, Project},
};

pub(crate) fn fmt(project: &Project, check: bool) -> Result {
    let check = check.then_some("--check");
    run(cmd!(project.shell, "cargo fmt --all {check...}"))
}

pub(crate) fn lint(project: &Project) -> Result {
    let shell = &project.shell;
    run(cmd!(
        shell,
        "cargo clippy --workspace --all-targets --all-features --locked -- -D warnings"
    ))?;
    let Some(facade) = project.member(FACADE) else {
        return Ok(());
    };
    // Whoever depends on the facade picks any set of features; each must bring what it needs.
    let alone = facade.features.iter().filter(|name| *name != "default");
    let mut sets = vec![vec!["--no-default-features"]];
    sets.extend(alone.map(|name| vec!["--no-default-features", "--features", name]));
    sets.extend([vec![], vec!["--all-features"]]);
    for set in sets {
        run(cmd!(shell, "cargo check -p {FACADE} --locked {set...}"))?;
    }
    Ok(())
}

pub(crate) fn build(project: &Project) -> Result {
    run(cmd!(
        project.shell,
        "cargo build --workspace --all-targets --all-features --locked"
    ))
}

pub(crate) fn doc(project: &Project, open: bool, check: bool) -> Result {
    let doc = || cmd!(project.shell, "cargo doc --no-deps --all-features --locked");
    let flags = check.then_some(("RUSTDOCFLAGS", "-D warnings"));
    let packages = project.published().flat_map(|member| ["-p", &member.name]);
    run(doc().args(packages).envs(flags))?;
    if open {
        // All is built; this opens the page of the facade rather than that of the first crate.
        run(doc().args(["--open", "-p", FACADE]))?;
    }
    Ok(())
}
