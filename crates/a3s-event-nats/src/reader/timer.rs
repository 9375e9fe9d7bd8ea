//! What a reader waits for when no message comes.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time;

use super::Reader;
use crate::pull::SILENCE;

/// How often a lost connection is looked at, should no event report its return.
const LOOK: Duration = Duration::from_millis(200);

/// How long a request waits for the confirmation of a refusal.
const LONGEST_REFUSAL: Duration = Duration::from_secs(1);

/// First pause after the server could not be asked; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the timer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Silence,
    Pause,
    Refusal,
    Connection,
}

impl Reader {
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, up: bool) -> Poll<()> {
        let (purpose, after) = if !up {
            (Purpose::Connection, LOOK)
        } else if self.pausing {
            (Purpose::Pause, pause_after(self.failures))
        } else if self.recovery.is_none() && self.is_refusing() {
            (Purpose::Refusal, LONGEST_REFUSAL)
        } else if self.recovery.is_none() && self.requests.outstanding() > 0 {
            (Purpose::Silence, SILENCE)
        } else {
            return Poll::Pending;
        };
        let timer = match &mut self.timer {
            Some((set, timer)) if *set == purpose => timer,
            timer => {
                self.heard = false;
                &mut timer.insert((purpose, Box::pin(time::sleep(after)))).1
            }
        };
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        match purpose {
            Purpose::Connection => {}
            Purpose::Pause => self.pausing = false,
            Purpose::Refusal => {
                if let Some(refusals) = &self.link.refusals {
                    refusals.give_up();
                }
            }
            Purpose::Silence if self.heard => {}
            Purpose::Silence => {
                tracing::debug!(consumer = %self.link.consumer, "no heartbeat: asking the server");
                self.requests.reset();
                self.find_out();
            }
        }
        Poll::Ready(())
    }

    /// Asks for nothing for a moment, longer with every failure in a row.
    pub(super) fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.pausing = true;
        self.timer = None;
    }
}

/// Doubles with the failures, and spreads over half of it so that many
/// subscriptions do not come back in one moment.
fn pause_after(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(LONGEST_PAUSE);
    let noise = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), failures);
    pause / 2 + pause.mul_f64((noise % 1000) as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert!(pause_after(1) <= FIRST_PAUSE);
        assert!(pause_after(1_000_000) <= LONGEST_PAUSE);
        assert!(pause_after(1_000_000) >= LONGEST_PAUSE / 2);
    }
}
