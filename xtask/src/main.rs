//! The automation of the workspace, run as `cargo xtask COMMAND`.
//!
//! It depends on nothing of the workspace, so that it runs, and can say what is wrong, while the library does not build.
//! Every command prints the commands it runs, stops at the first that fails, and passes its exit code on.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

mod bench;
mod check;
mod ci;
mod cov;
mod examples;
mod flags;
mod nats;
mod overhead;
mod process;
mod project;
mod release;
mod tally;
mod test;
mod tidy;
mod tools;

use std::{env, process::ExitCode};

use crate::{
    flags::{Xtask, XtaskCmd},
    process::Result,
    project::Project,
};

fn main() -> ExitCode {
    let arguments: Vec<_> = match env::args_os().skip(1).collect() {
        none if Vec::is_empty(&none) => vec!["--help".into()],
        some => some,
    };
    let flags = Xtask::from_vec(arguments).unwrap_or_else(|error| error.exit());
    match run(flags.subcommand) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: XtaskCmd) -> Result {
    let project = &Project::load()?;
    match command {
        XtaskCmd::Ci(flags) => ci::run(project, flags.full, flags.from.as_deref()),
        XtaskCmd::Fmt(flags) => check::fmt(project, flags.check),
        XtaskCmd::Lint(_) => check::lint(project),
        XtaskCmd::Tidy(_) => tidy::run(project),
        XtaskCmd::Build(_) => check::build(project),
        XtaskCmd::Doc(flags) => check::doc(project, flags.open, flags.check),
        XtaskCmd::Test(flags) => test::all(project, &flags),
        XtaskCmd::TestNats(flags) => test::servers(project, &flags),
        XtaskCmd::Bench(flags) => bench::run(project, flags.name.as_deref()),
        XtaskCmd::Soak(flags) => bench::soak(project, flags.events),
        XtaskCmd::Cov(flags) => cov::run(project, &flags),
        XtaskCmd::Nats(flags) => nats::run(project, &flags.subcommand),
        XtaskCmd::Release(flags) => release::run(project, flags.dry_run),
    }
}
