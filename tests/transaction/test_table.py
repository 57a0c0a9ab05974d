"""The machines as data: a row for every pair, and the arcs of the RFC's figures and no others."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.transaction.invite_client import INVITE_CLIENT, InviteClientTransaction
from sansip.transaction.invite_server import INVITE_SERVER, InviteServerTransaction
from sansip.transaction.non_invite_client import NON_INVITE_CLIENT, NonInviteClientTransaction
from sansip.transaction.non_invite_server import NON_INVITE_SERVER, NonInviteServerTransaction
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, total
from tests.transaction.bench import TCP, UDP, Bench, response

CLASSES = (
    InviteClientTransaction,
    NonInviteClientTransaction,
    InviteServerTransaction,
    NonInviteServerTransaction,
)
MACHINES = pytest.mark.parametrize(
    "made", CLASSES, ids=["invite client", "non-invite client", "invite server", "non-invite server"]
)

# --- the arcs that change the state, transcribed from the figures

# RFC 6026 figure 5
FIGURE_5 = {
    ("calling", "1xx", "proceeding"),
    ("calling", "2xx", "accepted"),
    ("calling", "failure", "completed"),
    ("calling", "timer B", "terminated"),
    ("calling", "transport error", "terminated"),
    ("proceeding", "2xx", "accepted"),
    ("proceeding", "failure", "completed"),
    ("completed", "timer D", "terminated"),
    ("completed", "transport error", "terminated"),
    ("accepted", "timer M", "terminated"),
}
# RFC 3261 figure 6
FIGURE_6 = {
    ("trying", "1xx", "proceeding"),
    ("trying", "2xx", "completed"),
    ("trying", "failure", "completed"),
    ("trying", "timer F", "terminated"),
    ("trying", "transport error", "terminated"),
    ("proceeding", "2xx", "completed"),
    ("proceeding", "failure", "completed"),
    ("proceeding", "timer F", "terminated"),
    ("proceeding", "transport error", "terminated"),
    ("completed", "timer K", "terminated"),
}
# RFC 6026 figure 7
FIGURE_7 = {
    ("proceeding", "send 2xx", "accepted"),
    ("proceeding", "send failure", "completed"),
    ("completed", "ACK", "confirmed"),
    ("completed", "timer H", "terminated"),
    ("confirmed", "timer I", "terminated"),
    ("accepted", "timer L", "terminated"),
}
# RFC 3261 figure 8
FIGURE_8 = {
    ("trying", "send 1xx", "proceeding"),
    ("trying", "send 2xx", "completed"),
    ("trying", "send failure", "completed"),
    ("proceeding", "send 2xx", "completed"),
    ("proceeding", "send failure", "completed"),
    ("proceeding", "transport error", "terminated"),
    ("completed", "timer J", "terminated"),
    ("completed", "transport error", "terminated"),
}


def arcs(machine: Machine) -> set[tuple[str, str, str]]:
    return {
        (state, given, after)
        for state, rows in machine.items()
        for given, (_, after) in rows.items()
        if after != state
    }


@pytest.mark.parametrize(
    ("machine", "figure"),
    [
        (INVITE_CLIENT, FIGURE_5),
        (NON_INVITE_CLIENT, FIGURE_6),
        (INVITE_SERVER, FIGURE_7),
        (NON_INVITE_SERVER, FIGURE_8),
    ],
    ids=["figure 5", "figure 6", "figure 7", "figure 8"],
)
def test_figures(machine: Machine, figure: set[tuple[str, str, str]]) -> None:
    """Every arc of the figure is in the table, and the table changes state nowhere else."""
    assert arcs(machine) == figure


@MACHINES
def test_total(made: Any) -> None:
    """Each state has a row for each input, and all states have the same inputs."""
    inputs = {tuple(rows) for rows in made.machine.values()}
    assert len({frozenset(one) for one in inputs}) == 1


@MACHINES
def test_effects_exist(made: Any) -> None:
    """An effect is the name of a method, so a misspelt one must not wait for its first use."""
    for rows in made.machine.values():
        for effect, _ in rows.values():
            assert effect in (IGNORE, IMPOSSIBLE) or callable(getattr(made, effect))


@MACHINES
def test_impossible_and_ignored_rows_keep_the_state(made: Any) -> None:
    """A row without an effect keeps its state."""
    for state, rows in made.machine.items():
        assert {after for effect, after in rows.values() if effect in (IGNORE, IMPOSSIBLE)} <= {state}


@MACHINES
def test_every_state_is_reached_and_left(made: Any) -> None:
    """No state is an orphan, and from each there is a way to the end."""
    pairs = {(before, after) for before, _, after in arcs(made.machine)}
    reached = {made.first_state}
    leaving = {TERMINATED}
    for _ in made.machine:
        reached |= {after for before, after in pairs if before in reached}
        leaving |= {before for before, after in pairs if after in leaving}
    assert reached == {*made.machine, TERMINATED}
    assert leaving == {*made.machine, TERMINATED}


def test_a_missing_row_fails_the_import() -> None:
    """A table with a hole is a TypeError when it is made."""
    with pytest.raises(TypeError, match="no row for"):
        total("holes", ("one", "two"), ("in",), {("one", "in"): IGNORE})


@pytest.mark.parametrize(
    "rows",
    [{("elsewhere", "in"): IGNORE}, {("one", "out"): IGNORE}, {("one", "in"): ("act", "elsewhere")}],
    ids=["state", "input", "next state"],
)
def test_unknown_names_fail_the_import(rows: dict[tuple[str, str], Any]) -> None:
    """A row that names an unknown state or input fails the import, too."""
    with pytest.raises(TypeError, match="unknown"):
        total("names", ("one",), ("in",), rows)


# --- no sequence of inputs leads out of the table

CLIENT_INPUTS = [100, 180, 200, 404, 503, 603, "transport error"]
SERVER_INPUTS = ["request", "ACK", 100, 180, 200, 404, "transport error"]


@settings(max_examples=60)
@given(
    st.sampled_from(["INVITE", "OPTIONS"]),
    st.sampled_from([UDP, TCP]),
    st.lists(st.tuples(st.sampled_from(CLIENT_INPUTS), st.floats(0, 40)), max_size=12),
)
def test_any_life_of_a_client_transaction_ends(method: str, flow: Any, life: list[tuple[Any, float]]) -> None:
    """With any inputs nothing raises, at most one final result goes up, and time ends the transaction."""
    bench = Bench()
    transaction = bench.client(method, flow)
    for given_, pause in life:
        if isinstance(given_, int):
            bench.receive(transaction, given_)
        else:
            bench.feed(transaction, given_, "broken")
        bench.wait(pause)
    if transaction.state == "proceeding" and method == "INVITE":
        # 17.1.1.2: only its user ends it; a proxy has Timer C for that (16.8).
        bench.receive(transaction, 487)
    bench.wait(100)
    assert transaction.state == TERMINATED
    assert len(bench.layer) == 0
    assert len(bench.timers) == 0
    finals = [heard for heard in bench.user if isinstance(heard, str) or heard >= 200]
    if method == "INVITE" and 200 in finals:
        assert set(finals) == {200}
    else:
        assert len(finals) == 1


@settings(max_examples=60)
@given(
    st.sampled_from(["INVITE", "OPTIONS"]),
    st.sampled_from([UDP, TCP]),
    st.lists(st.tuples(st.sampled_from(SERVER_INPUTS), st.floats(0, 40)), max_size=12),
)
def test_any_life_of_a_server_transaction_ends(method: str, flow: Any, life: list[tuple[Any, float]]) -> None:
    """With any inputs nothing raises, at most one final status goes out, and time ends the transaction."""
    bench = Bench()
    transaction = bench.server(method, flow)
    for given_, pause in life:
        if isinstance(given_, int):
            transaction.respond(response(given_, method), bench.now)
        elif not (given_ == "ACK" and method != "INVITE"):
            bench.feed(transaction, given_, "broken")
        bench.wait(pause)
    transaction.respond(response(487, method), bench.now)
    bench.wait(100)
    assert transaction.state == TERMINATED
    assert len(bench.layer) == 0
    assert len(bench.timers) == 0
    finals = [word for _, word in bench.sent if word >= "200"]
    assert len(set(finals)) <= 1


@MACHINES
def test_every_pair_of_inputs(made: Any) -> None:
    """Each input twice, in each order, from the first state: nothing raises."""
    method = "INVITE" if made.__name__.startswith("Invite") else "OPTIONS"
    is_client = "Client" in made.__name__
    inputs = [one for one in made.machine[made.first_state] if not one.startswith("timer")]
    for pair in itertools.product(inputs, repeat=2):
        bench = Bench()
        transaction = bench.client(method, UDP) if is_client else bench.server(method, UDP)
        for one in pair:
            argument: Any = "broken"
            if is_client and one != "transport error":
                argument = response({"1xx": 180, "2xx": 200, "failure": 404}[one], method)
            elif one.startswith("send"):
                argument = response({"1xx": 180, "2xx": 200}.get(one[5:], 404), method).to_bytes()
            bench.feed(transaction, one, argument)
        bench.wait(0.1)
        transaction.terminate(None, bench.now)
        bench.wait(100)
        assert len(bench.timers) == 0
