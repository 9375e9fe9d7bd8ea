//! One run of the program, from its start until it is gone.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

#[cfg(unix)]
use rustix::process::{self, Pid, Signal, WaitOptions};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    folder::Folder,
    port::Port,
};

/// How long a start may take; what is stored must be read back within it, and a cluster must agree on a leader.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(3);

/// A running server, which is killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// What a server is started with; a restart takes the same.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    /// The server's own folder: store, log, configuration.
    pub(crate) folder: Folder,
    pub(crate) port: Port,
    /// Whether the folder holds a configuration.
    configured: bool,
}

impl Start {
    const CONFIGURATION: &str = "server.conf";
    const LOG: &str = "log";
    /// What the server prints while it has no log yet: mistakes in the configuration.
    const OUTPUT: &str = "output";

    /// Gives the server a folder, with what it is to read, and a port.
    pub(crate) fn new(program: PathBuf, configuration: Option<&str>) -> Result<Self> {
        let folder = Folder::create()?;
        if let Some(text) = configuration {
            fs::write(folder.path().join(Self::CONFIGURATION), text)
                .map_err(Error::io("write the server's configuration"))?;
        }
        Ok(Self {
            program,
            folder,
            port: Port::claim()?,
            configured: configuration.is_some(),
        })
    }

    /// Starts the server and waits until JetStream is healthy.
    pub(crate) fn run(&self) -> Result<Process> {
        let mut process = self.spawn()?;
        self.await_health(&mut process)?;
        Ok(process)
    }

    /// Starts the server, and does not wait for it.
    pub(crate) fn spawn(&self) -> Result<Process> {
        let folder = &self.folder.path();
        self.remove_ports_files()
            .map_err(Error::io(format_args!("clear {}", folder.display())))?;
        let output = File::create(folder.join(Self::OUTPUT))
            .map_err(Error::io(format_args!("write into {}", folder.display())))?;
        let mut command = Command::new(&self.program);
        command
            .args(["-a", "127.0.0.1", "-m", "-1", "-js", "-p"])
            .arg(self.port.number().to_string())
            .arg("-sd")
            .arg(folder.join("store"))
            .arg("--ports_file_dir")
            .arg(folder)
            .arg("-l")
            .arg(folder.join(Self::LOG));
        if self.configured {
            command.arg("-c").arg(folder.join(Self::CONFIGURATION));
        }
        // Nothing is inherited: a server that outlives its test would keep the reader of the test's output waiting.
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(Error::io(format_args!("start {}", self.program.display())))?;
        // From here on, an error kills the child.
        Ok(Process { child })
    }

    /// Waits until JetStream is healthy: where the server is one of a cluster, until that has a leader.
    pub(crate) fn await_health(&self, process: &mut Process) -> Result<()> {
        let healthy = in_time(|| {
            if self.monitoring(process).is_some_and(is_healthy) {
                return Ok(true);
            }
            match process.ended()? {
                Some(status) => Err(self.failure(&format!("ended with {status}"))),
                None => Ok(false),
            }
        });
        if !healthy? {
            return Err(self.failure(&format!("is not healthy after {PATIENCE:?}")));
        }
        Ok(())
    }

    /// Whether the server leads a cluster and hears of so many others.
    pub(crate) fn leads(&self, process: &Process, others: usize) -> bool {
        let Some(answer) = self
            .monitoring(process)
            .and_then(|port| get(port, "/jsz").ok())
        else {
            return false;
        };
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let state: Value = serde_json::from_str(body).unwrap_or_default();
        // Only the leader lists them.
        let replicas = state["meta_cluster"]["replicas"].as_array();
        replicas.is_some_and(|replicas| {
            let heard = |replica: &&Value| replica["offline"] != true;
            replicas.iter().filter(heard).count() == others
        })
    }

    /// The port that answers questions about the server, once that has said it.
    fn monitoring(&self, process: &Process) -> Option<u16> {
        let ports_file = format!("nats-server_{}.ports", process.child.id());
        let ports = fs::read(self.folder.path().join(ports_file)).ok()?;
        // Until it is written to its end, the file is not readable as JSON.
        let ports: Value = serde_json::from_slice(&ports).ok()?;
        let address = ports["monitoring"][0].as_str()?;
        address.rsplit(':').next()?.parse().ok()
    }

    /// A killed server leaves its file behind, and a later one may get the same process id.
    fn remove_ports_files(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "ports")
            {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> Error {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let printed = [read(Self::LOG), read(Self::OUTPUT)].concat();
        let lines: Vec<_> = printed.lines().collect();
        let end = lines[lines.len().saturating_sub(12)..].join("\n");
        Error::new(format!("{} {what}\n{end}", self.program.display()))
    }
}

impl Process {
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(Error::io("kill the server"))?;
        self.child
            .wait()
            .map_err(Error::io("wait for the server"))?;
        Ok(())
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        self.terminate()?;
        if !in_time(|| Ok(self.ended()?.is_some()))? {
            let text = format!("the server did not stop within {PATIENCE:?}");
            return Err(Error::new(text));
        }
        Ok(())
    }

    /// How the server ended, if it did.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let ended = self.child.try_wait();
        ended.map_err(Error::io("wait for the server"))
    }
}

/// Signals, of which the standard library knows no other than KILL.
#[cfg(unix)]
impl Process {
    fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Returns when the last thread of the server stands still: a signal takes
    /// effect some time after it was sent, and until then the server answers.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let pid = Some(Pid::from_child(&self.child));
        let status = process::waitpid(pid, WaitOptions::UNTRACED).map_err(io::Error::from);
        match status.map_err(Error::io("wait until the server is paused"))? {
            Some((_, status)) if status.stopped() => Ok(()),
            other => Err(Error::new(format!("the server ended instead: {other:?}"))),
        }
    }

    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        process::kill_process(Pid::from_child(&self.child), signal)
            .map_err(io::Error::from)
            .map_err(Error::io(format_args!("send {signal:?} to the server")))
    }
}

#[cfg(not(unix))]
impl Process {
    fn terminate(&self) -> Result<()> {
        Err(no_signals())
    }

    pub(crate) fn pause(&self) -> Result<()> {
        Err(no_signals())
    }

    pub(crate) fn resume(&self) -> Result<()> {
        Err(no_signals())
    }
}

#[cfg(not(unix))]
fn no_signals() -> Error {
    Error::new("this system has no signals: a server can only be killed")
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails where the server was killed already, and where it is gone all is well.
        let _ = self.kill();
    }
}

/// Looks until it is done; `false` when the time is over.
pub(crate) fn in_time(mut is_done: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while !is_done()? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

fn is_healthy(monitoring: u16) -> bool {
    get(monitoring, "/healthz").is_ok_and(|answer| {
        let status = answer.lines().next();
        status.is_some_and(|status| status.contains(" 200 "))
    })
}

fn get(monitoring: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, monitoring))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
