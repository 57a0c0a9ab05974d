"""An INVITE that a module leads somewhere as octets leaves and ends as it would have on the long way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError
from sansip.events import ModuleFailed
from sansip.module import Module, Use, step
from sansip.modules.calls import Calls
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.modules.lcr import Lcr
from sansip.modules.lcr.lead import LcrLead
from sansip.proxy.pair import Pair
from tests.modules.dispatcher import farm as dispatcher
from tests.proxy.sides import BUSY, CALLEE, CANCEL, RINGS, TAKES, Side
from tests.rig import ALICE, BOB_URI, Rig, request
from tests.routing.led_calls import (
    DRAWN,
    FARMS,
    ID,
    PLAYS,
    RIDING,
    Play,
    answer,
    dial,
    give_up,
    invites,
    seen_of,
)
from tests.routing.test_opening_proof import ASKS, AUTH, invite

CONTACT = [("Contact", "<sip:alice@192.0.2.1>")]


@pytest.mark.parametrize("play", PLAYS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", FARMS)
def test_it_ends_alike(name: str, play: Play) -> None:
    """Octets, times, counts, what operators are told and why: the way changes nothing."""
    make = FARMS[name]
    assert seen_of(play, make, quick=True) == seen_of(play, make, quick=False)


@pytest.mark.parametrize("name", RIDING)
def test_it_rides(name: str) -> None:
    """Without this the comparison would prove nothing: one object relays the call, and nobody reads it."""
    rig = FARMS[name]()
    dial(rig)
    (relay,) = rig.stack.transactions.servers.values()
    assert type(relay) is Pair
    assert relay.led is not None
    answer(rig, 180)
    answer(rig, 200)
    assert relay.done
    assert relay.became is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(FARMS)),
    st.lists(
        st.one_of(
            st.tuples(st.just("dial"), st.integers(0, 3)),
            st.tuples(st.just("answer"), st.sampled_from([100, 180, 183, 200, 302, 408, 486, 500, 503, 603])),
            st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 1.6, 4.0, 33.0, 190.0])),
            st.tuples(st.just("cancel"), st.integers(0, 3)),
            st.tuples(st.just("failed"), st.just(0)),
        ),
        max_size=10,
    ),
)
def test_any_play_ends_alike(name: str, steps: list[tuple[str, Any]]) -> None:
    """No order of answers, silence, errors of the network and CANCELs tells the ways apart."""

    def play(rig: Any) -> None:
        for what, value in steps:
            rig.now += 2**-10
            if what == "dial":
                dial(rig, value)
            elif what == "answer":
                answer(rig, value)
            elif what == "wait":
                rig.wait(value)
            elif what == "cancel":
                give_up(rig, value)
            elif invites(rig):
                rig.failed(invites(rig)[-1])

    make = FARMS[name]
    assert seen_of(play, make, quick=True) == seen_of(play, make, quick=False)


class Screens(Module):
    """Translates each request, and does not say how in brief."""

    name = "screens"

    @step("translate")
    async def look(self, request: Any) -> None: ...


def test_a_step_that_does_not_say_so_sees_each_request() -> None:
    """A module that has no ``leads`` is asked by its step, as before."""
    rig = Rig(modules=[Use(Screens)])
    rig.register(BOB_URI)
    rig.udp(request(headers=CONTACT))
    assert not any(isinstance(one, Pair) for one in rig.stack.transactions.servers.values())


class Breaks(Module):
    """Raises where it is asked in brief."""

    name = "breaks"

    def leads(self, stage: Any, call: Any) -> Any:
        raise LocalProtocolError(f"no {stage}")

    @step("translate")
    async def look(self, request: Any) -> None:
        request.reply(486)


def test_an_exception_leaves_the_request_to_the_step() -> None:
    """The fault is reported, and the call goes its long way."""
    rig = Rig(modules=[Use(Breaks)])
    rig.register(BOB_URI)
    outs = rig.udp(request(headers=CONTACT))
    assert [out.what for out in outs] == ["486"]
    (failed,) = [one for one in rig.events if isinstance(one, ModuleFailed)]
    assert (failed.module, failed.where) == ("breaks", "leads")


class Broken:
    """A lead whose ``methods`` raise."""

    def __init__(self, lead: Any, methods: tuple[str, ...]) -> None:
        self.lead, self.methods = lead, methods

    def __getattr__(self, name: str) -> Any:
        return self.fail if name in self.methods else getattr(self.lead, name)

    def fail(self, *_: Any) -> Any:
        raise ValueError("broken")


def break_leads(monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    leads = Lcr.leads

    def broken(module: Lcr, stage: Any, call: Any) -> Any:
        found = leads(module, stage, call)
        return Broken(found, methods) if isinstance(found, LcrLead) else found

    monkeypatch.setattr(Lcr, "leads", broken)


def test_an_exception_of_a_lead_stays_in_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call goes on, whatever the module's book-keeping does."""

    break_leads(monkeypatch, "begins", "heard", "succeeded", "appears")
    rig = FARMS["by price"]()
    dial(rig)
    answer(rig, 180)
    answer(rig, 200)
    assert [out.what for out in rig.log if out.to == ALICE] == ["100", "180", "200"]
    dial(rig, 1)
    answer(rig, 500)
    answer(rig, 200)
    assert [out.what for out in rig.log if out.to == ALICE][-1] == "200"


