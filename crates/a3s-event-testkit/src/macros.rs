use crate::run::NamedCase;

/// Makes one `#[test]` of every case of the [`suite`](crate::suite), in a module
/// of the given name.
///
/// The [`Harness`](crate::Harness) expression is evaluated once for every run of
/// a case. Attributes in front of the name reach every test, so that those of a
/// provider that needs a server can be ignored.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use a3s_event_testkit::{EventProvider, Harness, async_trait, conformance, stubs::FailingProvider};
///
/// struct FailingHarness;
///
/// #[async_trait]
/// impl Harness for FailingHarness {
///     async fn provider(&self) -> Arc<dyn EventProvider> {
///         Arc::new(FailingProvider)
///     }
/// }
///
/// conformance!(#[ignore = "needs nats-server"] failing, FailingHarness);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    ($(#[$attribute:meta])* $name:ident, $harness:expr $(,)?) => {
        mod $name {
            fn harness() -> ::std::sync::Arc<dyn $crate::Harness> {
                #[allow(unused_imports, reason = "the expression may name nothing")]
                use super::*;
                ::std::sync::Arc::new($harness)
            }

            $crate::__cases! { ($crate::__tests) [$(#[$attribute])*] }
        }
    };
}

/// One module per group, one test per case.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($attributes:tt $($group:ident { $($case:ident $([$mode:ident])?,)* })*) => {
        $(
            mod $group {
                $( $crate::__test! { $attributes $group $case } )*
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ([$(#[$attribute:meta])*] $group:ident $case:ident) => {
        #[test]
        $(#[$attribute])*
        fn $case() {
            $crate::run_named(
                concat!(stringify!($group), "::", stringify!($case)),
                super::harness,
            );
        }
    };
}

/// The table of all cases.
macro_rules! table {
    ([] $($group:ident { $($case:ident $([$mode:ident])?,)* })*) => {
        &[$($(
            NamedCase {
                name: concat!(stringify!($group), "::", stringify!($case)),
                threads: !stringify!($($mode)?).is_empty(),
                body: |case| Box::pin(crate::suite::$group::$case(case)),
            },
        )*)*]
    };
}

/// Hands all cases to the macro `$callback`, behind `$argument`. A case marked
/// `[threads]` needs a runtime of several threads and so the real clock.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    (($($callback:tt)*) $argument:tt) => {
        $($callback)*! { $argument
            publish {
                sequences_start_at_one_and_strictly_increase,
                concurrent_publishers_get_distinct_sequences [threads],
                an_event_is_visible_when_publish_returns,
                every_field_of_the_envelope_survives,
                awkward_text_survives_in_every_field,
                trace_context_in_the_metadata_survives,
                every_shape_of_payload_survives,
                numbers_survive_bit_for_bit,
                a_payload_of_200_kib_survives,
                an_event_above_the_limit_is_refused,
                a_payload_at_the_depth_limit_survives,
                a_payload_nested_too_deep_is_refused,
                publishing_an_event_twice_stores_two,
                default_options_publish_as_publish_does,
                a_publish_within_its_timeout_is_stored,
                a_cancelled_publish_leaves_the_provider_usable,
            }
            batch {
                a_batch_is_stored_in_its_order,
                a_batch_follows_what_is_stored,
                an_empty_batch_stores_nothing,
                a_long_batch_is_stored_whole,
                an_invalid_member_reports_the_stored_prefix,
                an_unacceptable_member_reports_the_stored_prefix,
                concurrent_batches_keep_their_order [threads],
            }
            dedup {
                a_repeat_returns_the_first_sequence,
                a_repeat_on_another_subject_is_a_repeat,
                ids_that_differ_a_little_are_different,
                a_repeat_is_known_after_its_event_was_evicted,
                the_window_ends,
                racing_repeats_store_one [threads],
                empty_ids_and_control_characters_are_refused,
            }
            expected {
                the_last_sequence_is_accepted,
                any_other_sequence_is_a_conflict_with_both_numbers,
                the_expectation_counts_over_all_subjects,
                zero_means_that_nothing_was_ever_stored,
                eviction_does_not_reset_the_last_sequence,
                exactly_one_of_racing_publishers_wins [threads],
                compare_and_swap_loops_total_exactly [threads],
                with_a_msg_id_only_the_natural_retry_succeeds,
                a_refused_publish_leaves_its_msg_id_free,
            }
            subscribe {
                what_is_retained_comes_first_then_what_follows,
                every_subscription_gets_every_event,
                events_come_in_the_order_of_their_sequences,
                a_first_delivery_has_count_one_its_sequence_and_its_stream,
                an_exact_filter_selects_one_subject,
                overlapping_subscriptions_get_an_event_once_each,
                a_slow_reader_loses_nothing,
                a_blocked_reader_wakes_up,
                a_cancelled_next_loses_nothing,
                a_stream_gives_what_next_gives,
                a_stream_ends_with_its_provider,
                next_delivery_gives_the_same_events,
                both_ways_of_reading_take_turns,
                a_subscription_opened_during_a_storm_has_no_hole [threads],
                many_subscriptions_get_exactly_their_own,
                dropping_one_subscription_leaves_the_others,
                pending_counts_the_matching_events_that_wait,
                concurrent_readers_lose_and_repeat_nothing [threads],
                a_delivered_event_belongs_to_its_reader,
            }
            start {
                all_starts_with_everything_retained,
                new_starts_when_the_subscription_exists,
                last_starts_with_the_newest_match,
                last_without_a_match_is_new,
                last_per_subject_is_a_snapshot_then_everything_newer,
                last_per_subject_of_everything,
                a_start_sequence_is_inclusive,
                start_sequence_zero_is_all,
                a_start_sequence_that_was_evicted_starts_with_the_first_retained,
                a_start_sequence_beyond_the_tip_waits_for_it,
                a_start_time_is_the_time_of_storing,
                a_start_time_before_everything_is_all,
                a_start_time_after_everything_is_new,
                a_start_time_in_the_future_is_new,
                a_durable_starts_by_policy,
                an_existing_durable_goes_on_from_its_position,
            }
            subjects {
                history_agrees_with_a_naive_matcher,
                subscriptions_agree_with_a_naive_matcher,
                the_tail_wildcard_needs_at_least_one_token,
                the_star_matches_exactly_one_token,
                the_tail_wildcard_alone_is_everything,
                subjects_are_free_text_between_the_dots,
                the_longest_subject_is_1024_bytes,
                the_builders_agree_with_the_prefix,
                malformed_subjects_are_refused,
                wildcards_are_not_published,
                subjects_outside_the_prefix_are_refused,
                malformed_patterns_are_refused,
                patterns_that_can_match_nothing_are_refused,
            }
            ack {
                an_acknowledged_event_never_returns,
                a_confirmed_ack_never_returns,
                a_terminated_event_never_returns,
                nak_redelivers_with_a_higher_count,
                nak_concerns_one_subscription_only,
                a_delayed_nak_waits_its_delay,
                a_delay_of_zero_is_a_nak,
                a_delay_may_be_longer_than_the_ack_wait,
                in_progress_extends_the_ack_wait,
                silence_redelivers_after_the_ack_wait,
                a_dropped_event_returns_after_the_ack_wait,
                an_event_taken_apart_is_unanswered,
                answers_may_come_out_of_order,
                an_answer_may_come_from_another_task,
            }
            late {
                a_late_ack_settles_the_event,
                a_late_term_settles_the_event,
                a_late_nak_brings_the_event_again_at_once,
                a_nak_after_expiry_brings_the_event_once,
                answers_to_settled_events_do_nothing,
                an_ack_cancels_a_delayed_redelivery,
                an_answer_after_close_settles,
                answers_given_before_a_drop_count,
            }
            automatic {
                next_acknowledges_when_the_caller_comes_back,
                next_acknowledges_while_it_waits,
                closing_does_not_acknowledge_the_last_event,
                a_stream_acknowledges_when_it_is_polled_again,
            }
            redelivery {
                refused_events_come_in_the_order_of_the_refusals,
                expired_events_come_by_sequence,
                refused_events_come_before_new_ones,
                expired_events_come_before_new_ones,
                a_delayed_event_holds_up_no_other,
                delayed_events_that_are_due_come_before_new_ones,
                delayed_events_come_in_the_order_of_their_times,
                backoff_steps_follow_silence_and_the_last_repeats,
                backoff_replaces_the_ack_wait,
                a_nak_ignores_backoff,
                a_delayed_nak_waits_exactly_its_delay_under_backoff,
                in_progress_restarts_the_current_step,
                the_count_belongs_to_the_consumer,
            }
            limits {
                max_deliver_is_exact_for_refusals,
                max_deliver_is_exact_for_silence,
                an_exhausted_event_frees_its_place,
                zero_and_minus_one_deliveries_are_unlimited,
                nothing_is_read_ahead_with_a_cap,
                a_reader_that_waited_and_left_spends_no_delivery,
                a_last_delivery_that_nobody_saw_is_surfaced,
                max_ack_pending_bounds_what_is_unanswered,
                max_ack_pending_counts_over_all_handles,
                every_settlement_frees_its_place,
                automatic_answers_free_their_places,
                a_delayed_event_keeps_its_place,
                redeliveries_pass_at_the_limit,
                minus_one_pending_is_unlimited,
                a_thousand_events_may_be_unanswered_by_default,
                an_unanswered_event_returns_after_30_seconds_by_default,
                any_prefetch_delivers_the_same,
            }
            durable {
                a_durable_resumes_after_drop,
                a_durable_resumes_after_close,
                a_durable_gets_what_was_published_while_nobody_read,
                a_new_durable_starts_with_everything_retained,
                a_durable_delivers_what_its_filter_selects,
                two_names_each_get_everything,
                an_ephemeral_subscription_leaves_no_position,
                a_position_outlives_the_process,
                unsubscribe_forgets_the_position,
                unsubscribe_frees_the_name,
                unsubscribing_an_unknown_name_is_ok,
                unsubscribe_leaves_the_other_names,
                answers_after_unsubscribe_do_nothing,
            }
            sharing {
                handles_share_without_duplicates,
                handles_of_one_name_are_one_consumer,
                a_refused_event_may_come_to_another_handle,
                a_dead_members_work_is_given_to_the_others,
                close_gives_back_unseen_events_at_once,
                drop_gives_back_unseen_events,
                close_gives_back_what_a_dropped_next_had_asked_for,
                members_join_and_leave_without_a_loss [threads],
                concurrent_handles_share_a_backlog [threads],
            }
            naming {
                names_that_differ_a_little_are_different_consumers,
                names_that_cannot_travel_are_refused,
                another_filter_is_a_mismatch_that_says_so,
                other_options_are_a_mismatch_that_names_them,
                options_left_out_are_a_mismatch,
                a_backoff_step_is_not_an_ack_wait,
                start_and_prefetch_are_not_compared,
                defaults_written_out_are_the_same_configuration,
                racing_creators_agree_on_one_configuration [threads],
                racing_openers_of_one_configuration_all_succeed [threads],
            }
            storage {
                what_one_provider_stores_another_reads,
                publish_options_hold_over_all_providers,
                providers_share_the_work_of_a_durable,
                closing_a_provider_flushes_its_answers,
                a_mismatch_is_seen_by_every_provider,
                unsubscribe_ends_the_handles_of_every_provider,
            }
            history {
                history_is_newest_first,
                the_history_of_nothing_is_empty,
                a_limit_of_zero_is_empty,
                a_huge_limit_returns_what_there_is,
                the_limit_counts_matching_events,
                a_match_far_back_is_found,
                history_moves_no_consumer_and_leaves_none,
                history_agrees_with_the_sequences_of_racing_publishers [threads],
                history_during_publishes_has_no_hole [threads],
            }
            info {
                a_fresh_provider_is_empty_and_healthy,
                the_name_is_the_same_everywhere,
                messages_count_what_is_retained,
                bytes_grow_with_what_is_stored,
                bytes_shrink_with_what_is_evicted,
                consumers_count_durables_and_open_subscriptions,
                consumer_info_tells_what_is_left,
                consumer_info_of_an_unknown_name_is_not_found,
                info_and_health_may_be_asked_concurrently [threads],
            }
            retention {
                the_oldest_event_is_evicted,
                sequences_go_on_after_eviction,
                evicted_events_are_not_delivered,
                the_gap_is_counted,
                evicted_events_are_not_redelivered,
                answers_to_evicted_events_are_ok,
                evicted_events_free_their_places,
                a_durable_that_was_away_goes_on_with_what_is_retained,
            }
            options {
                meaningless_options_open_no_subscription,
                meaningless_options_open_no_durable,
                meaningless_options_publish_nothing,
                every_subscribe_option_is_honored_or_refused,
                every_publish_option_is_honored_or_refused,
                default_options_subscribe_as_subscribe_does,
                huge_values_work_or_are_refused,
                a_huge_timeout_works_or_is_refused,
            }
            lifecycle {
                next_after_close_is_the_end,
                closing_a_subscription_twice_is_ok,
                closing_an_ephemeral_removes_its_consumer,
                dropping_an_ephemeral_removes_its_consumer,
                dropping_a_stream_removes_its_consumer,
                unsubscribe_ends_a_waiting_handle,
                unsubscribe_ends_an_idle_handle,
                a_waiting_reader_ends_with_its_provider,
                an_idle_reader_ends_with_its_provider,
                a_closed_provider_refuses_every_call,
                answers_after_the_provider_closed_are_errors,
                closing_concerns_one_provider,
                two_storages_are_isolated,
                an_open_and_close_storm_leaves_nothing_behind [threads],
            }
        }
    };
}

pub(crate) static CASES: &[NamedCase] = __cases! { (table) [] };
