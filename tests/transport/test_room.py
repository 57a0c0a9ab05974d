"""Room for a new connection: idle ones that no request needs are closed, and never a registered phone's."""

from __future__ import annotations

from sansip.events import ConnectionRefused
from sansip.transport.room import QUIET, SAMPLE
from tests.rig import BOB, Rig, request, what

FULL = {"connections": 3}
TARGET = "sip:bob@192.0.2.2;transport=tcp"


def closed(rig: Rig) -> list[int]:
    """The connections that were asked to close since the last look, whose ends come now."""
    conns = [out.action.conn for out in rig.log if out.what == "Disconnect"]
    rig.log.clear()
    for conn in conns:
        rig.closed(conn)
    return conns


def speak(rig: Rig, conn: int) -> None:
    rig.tcp(conn, b"\r\n")


def test_the_idle_one_makes_room() -> None:
    """A peer that opened all connections, and sends a line end now and then, keeps nobody out."""
    rig = Rig(limits=FULL)
    held = [rig.accept(("192.0.2.66", port)) for port in (1, 2, 3)]
    for conn in held:
        rig.wait(2)
        speak(rig, conn)
    rig.wait(QUIET - 1)
    new = rig.accept(("192.0.2.1", 1))
    assert closed(rig) == [held[0]]
    assert rig.events == [
        ConnectionRefused("192.0.2.66", "idle for 8 s while others come (limits.connections)")
    ]
    assert what(rig.tcp(new, request("OPTIONS", "sip:biloxi.test", transport="TCP"))) == ["200"]


def test_who_has_just_spoken_stays() -> None:
    """A flood of new connections must not cut phones that are registering; the new connection is refused."""
    rig = Rig(limits=FULL)
    held = [rig.accept(("192.0.2.1", port)) for port in (1, 2, 3)]
    rig.wait(QUIET - 0.1)
    new = rig.accept(("192.0.2.66", 1))
    assert closed(rig) == [new]
    assert len(held) == rig.stack.snapshot()["connections"]


def test_registered_phones_stay() -> None:
    """Idle is what a phone is most of the day."""
    rig = Rig(limits=FULL)
    phones = [rig.accept(("192.0.2.1", port)) for port in (1, 2)]
    for number, conn in enumerate(phones):
        contact = [("Contact", f"<sip:user{number}@192.0.2.1;transport=tcp>")]
        uri = f"<sip:user{number}@biloxi.test>"
        data = request(
            "REGISTER", "sip:biloxi.test", transport="TCP", to=uri, headers=contact, call_id=f"reg{number}"
        )
        assert what(rig.tcp(conn, data)) == ["200"]
    idle = rig.accept(("192.0.2.66", 1))
    speak(rig, idle)
    rig.wait(600)
    rig.accept(("192.0.2.9", 1))
    assert closed(rig) == [idle]
    rig.wait(60)
    rig.log.clear()
    rig.accept(("192.0.2.9", 2))
    assert set(closed(rig)).isdisjoint(phones)


def test_room_for_a_call_that_goes_out() -> None:
    """A full table of strangers must not keep our own requests in."""
    rig = Rig(lambda incoming: incoming.relay(TARGET), limits=FULL)
    held = [rig.accept(("192.0.2.66", port)) for port in (1, 2, 3)]
    for conn in held:
        speak(rig, conn)
    rig.wait(60)
    assert sorted(what(rig.udp(request("MESSAGE")))) == ["Connect", "Disconnect"]


def test_one_is_let_go_for_one_that_comes() -> None:
    """Those that come in one batch each get another one's place, though the ends come later."""
    rig = Rig(limits={"connections": 2 * SAMPLE})
    held = [rig.accept(("192.0.2.66", port)) for port in range(2 * SAMPLE)]
    for conn in held:
        speak(rig, conn)
    rig.wait(60)
    for port in range(SAMPLE):
        rig.accept(("192.0.2.1", port))
    gone = closed(rig)
    assert len(gone) == len(set(gone)) == SAMPLE
    assert set(gone) <= set(held)


def test_the_source_that_has_its_share_takes_nobodys_place() -> None:
    """limits.connections_per_source is looked at first."""
    rig = Rig(limits={"connections": 3, "connections_per_source": 2})
    other = rig.accept(BOB)
    speak(rig, other)
    held = [rig.accept(("192.0.2.66", port)) for port in (1, 2)]
    for conn in held:
        speak(rig, conn)
    rig.wait(60)
    new = rig.accept(("192.0.2.66", 3))
    assert closed(rig) == [new]
