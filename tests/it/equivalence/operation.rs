//! What may happen, and how it is drawn.
//!
//! Operations are symbolic: which reader, which delivery, which sequence is
//! meant is resolved when the operation runs, so that shortening a sequence
//! leaves a sensible one.

use std::iter;

use a3s_event::types::{DeliverPolicy, SubscribeOptions};
use proptest::{
    bool::weighted as sometimes,
    collection::vec,
    option::{self, weighted},
    prelude::*,
    sample::{Index, select},
};

/// Subjects and patterns are written below the prefix unless they begin with
/// this: then the rest is taken as it is.
pub(super) const VERBATIM: char = '!';

/// The longest wait for an answer that ends nothing during a test.
const LONG: u64 = 600;

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Publish {
        subject: &'static str,
        msg_id: Option<&'static str>,
        expected: Option<Expected>,
    },
    PublishBatch {
        subjects: Vec<&'static str>,
    },
    Open(Open),
    /// Takes up to `count` events.
    Take {
        reader: Which,
        way: Way,
        count: usize,
        /// Waits in vain where there are fewer.
        insist: bool,
    },
    /// Answers one of the last deliveries, which may have been answered before.
    Answer {
        back: usize,
        replies: Vec<Reply>,
    },
    Close {
        reader: Which,
    },
    Drop {
        reader: Which,
    },
    Unsubscribe {
        name: &'static str,
    },
    History {
        pattern: Option<&'static str>,
        limit: usize,
    },
    Info,
    Health,
    ConsumerInfo {
        name: &'static str,
    },
    /// Remembers the time, to start a subscription there.
    Mark,
}

/// One of the readers.
#[derive(Debug, Clone)]
pub(super) struct Which {
    /// The one of the last operation, if it is open.
    pub(super) same: bool,
    pub(super) index: Index,
    /// Whether it may be one that is closed.
    pub(super) closed_too: bool,
}

/// An expected sequence, seen from the last one of the stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    Last,
    Before,
    Beyond,
    Number(u64),
}

#[derive(Debug, Clone)]
pub(super) struct Open {
    /// `None` is an ephemeral subscription.
    pub(super) name: Option<&'static str>,
    pub(super) pattern: &'static str,
    pub(super) options: SubscribeOptions,
    /// Starts at the time that was marked last.
    pub(super) at_mark: bool,
    /// Opens a durable that exists with what it was created with.
    pub(super) as_created: bool,
}

/// How to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `next_manual_ack`.
    Manual,
    /// `next`.
    Automatic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Ack,
    AckConfirmed,
    Nak,
    /// A refusal with a delay that does not pass.
    NakLater,
    Term,
    InProgress,
}

/// Something to read, somebody who reads, and anything; `snapshots` says whether
/// a subscription may start with one.
pub(super) fn operations(snapshots: bool) -> impl Strategy<Value = Vec<Operation>> {
    let beginning = (publish_batch(4), vec(open(), 1..3));
    (beginning, vec(operation(), 10..38)).prop_map(move |((batch, opened), rest)| {
        let opened = opened.into_iter().map(Operation::Open);
        let operations = iter::once(batch).chain(opened).chain(rest);
        operations
            .map(|mut operation| {
                if let Operation::Open(open) = &mut operation
                    && !snapshots
                    && open.options.deliver_policy == DeliverPolicy::LastPerSubject
                {
                    open.options.deliver_policy = DeliverPolicy::Last;
                }
                operation
            })
            .collect()
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let take =
        (which(), way(), 1..4_usize, sometimes(0.2)).prop_map(|(reader, way, count, insist)| {
            Operation::Take {
                reader,
                way,
                count,
                insist,
            }
        });
    let answer = (0..8_usize, vec(reply(), 1..3))
        .prop_map(|(back, replies)| Operation::Answer { back, replies });
    let history = (
        option::of(pattern()),
        select(vec![0, 1, 2, 3, 10, 1000, usize::MAX]),
    )
        .prop_map(|(pattern, limit)| Operation::History { pattern, limit });
    prop_oneof![
        40 => publish(),
        10 => publish_batch(0),
        14 => open().prop_map(Operation::Open),
        80 => take,
        80 => answer,
        7 => which().prop_map(|reader| Operation::Close { reader }),
        4 => which().prop_map(|reader| Operation::Drop { reader }),
        4 => name().prop_map(|name| Operation::Unsubscribe { name }),
        8 => history,
        3 => Just(Operation::Info),
        1 => Just(Operation::Health),
        6 => name().prop_map(|name| Operation::ConsumerInfo { name }),
        3 => Just(Operation::Mark),
    ]
}

fn publish() -> impl Strategy<Value = Operation> {
    (
        subject(),
        weighted(0.2, msg_id()),
        weighted(0.2, expected()),
    )
        .prop_map(|(subject, msg_id, expected)| Operation::Publish {
            subject,
            msg_id,
            expected,
        })
}

fn publish_batch(least: usize) -> impl Strategy<Value = Operation> {
    vec(subject(), least..6).prop_map(|subjects| Operation::PublishBatch { subjects })
}

fn which() -> impl Strategy<Value = Which> {
    (sometimes(0.6), any::<Index>(), sometimes(0.1)).prop_map(|(same, index, closed_too)| Which {
        same,
        index,
        closed_too,
    })
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![3 => Just(Way::Manual), 1 => Just(Way::Automatic)]
}

fn subject() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        40 => Just("a.x"),
        40 => select(vec!["a.y", "b.x", "b.x.deep"]),
        1 => select(vec!["a..x", "a.*", "a x", "a.>", "a.x\r\nPUB a 0", "!elsewhere.a", "!"]),
    ]
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        15 => select(vec![">", "!>"]),
        15 => select(vec!["a.*", "a.x", "*.x", "b.>", "!*.a.x", "b.x.deep", "none.>"]),
        1 => select(vec!["a*", ">.x", "a..x", "!elsewhere.>", "!", "!*"]),
    ]
}

