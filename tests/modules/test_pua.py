"""The presence user agent against RFC 3903 4: refresh, modify, remove, 412, 423, failures, a restart."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import ModuleFault, Use
from sansip.modules.calls import Call, CallFinished, Calls, CallTakenBack
from sansip.modules.pua import Pua, PuaSettings
from sansip.rows import MemoryRows
from sansip.testing import check_module
from sansip.wire import Request
from tests.modules.events.weather import Stored
from tests.rig import BOB_URI, Out, Rig, only, reply, request

USER = "sip:bob@biloxi.test"
SERVER = ("192.0.2.9", 5060)


def bench(rows: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> Stored:
    rig = Stored(
        rows,
        modules=[Use(Calls), Use(Pua, PuaSettings(**{"server": "sip:192.0.2.9", **settings}))],
        now=now,
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def publishes(outs: list[Out]) -> list[Request]:
    """Each PUBLISH once."""
    found: dict[int, Request] = {}
    for out in outs:
        if out.what == "PUBLISH":
            assert out.to == SERVER
            found.setdefault(id(out.message.via.branch) and hash(out.message.via.branch), out.message)
    return list(found.values())


def command(rig: Stored, name: str, **given: Any) -> tuple[Any, list[Request]]:
    results: list[Any] = []
    outs = rig.take(rig.stack.command(name, given, rig.now, lambda result, now: results.append(result)))
    return results[-1], publishes(outs)


def answer(rig: Stored, message: Request, status: int, *headers: tuple[str, str]) -> list[Request]:
    return publishes(rig.udp(reply(message, status, headers=headers), SERVER))


def accept(rig: Stored, message: Request, etag: str, expires: int = 3600) -> list[Request]:
    return answer(rig, message, 200, ("SIP-ETag", etag), ("Expires", str(expires)))


def shown(message: Request) -> tuple[str | None, int | None, bytes]:
    return message.get("sip-if-match"), message.expires, message.body


def test_contract() -> None:
    """What every module promises."""
    check_module(Pua)


def test_publish_refresh_modify_remove() -> None:
    """RFC 3903 4: a refresh has the tag and no body, a modification both, the removal Expires 0."""
    rig = bench()
    _, (first,) = command(rig, "pua.publish", user=USER, body="one")
    assert shown(first) == (None, 3600, b"one")
    assert (first.uri_text, first.get("route"), first.get("event")) == (
        USER,
        "<sip:192.0.2.9;lr>",
        "presence",
    )
    accept(rig, first, "a", 100)
    assert publishes(rig.wait(79)) == []
    (refresh,) = publishes(rig.wait(1))
    assert shown(refresh) == ("a", 3600, b"")
    accept(rig, refresh, "b")
    _, (change,) = command(rig, "pua.publish", user=USER, body="two")
    assert shown(change) == ("b", 3600, b"two")
    accept(rig, change, "c")
    assert command(rig, "pua.publish", user=USER, body="two")[1] == [], "nothing changed"
    there, (removal,) = command(rig, "pua.remove", user=USER)
    assert (there, shown(removal)) == (True, ("c", 0, b""))
    accept(rig, removal, "d", 0)
    assert command(rig, "pua.list")[0] == []
    assert rig.rows.count(Pua.tables[0]) == 0


def test_one_at_a_time() -> None:
    """What changes while a PUBLISH has no answer is sent after it, the newest alone."""
    rig = bench()
    _, (first,) = command(rig, "pua.publish", user=USER, body="one")
    assert command(rig, "pua.publish", user=USER, body="two")[1] == []
    assert command(rig, "pua.publish", user=USER, body="three")[1] == []
    (second,) = accept(rig, first, "a")
    assert shown(second) == ("a", 3600, b"three")


def test_forgotten_there() -> None:
    """RFC 3903 4.1: a 412 to a refresh: the whole state is published anew, without a tag."""
    rig = bench()
    _, (first,) = command(rig, "pua.publish", user=USER, body="one")
    accept(rig, first, "a", 100)
    (refresh,) = publishes(rig.wait(80))
    (again,) = answer(rig, refresh, 412)
    assert shown(again) == (None, 3600, b"one")


def test_too_brief() -> None:
    """RFC 3903 4.1: a 423 says how long it must be; and not for ever."""
    rig = bench()
    _, (first,) = command(rig, "pua.publish", user=USER, body="one")
    (second,) = answer(rig, first, 423, ("Min-Expires", "7200"))
    assert shown(second) == (None, 7200, b"one")
    for _ in range(2):
        (second,) = answer(rig, second, 423, ("Min-Expires", "7200"))
    assert answer(rig, second, 423, ("Min-Expires", "7200")) == []


@pytest.mark.parametrize("status", [403, 500, 503])
def test_failures(status: int) -> None:
    """It is tried again later, and ever more rarely; an operator sees it."""
    rig = bench()
    _, (one,) = command(rig, "pua.publish", user=USER, body="one")
    answer(rig, one, status)
    ((row),) = command(rig, "pua.list")[0]
    assert (row["status"], row["tries"]) == (status, 1)
    assert publishes(rig.wait(9.9)) == []
    (one,) = publishes(rig.wait(0.1))
    answer(rig, one, status)
    assert publishes(rig.wait(19.9)) == []
    (one,) = publishes(rig.wait(0.1))
    accept(rig, one, "a")
    assert command(rig, "pua.list")[0][0]["tries"] == 0


def test_registrations() -> None:
    """With `registrations` a user is open while a phone is registered."""
    rig = bench(registrations=True)
    before = len(rig.log)
    rig.register(BOB_URI)
    (first,) = publishes(rig.log[before:])
    assert b"<basic>open</basic>" in first.body
    accept(rig, first, "a", 100_000)
    found = publishes(rig.wait(3601))
    assert shown(found[-1])[:2] == ("a", 0)


def test_calls() -> None:
    """With `calls` a user is on the phone (RFC 4480 3.2) while a call goes on, and open where registered."""
    rig = bench(registrations=True, calls=True)
    before = len(rig.log)
    rig.register(BOB_URI)
    (one,) = publishes(rig.log[before:])
    accept(rig, one, "a")
    arrived = only(rig.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")])), "INVITE")
    outs = rig.udp(reply(arrived, 200), ("192.0.2.2", 5060))
    # The caller is a stranger, who has only written a name into From.
    (one,) = publishes(outs)
    assert one.uri_text == USER
    assert b"on-the-phone" in one.body
    assert b"<basic>open</basic>" in one.body
    accept(rig, one, "b")
    (row,) = command(rig, "calls.list")[0]
    before = len(rig.log)
    command(rig, "calls.hangup", id=row["id"])
    rig.wait(40)
    one = publishes(rig.log[before:])[0]
    assert b"on-the-phone" not in one.body
    assert one.get("sip-if-match") == "b"


def test_a_call_that_was_over_when_it_was_read() -> None:
    """A row of [calls] whose dialogs are gone ends at once, and is told then: its users are not busy."""
    rig = bench(calls=True)
    call = Call("id", "c", "t", "sip:alice@elsewhere.test", USER, USER, "192.0.2.1", 1.0)
    call.answered = 2.0
    pua = rig.stack.modules.get(Pua)
    pua.event_received(CallTakenBack(call), rig.now)
    assert USER in pua._busy
    call.state, call.over = "ended", True
    for event in (CallFinished(call), CallTakenBack(call)):
        pua.event_received(event, rig.now)
    assert USER not in pua._busy


def test_another_server_takes_over() -> None:
    """RFC 3263 4.3: where one is silent the next server of the name is asked; it knows no tag (412)."""
    rig = bench(server="sip:presence.example.net")
    places = [("udp", "192.0.2.9", 5060), ("udp", "192.0.2.8", 5060)]
    _, found = command(rig, "pua.publish", user=USER, body="one")
    assert found == []
    (first,) = publishes(rig.answer(places))
    accept(rig, first, "a", 1000)
    rig.wait(799)
    rig.log.clear()
    # The refresh goes to the first server again, which is dead.
    rig.wait(1)
    rig.answer(places)
    rig.wait(10)
    other = [out.message for out in rig.log if out.what == "PUBLISH" and out.to == ("192.0.2.8", 5060)]
    assert shown(other[0]) == ("a", 3600, b"")
    rig.log.clear()
    rig.udp(reply(other[0], 412), ("192.0.2.8", 5060))
    # The one that was silent is avoided for a while.
    rig.answer(places)
    anew = [out.message for out in rig.log if out.what == "PUBLISH" and out.to == ("192.0.2.8", 5060)]
    assert shown(anew[0]) == (None, 3600, b"one")


def test_a_restart() -> None:
    """The entity-tag is in a row: the next process refreshes what stands there, and makes no second one."""
    rig = bench()
    _, (first,) = command(rig, "pua.publish", user=USER, body="one")
    accept(rig, first, "a", 1000)
    rig = bench(rig.rows, now=200.0)
    (refresh,) = publishes(rig.wait(900))[:1]
    assert shown(refresh) == ("a", 3600, b"")


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands there is refreshed all the same."""
    rig = bench()
    _, (first,) = command(rig, "pua.publish", user=USER, body="one")
    accept(rig, first, "a", 1000)
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    rig = bench(rig.rows, now=200.0)
    monkeypatch.undo()
    (refresh,) = publishes(rig.wait(900))[:1]
    assert shown(refresh) == ("a", 3600, b"")


