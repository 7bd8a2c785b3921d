"""Checks of the store suite in which time passes: worth making without a clock to set, too."""

from mbxai.testing.store_conformance import CHECKS

NAMES = {
    "claim_of_an_unknown_session_makes_it",
    "lease_that_ran_out_is_taken_over",
    "record_of_an_earlier_claim_is_refused",
    "same_owner_claims_again",
    "save_renews_the_lease",
    "heartbeat_renews_the_lease",
    "late_save_is_fine_if_nobody_took_over",
    "session_is_due_at_its_time",
    "lease_that_ran_out_makes_a_session_due",
    "list_tells_what_there_is",
    "list_pages_have_each_session_once",
    "list_goes_on_while_sessions_change",
    "expired_session_is_not_found",
    "save_prolongs_the_life",
    "claimed_session_does_not_expire",
    "sweep_removes_what_is_over",
    "sessions_stay_without_a_time_to_live",
    "dead_worker_is_replaced",
}
TIMED_CHECKS = [check for check in CHECKS if check.name in NAMES]
assert {check.name for check in TIMED_CHECKS} == NAMES
