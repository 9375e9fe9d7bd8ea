//! What the contract leaves open.
//!
//! Six things are a provider's own, and nothing else is left out of the
//! comparison:
//!
//! 1. **Reading ahead.** A provider may fetch events before they are asked for,
//!    unless `prefetch` is 0 or there is a cap on deliveries; then one request
//!    may be left of a `next` that was dropped in vain. What was fetched counts
//!    as unanswered in `consumer_info`, and a refused event may be overtaken by
//!    new ones that were fetched before.
//! 2. **Giving back.** What a handle had fetched and not handed over comes again
//!    when the handle closes, with a higher count; until then it counts as
//!    unanswered. A dropped handle does that at its leisure.
//! 3. **Sharing.** Which handle of a durable gets which event.
//! 4. **Answers under way.** An answer that was not confirmed may be overtaken
//!    by a redelivery that is under way already.
//! 5. **Pending events of two starts.** Servers count matching events before the
//!    sequence that a consumer waits for, and 2.11 only one event a subject for
//!    a consumer that began with the last of each.
//! 6. **Exhausted events.** When an event that was refused on its last
//!    permitted delivery stops to count as unanswered: at once, or when the
//!    next event is asked for, and what a refusal in between does.
//!
//! Besides, names of streams, sizes in bytes and the number of events that wait
//! behind one are each backend's own, and so are the words of errors that carry
//! no fields for them.

use std::collections::{BTreeMap, BTreeSet};

use a3s_event::{
    provider::ConsumerInfo,
    types::{DeliverPolicy, ReceivedEvent, SubscribeOptions},
};

use super::{operation::Reply, outcome::Both};

/// What is known of a consumer: enough to say what the contract fixes.
#[derive(Debug)]
pub(super) struct Consumer {
    /// The name of a durable.
    pub(super) name: Option<&'static str>,
    pub(super) pattern: String,
    pub(super) options: SubscribeOptions,
    /// Created with a start behind the end of the stream, see 5.
    starts_beyond: bool,
    /// Unsubscribed, or the end of an ephemeral subscription.
    pub(super) gone: bool,
    /// The order of the next deliveries, see 1 to 3.
    order: Order,
    /// A dropped handle may give something back at any time, see 2.
    dropped: bool,
    /// Counts may have grown by what was given back, see 2.
    recounted: bool,
    /// By how much the server counted more deliveries of an event, see 2.
    extra: BTreeMap<u64, u64>,
    /// How often an event was delivered.
    delivered: BTreeMap<u64, u64>,
    /// Acknowledged, terminated or used up.
    settled: BTreeSet<u64>,
    /// Refused and not delivered again yet, see 4.
    queued: BTreeSet<u64>,
    /// Used up since an event was asked for, see 6.
    exhausted: BTreeSet<u64>,
}

/// How much of the order of deliveries is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// All of it.
    Fixed,
    /// Among redeliveries, and among new events.
    Interleaved,
    /// Nothing.
    Open,
}

/// The handles of a consumer at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handles {
    pub(super) open: usize,
    /// Whether one of them may hold, or have asked for, what nobody has seen.
    pub(super) ahead: bool,
}

/// A reader that stops.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// What it had read with `next` and not come back from.
    pub(super) last: Option<u64>,
    pub(super) ahead: bool,
    pub(super) dropped: bool,
}

impl Consumer {
    /// A consumer of a stream that ends with the sequence `last`.
    pub(super) fn new(
        name: Option<&'static str>,
        pattern: String,
        options: SubscribeOptions,
        last: u64,
    ) -> Self {
        let start = match options.deliver_policy {
            DeliverPolicy::ByStartSequence { sequence } => sequence,
            _ => 0,
        };
        Self {
            starts_beyond: start > last + 1,
            name,
            pattern,
            options,
            gone: false,
            order: Order::Fixed,
            dropped: false,
            recounted: false,
            extra: BTreeMap::new(),
            delivered: BTreeMap::new(),
            settled: BTreeSet::new(),
            queued: BTreeSet::new(),
            exhausted: BTreeSet::new(),
        }
    }

    /// Whether a handle that is opened with `options` reads ahead.
    pub(super) fn reads_ahead(options: &SubscribeOptions) -> bool {
        options.delivery_cap().is_none() && options.prefetch != Some(0)
    }

    pub(super) fn is_capped(&self) -> bool {
        self.options.delivery_cap().is_some()
    }

    /// A handle is opened beside `handles`.
    pub(super) fn join(&mut self, handles: Handles) {
        if handles.open > 0 {
            self.order = Order::Open;
        }
    }

    /// Whether one event after the other can be compared. Where not, all that
    /// come are.
    pub(super) fn is_ordered(&self, handles: Handles) -> bool {
        self.gone || (self.order == Order::Fixed && !self.dropped && handles.open == 1)
    }

