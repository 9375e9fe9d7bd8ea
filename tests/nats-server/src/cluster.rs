use std::sync::{Arc, Mutex, Weak};

use crate::{
    error::{Error, Result},
    find,
    port::Port,
    process::{PATIENCE, Start, in_time},
    server::{Server, share},
};

/// As many as keep a stream through the loss of one.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three servers that keep streams together.
///
/// Each may be killed, restarted and paused as any other; a restart waits until the others have taken it back.
/// All are killed on drop.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    /// Where the servers listen for each other.
    _routes: Vec<Port>,
}

impl Cluster {
    /// Starts a cluster for the caller alone and waits until its leader has heard of all servers.
    ///
    /// # Errors
    ///
    /// Those of [`Server::start`].
    pub fn start() -> Result<Self> {
        let (program, version) = find::program()?;
        let routes = NAMES.map(|_| Port::claim());
        let routes = routes.into_iter().collect::<Result<Vec<_>>>()?;
        // All are started before the first is awaited: none is healthy alone.
        let mut started = Vec::new();
        for (name, route) in NAMES.iter().zip(&routes) {
            let configuration = configuration(name, route, &routes);
            let start = Start::new(program.clone(), Some(&configuration))?;
            started.push((start.spawn()?, start));
        }
        for (process, start) in &mut started {
            start.await_health(process)?;
        }
        // A leader places streams on those alone that it has heard of.
        let others = NAMES.len() - 1;
        let complete = in_time(|| {
            let mut servers = started.iter();
            Ok(servers.any(|(process, start)| start.leads(process, others)))
        });
        if !complete? {
            let text = format!("no leader hears of all servers after {PATIENCE:?}");
            return Err(Error::new(text));
        }
        let servers = started.into_iter();
        let servers = servers.map(|(process, start)| Server::of(start, process, version));
        Ok(Self {
            servers: servers.collect(),
            _routes: routes,
        })
    }

    /// Returns the cluster that the tests of one binary share, as [`Server::shared`] does.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start).
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        share(&SHARED, Self::start)
    }

    /// Returns the addresses of all servers for clients, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Server::url).collect();
        urls.join(",")
    }

    /// Returns the servers in the order of their names: `one`, `two` and `three`.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns a server by the name that the others know it by, such as the leader of a stream.
    ///
    /// # Errors
    ///
    /// There is no server of this name.
    pub fn server(&self, name: &str) -> Result<&Server> {
        let mut servers = NAMES.iter().zip(&self.servers);
        servers
            .find_map(|(known, server)| (*known == name).then_some(server))
            .ok_or_else(|| Error::new(format!("no server is named `{name}`, only {NAMES:?} are")))
    }
}

fn configuration(name: &str, route: &Port, routes: &[Port]) -> String {
    let listen = route.number();
    let routes: Vec<_> = routes
        .iter()
        .map(|route| format!("nats://127.0.0.1:{}", route.number()))
        .collect();
    let routes = routes.join(", ");
    format!(
        "server_name: {name}\n\
         cluster {{ name: tests, listen: \"127.0.0.1:{listen}\", routes: [{routes}] }}\n"
    )
}
