"""INVITEs of ours that follow a refusal: a longer session (422), and others to call (3xx)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.client.guarded import Guard
from sansip.limits import DEFAULT
from sansip.ua import CallRefused
from tests.ua.phones import ANSWER, OFFER, SDP, Bench
from tests.ua.test_outgoing import during


def calling(**options: Any) -> Callable[[Any], Any]:
    """A call to bob; its result is the call, or the status of the refusal."""

    async def work(ua: Any) -> Any:
        try:
            return await ua.invite("sip:bob@192.0.2.2", OFFER, **options)
        except CallRefused as refused:
            return refused.status

    return work


def test_a_longer_session() -> None:
    """RFC 4028 7.3, RFC 3261 8.1.3.5: once more with the Min-SE of the 422; a refresh says it, too (7.4)."""
    bench = Bench()
    done = during(bench, calling())
    bob = bench.bob
    first = bob.expect("INVITE")
    bob.reply(first, 422, None, [("Min-SE", "3600")])
    second = bob.expect("INVITE")
    assert (second.get("session-expires"), second.get("min-se")) == ("3600", "3600")
    assert second.cseq.number == first.cseq.number + 1
    for name in ("call-id", "from", "to", "contact"):
        assert second.get(name) == first.get(name)
    bob.reply(second, 200, None, [SDP, ("Session-Expires", "3600;refresher=uac")], body=ANSWER)
    bob.expect("ACK")
    bench.network.run(1799)
    assert bob.history[-1].what == "ACK"
    bench.network.run(2)
    # RFC 4028 7.2: half-way.
    assert bob.expect("INVITE").get("min-se") == "3600"
    assert not isinstance(done[0], int)


@pytest.mark.parametrize("least", [None, "90", "1800", "soon"])
def test_a_422_that_asks_for_no_more(least: str | None) -> None:
    """RFC 4028 7.3: its Min-SE has to be above the one in the request, or the caller hears of the 422."""
    bench = Bench()
    done = during(bench, calling())
    fields = [] if least is None else [("Min-SE", least)]
    bench.bob.reply(bench.bob.expect("INVITE"), 422, None, fields)
    bench.network.run(1)
    assert done == [422]


def test_a_422_for_ever() -> None:
    """limits.modification_attempts: a peer that wants ever more does not keep us calling."""
    bench = Bench()
    done = during(bench, calling())
    for number in range(DEFAULT.modification_attempts + 1):
        bench.bob.reply(bench.bob.expect("INVITE"), 422, None, [("Min-SE", str(2000 + number))])
    bench.network.run(70)
    assert done == [422]
    assert bench.at_rest()


def moved(bench: Bench, *contacts: str, status: int = 302) -> Any:
    """Bob answers the next INVITE with a redirection."""
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, status, None, [("Contact", one) for one in contacts])
    return invite


def test_redirected() -> None:
    """RFC 3261 8.1.3.4: the best of the Contacts is called, then the next, and their answer ends it."""
    bench = Bench()
    done = during(bench, calling(redirects=5))
    first = moved(bench, "<sip:b@192.0.2.1>;q=0.2", "<sip:c@192.0.2.3;method=BYE?Subject=x>;q=0.9")
    second = bench.carol.expect("INVITE")
    # 19.1.5: neither method nor header fields of it.
    assert (str(second.uri), second.get("subject")) == ("sip:c@192.0.2.3", None)
    assert second.cseq.number == first.cseq.number + 1
    assert (second.get("to"), second.get("call-id")) == (first.get("to"), first.get("call-id"))
    bench.carol.reply(second, 486)
    third = bench.alice.expect("INVITE")
    bench.alice.reply(third, 200, None, [SDP], body=ANSWER)
    bench.alice.expect("ACK")
    assert done[0].remote_sdp == ANSWER


@pytest.mark.parametrize(
    ("contacts", "status"),
    [
        # RFC 3261 8.1.3.4: each URI once: no circle.
        (["<sip:bob@192.0.2.2>"], 302),
        (["<tel:+4930123>", "<https://biloxi.test/>"], 302),
        # RFC 5630 5.3
        (["<sips:carol@192.0.2.3>"], 302),
        (["<sip:carol@192.0.2.3>"], 380),
        (["<sip:carol@192.0.2.3"], 302),
    ],
)
def test_not_followed(contacts: list[str], status: int) -> None:
    """The caller decides about a URI that is no other place of the callee."""
    bench = Bench()
    done = during(bench, calling(redirects=5))
    moved(bench, *contacts, status=status)
    bench.network.run(1)
    assert done == [status]
    assert not bench.carol.history


def test_redirected_for_ever() -> None:
    """``redirects`` bounds them, and is 0 by default: a callee would choose our targets."""
    for allowed in (0, 3):
        bench = Bench()
        done = during(bench, calling(redirects=allowed or None))
        for number in range(allowed + 1):
            moved(bench, f"<sip:{number}@192.0.2.2>", f"<sip:{number}b@192.0.2.2>")
        bench.network.run(70)
        assert done == [302]
        assert bench.at_rest()


def test_redirected_to_a_gateway() -> None:
    """The callee chose the place: one that only modules send to is refused, and the next contact called."""
    bench = Bench()
    gateway = Guard("192.0.2.3", 5060, "gateway", "lcr.direct")
    bench.server.stack.proxy.client.guarded.replace("lcr", [gateway])
    done = during(bench, calling(redirects=5))
    moved(bench, "<sip:88213@192.0.2.3>;q=0.9", "<sip:b@192.0.2.1>;q=0.2")
    third = bench.alice.expect("INVITE")
    bench.alice.reply(third, 200, None, [SDP], body=ANSWER)
    bench.alice.expect("ACK")
    assert done[0].remote_sdp == ANSWER
    assert not bench.carol.history


def test_a_6xx_speaks_for_all() -> None:
    """RFC 3261 21.6: the remaining places are not called."""
    bench = Bench()
    done = during(bench, calling(redirects=5))
    moved(bench, "<sip:c@192.0.2.3>", "<sip:a@192.0.2.1>")
    bench.carol.reply(bench.carol.expect("INVITE"), 603)
    bench.network.run(1)
    assert done == [603]
    assert not bench.alice.history


def test_patience_holds_for_all() -> None:
    """``within`` is for the call, however often it was sent on."""
    bench = Bench()
    done = during(bench, calling(redirects=5, within=10))
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    bench.network.run(6)
    bench.bob.reply(invite, 302, None, [("Contact", "<sip:c@192.0.2.3>")])
    bench.carol.reply(bench.carol.expect("INVITE"), 180)
    bench.network.run(5)
    bench.carol.expect("CANCEL")
    assert done == [408]


def test_given_up_between_two() -> None:
    """A CANCEL goes to the place that is called now."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        call = ua.invite("sip:bob@192.0.2.2", OFFER, redirects=5)
        call.answered.then(lambda result, now: results.append(type(result)), ua.now)
        waiting.append(call)

    results: list[Any] = []
    waiting: list[Any] = []
    during(bench, work)
    moved(bench, "<sip:c@192.0.2.3>", "<sip:a@192.0.2.1>")
    invite = bench.carol.expect("INVITE")
    bench.carol.reply(invite, 180)
    bench.network.run(0.1)
    waiting[0].cancel()
    bench.server.flush()
    cancel = bench.carol.expect("CANCEL")
    bench.carol.reply(cancel, 200)
    bench.carol.reply(invite, 487)
    bench.network.run(70)
    assert results == [CallRefused]
    assert not bench.alice.history
    assert bench.at_rest()
