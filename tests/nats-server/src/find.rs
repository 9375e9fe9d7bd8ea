//! Which program to start.

use std::{
    env,
    env::consts::EXE_SUFFIX,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::{Error, Result},
    version::Version,
};

/// The version that `cargo xtask nats fetch` brings; `xtask` reads the same file.
const DEFAULT_VERSION: &str = include_str!("../../../xtask/tools/nats-server.default").trim_ascii();

/// Older servers ignore some of what the tests ask for, so that they are used only when named.
const OLDEST: Version = Version::new(2, 10, 0);

const PROGRAM: &str = "A3S_EVENT_NATS_SERVER";
const URL: &str = "A3S_EVENT_NATS_URL";

/// Returns the running server that the environment names.
pub(crate) fn url() -> Option<String> {
    env::var(URL).ok()
}

/// Returns the program to start, and its version.
pub(crate) fn program() -> Result<(PathBuf, Version)> {
    let places = Places {
        named: env::var_os(PROGRAM),
        executable: env::current_exe().unwrap_or_default(),
        path: env::var_os("PATH").unwrap_or_default(),
    };
    find(&places, version)
}

/// Where to look.
struct Places {
    /// The program that the environment names.
    named: Option<OsString>,
    /// The program that runs now, somewhere in the target folder.
    executable: PathBuf,
    path: OsString,
}

fn find(places: &Places, version: impl Fn(&Path) -> Option<Version>) -> Result<(PathBuf, Version)> {
    if let Some(named) = &places.named {
        let program = PathBuf::from(named);
        let version = version(&program).ok_or_else(|| {
            let program = program.display();
            Error::new(format!(
                "{PROGRAM} names {program}, which is no nats-server that runs"
            ))
        })?;
        return Ok((program, version));
    }
    let fetched = format!("tools/nats-server-{DEFAULT_VERSION}/bin/nats-server{EXE_SUFFIX}");
    for folder in places.executable.ancestors() {
        let program = folder.join(&fetched);
        if let Some(version) = version(&program) {
            return Ok((program, version));
        }
    }
    let mut on_path = "none".to_owned();
    for folder in env::split_paths(&places.path) {
        let program = folder.join(format!("nats-server{EXE_SUFFIX}"));
        match version(&program) {
            Some(version) if version >= OLDEST => return Ok((program, version)),
            Some(version) => on_path = format!("{} is of version {version}", program.display()),
            None => {}
        }
    }
    Err(Error::new(format!(
        "there is no nats-server to test with, which would be, in this order,\n\
         - the running server that {URL} names, if the test can share one\n\
         - the program named by {PROGRAM}, which is not set\n\
         - target/{fetched}, which `cargo xtask nats fetch` brings\n\
         - nats-server {OLDEST} or newer on the PATH: {on_path}"
    )))
}

/// Asks a program for its version; whatever is none gives none.
fn version(program: &Path) -> Option<Version> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Version::parse(&String::from_utf8_lossy(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALLED: &str = "/usr/sbin/nats-server";

    /// Looks for a server on a system that has these programs.
    fn look(named: Option<&str>, programs: &[(&str, Version)]) -> Result<PathBuf> {
        let places = Places {
            named: named.map(OsString::from),
            executable: PathBuf::from("/w/target/debug/deps/it-0123"),
            path: env::join_paths(["/bin", "/usr/sbin"]).unwrap(),
        };
        let version = |path: &Path| {
            let mut programs = programs.iter();
            let (_, version) = programs.find(|(program, _)| Path::new(program) == path)?;
            Some(*version)
        };
        find(&places, version).map(|(program, _)| program)
    }

    #[test]
    fn the_environment_goes_before_the_target_folder_and_that_before_the_path() {
        let old = ("/opt/nats-server", Version::new(2, 9, 10));
        let path = format!("/w/target/tools/nats-server-{DEFAULT_VERSION}/bin/nats-server");
        let fetched = (path.as_str(), Version::new(2, 12, 8));
        let installed = (INSTALLED, Version::new(2, 15, 1));
        let all = [old, installed, fetched];
        assert_eq!(look(Some(old.0), &all).unwrap(), Path::new(old.0));
        assert_eq!(look(None, &all).unwrap(), Path::new(fetched.0));
        let without_fetched = &all[..2];
        assert_eq!(look(None, without_fetched).unwrap(), Path::new(INSTALLED));
    }

    #[test]
    fn a_named_program_that_does_not_run_is_an_error_and_not_passed_over() {
        let installed = (INSTALLED, Version::new(2, 15, 1));
        let error = look(Some("/nowhere/nats-server"), &[installed]).unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/nats-server"),
            "{error}"
        );
    }

    #[test]
    fn an_old_server_on_the_path_is_not_used_and_the_error_names_every_way() {
        let error = look(None, &[(INSTALLED, Version::new(2, 9, 10))]).unwrap_err();
        let old = format!("{INSTALLED} is of version 2.9.10");
        for part in [PROGRAM, URL, "cargo xtask nats fetch", &old] {
            assert!(
                error.to_string().contains(part),
                "{part} is missing in: {error}"
            );
        }
    }
}
