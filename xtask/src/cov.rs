//! `cov`: which lines the tests reach.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use crate::{
    flags, nats,
    process::{Result, failure, run as run_command},
    project::Project,
    tools,
};

pub(crate) fn run(project: &Project, flags: &flags::Cov) -> Result {
    nats::ensure(project)?;
    let shell = &project.shell;
    let (cov, profdata) = llvm(shell)?;
    let program = tools::wheel(project, "cargo-llvm-cov", "cargo-llvm-cov")?;
    let llvm_cov = || {
        let environment = [("LLVM_COV", &cov), ("LLVM_PROFDATA", &profdata)];
        cmd!(shell, "{program} llvm-cov").envs(environment)
    };
    // Profiles of earlier runs would be added to those of this one.
    run_command(llvm_cov().args(["clean", "--workspace", "--profraw-only"]))?;
    let what = "--no-report --workspace --exclude xtask --all-features --locked";
    let how = "--no-fail-fast -- --include-ignored";
    run_command(llvm_cov().args(what.split(' ')).args(how.split(' ')))?;

    let report = llvm_cov().arg("report");
    let folder = shell.create_dir(project.target.join("coverage"))?;
    if flags.html {
        let html = report.args(["--html", "--output-dir"]).arg(folder);
        run_command(html.args(flags.open.then_some("--open")))
    } else if flags.lcov {
        let file = folder.join("lcov.info");
        run_command(report.args(["--lcov", "--output-path"]).arg(file))
    } else if flags.table {
        run_command(report)
    } else {
        let table = report.read()?;
        let totals = |line: &&str| line.starts_with("Filename") || line.starts_with("TOTAL");
        table
            .lines()
            .filter(totals)
            .for_each(|line| println!("{line}"));
        Ok(())
    }
}

/// Finds `llvm-cov` and `llvm-profdata` of the LLVM that `rustc` was built with; others cannot read its profiles.
fn llvm(shell: &Shell) -> Result<(PathBuf, PathBuf)> {
    if let (Ok(cov), Ok(profdata)) = (shell.var("LLVM_COV"), shell.var("LLVM_PROFDATA")) {
        return Ok((cov.into(), profdata.into()));
    }
    let rustc = cmd!(shell, "rustc -vV").read()?;
    let wanted = major(&rustc).ok_or_else(|| failure("rustc does not name its LLVM"))?;
    let libraries = cmd!(shell, "rustc --print target-libdir").read()?;
    let component = Path::new(&libraries).with_file_name("bin").join("llvm-cov");
    let candidates = [
        component,
        format!("llvm-cov-{wanted}").into(),
        "llvm-cov".into(),
    ];

    let mut rejected = String::new();
    for cov in candidates {
        let version = cmd!(shell, "{cov} --version").ignore_stderr().read();
        match version.ok().as_deref().and_then(major) {
            Some(found) if found == wanted => {
                let name = cov.to_string_lossy().replace("llvm-cov", "llvm-profdata");
                return Ok((cov, name.into()));
            }
            Some(found) => rejected += &format!(" ({} has version {found})", cov.display()),
            None => {}
        }
    }
    Err(failure(format!(
        "coverage needs the llvm-cov of LLVM {wanted}{rejected}; one of these installs it: \
         rustup component add llvm-tools, apt-get install llvm-{wanted}, brew install llvm@{wanted}"
    )))
}

/// Reads the major version of LLVM out of what `rustc -vV` or `llvm-cov --version` print.
fn major(text: &str) -> Option<u32> {
    let version = text.split_once("LLVM version")?.1;
    version
        .trim_start_matches([':', ' '])
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_rustc_and_llvm_cov_print() {
        assert_eq!(major("host: x\nLLVM version: 22.1.2"), Some(22));
        assert_eq!(major("LLVM:\n  LLVM version 14.0.6\n"), Some(14));
        assert_eq!(major("release: 1.95.0"), None);
    }
}
