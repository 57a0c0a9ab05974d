"""A relay of octets with a connection at a side does what the transactions of RFC 3261 17 would, at once."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from sansip.actions import SendData, SendDatagram
from sansip.later import Later
from sansip.proxy.stream_pair import StreamPair
from tests.properties.stream_ways import (
    Both,
    Party,
    Play,
    back,
    first,
    register,
    reply,
    within,
)

KINDS = [("tcp", "tcp"), ("tls", "tcp"), ("tcp", "udp"), ("udp", "tcp"), ("udp", "tls")]


def phones(caller: str, callee: str) -> Both:
    """Return two stacks, each with a phone that is registered over a connection or by datagrams."""
    made = [
        Party(user, kind, (host, 40000 if kind != "udp" else 5060), (host, 5060), True, kind, params)
        for user, kind, host, params in (
            ("alice", caller, "192.0.2.1", ""),
            ("bob", callee, "192.0.2.2", "" if callee == "udp" else f";transport={callee}"),
        )
    ]
    both = Both(Random(1), Play(1, "plain"), *made)
    both.cuts = False
    both.give(both.callee, register("callee", both))
    return both


def answer(both: Both, status: str) -> None:
    both.give(both.callee, reply(status, both), both.callee.asked[1])


def rings(both: Both) -> None:
    both.give(both.caller, first("INVITE", both))
    answer(both, "180 Ringing")


def talks(both: Both) -> None:
    rings(both)
    answer(both, "200 OK")
    both.give(both.caller, within("ACK", both))


def pairs(both: Both) -> list[Any]:
    held = both.stacks[0].transactions
    found = {id(one): one for one in held.servers.values() if isinstance(one, StreamPair)}
    return [*found.values()]


@pytest.mark.parametrize(("caller", "callee"), KINDS)
def test_a_call_is_all_octets(caller: str, callee: str) -> None:
    """Each message that comes by a connection passes; without this nothing below would prove anything."""
    both = phones(caller, callee)
    before = +both.done.yes
    talks(both)
    assert len(pairs(both)) == 1
    both.give(both.caller, within("BYE", both))
    answer(both, "200 OK")
    passed = both.done.yes - before
    by_caller = {"INV": 1, "ACK": 1, "BYE": 1} if caller != "udp" else {}
    assert passed == by_caller | ({"SIP": 3} if callee != "udp" else {})


@pytest.mark.parametrize("joins", ["", ", ", ","])
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_so_is_that_of_a_caller_behind_a_nat(kind: str, joins: str) -> None:
    """Our Record-Route values are two then, and phones (SIPp, for one) answer with both on one line."""
    both = phones(kind, kind)
    both.joins = joins
    both.caller.local = ("10.0.0.7", 5060)
    before = +both.done.yes
    talks(both)
    both.give(both.caller, within("BYE", both))
    answer(both, "200 OK")
    assert both.done.yes - before == {"INV": 1, "ACK": 1, "BYE": 1, "SIP": 3}


@pytest.mark.parametrize(("caller", "callee"), KINDS)
def test_an_answered_bye_waits_for_no_repetition(caller: str, callee: str) -> None:
    """RFC 3261 17.1.2.2, 17.2.2: Timers K and J are 0 on a connection, T4 and 64*T1 for datagrams."""
    both = phones(caller, callee)
    talks(both)
    both.give(both.caller, within("BYE", both))
    answer(both, "200 OK")
    held = both.stacks[0].transactions
    assert [key for key in held.servers if held.servers[key].method == "BYE"] == [
        key for key in held.servers if caller == "udp" and held.servers[key].method == "BYE"
    ]
    assert any(key.endswith(" BYE") for key in held.clients) == (callee == "udp")
    both.wait(5.5)
    assert not any(key.endswith(" BYE") for key in held.clients)
    both.wait(64.0)
    assert (len(held.servers), len(held.clients), len(held.owners)) == (0, 0, 0)
    assert both.held(True)[0] == both.held(True)[1]


def test_nothing_waits_at_a_connection_in_the_end() -> None:
    """Each call that went over it would be kept as long as it is open."""
    both = phones("tcp", "tcp")
    talks(both)
    connection = both.stacks[0].connections.get(both.callee.conn)
    assert connection is not None
    assert len(connection.waiting) == 1
    both.give(both.caller, within("BYE", both))
    answer(both, "200 OK")
    both.wait(40.0)
    assert not connection.waiting


def test_what_a_udp_phone_repeats_after_the_answer() -> None:
    """A BYE that came by a connection is over with its answer; the next hop's repeated 200 is absorbed."""
    both = phones("tcp", "udp")
    talks(both)
    bye = within("BYE", both)
    both.give(both.caller, bye)
    answer(both, "200 OK")
    for _ in range(2):
        answer(both, "200 OK")
    # The same again is another one, for this transport repeats nothing (RFC 3261 17.2.2).
    both.give(both.caller, bye)
    answer(both, "200 OK")
    both.wait(100.0)
    quick, long = both.held(True)
    assert quick == long


@pytest.mark.parametrize("seconds", [0.1, 1.0, 31.0, 40.0])
@pytest.mark.parametrize("status", ["", "100 Trying", "180 Ringing", "486 Busy Here", "200 OK"])
def test_the_connection_to_the_phone_is_lost(seconds: float, status: str) -> None:
    """RFC 3261 17.1.4, 18.4: what waits hears of it; nothing was sent a second time until then."""
    both = phones("tcp", "tcp")
    both.give(both.caller, first("INVITE", both))
    if status:
        answer(both, status)
    told = both.caller.told
    both.wait(seconds)
    both.end(both.callee.conn)
    if status in ("", "100 Trying", "180 Ringing"):
        assert both.caller.told != told
    both.wait(400.0)
    quick, long = both.held(True)
    assert quick == long


