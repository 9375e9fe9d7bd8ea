use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::{
    clock::Nanos,
    window::{Phase, Window},
};

/// When unanswered deliveries have to come again.
///
/// Nothing is scanned. First deliveries all wait equally long, so their
/// deadlines are in order of positions and one pointer into the window watches
/// them. Later deliveries wait equally long per step of the backoff: one queue a
/// step. Only delays that readers choose need a heap. Entries that an answer
/// has overtaken are dropped when they come up, or in bulk when they outnumber
/// the others.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The wait after delivery 1, 2, …; the last one repeats. Never empty.
    waits: Vec<Nanos>,
    /// No first delivery before this position is still waiting.
    first: u64,
    steps: Vec<VecDeque<Due>>,
    delayed: BinaryHeap<Reverse<Due>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Nanos,
    position: u64,
}

impl Schedule {
    pub(crate) fn new(waits: Vec<Nanos>) -> Self {
        debug_assert!(!waits.is_empty(), "there is at least the ack wait");
        Self {
            steps: waits.iter().map(|_| VecDeque::new()).collect(),
            waits,
            first: 0,
            delayed: BinaryHeap::new(),
        }
    }

    /// The deadline of a first delivery at `now`, watched by the pointer.
    pub(crate) fn first_deadline(&self, now: Nanos) -> Nanos {
        now.saturating_add(self.wait(1).1)
    }

    /// Lets the delivery at `position` wait from `now` on, by its number; returns
    /// its deadline.
    pub(crate) fn wait_again(&mut self, window: &mut Window, position: u64, now: Nanos) -> Nanos {
        let Some(pending) = window.get_mut(position) else {
            return Nanos::MAX;
        };
        let (step, wait) = self.wait(pending.deliveries);
        let at = now.saturating_add(wait);
        pending.deadline = at;
        pending.phase = Phase::Waiting;
        let queue = &mut self.steps[step];
        if queue.len() > 64 && queue.len() > 2 * window.len() {
            queue.retain(|due| due.is_valid(window, Phase::Waiting));
        }
        queue.push_back(Due { at, position });
        at
    }

    /// Lets the refused delivery at `position` come again at `at`.
    pub(crate) fn delay(&mut self, window: &mut Window, position: u64, at: Nanos) {
        let Some(pending) = window.get_mut(position) else {
            return;
        };
        pending.deadline = at;
        pending.phase = Phase::Delayed;
        if self.delayed.len() > 64 && self.delayed.len() > 2 * window.len() {
            self.delayed
                .retain(|Reverse(due)| due.is_valid(window, Phase::Delayed));
        }
        self.delayed.push(Reverse(Due { at, position }));
    }

    /// Moves to `due` what has to come again by `now`: unanswered deliveries by
    /// sequence, then delayed ones as they became due.
    pub(crate) fn collect(&mut self, window: &Window, now: Nanos, due: &mut Vec<u64>) {
        while let Some((position, pending)) = window.next_from(self.first) {
            if pending.phase == Phase::First {
                if pending.deadline > now {
                    break;
                }
                due.push(position);
            }
            self.first = position + 1;
        }
        for queue in &mut self.steps {
            while let Some(&next) = queue.front() {
                let valid = next.is_valid(window, Phase::Waiting);
                if valid && next.at > now {
                    break;
                }
                queue.pop_front();
                if valid {
                    due.push(next.position);
                }
            }
        }
        due.sort_unstable_by_key(|&position| window.get(position).map(|pending| pending.sequence));
        while let Some(&Reverse(next)) = self.delayed.peek() {
            let valid = next.is_valid(window, Phase::Delayed);
            if valid && next.at > now {
                break;
            }
            self.delayed.pop();
            if valid {
                due.push(next.position);
            }
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&mut self, window: &Window) -> Option<Nanos> {
        let mut earliest: Option<Nanos> = None;
        let mut consider = |at: Nanos| {
            earliest = Some(earliest.map_or(at, |other| other.min(at)));
        };
        while let Some((position, pending)) = window.next_from(self.first) {
            if pending.phase == Phase::First {
                self.first = position;
                consider(pending.deadline);
                break;
            }
            self.first = position + 1;
        }
        for queue in &mut self.steps {
            while queue
                .front()
                .is_some_and(|next| !next.is_valid(window, Phase::Waiting))
            {
                queue.pop_front();
            }
            queue.front().into_iter().for_each(|next| consider(next.at));
        }
        while let Some(&Reverse(next)) = self.delayed.peek() {
            if next.is_valid(window, Phase::Delayed) {
                consider(next.at);
                break;
            }
            self.delayed.pop();
        }
        earliest
    }

    /// The step and the wait that follow delivery number `deliveries`.
    fn wait(&self, deliveries: u32) -> (usize, Nanos) {
        let step = (deliveries as usize).clamp(1, self.waits.len()) - 1;
        (step, self.waits[step])
    }
}

impl Due {
    /// Whether no answer has overtaken the entry.
    fn is_valid(&self, window: &Window, phase: Phase) -> bool {
        window
            .get(self.position)
            .is_some_and(|pending| pending.phase == phase && pending.deadline == self.at)
    }
}