    /// Brings what was delivered in an order that compares: sequences, memory
    /// first.
    pub(super) fn arrange(&self, handles: Handles, taken: &mut [(u64, bool)]) {
        if self.order == Order::Open || self.dropped || handles.open > 1 {
            taken.sort_unstable();
        } else {
            // Stable: redeliveries first, each kind in the order in which it came.
            taken.sort_by_key(|&(_, again)| !again);
        }
    }

    /// Everything that comes was taken: what was given back is among it.
    pub(super) fn drained(&mut self) {
        self.order = Order::Fixed;
        self.recounted = self.dropped;
    }

    /// Takes note of an event that both delivered, and says whether the counts
    /// agree.
    pub(super) fn deliver(&mut self, received: &Both<ReceivedEvent>) -> bool {
        let sequence = received.memory.sequence;
        let (memory, nats) = (received.memory.num_delivered, received.nats.num_delivered);
        self.queued.remove(&sequence);
        self.exhausted.clear();
        self.delivered.insert(sequence, memory);
        let extra = self.extra.entry(sequence).or_default();
        let Some(more) = nats.checked_sub(memory) else {
            return false;
        };
        if self.recounted && more >= *extra {
            *extra = more;
        }
        more == *extra
    }

    /// An event was asked for and none came.
    pub(super) fn asked_in_vain(&mut self) {
        self.exhausted.clear();
    }

    /// The reply that stands for `reply` to the event `sequence`, where the
    /// contract fixes what follows. `held` says that a reader has the event
    /// from `next` and will acknowledge it by coming back, `gated` as in
    /// [`reply`](Self::reply).
    pub(super) fn permitted(
        &self,
        reply: Reply,
        sequence: u64,
        held: bool,
        gated: bool,
        handles: Handles,
    ) -> Option<Reply> {
        if reply == Reply::NakLater && self.exhausted.contains(&sequence) {
            return None;
        }
        if self.gone || self.settled.contains(&sequence) {
            return Some(reply);
        }
        if reply == Reply::Nak && held {
            return None;
        }
        if !self.queued.contains(&sequence) {
            return Some(reply);
        }
        if handles.ahead || self.dropped {
            return None;
        }
        match reply {
            Reply::Ack | Reply::Term => Some(Reply::AckConfirmed),
            // Nothing confirms it.
            Reply::NakLater => None,
            Reply::Nak if !gated => None,
            reply => Some(reply),
        }
    }

    /// Takes note of a reply. It is `gated` if it was given to a delivery of the
    /// only reader, which asks for nothing before a refusal is confirmed.
    pub(super) fn reply(&mut self, reply: Reply, sequence: u64, gated: bool) {
        if self.gone || self.settled.contains(&sequence) {
            return;
        }
        match reply {
            Reply::Ack | Reply::AckConfirmed | Reply::Term => self.settle(sequence),
            Reply::Nak => {
                self.refuse(sequence);
                if !gated {
                    self.order = self.order.max(Order::Interleaved);
                }
            }
            Reply::NakLater | Reply::InProgress => {}
        }
    }

    pub(super) fn settle(&mut self, sequence: u64) {
        self.settled.insert(sequence);
        self.queued.remove(&sequence);
    }

    fn refuse(&mut self, sequence: u64) {
        let deliveries = self.delivered.get(&sequence).copied().unwrap_or(0);
        if self
            .options
            .delivery_cap()
            .is_some_and(|cap| deliveries >= cap)
        {
            self.settle(sequence);
            self.exhausted.insert(sequence);
        } else {
            self.queued.insert(sequence);
        }
    }

    /// A handle closes or is dropped.
    pub(super) fn leave(&mut self, leaving: Leaving, rest: Handles) {
        if self.gone {
            return;
        }
        if self.name.is_none() {
            self.gone = true;
            return;
        }
        if let Some(last) = leaving.last
            && !self.settled.contains(&last)
        {
            self.refuse(last);
            if leaving.dropped || rest.ahead {
                self.order = Order::Open;
            }
        }
        if leaving.ahead {
            self.order = Order::Open;
            self.recounted = true;
            self.dropped |= leaving.dropped;
        }
    }

    /// Whether both say the same about the consumer.
    pub(super) fn same_info(&self, info: Both<ConsumerInfo>, handles: Handles) -> bool {
        let Both { memory, nats } = info;
        let exhausted = self.exhausted.len() as u64;
        let least = match self.options.deliver_policy {
            DeliverPolicy::LastPerSubject => 0,
            _ => memory.pending,
        };
        let most = match self.starts_beyond {
            true => u64::MAX / 2,
            false => memory.pending,
        };
        if handles.ahead || self.recounted || self.dropped {
            let left = least + memory.unanswered..=most + memory.unanswered + exhausted;
            return left.contains(&(nats.pending + nats.unanswered));
        }
        (least..=most).contains(&nats.pending)
            && (memory.unanswered..=memory.unanswered + exhausted).contains(&nats.unanswered)
    }
}
