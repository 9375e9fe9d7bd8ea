//! What goes wrong with answers.

use std::time::Duration;

use a3s_event_core::{
    EventError,
    provider::{Answer, Settled},
};

use super::{Mutant, Table, assert_all_caught};
use crate::mutant::{Automatic, GOOD};

const fn ignored() -> Settled {
    Settled::Now(Ok(()))
}

pub(super) const MUTANTS: Table = &[
    (
        "forgets acks",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::Ack => ignored(),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "late::answers_given_before_a_drop_count",
            "late::a_nak_after_expiry_brings_the_event_once",
            "ack::an_acknowledged_event_never_returns",
            "ack::answers_may_come_out_of_order",
        ],
    ),
    (
        "forgets confirmed acks",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::AckConfirmed => ignored(),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "ack::a_confirmed_ack_never_returns",
            "ack::an_answer_may_come_from_another_task",
            "durable::a_durable_resumes_after_close",
        ],
    ),
    (
        "never confirms",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::AckConfirmed => Settled::Later(Box::pin(std::future::pending())),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &["subscribe::both_ways_of_reading_take_turns"],
    ),
    (
        "forgets terms",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::Term(_) => ignored(),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "late::a_late_term_settles_the_event",
            "ack::a_terminated_event_never_returns",
            "limits::every_settlement_frees_its_place",
        ],
    ),
    (
        "forgets naks",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::Nak => ignored(),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "ack::a_delay_of_zero_is_a_nak",
            "ack::nak_concerns_one_subscription_only",
            "ack::nak_redelivers_with_a_higher_count",
            "redelivery::a_nak_ignores_backoff",
            "redelivery::the_count_belongs_to_the_consumer",
            "sharing::a_refused_event_may_come_to_another_handle",
        ],
    ),
    (
        "acknowledges what is refused",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::Nak | Answer::NakAfter(_) => delivery.settle(Answer::Ack),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &["ack::a_delay_of_zero_is_a_nak"],
    ),
    (
        "delays every nak",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::Nak => delivery.settle(Answer::NakAfter(Duration::from_millis(1200))),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "limits::max_deliver_is_exact_for_refusals",
            "redelivery::refused_events_come_before_new_ones",
            "redelivery::refused_events_come_in_the_order_of_the_refusals",
        ],
    ),
    (
        "ignores the delay of a nak",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::NakAfter(_) => delivery.settle(Answer::Nak),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "limits::a_delayed_event_keeps_its_place",
            "redelivery::a_delayed_event_holds_up_no_other",
        ],
    ),
    (
        "delays naks by whole seconds",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::NakAfter(delay) => {
                    let whole = Duration::from_secs(delay.as_secs().max(1));
                    delivery.settle(Answer::NakAfter(whole))
                }
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "ack::a_delayed_nak_waits_its_delay",
            "redelivery::a_delayed_nak_waits_exactly_its_delay_under_backoff",
            "redelivery::delayed_events_come_in_the_order_of_their_times",
        ],
    ),
    (
        "delays naks by a second at most",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::NakAfter(delay) => {
                    let cut = delay.min(Duration::from_secs(1));
                    delivery.settle(Answer::NakAfter(cut))
                }
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &["ack::a_delay_may_be_longer_than_the_ack_wait"],
    ),
    (
        "forgets that work is in progress",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::InProgress => ignored(),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &[
            "ack::in_progress_extends_the_ack_wait",
            "redelivery::in_progress_restarts_the_current_step",
        ],
    ),
    (
        "takes progress for an ack",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::InProgress => delivery.settle(Answer::Ack),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &["ack::in_progress_extends_the_ack_wait"],
    ),
    (
        "ignores late answers",
        Mutant {
            answer: |delivery, answer, when| {
                if when.late {
                    return ignored();
                }
                delivery.settle(answer)
            },
            ..GOOD
        },
        &[
            "late::a_late_ack_settles_the_event",
            "late::a_late_nak_brings_the_event_again_at_once",
            "late::an_ack_cancels_a_delayed_redelivery",
        ],
    ),
    (
        "refuses late answers",
        Mutant {
            answer: |delivery, answer, when| {
                if when.late {
                    return Settled::Now(Err(EventError::not_found("delivery", "late")));
                }
                delivery.settle(answer)
            },
            ..GOOD
        },
        &["late::answers_to_settled_events_do_nothing"],
    ),
    (
        "ignores answers once the subscription is closed",
        Mutant {
            answer: |delivery, answer, when| {
                if when.closed {
                    return ignored();
                }
                delivery.settle(answer)
            },
            ..GOOD
        },
        &["late::an_answer_after_close_settles"],
    ),
    (
        "refuses naks",
        Mutant {
            answer: |delivery, answer, _| match answer {
                Answer::Nak => Settled::Now(Err(EventError::unsupported("mutant", "nak"))),
                other => delivery.settle(other),
            },
            ..GOOD
        },
        &["ack::a_delay_of_zero_is_a_nak"],
    ),
    (
        "answers Ok whatever happened",
        Mutant {
            answer: |delivery, answer, _| {
                drop(delivery.settle(answer));
                ignored()
            },
            ..GOOD
        },
        &["lifecycle::answers_after_the_provider_closed_are_errors"],
    ),
    (
        "acknowledges before it hands over",
        Mutant {
            automatic: Automatic::BeforeHandOver,
            ..GOOD
        },
        &[
            "automatic::a_stream_acknowledges_when_it_is_polled_again",
            "automatic::closing_does_not_acknowledge_the_last_event",
            "automatic::next_acknowledges_when_the_caller_comes_back",
        ],
    ),
    (
        "never acknowledges by itself",
        Mutant {
            automatic: Automatic::Never,
            ..GOOD
        },
        &[
            "automatic::a_stream_acknowledges_when_it_is_polled_again",
            "automatic::next_acknowledges_while_it_waits",
            "limits::automatic_answers_free_their_places",
        ],
    ),
];

#[test]
fn providers_that_answer_wrongly_are_caught() {
    assert_all_caught(MUTANTS);
}