@pytest.mark.parametrize("status", ["180 Ringing", "200 OK", "486 Busy Here"])
def test_the_connection_of_the_caller_is_lost(status: str) -> None:
    """RFC 3261 18.2.2: the answer goes to the source, at the port in Via, by a connection that is made."""
    both = phones("tcp", "tcp")
    both.give(both.caller, first("INVITE", both))
    both.end(both.caller.conn)
    answer(both, status)
    both.wait(400.0)
    quick, long = both.held(True)
    assert quick == long


@pytest.mark.parametrize("when", [(), ("180 Ringing",)])
@pytest.mark.parametrize(("caller", "callee"), KINDS)
def test_the_caller_gives_up(caller: str, callee: str, when: tuple[str, ...]) -> None:
    """RFC 3261 9, 16.10: the transactions take its place."""
    both = phones(caller, callee)
    both.give(both.caller, first("INVITE", both))
    for status in when:
        answer(both, status)
    both.give(both.caller, first("CANCEL", both))
    answer(both, "487 Request Terminated")
    both.wait(400.0)
    quick, long = both.held(True)
    assert quick == long


@pytest.mark.parametrize(("caller", "callee"), KINDS)
def test_the_phone_hangs_up(caller: str, callee: str) -> None:
    """Its BYE goes back over the flow that our Record-Route value names."""
    both = phones(caller, callee)
    talks(both)
    asked = both.caller.asked
    both.give(both.callee, back("BYE", both))
    assert both.caller.asked != asked
    both.caller, both.callee = both.callee, both.caller
    answer(both, "200 OK")
    both.wait(100.0)
    quick, long = both.held(True)
    assert quick == long


@pytest.mark.parametrize(("caller", "callee"), KINDS)
def test_an_answer_to_a_bye_is_held(caller: str, callee: str) -> None:
    """Until the record of its call is durable; the transactions keep it, once, and end as they should."""
    both = phones(caller, callee)
    talks(both)
    waits: Later[None] = Later()
    told = []

    class Call:
        def hung_up(self, *given: Any) -> Later[None]:
            told.append(given)
            return waits

    stack = both.stacks[0]

    def feed(party: Party, conn: int, data: bytes) -> list[bytes]:
        if conn:
            actions = stack.data_received(conn, data, both.now)
        else:
            actions = stack.datagram_received(0, data, party.source, both.now)
        return [one.data for one in actions if isinstance(one, SendData | SendDatagram)]

    [left] = feed(both.caller, both.caller.conn, within("BYE", both))
    both.callee.asked = left, 0
    [pair] = [one for one in pairs(both) if one.method == "BYE"]
    pair.call = Call()
    assert feed(both.callee, both.callee.conn, reply("200 OK", both)) == []
    assert feed(both.callee, both.callee.conn, reply("200 OK", both)) == []
    waits.set(None, both.now)
    sent = stack.time_passed(both.now)
    assert [one.data[:11] for one in sent if isinstance(one, SendData | SendDatagram)] == [b"SIP/2.0 200"]
    assert len(told) == 1
    stack.time_passed(both.now + 100.0)
    stack.time_passed(both.now + 200.0)
    assert stack.snapshot()["server_transactions"] == stack.snapshot()["client_transactions"] == 0


@pytest.mark.parametrize(("caller", "callee"), [("tcp", "tcp"), ("udp", "tls")])
@pytest.mark.parametrize("seconds", [3.0, 40.0])
def test_a_slow_phone_unfolds_nothing(caller: str, callee: str, seconds: float) -> None:
    """RFC 3261 17.1.1.2: there is no Timer A, so a phone may answer late or ring long."""
    both = phones(caller, callee)
    both.give(both.caller, first("INVITE", both))
    both.wait(10.0)
    answer(both, "180 Ringing")
    both.wait(seconds)
    assert [one._folded for one in pairs(both)] == [True]
    answer(both, "200 OK")
    both.give(both.caller, within("ACK", both))
    both.give(both.caller, within("BYE", both))
    both.wait(2.0)
    assert [one._folded for one in pairs(both)] == [True, True]
    answer(both, "200 OK")
    both.wait(100.0)
    quick, long = both.held(True)
    assert quick == long


@pytest.mark.parametrize("status", ["", "180 Ringing"])
def test_a_phone_that_never_answers(status: str) -> None:
    """RFC 3261 17.1.1.2, 16.6 step 11: Timer B, then Timer C."""
    both = phones("tcp", "tcp")
    both.give(both.caller, first("INVITE", both))
    if status:
        both.wait(20.0)
        answer(both, status)
    both.wait(33.0)
    assert both.caller.told.startswith(b"SIP/2.0 180" if status else b"SIP/2.0 408")
    both.wait(400.0)
    quick, long = both.held(True)
    assert quick == long


def test_an_answer_after_it_was_unfolded_passes() -> None:
    """The transactions in its place take the octets of an answer, too."""
    both = phones("tcp", "tcp")
    rings(both)
    for pair in pairs(both):
        pair.unfold()
    before = +both.done.yes
    answer(both, "200 OK")
    assert both.done.yes - before == {"SIP": 1}
