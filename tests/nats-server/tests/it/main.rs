//! The helper against a real server, spoken to by hand: the protocol is lines of text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use a3s_event_nats_server::{Cluster, Server, Version};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a server.
struct Client {
    stream: BufReader<TcpStream>,
    info: Value,
}

impl Client {
    fn connect(server: &Server) -> io::Result<Self> {
        let address = server.url().strip_prefix("nats://").unwrap();
        let mut client = Self {
            stream: BufReader::new(TcpStream::connect(address)?),
            info: Value::Null,
        };
        client.patience(PATIENCE)?;
        let greeting = client.line()?;
        client.info = serde_json::from_str(greeting.strip_prefix("INFO ").unwrap())?;
        client.send("CONNECT {\"verbose\":false}\r\n")?;
        Ok(client)
    }

    fn patience(&self, time: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(time))
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Asks JetStream something.
    fn request(&mut self, subject: &str, body: &Value) -> Value {
        self.try_request(subject, body).unwrap()
    }

    fn try_request(&mut self, subject: &str, body: &Value) -> io::Result<Value> {
        let body = body.to_string();
        let length = body.len();
        self.send(&format!(
            "SUB answer 1\r\nPUB {subject} answer {length}\r\n{body}\r\n"
        ))?;
        while !self.line()?.starts_with("MSG answer") {}
        let answer = self.line()?;
        self.send("UNSUB 1\r\n")?;
        Ok(serde_json::from_str(&answer)?)
    }
}

#[test]
#[ignore = "needs nats-server"]
fn a_server_answers_with_the_version_it_is_said_to_have() {
    let server = Server::start().unwrap();
    let client = Client::connect(&server).unwrap();
    assert_eq!(client.info["version"], server.version().to_string());
    assert_eq!(client.info["jetstream"], true);
    assert!(server.version() > Version::new(2, 9, 0));
}

#[test]
#[ignore = "needs nats-server"]
fn servers_are_strangers_to_each_other() {
    let (one, two) = (Server::start().unwrap(), Server::start().unwrap());
    assert_ne!(one.url(), two.url());
    let stream = json!({ "name": "S", "subjects": ["s.>"] });
    let created = Client::connect(&one)
        .unwrap()
        .request("$JS.API.STREAM.CREATE.S", &stream);
    assert_eq!(created["error"], Value::Null, "{created}");
    let found = Client::connect(&two)
        .unwrap()
        .request("$JS.API.STREAM.INFO.S", &json!({}));
    assert_eq!(found["error"]["code"], 404, "{found}");
}

#[test]
#[ignore = "needs nats-server"]
fn a_killed_server_comes_back_on_its_port_with_what_it_stored() {
    let server = Server::start().unwrap();
    let mut client = Client::connect(&server).unwrap();
    let stream = json!({ "name": "S", "subjects": ["s.>"] });
    client.request("$JS.API.STREAM.CREATE.S", &stream);
    let stored = client.request("s.one", &json!("event"));
    assert_eq!(stored["seq"], 1, "{stored}");

    let url = server.url().to_owned();
    server.kill().unwrap();
    assert!(Client::connect(&server).is_err());
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    let found = Client::connect(&server)
        .unwrap()
        .request("$JS.API.STREAM.INFO.S", &json!({}));
    assert_eq!(found["state"]["messages"], 1, "{found}");
}

#[test]
#[ignore = "needs nats-server"]
fn a_running_server_may_be_restarted_again_and_again() {
    let server = Server::start().unwrap();
    for _ in 0..3 {
        server.restart().unwrap();
        Client::connect(&server).unwrap();
    }
}

#[test]
#[ignore = "needs nats-server"]
fn a_paused_server_keeps_its_connections_and_answers_when_resumed() {
    let server = Server::start().unwrap();
    let mut client = Client::connect(&server).unwrap();
    client.send("PING\r\n").unwrap();
    assert_eq!(client.line().unwrap(), "PONG");

    server.pause().unwrap();
    client.patience(Duration::from_millis(200)).unwrap();
    client.send("PING\r\n").unwrap();
    let silence = client.line().unwrap_err();
    assert!(matches!(
        silence.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ));

    server.resume().unwrap();
    client.patience(PATIENCE).unwrap();
    assert_eq!(client.line().unwrap(), "PONG");
}

#[test]
#[ignore = "needs nats-server"]
fn a_dropped_server_is_gone_even_when_it_was_paused() {
    let server = Server::start().unwrap();
    let address = server.url().strip_prefix("nats://").unwrap().to_owned();
    server.pause().unwrap();
    drop(server);
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
#[ignore = "needs nats-server"]
fn a_configuration_takes_effect_also_after_a_restart() {
    let server = Server::with_config("authorization { token: \"secret\" }").unwrap();
    assert_eq!(
        Client::connect(&server).unwrap().info["auth_required"],
        true
    );
    server.restart().unwrap();
    assert_eq!(
        Client::connect(&server).unwrap().info["auth_required"],
        true
    );
}

#[test]
#[ignore = "needs nats-server"]
fn a_mistake_in_the_configuration_is_told_in_the_servers_words() {
    let error = Server::with_config("authorization { token: ").unwrap_err();
    assert!(
        error.to_string().contains("Parse error on line 1"),
        "{error}"
    );
}

#[test]
#[ignore = "needs nats-server"]
fn sharers_hold_the_same_server() {
    let (one, two) = (Server::shared().unwrap(), Server::shared().unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    Client::connect(&one).unwrap();
    drop(one);
    Client::connect(&two).unwrap();
}

#[test]
#[ignore = "needs nats-server"]
fn a_cluster_keeps_a_stream_through_the_loss_of_its_leader() {
    let cluster = Cluster::start().unwrap();
    let stream = json!({ "name": "S", "subjects": ["s.>"], "num_replicas": 3 });
    let created = Client::connect(&cluster.servers()[0])
        .unwrap()
        .request("$JS.API.STREAM.CREATE.S", &stream);
    assert_eq!(created["error"], Value::Null, "{created}");
    let leader = created["cluster"]["leader"].as_str().unwrap();
    let leader = cluster.server(leader).unwrap();
    leader.kill().unwrap();

    let mut left = cluster.servers().iter();
    let left = left.find(|server| server.url() != leader.url()).unwrap();
    // Nobody answers until the two that are left have agreed on a leader.
    let stored = (0..30).find_map(|_| {
        let mut client = Client::connect(left).ok()?;
        client.patience(Duration::from_secs(1)).ok()?;
        client.try_request("s.one", &json!("event")).ok()
    });
    assert!(stored.unwrap()["seq"].is_u64());
    leader.restart().unwrap();
}
