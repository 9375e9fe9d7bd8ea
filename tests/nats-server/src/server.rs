use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use serde_json::Value;

use crate::{
    error::{Error, Result},
    find,
    process::{Process, Start},
    version::Version,
};

/// A server with JetStream.
///
/// One that was started here is killed on drop, and its store removed.
#[derive(Debug)]
pub struct Server {
    url: String,
    version: Version,
    /// None for a server that somebody else runs.
    own: Option<Own>,
}

/// Dropped in this order: the process ends before its folder goes.
#[derive(Debug)]
struct Own {
    process: Mutex<Process>,
    start: Start,
}

impl Server {
    /// Starts a server for the caller alone.
    ///
    /// # Errors
    ///
    /// No program is found, or it does not start; the text says what was tried, or what the server printed.
    pub fn start() -> Result<Self> {
        Self::launch(None)
    }

    /// Starts a server for the caller alone that reads this configuration: users, TLS, limits.
    ///
    /// Address, ports, store and log are set on the command line, which prevails.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start), and mistakes in the configuration.
    pub fn with_config(configuration: &str) -> Result<Self> {
        Self::launch(Some(configuration))
    }

    /// Returns the server that the tests of one binary share, starting it for the first of them.
    ///
    /// It stops when the last test that holds it ends; the next one then starts another.
    /// Tests on it run at the same time, so each uses names of its own.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start), and a server named by the environment that does not answer.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        share(&SHARED, || match find::url() {
            Some(url) => Self::running(url),
            None => Self::start(),
        })
    }

    fn launch(configuration: Option<&str>) -> Result<Self> {
        let (program, version) = find::program()?;
        let start = Start::new(program, configuration)?;
        let process = start.run()?;
        Ok(Self::of(start, process, version))
    }

    pub(crate) fn of(start: Start, process: Process, version: Version) -> Self {
        Self {
            url: format!("nats://127.0.0.1:{}", start.port.number()),
            version,
            own: Some(Own {
                process: Mutex::new(process),
                start,
            }),
        }
    }

    /// Takes a server that runs already at its word: it says its version to whoever connects.
    fn running(url: String) -> Result<Self> {
        let fail = |reason: &dyn std::fmt::Display| {
            Error::new(format!(
                "the server that A3S_EVENT_NATS_URL names does not answer: {reason}"
            ))
        };
        let stream = TcpStream::connect(address(&url)).map_err(|error| fail(&error))?;
        let mut greeting = String::new();
        BufReader::new(stream)
            .read_line(&mut greeting)
            .map_err(|error| fail(&error))?;
        let info = greeting.strip_prefix("INFO ").unwrap_or_default();
        let info: Value = serde_json::from_str(info).map_err(|error| fail(&error))?;
        let version = Version::parse(info["version"].as_str().unwrap_or_default());
        Ok(Self {
            version: version.ok_or_else(|| fail(&"it names no version"))?,
            url,
            own: None,
        })
    }

    /// Returns the address for clients: `nats://127.0.0.1:PORT`, or what the environment names.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the version of the program.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Kills the server at once, as a crash would.
    ///
    /// What it stored is kept for [`restart`](Self::restart).
    ///
    /// # Errors
    ///
    /// The server is somebody else's.
    pub fn kill(&self) -> Result<()> {
        lock(&self.own()?.process).kill()
    }

    /// Asks the server to stop and waits until it is gone: it writes what it knows first, how far its consumers are
    /// included, which a killed one may not have written.
    ///
    /// # Errors
    ///
    /// Those of [`pause`](Self::pause), and when it does not stop.
    pub fn stop(&self) -> Result<()> {
        lock(&self.own()?.process).stop()
    }

    /// Starts the server again, on the same port and with the same store; one that still runs is killed first.
    ///
    /// # Errors
    ///
    /// The server is somebody else's, or does not start.
    pub fn restart(&self) -> Result<()> {
        let own = self.own()?;
        let mut process = lock(&own.process);
        process.kill()?;
        *process = own.start.run()?;
        Ok(())
    }

    /// Stops the server's clock: connections stay open, and nothing is answered from
    /// the return of this call until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// The server is somebody else's, or the system has no signals.
    pub fn pause(&self) -> Result<()> {
        lock(&self.own()?.process).pause()
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// Those of [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        lock(&self.own()?.process).resume()
    }

    fn own(&self) -> Result<&Own> {
        self.own.as_ref().ok_or_else(|| {
            Error::new("the server that A3S_EVENT_NATS_URL names is not ours to stop")
        })
    }
}

/// Returns what is shared, starting it where nobody holds it.
pub(crate) fn share<T>(
    shared: &Mutex<Weak<T>>,
    start: impl FnOnce() -> Result<T>,
) -> Result<Arc<T>> {
    let mut shared = lock(shared);
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(start()?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// A test that panicked leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns `host:port` of the first server in a URL such as `nats://user:password@host,nats://other`.
fn address(url: &str) -> String {
    let first = url.split(',').next().unwrap_or(url).trim();
    let authority = first.split_once("://").map_or(first, |(_, rest)| rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.trim_end_matches('/');
    match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:4222"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_a_url_is_what_one_connects_to() {
        for (url, expected) in [
            ("nats://127.0.0.1:14222", "127.0.0.1:14222"),
            ("nats://user:p@ss@one:1,nats://two:2", "one:1"),
            ("tls://one/", "one:4222"),
            ("[::1]:5222", "[::1]:5222"),
            ("[::1]", "[::1]:4222"),
        ] {
            assert_eq!(address(url), expected, "{url}");
        }
    }
}
