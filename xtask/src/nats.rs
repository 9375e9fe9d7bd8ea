//! Servers for the tests: which versions there are, how they are fetched and run.

use std::{env, path::PathBuf};

use xshell::cmd;

use crate::{
    flags::NatsCmd,
    process::{Result, failure, run as run_command},
    project::Project,
    tools,
};

/// Names a running server that the tests are to use.
pub(crate) const URL: &str = "A3S_EVENT_NATS_URL";
/// Names a program that the tests are to start.
pub(crate) const PROGRAM: &str = "A3S_EVENT_NATS_SERVER";

/// The version where none is named; the helper that starts servers reads the same file.
const DEFAULT_VERSION: &str = include_str!("../tools/nats-server.default").trim_ascii();

pub(crate) fn run(project: &Project, command: &NatsCmd) -> Result {
    match command {
        NatsCmd::Fetch(flags) => {
            for version in versions(project, flags.version.as_deref())? {
                println!("{}", fetch(project, &version)?.display());
            }
            Ok(())
        }
        NatsCmd::Run(flags) => {
            let version = flags.version.as_deref().unwrap_or(DEFAULT_VERSION);
            let server = fetch(project, version)?;
            let port = flags.port.unwrap_or(4222).to_string();
            let store = project.target.join("nats").join(version);
            println!("tests use this server with {URL}=nats://127.0.0.1:{port}");
            run_command(cmd!(
                project.shell,
                "{server} -a 127.0.0.1 -p {port} -js -sd {store}"
            ))
        }
    }
}

/// Sees to it that tests find a server to start, where some need one and the environment names none.
pub(crate) fn ensure(project: &Project) -> Result {
    if env::var_os(PROGRAM).is_some() || project.server_users().next().is_none() {
        return Ok(());
    }
    if let Err(failure) = fetch(project, DEFAULT_VERSION) {
        // Not the end: the tests look on the PATH too, and say what they tried when nothing is there.
        eprintln!("warning: {}", failure.message);
    }
    Ok(())
}

/// Returns the versions that an argument names: one, `all`, or without an argument the default.
pub(crate) fn versions(project: &Project, named: Option<&str>) -> Result<Vec<String>> {
    if named != Some("all") {
        return Ok(vec![named.unwrap_or(DEFAULT_VERSION).to_owned()]);
    }
    let files = project.shell.read_dir("xtask/tools")?;
    let version = |file: &PathBuf| {
        let name = file.file_name()?.to_str()?;
        Some(
            name.strip_prefix("nats-server-")?
                .strip_suffix(".txt")?
                .to_owned(),
        )
    };
    Ok(files.iter().filter_map(version).collect())
}

pub(crate) fn fetch(project: &Project, version: &str) -> Result<PathBuf> {
    let known = versions(project, Some("all"))?;
    if !known.iter().any(|known| known == version) {
        let known = known.join(", ");
        return Err(failure(format!(
            "no nats-server {version}; there are {known}"
        )));
    }
    tools::wheel(project, &format!("nats-server-{version}"), "nats-server")
}

/// Finds a server that the system has installed and that is none of the pinned, with its version.
pub(crate) fn installed(project: &Project) -> Option<(String, PathBuf)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let program = env::split_paths(&path)
        // Where Debian puts it, and where the PATH of a user does not look.
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nats-server"))
        .find(|program| program.is_file())?;
    let answer = cmd!(project.shell, "{program} --version").read().ok()?;
    let version = answer.rsplit([' ', 'v']).next()?.to_owned();
    let pinned = versions(project, Some("all")).ok()?;
    (!pinned.contains(&version)).then_some((version, program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_version_is_pinned() {
        let pins = format!("tools/nats-server-{DEFAULT_VERSION}.txt");
        let pins = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(pins);
        assert!(pins.is_file(), "{} is missing", pins.display());
    }
}
