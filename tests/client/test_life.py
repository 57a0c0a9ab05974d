"""The table of an attempt: a row for every pair, and every effect that it names exists."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sansip.client.attempt import Attempt
from sansip.client.life import CALLING, LIFE, LOCATING, OVER
from sansip.proxy.branch import Branch
from sansip.transaction.table import IGNORE, IMPOSSIBLE
from tests.client.desk import Desk, a_request
from tests.rig import BOB, CAROL, reply

INPUTS = set(itertools.chain.from_iterable(LIFE.values()))


def test_the_table_is_total() -> None:
    """The table has each combination, and each effect is a method of the classes that follow the table."""
    for state, rows in LIFE.items():
        assert set(rows) == INPUTS, state
        for effect, following in rows.values():
            assert following in LIFE
            if effect not in (IGNORE, IMPOSSIBLE):
                assert callable(getattr(Attempt, effect)), effect
                assert callable(getattr(Branch, effect)), effect


def test_over_is_the_end() -> None:
    """After the final response nothing leads back; every state can get there."""
    assert {following for _, following in LIFE[OVER].values()} == {OVER}
    reachable = {state: {following for _, following in LIFE[state].values()} for state in LIFE}
    for state in LIFE:
        assert OVER in reachable[state]
    assert reachable[LOCATING] == {LOCATING, CALLING, OVER}


EVENTS = st.lists(
    st.sampled_from(
        ["100", "180", "200", "404", "503", "486", "late 180", "late 200", "cancel", "wait 3", "fail"]
    ),
    max_size=12,
)


@given(EVENTS)
def test_every_invite_comes_to_one_end(events: list[str]) -> None:
    """In any order of inputs an attempt has one end and at most one failure, and it leaves nothing behind."""
    desk = Desk()
    sending, _ = desk.send(a_request("INVITE", "sip:bob@phone.test"))
    desk.rig.answer([("udp", *BOB), ("udp", *CAROL)])
    for event in events:
        invites = [out for out in desk.rig.log if out.what == "INVITE"]
        newest, oldest = invites[-1], invites[0]
        if event == "cancel":
            desk.cancel(sending)
        elif event == "wait 3":
            desk.rig.wait(3.0)
        elif event == "fail":
            desk.rig.failed(newest)
        else:
            out = oldest if event.startswith("late") else newest
            desk.rig.udp(reply(out, int(event.split()[-1])), out.to)
    # A user agent's INVITE may ring for ever.
    desk.cancel(sending)
    desk.rig.run_out()
    assert desk.told.count("ended") == 1
    assert desk.told[-1] == "ended"
    finals = [status for status in desk.told if isinstance(status, int) and status >= 200]
    assert finals
    assert sum(status >= 300 for status in finals) <= 1
    assert desk.rig.empty
