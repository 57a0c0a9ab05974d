"""The settings that a running stack takes in place of its own: at once, whole, and replayed exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sansip import LocalProtocolError, Stack, StackConfig
from sansip.actions import CloseDatagram, Disconnect, SendDatagram
from sansip.auth import AuthConfig
from sansip.config import ListenerConfig, Reconfiguration
from sansip.journal import JournaledStack, again
from sansip.limits import Limits
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.transaction import TimerValues
from tests.rig import ALICE, BOB, BOB_URI, HOST, LISTENERS, TCP, UDP, Rig

NEW = ListenerConfig(9, "udp", "198.51.100.10", 5080)


def options(to: str = f"sip:{HOST}", branch: str = "a", host: str = ALICE[0], tag: str = "") -> bytes:
    lines = [
        f"OPTIONS {to} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{branch}",
        "From: <sip:alice@biloxi.test>;tag=1",
        f"To: <{to}>{tag}",
        f"Call-ID: {branch}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def status(actions: list[object]) -> str:
    [sent] = [one for one in actions if isinstance(one, SendDatagram)]
    return sent.data.split(b" ", 2)[1].decode()


def made(**more: object) -> Stack:
    return Stack(StackConfig(list(LISTENERS), ["biloxi.test"], **more), b"s" * 16)


def test_a_listener_is_added_and_used_at_once() -> None:
    """It is answered on, and is ours by its address; the others keep their numbers."""
    stack = made()
    assert not stack.listeners.serves("198.51.100.10")
    stack.configure(Reconfiguration(listeners=[*LISTENERS, NEW]), 1.0)
    assert status(stack.datagram_received(9, options("sip:198.51.100.10:5080"), ALICE, 1.0)) == "200"
    assert stack.listeners.serves("198.51.100.10")
    assert stack.listeners.reach("udp", "203.0.113.1", 9) is stack.listeners[9]
    assert status(stack.datagram_received(UDP, options(branch="b"), ALICE, 1.0)) == "200"


def test_a_listener_that_is_removed_ends_in_order() -> None:
    """New requests get 503 (RFC 3261 21.5.4), the running one its answer; then the socket is closed."""
    rig = Rig(lambda request: request.relay(BOB_URI), listeners=(*LISTENERS, NEW))
    stack = rig.stack
    invite = options("sip:x@biloxi.test", "c").replace(b"OPTIONS", b"INVITE")
    actions = stack.datagram_received(9, invite, ALICE, 1.0)
    [forwarded] = [one for one in actions if isinstance(one, SendDatagram) and one.address == BOB]
    left = forwarded.listener
    assert left == 9
    stack.configure(Reconfiguration(listeners=LISTENERS), 2.0)
    assert 9 in stack.retiring.ends
    assert status(stack.datagram_received(9, options(branch="d"), ALICE, 2.0)) == "503"
    # RFC 3261 18.1.2: the Via that we wrote by it is ours still.
    copied = [
        line for line in forwarded.data.decode().split("\r\n") if line[:4] in ("Via:", "From", "Call", "CSeq")
    ]
    to = "To: <sip:x@biloxi.test>;tag=2"
    busy = "\r\n".join(["SIP/2.0 486 Busy Here", *copied, to, "Content-Length: 0", "", ""])
    assert "486" in [
        one.data.split(b" ", 2)[1].decode()
        for one in stack.datagram_received(9, busy.encode(), BOB, 3.0)
        if isinstance(one, SendDatagram) and one.address == ALICE
    ]
    closed = []
    now = 3.0
    while (due := stack.next_deadline()) is not None and not closed:
        now = due
        closed = [one for one in stack.time_passed(now) if isinstance(one, CloseDatagram)]
    # 64*T1 after the last answer, when no phone repeats anything any more.
    assert closed == [CloseDatagram(9)]
    assert now < 40
    assert len(stack.retiring.ends) == 0


def test_connections_of_a_removed_listener_are_closed() -> None:
    """Each when nothing runs on it; those of other listeners stay."""
    rig = Rig()
    stack = rig.stack
    gone, stays = rig.accept(("192.0.2.1", 40_000)), stack.new_connection()
    del stays
    stack.configure(Reconfiguration(listeners=[one for one in LISTENERS if one.id != TCP]), 1.0)
    actions = stack.time_passed(2.5)
    assert [one.conn for one in actions if isinstance(one, Disconnect)] == [gone]
    stack.connection_closed(gone, "done", 2.6)
    stack.time_passed(4.0)
    assert len(stack.retiring.ends) == 0
    assert not stack.listeners.is_own_address(HOST, 5060, "tcp") or UDP in stack.listeners


def test_what_is_retired_has_an_end() -> None:
    """limits.retire_time: a call that rings on and on holds no socket for ever."""
    rig = Rig(
        lambda request: request.relay(BOB_URI), listeners=(*LISTENERS, NEW), limits={"retire_time": 20.0}
    )
    stack = rig.stack
    invite = options("sip:x@biloxi.test", "g").replace(b"OPTIONS", b"INVITE")
    stack.datagram_received(9, invite, ALICE, 1.0)
    stack.configure(Reconfiguration(listeners=LISTENERS), 1.0)
    closed = [
        second
        for second in range(2, 40)
        for one in stack.time_passed(float(second))
        if isinstance(one, CloseDatagram)
    ]
    assert closed == [21]


def test_a_listener_comes_back_while_it_is_being_given_up() -> None:
    """The same number is the same socket: it goes on as if nothing had been."""
    stack = made()
    stack.configure(Reconfiguration(listeners=[*LISTENERS, NEW]), 1.0)
    stack.datagram_received(9, options(branch="e"), ALICE, 1.0)
    stack.configure(Reconfiguration(listeners=LISTENERS), 2.0)
    stack.configure(Reconfiguration(listeners=[*LISTENERS, NEW]), 2.5)
    assert status(stack.datagram_received(9, options("sip:198.51.100.10:5080", "f"), ALICE, 2.6)) == "200"
    assert not [one for one in stack.time_passed(60.0) if isinstance(one, CloseDatagram)]


def test_record_route_of_a_former_listener_is_ours() -> None:
    """RFC 3261 12.2: a route set never changes, so the value of a listener outlives it."""
    stack = made()
    stack.configure(Reconfiguration(listeners=[*LISTENERS, NEW]), 1.0)
    stack.configure(Reconfiguration(listeners=LISTENERS), 2.0)
    assert stack.listeners.has_recorded("198.51.100.10", 5080, "udp")
    assert stack.listeners.is_own_sent_by("198.51.100.10:5080")
    # Claims of others about that address are believed no more.
    assert not stack.listeners.is_own_address("198.51.100.10", 5080, "udp")
    assert not stack.listeners.serves("198.51.100.10")


def test_former_listeners_are_bounded() -> None:
    """limits.former_listeners: reloads without end remember no addresses without end."""
    stack = made(limits=Limits(former_listeners=3))
    for number in range(10, 20):
        one = replace(NEW, id=number, port=6000 + number)
        stack.configure(Reconfiguration(listeners=[*LISTENERS, one]), float(number))
    kept = [port for port in range(6010, 6020) if stack.listeners.has_recorded("198.51.100.10", port, "udp")]
    assert kept == [6016, 6017, 6018, 6019]


def test_what_was_given_stays_as_it_is() -> None:
    """A stack changes its own settings: not the caller's, nor another stack's that was given the same."""
    config = StackConfig([ListenerConfig(0, "udp", HOST, 5060)], ["biloxi.test"])
    stack, other = (Stack(config, b"0123456789abcdef") for _ in range(2))
    before = stack.limits
    change = Reconfiguration(limits=Limits(message_size=40_000), domains=["atlanta.test"], server_name="x")
    stack.configure(change, 1.0)
    assert (config.limits, config.domains, config.server_name) == (Limits(), ["biloxi.test"], "sansip")
    assert (other.limits.message_size, other.config.domains) == (65_535, ["biloxi.test"])
    # All parts look at one object, which stays.
    assert stack.limits is before
    assert (before.message_size, stack.config.limits.message_size) == (40_000, 40_000)
    change.limits = None
    stack.configure(change, 2.0)
    assert before.message_size == 40_000


def test_domains_and_limits_change() -> None:
    """Each part sees the new limits and domains, also a part that took a copy."""
    stack = made(auth=AuthConfig())
    assert stack.authenticator is not None
    limits = Limits(message_size=40_000, source_rate=7, bans=3, notices=2, raised_dialogs=5, avoided=6)
    change = Reconfiguration(
        domains=["Atlanta.test"],
        aliases=["alias.test"],
        limits=limits,
        timers=TimerValues(t1=0.25),
        proxy=ProxyConfig(record_route=False, force_rport="always", failover_time=0.5, tcp_above=900),
        registrar=RegistrarConfig(default_expires=99),
        auth=AuthConfig(algorithms=("SHA-256",), realms=("atlanta.test Atlanta",)),
        server_name="other",
    )
    stack.configure(change, 1.0)
    assert list(stack.domains) == ["atlanta.test"]
    assert not stack.listeners.serves("biloxi.test")
    assert stack.listeners.serves("alias.test")
    assert stack.config.limits is limits
    assert stack.limits == limits
    assert (stack.bans.most, stack.proxy.shifts.most, stack.client.places.avoided.size) == (3, 5, 6)
    assert (stack.client.failover_time, stack.client.tcp_above) == (0.5, 900)
    assert stack.proxy.values.t1 == 0.25
    assert not stack.proxy.config.record_route
    assert "SHA-256" in stack.authenticator.challenges("Atlanta", ALICE[0], 1.0, 1.0)[0]
    answered = stack.datagram_received(UDP, options(), ALICE, 1.0)
    assert b"Server: other" in next(one.data for one in answered if isinstance(one, SendDatagram))


@pytest.mark.parametrize(
    "change",
    [
        Reconfiguration(listeners=[], server_name="x"),
        Reconfiguration(listeners=[ListenerConfig(-1, "udp", HOST, 5060)], server_name="x"),
        Reconfiguration(auth=AuthConfig(), server_name="x"),
    ],
)
def test_what_cannot_work_changes_nothing(change: Reconfiguration) -> None:
    """It is judged before the first part is touched."""
    stack = made()
    with pytest.raises(LocalProtocolError):
        stack.configure(change, 1.0)
    assert stack.server_name == "sansip"
    assert len(list(stack.listeners)) == len(LISTENERS)


def test_a_replay_takes_the_same() -> None:
    """Everything that changes the stack is in its journal (design.md 8)."""
    lines: list[str] = []
    config = StackConfig(list(LISTENERS), ["biloxi.test"])
    recorded = JournaledStack(config, b"s" * 16, lines.append, {})
    change = Reconfiguration(
        listeners=[*LISTENERS, NEW],
        domains=["atlanta.test"],
        aliases=["a.test"],
        address_realms=True,
        limits=Limits(header_count=77),
        timers=TimerValues(t1=0.1, t2=1.0),
        proxy=ProxyConfig(extensions=frozenset({"a", "b"})),
        registrar=RegistrarConfig(default_expires=120),
        server_name="again",
    )
    recorded.configure(change, 1.0)
    recorded.datagram_received(9, options("sip:198.51.100.10:5080"), ALICE, 1.0)
    recorded.configure(Reconfiguration(listeners=LISTENERS), 2.0)
    for now in range(3, 40):
        recorded.time_passed(float(now))
    replayed = Stack(StackConfig(list(LISTENERS), ["biloxi.test"]), b"s" * 16)
    steps = list(again(lines, lambda head: replayed))
    assert all(step.same for step in steps)
    assert any("CloseDatagram" in str(step.recorded) for step in steps)
    assert replayed.limits.header_count == 77
    assert replayed.proxy.config.extensions == {"a", "b"}
