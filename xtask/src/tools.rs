//! Programs that are fetched as wheels: each pinned, with hashes for all platforms, by a file of `xtask/tools`.

use std::{env::consts::EXE_SUFFIX, path::PathBuf};

use xshell::cmd;

use crate::{
    process::{Result, failure, run},
    project::Project,
};

/// Returns the path of a program of the wheel that `xtask/tools/NAME.txt` pins, fetching it the first time.
pub(crate) fn wheel(project: &Project, name: &str, program: &str) -> Result<PathBuf> {
    let folder = project.target.join("tools").join(name);
    let program = folder.join(format!("bin/{program}{EXE_SUFFIX}"));
    if program.exists() {
        return Ok(program);
    }
    let python = if cfg!(windows) { "python" } else { "python3" };
    let pins = format!("xtask/tools/{name}.txt");
    let pip = cmd!(
        project.shell,
        "{python} -m pip install --quiet --no-deps --require-hashes --only-binary :all: --upgrade --target {folder} -r {pins}"
    );
    run(pip
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore"))?;
    if !program.exists() {
        return Err(failure(format!(
            "the wheel did not bring {}",
            program.display()
        )));
    }
    Ok(program)
}
