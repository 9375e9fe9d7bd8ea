//! What goes wrong with deliveries.

use a3s_event_core::types::StreamName;

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{Closing, GOOD};

pub(super) const MUTANTS: Table = &[
    (
        "counts every delivery as the first",
        Mutant {
            deliver: |mut received| {
                received.num_delivered = 1;
                Some(received)
            },
            ..GOOD
        },
        &["ack::an_event_taken_apart_is_unanswered"],
    ),
    (
        "counts deliveries from zero",
        Mutant {
            deliver: |mut received| {
                received.num_delivered -= 1;
                Some(received)
            },
            ..GOOD
        },
        &["limits::a_reader_that_waited_and_left_spends_no_delivery"],
    ),
    (
        "delivers sequences from zero",
        Mutant {
            deliver: |mut received| {
                received.sequence -= 1;
                Some(received)
            },
            ..GOOD
        },
        &["durable::two_names_each_get_everything"],
    ),
    (
        "names no stream",
        Mutant {
            deliver: |mut received| {
                received.stream = StreamName::from_static("");
                Some(received)
            },
            ..GOOD
        },
        &["subscribe::a_first_delivery_has_count_one_its_sequence_and_its_stream"],
    ),
    (
        "counts the event itself among those that wait",
        Mutant {
            deliver: |mut received| {
                received.pending = received.pending.map(|pending| pending + 1);
                Some(received)
            },
            ..GOOD
        },
        &["subscribe::pending_counts_the_matching_events_that_wait"],
    ),
    (
        "drops what a slow reader did not take in time",
        Mutant {
            deliver: |received| {
                let kept = received.pending.is_none_or(|pending| pending <= 1000);
                kept.then_some(received)
            },
            ..GOOD
        },
        &[
            "limits::a_thousand_events_may_be_unanswered_by_default",
            "limits::minus_one_pending_is_unlimited",
        ],
    ),
    (
        "loses one event in seven",
        Mutant {
            deliver: |received| (received.sequence % 7 != 0).then_some(received),
            ..GOOD
        },
        &[
            "durable::a_durable_gets_what_was_published_while_nobody_read",
            "subscribe::concurrent_readers_lose_and_repeat_nothing",
            "subscribe::events_come_in_the_order_of_their_sequences",
        ],
    ),
    (
        "delivers another subject than was published",
        Mutant {
            deliver: |mut received| {
                received.event.subject.make_ascii_lowercase();
                Some(received)
            },
            ..GOOD
        },
        &["subjects::subjects_are_free_text_between_the_dots"],
    ),
    (
        "delivers a fresh id",
        Mutant {
            deliver: |mut received| {
                received.event.id.push('x');
                Some(received)
            },
            ..GOOD
        },
        &[
            "publish::an_event_is_visible_when_publish_returns",
            "subscribe::a_delivered_event_belongs_to_its_reader",
        ],
    ),
    (
        "delivers a redelivery as nothing",
        Mutant {
            deliver: |received| (received.num_delivered == 1).then_some(received),
            ..GOOD
        },
        &["ack::an_event_taken_apart_is_unanswered"],
    ),
    (
        "loses what a dropped next had taken",
        Mutant {
            forgetful: true,
            ..GOOD
        },
        &[
            "sharing::handles_share_without_duplicates",
            "subscribe::a_cancelled_next_loses_nothing",
        ],
    ),
    (
        "does not wake a reader that waits",
        Mutant {
            sleepy: true,
            ..GOOD
        },
        &["subscribe::a_blocked_reader_wakes_up"],
    ),
    (
        "has streams that never give anything",
        Mutant {
            streams: false,
            ..GOOD
        },
        &[
            "subscribe::a_stream_ends_with_its_provider",
            "subscribe::a_stream_gives_what_next_gives",
        ],
    ),
    (
        "reads ahead whatever the options say",
        Mutant { hoard: 60, ..GOOD },
        &[
            "redelivery::delayed_events_that_are_due_come_before_new_ones",
            "durable::a_durable_resumes_after_drop",
            "sharing::drop_gives_back_unseen_events",
        ],
    ),
    (
        "reads ahead and gives the newest first",
        Mutant {
            hoard: 2,
            newest_first: true,
            ..GOOD
        },
        &["durable::two_names_each_get_everything"],
    ),
    (
        "acknowledges what it read ahead when it closes",
        Mutant {
            close_subscription: Closing::Swallows,
            ..GOOD
        },
        &[
            "limits::a_last_delivery_that_nobody_saw_is_surfaced",
            "limits::nothing_is_read_ahead_with_a_cap",
            "options::default_options_subscribe_as_subscribe_does",
            "sharing::close_gives_back_unseen_events_at_once",
            "sharing::close_gives_back_what_a_dropped_next_had_asked_for",
            "sharing::members_join_and_leave_without_a_loss",
        ],
    ),
    (
        "counts no gap",
        Mutant {
            missed: |_| 0,
            ..GOOD
        },
        &["retention::the_gap_is_counted"],
    ),
    (
        "counts gaps that are none",
        Mutant {
            missed: |missed| missed + 1,
            ..GOOD
        },
        &["subscribe::a_slow_reader_loses_nothing"],
    ),
];

#[test]
fn providers_that_deliver_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
