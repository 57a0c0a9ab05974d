"""Subscriptions of this server at others against RFC 6665 4.1: refresh, end, failures, limits, loops."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.watches import Watches, WatchesSettings
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.modules.events.weather import Stored
from tests.modules.watches.elsewhere import SERVER, Elsewhere, document
from tests.rig import request

ALICE, ZOE = "sip:alice@biloxi.test", "sip:zoe@192.0.2.9"


def bench(rows: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> Stored:
    rig = Stored(
        rows,
        modules=[Use(Watches, WatchesSettings(**settings))],
        now=now,
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def command(server: Elsewhere, name: str, **given: Any) -> Any:
    rig = server.rig
    results: list[Any] = []
    outs = rig.take(rig.stack.command(name, given, rig.now, lambda result, now: results.append(result)))
    server.take(outs)
    server.wait(0)
    return results[-1]


def add(server: Elsewhere, uri: str = ZOE, watcher: str = ALICE) -> Any:
    return command(server, "watches.add", watcher=watcher, uri=uri)


def shown(server: Elsewhere) -> tuple[str, str, str]:
    (one,) = command(server, "watches.list")
    return one["state"], one["reason"], one["body"]


def test_contract() -> None:
    """What every module promises."""
    check_module(Watches)


def test_begin_refresh_end() -> None:
    """RFC 6665 4.1.2: a SUBSCRIBE, its NOTIFYs, a refresh in the dialog, and Expires 0 at the end."""
    server = Elsewhere(bench())
    assert add(server) is True
    (first,) = server.asked
    assert (first.uri_text, str(first.from_.uri), first.get("event")) == (ZOE, ALICE, "presence")
    assert (first.expires, first.get("accept")) == (3600, "application/pidf+xml")
    # RFC 6665 4.1.2.1: a Contact, for it makes a dialog; RFC 4662 7.4: no eventlist.
    assert first.has("contact")
    assert not first.has("supported")
    assert [one.status for one in server.answers] == [200]
    assert shown(server) == ("active", "", document(ZOE).decode())
    server.notify(body=document(ZOE, "closed"))
    assert "closed" in shown(server)[2]
    server.wait(3500)
    refresh = server.asked[-1]
    # RFC 6665 4.1.2.2: in the dialog.
    assert (len(server.asked), refresh.to_tag, refresh.call_id) == (2, "e1", first.call_id)
    assert refresh.cseq.number == first.cseq.number + 1
    assert command(server, "watches.remove", watcher=ALICE, uri=ZOE) is True
    assert server.asked[-1].expires == 0
    assert {one.status for one in server.answers} == {200}
    assert command(server, "watches.list") == []
    assert server.rig.rows.count(Watches.tables[0]) == 0


def test_the_state_of_a_pending_one() -> None:
    """RFC 6665 4.1.3: pending has no state; what comes without a body leaves the last one."""
    server = Elsewhere(bench())
    add(server)
    server.notify("active;expires=3600")
    assert shown(server)[0::2] == ("active", document(ZOE).decode())
    server.notify("pending;expires=3600")
    assert shown(server) == ("pending", "", "")


def test_the_notifier_restarts() -> None:
    """RFC 6665 4.1.3, deactivated: subscribe anew at once; and not at once a second time in a row."""
    server = Elsewhere(bench())
    add(server)
    server.notifies = False
    server.notify("terminated;reason=deactivated")
    server.wait(1)
    assert len(server.asked) == 2
    assert server.asked[1].to_tag is None
    assert shown(server)[0] == "active", "nobody need be told"
    server.cseq = 0
    server.notify("terminated;reason=deactivated")
    server.wait(15)
    assert len(server.asked) == 2
    assert shown(server) == ("terminated", "deactivated", "")
    server.wait(10)
    assert len(server.asked) == 3


@pytest.mark.parametrize("reason", ["rejected", "noresource"])
def test_never_again(reason: str) -> None:
    """RFC 6665 4.1.3: after these a subscriber does not try again."""
    server = Elsewhere(bench())
    add(server)
    server.notify(f"terminated;reason={reason}")
    server.wait(100_000)
    assert len(server.asked) == 1
    assert shown(server) == ("terminated", reason, "")


def test_later() -> None:
    """RFC 6665 4.1.3: retry-after of probation and giveup holds."""
    server = Elsewhere(bench())
    add(server)
    server.notify("terminated;reason=probation;retry-after=500")
    server.wait(499)
    assert len(server.asked) == 1
    server.wait(2)
    assert len(server.asked) == 2


def test_forgotten_there() -> None:
    """RFC 6665 4.1.2.2: a 481 to a refresh: a new subscription at once."""
    server = Elsewhere(bench())
    add(server)
    server.status = 481
    server.wait(3305)
    assert len(server.asked) == 3, "the refresh, and a new one at once"
    assert server.asked[2].to_tag is None
    server.status, server.cseq = 200, 0
    server.wait(30)
    assert shown(server)[0] == "active"


def test_silence() -> None:
    """RFC 6665 4.1.2.4, 4.1.2.2: no answer, no NOTIFY: it is told, and tried again more and more slowly."""
    server = Elsewhere(bench(), status=None)
    add(server)
    server.wait(40)
    assert shown(server)[:2] == ("terminated", "timeout")
    server.wait(10_000)
    assert 10 < len(server.asked) < 30
    # A 2xx alone is no subscription: Timer N.
    server.status, server.notifies = 200, False
    server.wait(2_000)
    assert shown(server)[0] == "terminated"


def test_refused() -> None:
    """A 404 will not change soon; a 423 says how long it must be."""
    server = Elsewhere(bench(), status=404)
    add(server)
    assert shown(server)[:2] == ("terminated", "noresource")
    server.wait(3_500)
    assert len(server.asked) == 1
    server.wait(200)
    assert len(server.asked) == 2
    server = Elsewhere(bench(), status=423)
    server.headers = [("Min-Expires", "7200")]
    add(server)
    server.wait(1)
    assert [one.expires for one in server.asked[:2]] == [3600, 7200]


def test_a_fork() -> None:
    """RFC 6665 4.1.2.4: the second notifier of a fork is turned away."""
    server = Elsewhere(bench())
    add(server)
    server.cseq = 0
    server.notify(body=document(ZOE, "closed"), tag="e2")
    assert server.answers[-1].status == 481
    assert "open" in shown(server)[2]


def test_forged() -> None:
    """A NOTIFY of no subscription changes nothing; a wrong type or size counts as no state."""
    server = Elsewhere(bench(size=512))
    add(server)
    server.notify(body=b"x", to_tag="w-00000000000000000000000000000000")
    assert shown(server)[2] == document(ZOE).decode()
    server.notify(body=document(ZOE, "closed"), event="dialog")
    assert server.answers[-1].status == 481
    server.notify(body=b"x" * 513)
    assert shown(server)[2] == ""
    server.notify(body=b"x", kind="text/plain")
    assert shown(server)[2] == ""


def test_turns() -> None:
    """`watches.rate`: places that users chose get no burst."""
    server = Elsewhere(bench(rate=2.0))
    for number in range(5):
        add(server, f"sip:u{number}@192.0.2.9")
    assert len(server.asked) == 1
    server.wait(1)
    assert len(server.asked) == 3
    server.wait(1)
    assert len(server.asked) == 5


def test_limits() -> None:
    """`watches.most`, `watches.most_of_watcher`: further ones are refused, and an end makes room."""
    server = Elsewhere(bench(most=3, most_of_watcher=2, rate=1000.0))
    assert add(server, "sip:u1@192.0.2.9") is True
    assert add(server, "sip:u2@192.0.2.9") is True
    assert "most_of_watcher" in str(add(server, "sip:u3@192.0.2.9"))
    assert add(server, "sip:u1@192.0.2.9", "sip:bob@biloxi.test") is True
    assert "watches.most" in str(add(server, "sip:u1@192.0.2.9", "sip:carol@biloxi.test"))
    assert add(server, "sip:u1@192.0.2.9") is True, "it is there"
    server.wait(1)
    server.cseq = 0
    command(server, "watches.remove", watcher=ALICE, uri="sip:u2@192.0.2.9")
    server.wait(40)
    assert add(server, "sip:u3@192.0.2.9") is True


def test_a_loop() -> None:
    """RFC 4662 7.4: a SUBSCRIBE of ours that comes back gets 482, whichever way it came."""
    server = Elsewhere(bench(), status=None)
    add(server)
    (first,) = server.asked
    back = request(
        "SUBSCRIBE",
        "sip:zoe@other.test",
        source=SERVER,
        branch="z9hG4bKback",
        sender=f"<{ALICE}>",
        from_tag=first.from_tag,
        to=f"<{ZOE}>",
        call_id=first.call_id,
        headers=[("Event", "presence"), ("Contact", "<sip:192.0.2.9>"), ("Expires", "60")],
    )
    (out,) = server.rig.udp(back, SERVER)
    assert out.message.status == 482


def test_wrong_wishes() -> None:
    """An operator is told what is wrong; users of this server need no subscription."""
    server = Elsewhere(bench())
    for uri in ("zoe", "sip:192.0.2.9", "sip:zoe@192.0.2.9?Subject=x", "sip:bob@biloxi.test", "tel:+1"):
        assert isinstance(add(server, uri), Exception)
    assert isinstance(command(server, "watches.add", watcher=ALICE, uri=ZOE, event="dialog"), Exception)
    assert server.asked == []


def test_a_restart() -> None:
    """What an operator wished is a row; NOTIFYs of the dialog before get 481, which ends it there."""
    server = Elsewhere(bench())
    add(server)
    server.rig = bench(server.rig.rows, now=200.0)
    server.notify(body=document(ZOE, "closed"))
    assert server.answers[-1].status == 481
    # Its chance is that of the process before, and so are its branches.
    server.asked.clear()
    server.wait(1)
    assert len(server.asked) == 1
    assert server.asked[0].to_tag is None


def test_the_end_of_one_that_has_not_begun() -> None:
    """Its NOTIFY comes after the wish is gone: it is answered, and the subscription is ended."""
    server = Elsewhere(bench())
    server.notifies = False
    add(server)
    command(server, "watches.remove", watcher=ALICE, uri=ZOE)
    server.notifies = True
    server.notify(body=document(ZOE))
    assert server.asked[-1].expires == 0
    assert [one.status for one in server.answers] == [200, 200]
    assert command(server, "watches.list") == []
    assert len(server.rig.stack.modules.get(Watches)) == 0
