"""The steps of a relay of octets are those of the tables of RFC 3261 17, and nothing else."""

from __future__ import annotations

import pytest

from sansip.proxy import steps
from sansip.proxy.steps import END, INVITE, NON_INVITE, NOTHING, OTHER, RESEND, RING, Steps
from sansip.transaction.invite_client import INVITE_CLIENT
from sansip.transaction.invite_server import INVITE_SERVER
from sansip.transaction.non_invite_client import NON_INVITE_CLIENT
from sansip.transaction.non_invite_server import NON_INVITE_SERVER
from sansip.transaction.table import Machine

TABLES = ((INVITE, INVITE_CLIENT, INVITE_SERVER), (NON_INVITE, NON_INVITE_CLIENT, NON_INVITE_SERVER))


def test_an_invite() -> None:
    """RFC 3261 17.1.1, 17.2.1, RFC 6026: it rings, is taken, and is absorbed from then on."""
    assert INVITE.states == (
        ("calling", "proceeding"),
        ("proceeding", "proceeding"),
        ("accepted", "accepted"),
    )
    assert INVITE.provisional == ((RING, 1), (RING, 1), (OTHER, 2))
    assert INVITE.success == ((END, 2), (END, 2), (OTHER, 2))
    assert INVITE.request == (RESEND, RESEND, NOTHING)


def test_another_request() -> None:
    """RFC 3261 17.1.2, 17.2.2: what was answered is answered again."""
    assert NON_INVITE.states[0] == ("trying", "trying")
    assert NON_INVITE.states[NON_INVITE.success[0][1]] == ("completed", "completed")
    assert NON_INVITE.request == (NOTHING, RESEND, RESEND)


@pytest.mark.parametrize(("compiled", "client", "server"), TABLES, ids=["INVITE", "other"])
def test_each_step_is_that_of_both_tables(compiled: Steps, client: Machine, server: Machine) -> None:
    """The tables are the law: a row changed there changes the relay, or this test says so."""
    for number, (asks, answers) in enumerate(compiled.states):
        for given, row in (("1xx", compiled.provisional), ("2xx", compiled.success)):
            act, following = row[number]
            (passed, asks_next), (sent, answers_next) = client[asks][given], server[answers][f"send {given}"]
            if act == OTHER:
                assert following == number
                assert (passed, sent) not in (("proceed", "send"), ("accept", "accept"))
            else:
                assert compiled.states[following] == (asks_next, answers_next)
                assert {passed, sent} <= {"proceed", "pass_up", "accept", "complete", "send"}
        effect, state = server[answers]["request"]
        assert (compiled.request[number], state) == (RESEND if effect == "resend" else NOTHING, answers)


def test_an_effect_that_a_relay_does_not_know_is_left_to_the_transactions() -> None:
    """A new row of a table can never be done half."""
    changed = {state: dict(rows) for state, rows in INVITE_CLIENT.items()}
    changed["calling"]["2xx"] = ("celebrate", "accepted")
    assert steps.compiled(changed, INVITE_SERVER).success[0] == (OTHER, 0)