fn msg_id() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        10 => select(vec!["1", "2", "3"]),
        2 => select(vec!["", "a\r\nb", " 1", "1 ", "\u{a0}1", "ü", "a b", "1:2"]),
    ]
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        4 => Just(Expected::Last),
        2 => Just(Expected::Before),
        1 => Just(Expected::Beyond),
        2 => prop_oneof![0..6_u64, Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63)].prop_map(Expected::Number),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        16 => Just("one"),
        8 => Just("two"),
        1 => select(vec!["", "a\nb", "one.two", "one_two", "Ü *>", "a/../b"]),
    ]
}

fn open() -> impl Strategy<Value = Open> {
    (
        weighted(0.6, name()),
        pattern(),
        options(),
        sometimes(0.1),
        sometimes(0.8),
    )
        .prop_map(|(name, pattern, options, at_mark, as_created)| Open {
            name,
            pattern,
            options,
            at_mark,
            as_created,
        })
}

fn options() -> impl Strategy<Value = SubscribeOptions> {
    let policy = prop_oneof![
        20 => Just(DeliverPolicy::All),
        2 => Just(DeliverPolicy::Last),
        2 => Just(DeliverPolicy::New),
        2 => Just(DeliverPolicy::LastPerSubject),
        4 => prop_oneof![8 => 0..12_u64, 1 => Just(u64::MAX), 1 => Just(1 << 63)]
            .prop_map(|sequence| DeliverPolicy::ByStartSequence { sequence }),
        1 => select(vec![0, 4_000_000_000_000, 9_000_000_000_000, 300_000_000_000_000, u64::MAX])
            .prop_map(|timestamp| DeliverPolicy::ByStartTime { timestamp }),
    ];
    let max_deliver = prop_oneof![
        20 => Just(None),
        10 => (1..4_i64).prop_map(Some),
        1 => select(vec![0, -1, i64::from(i32::MAX) - 1, -2]).prop_map(Some),
    ];
    let max_ack_pending = prop_oneof![
        15 => Just(None),
        15 => (1..4_i64).prop_map(Some),
        1 => select(vec![-1, i64::MAX, 0, -2]).prop_map(Some),
    ];
    let ack_wait_secs = prop_oneof![
        30 => Just(Some(LONG)),
        3 => Just(Some(LONG + 1)),
        1 => select(vec![u64::MAX, 0]).prop_map(Some),
    ];
    let backoff_secs = prop_oneof![
        25 => Just(vec![]),
        5 => select(vec![vec![LONG], vec![LONG + 1], vec![LONG, LONG + 1], vec![LONG; 3]]),
        1 => select(vec![vec![LONG, 0], vec![u64::MAX]]),
    ];
    let prefetch = prop_oneof![
        15 => Just(Some(0)),
        10 => Just(None),
        5 => select(vec![1, 3, usize::MAX]).prop_map(Some),
    ];
    (
        policy,
        max_deliver,
        max_ack_pending,
        ack_wait_secs,
        backoff_secs,
        prefetch,
    )
        .prop_map(
            |(
                deliver_policy,
                max_deliver,
                max_ack_pending,
                ack_wait_secs,
                backoff_secs,
                prefetch,
            )| {
                SubscribeOptions {
                    max_deliver,
                    backoff_secs,
                    max_ack_pending,
                    deliver_policy,
                    ack_wait_secs,
                    prefetch,
                }
            },
        )
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::Ack),
        2 => Just(Reply::AckConfirmed),
        5 => Just(Reply::Nak),
        1 => Just(Reply::NakLater),
        1 => Just(Reply::Term),
        1 => Just(Reply::InProgress),
    ]
}
