use std::{fmt, panic::Location, time::Duration};

use tokio::time::{sleep, timeout};

/// Waits for `future`, at most for `patience`.
///
/// # Panics
///
/// When it takes longer, naming the place of the call.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use a3s_event_testkit::within;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let answer = within(Duration::from_secs(10), async { 42 }).await;
/// assert_eq!(answer, 42);
/// # });
/// ```
#[track_caller]
pub fn within<F: Future>(patience: Duration, future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        match timeout(patience, future).await {
            Ok(output) => output,
            Err(_) => fail(caller, format_args!("not within {patience:?}")),
        }
    }
}

/// Asks `condition` until it holds, at most for `patience`.
///
/// # Panics
///
/// When it still does not hold then, naming the place of the call.
#[track_caller]
pub fn eventually<C, F>(patience: Duration, mut condition: C) -> impl Future<Output = ()>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    const PAUSE: Duration = Duration::from_millis(10);

    within(patience, async move {
        while !condition().await {
            sleep(PAUSE).await;
        }
    })
}

/// Fails the case at `caller`: an async function cannot track its own.
pub(crate) fn fail(caller: &'static Location<'static>, why: fmt::Arguments<'_>) -> ! {
    panic!("{why}, at {caller}")
}
