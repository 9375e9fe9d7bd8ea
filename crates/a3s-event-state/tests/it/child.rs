//! A test that runs itself a second time, as another process.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
};

const FILE: &str = "A3S_EVENT_STATE_TEST_FILE";
const MARK: &str = "child says: ";

/// The state file, in a process that a test started as its child.
pub(crate) fn file() -> Option<PathBuf> {
    env::var_os(FILE).map(PathBuf::from)
}

/// A command that runs `test` as a child on the state file `path`.
pub(crate) fn command(test: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    configure(&mut command, test, path);
    command
}

/// The same, behind lines of shell that set limits.
#[cfg(unix)]
pub(crate) fn command_after(script: &str, test: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{script}\nexec \"$0\" \"$@\"");
    command
        .arg("-c")
        .arg(script)
        .arg(env::current_exe().unwrap());
    configure(&mut command, test, path);
    command
}

fn configure(command: &mut Command, test: &str, path: &Path) {
    command
        .args(["--exact", test])
        .env(FILE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// Tells the parent something, past the capture of the test harness.
pub(crate) fn say(text: &str) {
    let mut output = io::stdout().lock();
    writeln!(output, "{MARK}{text}").unwrap();
    output.flush().unwrap();
}

/// What the child says, as long as it lives.
pub(crate) fn listen(output: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(output).lines();
    lines.filter_map(|line| Some(line.unwrap().split_once(MARK)?.1.to_owned()))
}