def test_the_second_destination_is_on_record() -> None:
    """The call is at the gateway that took it, and its BYE ends it: the record followed the failover."""
    rig = dispatcher.Farm(dispatcher.settings())
    dial(rig)
    answer(rig, 503)
    answer(rig, 200)
    (call,) = rig.command("calls.list")
    assert call["state"] == "answered"
    assert dispatcher.GATEWAYS[1][0] in str(rig.command("calls.show", id="call0")["target"])


PLACES = ("192.0.2.2:5060", "192.0.2.9:5060")


def with_passwords(steps: list[tuple[Any, ...]], *, quick: bool) -> tuple[list[str], int]:
    """Return what a stack before two destinations does, and how many calls rode."""
    settings = DispatcherSettings([Destination(f"sip:{one}") for one in PLACES], takes="calls")
    side = Side(None, **AUTH, modules=[Use(Dispatcher, settings), Use(Calls)])
    if not quick:
        side.stack.reception.openings = None
    done, rode = [], 0
    for one in steps:
        done.append(ID.sub("", DRAWN.sub(rb"\1\2", repr(side.play(one)).encode()).decode()))
        waiting = side.stack.transactions.servers.values()
        rode += any(isinstance(each, Pair) and each.led is not None for each in waiting)
    done.append(ID.sub("", DRAWN.sub(rb"\1\2", repr(side.pass_time(300.0)).encode()).decode()))
    return done, rode


@pytest.mark.parametrize(
    "end",
    [
        [RINGS, TAKES],
        [BUSY],
        [RINGS, CANCEL],
        [("response", "503 Busy", "b", CALLEE, True)],
        [("wait", 5.0)],
        [("failed",)],
    ],
)
def test_a_caller_with_a_password(end: list[tuple[Any, ...]]) -> None:
    """The usual production case: challenge, proof, and the call to a destination; alike on both ways."""
    steps = [*ASKS, ("made", invite(2, "{}")), *end]
    quick, rode = with_passwords(steps, quick=True)
    read, none = with_passwords(steps, quick=False)
    assert quick == read
    assert (rode > 0, none) == (True, 0)


def test_an_exception_as_a_lead_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is reported, and the step picks."""

    break_leads(monkeypatch, "picks")
    rig = FARMS["by price"]()
    dial(rig)
    assert len(invites(rig)) == 1
    assert [one.where for one in rig.events if isinstance(one, ModuleFailed)] == ["leads"]