def test_a_phone_that_went_while_the_server_was_away() -> None:
    """It is not shown as open, refreshed for ever."""
    rig = bench(registrations=True)
    rig.register(BOB_URI)
    (first,) = publishes(rig.log)
    accept(rig, first, "a", 1000)
    rig = bench(rig.rows, now=200.0, registrations=True)
    (last,) = publishes(rig.log)
    assert shown(last) == ("a", 0, b"")


@pytest.mark.parametrize(
    "settings", [{"server": "nowhere"}, {"server": "tel:+1"}, {"expires": 1}, {"most": 0}, {"rate": 0.5}]
)
def test_settings(settings: Any) -> None:
    """Each mistake is named."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        PuaSettings(**settings)


def test_most() -> None:
    """There is a bound, and the command names it."""
    rig = bench(most=1)
    command(rig, "pua.publish", user=USER, body="one")
    assert "pua.most" in str(command(rig, "pua.publish", user="sip:carol@biloxi.test", body="one")[0])


def test_calls_without_the_module() -> None:
    """`calls = true` without [calls] would publish nobody: `sansip check` says what is missing."""
    with pytest.raises(ModuleFault, match=r"add \[calls\]"):
        Rig(modules=[Use(Pua, PuaSettings(calls=True))])
    Rig(modules=[Use(Calls), Use(Pua, PuaSettings(calls=True))])


def test_rate() -> None:
    """Many at once are no flood: they wait their turn, each once and with its newest state."""
    rig = bench(rate=2, registrations=True)
    before = len(rig.log)
    users = [f"sip:user{number}@biloxi.test" for number in range(5)]
    for user in users:
        command(rig, "pua.publish", user=user, body="old")
        command(rig, "pua.publish", user=user, body="new")
    first = publishes(rig.log[before:])
    assert [one.uri_text for one in first] == users[:2]
    # Who went meanwhile has nothing there, and takes no turn.
    command(rig, "pua.remove", user=users[2])
    before = len(rig.log)
    rig.wait(0.6)
    # Those of the first two are repeated (RFC 3261 17.1.2.2).
    new = [one for one in publishes(rig.log[before:]) if one.uri_text not in users[:2]]
    assert [(one.uri_text, one.body) for one in new] == [(users[3], b"new")]
    rig.wait(0.6)
    assert {one.uri_text for one in publishes(rig.log[before:])} == {*users[:2], *users[3:]}
    assert [row["user"] for row in command(rig, "pua.list")[0]] == [*users[:2], *users[3:]]
