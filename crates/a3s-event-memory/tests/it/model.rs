//! Random histories against a model that is too plain to be wrong: lists that
//! are searched from the start.

use std::time::Duration;

use a3s_event_core::{
    provider::{EventProvider, PendingEvent, Subscription},
    subject,
    types::SubscribeOptions,
};
use a3s_event_memory::{MemoryConfig, MemoryProvider};
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::{task::coop::unconstrained, time::Instant};

use crate::event;

#[derive(Debug, Clone)]
enum Step {
    Publish { subject: usize },
    Take { handle: usize },
    Answer { delivery: usize, answer: Answer },
    Advance { millis: u64 },
    Reopen { handle: usize },
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Ack,
    Nak,
    NakAfter(u64),
    Term,
    InProgress,
    Drop,
}

#[derive(Debug, Clone)]
struct Setup {
    max_events: usize,
    channel_capacity: usize,
    filter: &'static str,
    max_deliver: Option<i64>,
    max_ack_pending: Option<i64>,
    backoff_secs: Vec<u64>,
    steps: Vec<Step>,
}

const SUBJECTS: [&str; 3] = ["events.a.x", "events.a.y", "events.b.x"];

fn setups() -> impl Strategy<Value = Setup> {
    let answer = prop_oneof![
        3 => Just(Answer::Ack),
        3 => Just(Answer::Nak),
        2 => (1u64..4000).prop_map(Answer::NakAfter),
        1 => Just(Answer::Term),
        1 => Just(Answer::InProgress),
        1 => Just(Answer::Drop),
    ];
    let step = prop_oneof![
        4 => (0..SUBJECTS.len()).prop_map(|subject| Step::Publish { subject }),
        6 => (0..2usize).prop_map(|handle| Step::Take { handle }),
        5 => (0..20usize, answer).prop_map(|(delivery, answer)| Step::Answer { delivery, answer }),
        2 => (1u64..3500).prop_map(|millis| Step::Advance { millis }),
        1 => (0..2usize).prop_map(|handle| Step::Reopen { handle }),
    ];
    (
        prop::sample::select(vec![0usize, 3, 8]),
        prop::sample::select(vec![0usize, 1, 4, 1000]),
        prop::sample::select(vec![">", "events.a.*", "events.a.x", "events.*.x"]),
        prop::sample::select(vec![None, Some(1i64), Some(2), Some(3)]),
        prop::sample::select(vec![None, Some(1i64), Some(3)]),
        prop::sample::select(vec![vec![], vec![1], vec![1, 3], vec![3, 1]]),
        prop::collection::vec(step, 0..80),
    )
        .prop_map(
            |(
                max_events,
                channel_capacity,
                filter,
                max_deliver,
                max_ack_pending,
                backoff_secs,
                steps,
            )| Setup {
                max_events,
                channel_capacity,
                filter,
                max_deliver,
                max_ack_pending,
                backoff_secs,
                steps,
            },
        )
}

/// A consumer as the contract describes it.
struct Model {
    setup: Setup,
    subjects: Vec<&'static str>,
    position: u64,
    pending: Vec<Pending>,
    again: Vec<u64>,
}

struct Pending {
    sequence: u64,
    deliveries: u64,
    due: Due,
}

#[derive(PartialEq)]
enum Due {
    Unanswered(Instant),
    Delayed(Instant),
    Queued,
}

impl Model {
    fn first(&self) -> u64 {
        let retained = match self.setup.max_events {
            0 => self.subjects.len(),
            max => self.subjects.len().min(max),
        };
        (self.subjects.len() - retained) as u64 + 1
    }

    fn wait(&self, deliveries: u64) -> Duration {
        let waits = &self.setup.backoff_secs;
        let step = (deliveries as usize - 1).min(waits.len().saturating_sub(1));
        Duration::from_secs(waits.get(step).copied().unwrap_or(2))
    }

    fn queue(&mut self, sequence: u64) {
        let cap = self.setup.max_deliver.map_or(u64::MAX, |cap| cap as u64);
        let index = self
            .pending
            .iter()
            .position(|pending| pending.sequence == sequence);
        let Some(index) = index else { return };
        if self.pending[index].due == Due::Queued {
            return;
        }
        if self.pending[index].deliveries >= cap {
            self.pending.remove(index);
            return;
        }
        self.pending[index].due = Due::Queued;
        self.again.push(sequence);
    }

    fn queue_due(&mut self, now: Instant) {
        let mut unanswered: Vec<u64> = Vec::new();
        let mut delayed: Vec<(Instant, u64)> = Vec::new();
        for pending in &self.pending {
            match pending.due {
                Due::Unanswered(at) if at <= now => unanswered.push(pending.sequence),
                Due::Delayed(at) if at <= now => delayed.push((at, pending.sequence)),
                _ => {}
            }
        }
        unanswered.sort_unstable();
        delayed.sort_unstable();
        let delayed = delayed.into_iter().map(|(_, sequence)| sequence);
        for sequence in unanswered.into_iter().chain(delayed) {
            self.queue(sequence);
        }
    }

