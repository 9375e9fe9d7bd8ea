//! Running every example of the facade once.
//!
//! Beside `NAME.rs` there may be a `NAME.expected`: its lines must appear in the output, in this order.

use std::{env::consts::EXE_SUFFIX, time::Duration};

use xshell::cmd;

use crate::{
    nats,
    process::{Result, failure, run as run_command, stream},
    project::{FACADE, Project},
};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(project: &Project) -> Result {
    let Some(facade) = project.member(FACADE) else {
        return Ok(());
    };
    nats::ensure(project)?;
    let shell = &project.shell;
    // Called directly, because `cargo run` would build the dependencies once more, with the features of one crate.
    run_command(cmd!(
        shell,
        "cargo build --workspace --examples --all-features --locked"
    ))?;
    for name in facade.targets("example") {
        let program = project
            .target
            .join(format!("debug/examples/{name}{EXE_SUFFIX}"));
        let mut output = Vec::new();
        stream(cmd!(shell, "{program}"), LIMIT, |line| {
            println!("{line}");
            output.push(line.to_owned());
        })?;
        let expected = format!("{}/examples/{name}.expected", facade.folder);
        if !shell.path_exists(&expected) {
            continue;
        }
        if let Some(line) = missing(&shell.read_file(&expected)?, &output) {
            return Err(failure(format!(
                "{name} did not print `{line}` ({expected})"
            )));
        }
    }
    Ok(())
}

/// Returns the first expected line that no line of the output contains after those found before.
fn missing<'a>(expected: &'a str, output: &[String]) -> Option<&'a str> {
    let mut output = output.iter();
    let mut wanted = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    wanted.find(|wanted| !output.any(|line| line.contains(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_lines_are_parts_of_lines_in_order() {
        let output = ["published 3 events", "received a", "received b"].map(str::to_owned);
        assert_eq!(missing("published\n\n  b\n", &output), None);
        assert_eq!(
            missing("received b\nreceived a", &output),
            Some("received a")
        );
        assert_eq!(
            missing("received a\nreceived a", &output),
            Some("received a")
        );
    }
}
