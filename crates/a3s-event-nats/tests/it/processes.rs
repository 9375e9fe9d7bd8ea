//! Several processes: this binary runs its own tests as children.

use std::{io::Write, process::Command, time::Duration};

use a3s_event_core::{provider::EventProvider, types::SubscribeOptions};
use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_nats_server::Server;
use a3s_event_testkit::{eventually, within};

use crate::common::{Folder, PATIENCE, config, everything, next, publish_many};

/// A process that acknowledges, closes and ends at once: the parent runs this
/// test again as a child, which takes the other branch.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn what_a_process_acknowledged_before_close_and_its_end_is_counted() {
    const EVENTS: usize = 1000;
    const CHILD: &str = "A3S_EVENT_NATS_CHILD";

    if let Ok(child) = std::env::var(CHILD) {
        let (url, name) = child.split_once(' ').unwrap();
        let provider = NatsProvider::connect(named(url, name)).await.unwrap();
        let mut worker = provider
            .subscribe_durable("worker", &everything(&provider))
            .await
            .unwrap();
        for _ in 0..EVENTS {
            next(&mut *worker).await.ack().await.unwrap();
        }
        provider.close().await.unwrap();
        std::process::exit(0);
    }
    let server = Server::start().unwrap();
    let config = config(server.url());
    let provider = NatsProvider::connect(config.clone()).await.unwrap();
    publish_many(&provider, "a", EVENTS).await;
    for _ in 0..5 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("processes::what_a_process_acknowledged_before_close_and_its_end_is_counted")
            .env(CHILD, format!("{} {}", server.url(), config.subject_prefix))
            .status()
            .unwrap();
        assert!(child.success());
        let lag = provider.consumer_info("worker").await.unwrap();
        assert_eq!((lag.pending, lag.unanswered), (0, 0));
        provider.unsubscribe("worker").await.unwrap();
    }
}

const SHARED_EVENTS: u64 = 400;

/// Reads until everything is answered, and reports each event before it
/// answers; works for `pause` on each.
async fn read_to_the_end(
    provider: &NatsProvider,
    ack_wait_secs: u64,
    pause: Duration,
    mut report: impl FnMut(u64),
) {
    // Reads a few ahead, so that both processes get their part of what there is.
    let options = SubscribeOptions::default()
        .with_ack_wait_secs(ack_wait_secs)
        .with_prefetch(10);
    let mut worker = provider
        .subscribe_durable_with_options("worker", &everything(provider), &options)
        .await
        .unwrap();
    loop {
        // Asked again and again, because it may be the other process that answers the last one.
        let next = tokio::time::timeout(Duration::from_millis(200), worker.next_manual_ack());
        if let Ok(pending) = next.await {
            let pending = pending.unwrap().unwrap();
            tokio::time::sleep(pause).await;
            report(pending.received.sequence);
            pending.ack_confirmed().await.unwrap();
            continue;
        }
        let lag = provider.consumer_info("worker").await.unwrap();
        if lag.pending + lag.unanswered == 0 {
            break;
        }
    }
    worker.close().await.unwrap();
}

/// The parent runs this test again as a child, which works slowly and reports
/// to a file, a sequence a line.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn two_processes_share_a_durable() {
    const CHILD: &str = "A3S_EVENT_NATS_SHARING_CHILD";

    if let Ok(child) = std::env::var(CHILD) {
        let [url, name, ack_wait, path] = child.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            panic!("{child}");
        };
        let provider = NatsProvider::connect(named(url, name)).await.unwrap();
        let mut report = std::fs::File::create(path).unwrap();
        let pause = Duration::from_millis(10);
        read_to_the_end(&provider, ack_wait.parse().unwrap(), pause, |sequence| {
            writeln!(report, "{sequence}").unwrap();
        })
        .await;
        provider.close().await.unwrap();
        return;
    }
    let server = Server::start().unwrap();
    let folder = Folder::new();
    for (killed, ack_wait) in [(false, 30), (true, 2)] {
        let config = config(server.url());
        let provider = NatsProvider::connect(config.clone()).await.unwrap();
        publish_many(&provider, "a", SHARED_EVENTS as usize).await;
        let path = folder.write(&config.subject_prefix, "");
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "processes::two_processes_share_a_durable",
            ])
            .env(
                CHILD,
                format!(
                    "{} {} {ack_wait} {path}",
                    server.url(),
                    config.subject_prefix
                ),
            )
            .spawn()
            .unwrap();
        let reported = || -> Vec<u64> {
            let lines = std::fs::read_to_string(&path).unwrap();
            lines.lines().map(|line| line.parse().unwrap()).collect()
        };
        eventually(PATIENCE, || async { reported().len() > 5 }).await;
        let mut seen = Vec::new();
        let reading = read_to_the_end(&provider, ack_wait, Duration::ZERO, |sequence| {
            seen.push(sequence);
            // With its buffer full and an event in its hands.
            if killed && seen.len() == 50 {
                other.kill().unwrap();
            }
        });
        within(PATIENCE, reading).await;
        let ended = tokio::task::spawn_blocking(move || other.wait()).await;
        assert_eq!(ended.unwrap().unwrap().success(), !killed);
        assert!(seen.len() >= 50);
        seen.extend(reported());
        seen.sort_unstable();
        if killed {
            // What it had in its hands is seen by both.
            seen.dedup();
        }
        assert!(seen.into_iter().eq(1..=SHARED_EVENTS), "killed: {killed}");
    }
}

/// A configuration by the name that the parent chose.
fn named(url: &str, name: &str) -> NatsConfig {
    NatsConfig {
        url: url.to_owned(),
        stream_name: name.to_uppercase(),
        subject_prefix: name.to_owned(),
        ..NatsConfig::default()
    }
}
