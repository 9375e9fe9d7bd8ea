//! Comparing, and telling what happened.

use std::fmt::{Debug, Write};

use a3s_event::{EventError, provider::EventProvider};
use tokio::time::{Instant, sleep, timeout};

use super::{GAP, PATIENCE, Stage};
use crate::equivalence::outcome::{Both, Failure, comparable};

impl Stage {
    /// Does the same with both providers, memory first.
    pub(super) async fn both<T>(
        &self,
        work: impl AsyncFn(&dyn EventProvider) -> Result<T, EventError>,
    ) -> Both<Result<T, EventError>> {
        Both {
            memory: work(&*self.providers.memory).await,
            nats: timeout(PATIENCE, work(&*self.providers.nats))
                .await
                .expect("the server answers in time"),
        }
    }

    pub(super) fn same<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        outcome: Both<Result<T, EventError>>,
    ) {
        // What it is, is in the story.
        drop(self.agreed(what, outcome));
    }

    /// Compares, and returns what both did.
    pub(super) fn agreed<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        outcome: Both<Result<T, EventError>>,
    ) -> Result<T, Failure> {
        let (memory, nats) = (comparable(outcome.memory), comparable(outcome.nats));
        if memory != nats {
            self.differ(what, &memory, &nats);
        }
        self.tell(&format!("{what} -> {memory:?}"));
        memory
    }

    /// Waits until both give the same answer.
    pub(super) async fn eventually<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        question: impl AsyncFn(&dyn EventProvider) -> Result<T, EventError>,
    ) {
        let patient = Instant::now() + PATIENCE;
        loop {
            let Both { memory, nats } = self.both(&question).await;
            let (memory, nats) = (comparable(memory), comparable(nats));
            if memory == nats {
                return self.tell(&format!("{what} -> {memory:?}"));
            }
            if Instant::now() > patient {
                self.differ(what, &memory, &nats);
            }
            sleep(GAP).await;
        }
    }

    pub(super) fn differ(&self, what: &str, memory: &dyn Debug, nats: &dyn Debug) -> ! {
        let story = &self.story;
        panic!("{story}{what}:\n  memory: {memory:?}\n    nats: {nats:?}");
    }

    pub(super) fn tell(&mut self, what: &str) {
        writeln!(self.story, "{what}").unwrap();
    }
}