    /// What the next delivery has to be: sequence and count.
    fn take(&mut self, now: Instant) -> Option<(u64, u64)> {
        self.queue_due(now);
        let first = self.first();
        while !self.again.is_empty() {
            let sequence = self.again.remove(0);
            let index = self
                .pending
                .iter()
                .position(|pending| pending.sequence == sequence && pending.due == Due::Queued);
            let Some(index) = index else { continue };
            if sequence < first {
                self.pending.remove(index);
                continue;
            }
            let deliveries = self.pending[index].deliveries + 1;
            self.pending[index].deliveries = deliveries;
            self.pending[index].due = Due::Unanswered(now + self.wait(deliveries));
            return Some((sequence, deliveries));
        }
        let counted = self
            .pending
            .iter()
            .filter(|pending| pending.sequence >= first);
        let bound = self.setup.max_ack_pending.unwrap_or(1000) as usize;
        if counted.count() >= bound {
            return None;
        }
        let sequence =
            (self.position.max(first)..=self.subjects.len() as u64).find(|&sequence| {
                subject::matches(self.setup.filter, self.subjects[sequence as usize - 1])
            })?;
        self.position = sequence + 1;
        self.pending.push(Pending {
            sequence,
            deliveries: 1,
            due: Due::Unanswered(now + self.wait(1)),
        });
        Some((sequence, 1))
    }

    fn answer(&mut self, sequence: u64, answer: Answer, now: Instant) {
        if matches!(answer, Answer::Nak | Answer::NakAfter(_)) {
            self.queue_due(now);
        }
        let index = self
            .pending
            .iter()
            .position(|pending| pending.sequence == sequence);
        let Some(index) = index else { return };
        let wait = self.wait(self.pending[index].deliveries);
        let pending = &mut self.pending[index];
        match answer {
            Answer::Ack | Answer::Term => {
                self.pending.remove(index);
            }
            Answer::NakAfter(millis) => {
                self.again.retain(|&queued| queued != sequence);
                pending.due = Due::Delayed(now + Duration::from_millis(millis));
            }
            Answer::Nak => self.queue(sequence),
            Answer::InProgress if pending.due != Due::Queued => {
                pending.due = Due::Unanswered(now + wait);
            }
            Answer::InProgress | Answer::Drop => {}
        }
    }
}

async fn open(provider: &MemoryProvider, setup: &Setup) -> Box<dyn Subscription> {
    let options = SubscribeOptions {
        max_deliver: setup.max_deliver,
        max_ack_pending: setup.max_ack_pending,
        backoff_secs: setup.backoff_secs.clone(),
        ack_wait_secs: Some(2),
        ..Default::default()
    };
    let opened = provider.subscribe_durable_with_options("model", setup.filter, &options);
    opened.await.unwrap()
}

async fn run(setup: Setup) {
    let provider = MemoryProvider::new(MemoryConfig {
        max_events: setup.max_events,
        channel_capacity: setup.channel_capacity,
        ..MemoryConfig::default()
    });
    let mut handles = [open(&provider, &setup).await, open(&provider, &setup).await];
    let mut deliveries: Vec<(u64, Option<PendingEvent>)> = Vec::new();
    let mut model = Model {
        setup: setup.clone(),
        subjects: Vec::new(),
        position: 1,
        pending: Vec::new(),
        again: Vec::new(),
    };
    for step in setup.steps.clone() {
        match step {
            Step::Publish { subject } => {
                let subject = SUBJECTS[subject];
                model.subjects.push(subject);
                let sequence = provider.publish(&event(subject, 0)).await.unwrap();
                assert_eq!(sequence, model.subjects.len() as u64);
            }
            Step::Take { handle } => {
                let expected = model.take(Instant::now());
                let taken = unconstrained(handles[handle].next_manual_ack()).now_or_never();
                let taken = taken.map(|taken| taken.unwrap().unwrap());
                let seen = taken
                    .as_ref()
                    .map(|pending| (pending.received.sequence, pending.received.num_delivered));
                assert_eq!(seen, expected);
                deliveries.extend(taken.map(|pending| (pending.received.sequence, Some(pending))));
            }
            Step::Answer { delivery, answer } => {
                if deliveries.is_empty() {
                    continue;
                }
                let index = delivery % deliveries.len();
                let (sequence, pending) = &mut deliveries[index];
                let Some(given) = pending.take() else {
                    continue;
                };
                model.answer(*sequence, answer, Instant::now());
                match answer {
                    Answer::Ack => given.ack().await.unwrap(),
                    Answer::Nak => given.nak().await.unwrap(),
                    Answer::NakAfter(millis) => {
                        given
                            .nak_after(Duration::from_millis(millis))
                            .await
                            .unwrap();
                    }
                    Answer::Term => given.term("model").await.unwrap(),
                    Answer::InProgress => {
                        given.in_progress().await.unwrap();
                        *pending = Some(given);
                    }
                    Answer::Drop => drop(given),
                }
            }
            Step::Advance { millis } => {
                tokio::time::advance(Duration::from_millis(millis)).await;
            }
            Step::Reopen { handle } => {
                handles[handle].close().await.unwrap();
                handles[handle] = open(&provider, &setup).await;
            }
        }
    }
    // What counts as unanswered, and what is left, agree in the end.
    let first = model.first();
    model.queue_due(Instant::now());
    let info = provider.consumer_info("model").await.unwrap();
    let left = (model.position.max(first)..=model.subjects.len() as u64)
        .filter(|&sequence| subject::matches(setup.filter, model.subjects[sequence as usize - 1]))
        .count();
    assert_eq!(info.pending, left as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_durable_behaves_as_the_model(setup in setups()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(setup));
    }
}
