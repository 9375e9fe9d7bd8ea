//! Running commands: each is printed first, and its exit code is passed on.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use xshell::Cmd;

/// Why `xtask` ends, and with which exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: u8,
}

pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        failure(error.to_string())
    }
}

pub(crate) fn failure(message: impl Into<String>) -> Failure {
    Failure {
        message: message.into(),
        code: 1,
    }
}

/// Runs a command whose output goes straight to the terminal.
pub(crate) fn run(command: Cmd<'_>) -> Result {
    let text = command.to_string();
    let status = spawn(&text, command.into())?.wait()?;
    check(&text, status)
}

/// Runs a command and hands over its standard output line by line; one that takes longer than `limit` is killed.
pub(crate) fn stream(command: Cmd<'_>, limit: Duration, mut line: impl FnMut(&str)) -> Result {
    let text = command.to_string();
    let mut command = Command::from(command);
    command.stdout(Stdio::piped());
    let mut child = spawn(&text, command)?;

    // A thread reads, because a pipe cannot be read with a deadline.
    let (sender, lines) = mpsc::channel();
    let stdout = child.stdout.take().map(BufReader::new);
    thread::spawn(move || {
        let lines = stdout.into_iter().flat_map(|out| out.split(b'\n'));
        for bytes in lines.map_while(std::result::Result::ok) {
            // Nobody listens any more once the command was killed.
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => line(text.trim_end_matches('\r')),
            Err(RecvTimeoutError::Disconnected) => return check(&text, child.wait()?),
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Err(failure(format!("`{text}` did not end within {limit:?}")));
            }
        }
    }
}

fn spawn(text: &str, mut command: Command) -> Result<Child> {
    let environment: String = command
        .get_envs()
        .map(|(key, value)| format!("{}={:?} ", key.display(), value.unwrap_or_default()))
        .collect();
    eprintln!("$ {environment}{text}");
    command
        .spawn()
        .map_err(|error| failure(format!("`{text}` could not be started: {error}")))
}

fn check(text: &str, status: ExitStatus) -> Result {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(Failure {
        message: format!("`{text}` failed ({status})"),
        code: code.unwrap_or(1),
    })
}
