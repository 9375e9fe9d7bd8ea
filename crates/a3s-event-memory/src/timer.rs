use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    runtime::{Handle, Id},
    time::{Sleep, sleep_until},
};

use crate::clock::{Clock, Nanos};

/// The wait of a handle for a deadline.
///
/// It belongs to the runtime that polls, wherever the handle is moved: the
/// timers of a runtime end with it.
#[derive(Debug)]
pub(crate) struct Timer {
    /// Pinned once for all waits, `None` inside while nobody waits.
    sleep: Pin<Box<Option<Sleep>>>,
    deadline: Nanos,
    runtime: Option<Id>,
}

impl Timer {
    /// Completes at `deadline`. Needs a runtime with a clock, as
    /// [`sleep_until`] does, and panics as it does without one.
    pub(crate) fn poll(
        timer: &mut Option<Self>,
        deadline: Nanos,
        clock: &Clock,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let timer = timer.get_or_insert_with(|| Self {
            sleep: Box::pin(None),
            deadline,
            runtime: None,
        });
        let runtime = Handle::try_current().map(|runtime| runtime.id()).ok();
        let has_moved = runtime.is_some() && runtime != timer.runtime;
        let instant = clock.instant(deadline);
        match timer.sleep.as_mut().as_pin_mut() {
            Some(mut sleep) if !has_moved => {
                if timer.deadline != deadline || sleep.is_elapsed() {
                    sleep.as_mut().reset(instant);
                }
            }
            _ => {
                timer.sleep.set(Some(sleep_until(instant)));
                timer.runtime = runtime;
            }
        }
        timer.deadline = deadline;
        match timer.sleep.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Forgets the deadline: nobody waits any more.
    pub(crate) fn disarm(&mut self) {
        self.sleep.set(None);
    }
}
