//! `test` and `test-nats`.

use std::{
    env,
    io::{IsTerminal, stdout},
    num::NonZero,
    path::PathBuf,
    thread,
    time::Duration,
};

use xshell::cmd;

use crate::{
    flags, nats,
    process::{Result, failure, stream},
    project::Project,
    tally::Tally,
};

/// How many tests run at once; a value from outside is kept.
const THREADS: &str = "RUST_TEST_THREADS";

/// Set, the conformance suite of the NATS provider runs on three servers.
const CLUSTER: &str = "A3S_EVENT_NATS_CLUSTER";

/// Compiling included; whatever takes longer hangs.
const LIMIT: Duration = Duration::from_secs(3600);

pub(crate) fn all(project: &Project, flags: &flags::Test) -> Result {
    let mut tally = Tally::default();
    let outcome = everything(project, flags, &mut tally);
    println!("\n{tally}");
    outcome
}

/// Runs every test, doc tests included.
///
/// `#[ignore]` means "needs nats-server" and nothing else (`tidy` sees to it), so one run takes those along.
pub(crate) fn everything(project: &Project, flags: &flags::Test, tally: &mut Tally) -> Result {
    nats::ensure(project)?;
    let mut arguments = selection(flags.package.as_deref());
    arguments.extend(["--", "--include-ignored"]);
    arguments.extend(flags.verbose.then_some("--nocapture"));
    arguments.extend(flags.filter.as_deref());
    cargo_test(project, &arguments, None, tally)
}

/// Runs the tests that need a server, and only them, against one version or all.
pub(crate) fn servers(project: &Project, flags: &flags::TestNats) -> Result {
    let users: Vec<_> = project
        .server_users()
        .map(|member| member.name.as_str())
        .collect();
    let package = flags.package.as_deref();
    if package.is_some_and(|package| !users.contains(&package)) {
        let users = users.join(", ");
        return Err(failure(format!(
            "only these crates have tests that need a server: {users}"
        )));
    }
    let mut arguments = selection(package);
    arguments.extend(["--tests", "--", "--ignored"]);
    let suite = flags.cluster.then_some("conformance::nats");
    arguments.extend(flags.filter.as_deref().or(suite));
    let _clustered = flags.cluster.then(|| project.shell.push_env(CLUSTER, "1"));

    let mut report = String::new();
    let mut outcome = Ok(());
    for (name, program) in programs(project, flags.server.as_deref())? {
        println!("\nnats-server {name}");
        let mut tally = Tally::default();
        let tested = cargo_test(project, &arguments, program, &mut tally);
        let verdict = if tested.is_ok() { "" } else { ", not all well" };
        report += &format!("\nnats-server {name}: {tally}{verdict}");
        outcome = outcome.and(tested);
    }
    println!("{report}");
    outcome
}

/// Returns the servers to test against; where no program is given, the tests find one by themselves.
fn programs(project: &Project, version: Option<&str>) -> Result<Vec<(String, Option<PathBuf>)>> {
    if version.is_none() {
        nats::ensure(project)?;
        return Ok(vec![("as found".to_owned(), None)]);
    }
    if env::var_os(nats::URL).is_some() {
        let url = nats::URL;
        return Err(failure(format!(
            "{url} names a server; unset it to choose another"
        )));
    }
    let mut programs = Vec::new();
    for version in nats::versions(project, version)? {
        let program = nats::fetch(project, &version)?;
        programs.push((version, Some(program)));
    }
    if version == Some("all") {
        let installed = nats::installed(project);
        programs.extend(installed.map(|(version, program)| (version, Some(program))));
    }
    Ok(programs)
}

/// One crate or all, never a set between: the same selection everywhere shares what was built.
fn selection(package: Option<&str>) -> Vec<&str> {
    package.map_or(vec!["--workspace"], |name| vec!["-p", name])
}

fn cargo_test(
    project: &Project,
    arguments: &[&str],
    server: Option<PathBuf>,
    tally: &mut Tally,
) -> Result {
    // The test binaries write into a pipe, so they must be told of the terminal behind it.
    let colors = stdout().is_terminal().then_some("--color=always");
    let command = cmd!(
        project.shell,
        "cargo test --all-features --locked --no-fail-fast {arguments...} {colors...}"
    );
    let server = server.map(|program| (nats::PROGRAM, program));
    let threads = env::var(THREADS).is_err().then(|| (THREADS, threads()));
    stream(command.envs(server).envs(threads), LIMIT, |line| {
        if tally.read(line) {
            println!("{line}");
        }
    })
}

/// Two for each core: tests wait for servers and deadlines longer than they work.
fn threads() -> String {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (2 * cores).to_string()
}
