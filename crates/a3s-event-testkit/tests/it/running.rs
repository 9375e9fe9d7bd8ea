//! How cases are run, and the helpers around them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use a3s_event_memory::MemoryProvider;
use a3s_event_testkit::{
    Clock, EventProvider, Harness, async_trait, case_named, eventually, fresh_name,
    stubs::FailingProvider, within,
};

/// What the harnesses of one test have done.
#[derive(Default)]
struct Log {
    opened: AtomicUsize,
    cleaned: AtomicUsize,
}

struct LoggingHarness {
    log: Arc<Log>,
    fails: bool,
    patience: Duration,
}

#[async_trait]
impl Harness for LoggingHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        self.log.opened.fetch_add(1, Relaxed);
        if self.fails {
            Arc::new(FailingProvider)
        } else {
            Arc::new(MemoryProvider::default())
        }
    }

    async fn clean_up(&self) {
        self.log.cleaned.fetch_add(1, Relaxed);
    }

    fn clock(&self) -> Clock {
        Clock::Tokio
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

/// Runs a case that opens two storages; whether it passed, and what was done.
fn run(fails: bool, patience: Duration) -> (bool, usize, usize) {
    let log = Arc::new(Log::default());
    let harnesses = Arc::clone(&log);
    let case = case_named("lifecycle::two_storages_are_isolated");
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        case.run(move || {
            Arc::new(LoggingHarness {
                log: Arc::clone(&harnesses),
                fails,
                patience,
            })
        });
    }));
    let (opened, cleaned) = (log.opened.load(Relaxed), log.cleaned.load(Relaxed));
    (outcome.is_ok(), opened, cleaned)
}

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_case_runs_twice_and_every_storage_is_removed() {
    assert_eq!(run(false, PATIENCE), (true, 4, 4));
}

#[test]
fn storages_are_removed_after_a_failure_too() {
    let (passed, opened, cleaned) = run(true, PATIENCE);
    assert!(!passed && opened >= 2);
    assert_eq!(cleaned, opened);
}

#[test]
fn a_patience_that_proves_nothing_is_refused() {
    for patience in [1, 4, 30, 60] {
        let (passed, ..) = run(false, Duration::from_secs(patience));
        assert!(!passed, "{patience} s");
    }
}

#[tokio::test(start_paused = true)]
async fn within_returns_what_came_in_time() {
    assert_eq!(within(PATIENCE, async { 42 }).await, 42);
    let late = tokio::spawn(within(PATIENCE, std::future::pending::<()>()));
    let panic = late.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("10s") && text.contains("running.rs"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn eventually_asks_until_it_holds() {
    let mut asked = 0;
    eventually(PATIENCE, || {
        asked += 1;
        std::future::ready(asked == 5)
    })
    .await;
    assert_eq!(asked, 5);
    let never = tokio::spawn(eventually(PATIENCE, || std::future::ready(false)));
    assert!(never.await.unwrap_err().is_panic());
}

#[test]
fn fresh_names_are_plain_and_differ() {
    let names: Vec<String> = (0..100).map(|_| fresh_name()).collect();
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    for name in &names {
        assert!(name.starts_with('t') && name.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
