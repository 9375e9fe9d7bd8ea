use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use a3s_event_core::BoxFuture;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    Clock, Harness,
    case::{Case, Flavor, Make},
};

/// A case of the suite, as a value.
#[derive(Clone, Copy)]
pub struct NamedCase {
    /// `group::case`.
    pub name: &'static str,
    pub(crate) threads: bool,
    pub(crate) body: fn(Case) -> BoxFuture<'static, ()>,
}

impl NamedCase {
    /// Runs the case against what `make` makes, once on the provider itself and
    /// once through `Arc<dyn EventProvider>`, both at the same time in threads
    /// whose names say which.
    ///
    /// # Panics
    ///
    /// When the provider fails it.
    pub fn run<F>(&self, make: F)
    where
        F: Fn() -> Arc<dyn Harness> + Send + Sync + 'static,
    {
        let make: Make = Arc::new(make);
        let runs = [Flavor::Bare, Flavor::Shared].map(|flavor| {
            let (case, make) = (*self, Arc::clone(&make));
            let way = match flavor {
                Flavor::Bare => "bare",
                Flavor::Shared => "through Arc<dyn EventProvider>",
            };
            thread::Builder::new()
                .name(format!("{}, {way}", self.name))
                .spawn(move || case.run_once(make, flavor))
                .expect("a thread can be started")
        });
        let outcomes = runs.map(thread::JoinHandle::join);
        for outcome in outcomes {
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
        }
    }

    /// Whether the provider passes the case. For the tests of the suite itself.
    #[doc(hidden)]
    pub fn passes<F>(&self, make: F) -> bool
    where
        F: Fn() -> Arc<dyn Harness> + Send + Sync + 'static,
    {
        let make: Make = Arc::new(make);
        catch_unwind(AssertUnwindSafe(|| self.run_once(make, Flavor::Bare))).is_ok()
    }

    fn run_once(self, make: Make, flavor: Flavor) {
        let harness = make();
        let paused = harness.clock() == Clock::Tokio && !self.threads;
        let runtime = runtime(self.threads, paused);
        let outcome = runtime.block_on(async move {
            let case = Case::first(make, harness, flavor, paused).await;
            let cleaner = case.cleaner();
            let body = (self.body)(case);
            let outcome = tokio::spawn(limited(body)).await;
            cleaner.await;
            outcome
        });
        // A task that spins would hold up the end of the runtime for ever.
        runtime.shutdown_timeout(Duration::from_secs(5));
        if let Err(error) = outcome {
            resume_unwind(error.into_panic());
        }
    }
}

/// Far more than a case takes: one that is still not done hangs in a call that
/// has no deadline of its own.
async fn limited(body: BoxFuture<'static, ()>) {
    const LIMIT: Duration = Duration::from_secs(120);

    if timeout(LIMIT, body).await.is_err() {
        panic!("a call did not return within {LIMIT:?}");
    }
}

fn runtime(threads: bool, paused: bool) -> Runtime {
    let runtime = if threads {
        Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
    } else {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(paused)
            .build()
    };
    runtime.expect("a runtime can be built")
}

/// Runs the case called `name`; what [`conformance!`](crate::conformance)
/// makes a test of.
#[doc(hidden)]
pub fn run_named(name: &str, make: fn() -> Arc<dyn Harness>) {
    case_named(name).run(make);
}

/// The case called `name`.
///
/// # Panics
///
/// When there is none.
///
/// # Examples
///
/// ```
/// let case = a3s_event_testkit::case_named("ack::nak_redelivers_with_a_higher_count");
/// assert!(a3s_event_testkit::cases().len() > 100);
/// # assert!(format!("{case:?}").contains("nak_redelivers"));
/// ```
#[must_use]
pub fn case_named(name: &str) -> NamedCase {
    let case = cases().iter().find(|case| case.name == name);
    *case.unwrap_or_else(|| panic!("there is no case {name}"))
}

/// All cases, for a runner of your own. Names may be added in minor releases.
#[must_use]
pub fn cases() -> &'static [NamedCase] {
    crate::macros::CASES
}

impl fmt::Debug for NamedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedCase")
            .field("name", &self.name)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
