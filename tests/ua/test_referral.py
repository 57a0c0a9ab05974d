"""REFER that we send: blind and attended transfer, and the reports of the peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.limits import DEFAULT
from sansip.ua import CallEnded, RequestRefused
from sansip.ua.acting import act
from tests.ua.phones import ANSWER, OFFER, SDP, Bench
from tests.ua.test_outgoing import during

CAROL = "sip:carol@192.0.2.3"


def referring(bench: Bench, work: Callable[[Any], Any] | None = None) -> tuple[list[Any], Any]:
    """We call Bob and refer him to Carol; returns the place of the outcome, and his REFER."""

    async def main(ua: Any) -> Any:
        call = await ua.invite("sip:bob@192.0.2.2", OFFER)
        try:
            return await (call.transfer(CAROL) if work is None else work(call))
        except (RequestRefused, CallEnded, LocalProtocolError) as error:
            return error

    done = during(bench, main)
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    return done, bench.bob.expect("REFER")


def notify(bench: Bench, event: str, state: str, line: str, expected: str = "200") -> None:
    fields = [("Event", event), ("Content-Type", "message/sipfrag"), ("Subscription-State", state)]
    fields = [one for one in fields if one[1]]
    body = f"SIP/2.0 {line}\r\n".encode() if line else b""
    bench.bob.request("NOTIFY", None, fields, body=body, in_dialog=True)
    bench.bob.expect(expected)


@pytest.mark.parametrize("with_id", [True, False])
def test_blind(with_id: bool) -> None:
    """RFC 3515 2.4: Refer-To and Referred-By; the last NOTIFY says how it ended. Nothing is hung up by it."""
    bench = Bench()
    done, refer = referring(bench)
    assert refer.get("refer-to") == f"<{CAROL}>"
    assert refer.get("referred-by") == "<sip:biloxi.test>"
    assert refer.has("contact")
    event = f"refer;id={refer.cseq.number}" if with_id else "refer"
    bench.bob.reply(refer, 202)
    notify(bench, event, "active;expires=60", "100 Trying")
    notify(bench, event, "active;expires=60", "180 Ringing")
    assert done == []
    notify(bench, event, "terminated;reason=noresource", "200 OK")
    assert done == [200]
    assert len(bench.ua.calls) == 1


def test_a_notify_before_the_202() -> None:
    """RFC 3515 2.4.4: it can overtake the answer to the REFER."""
    bench = Bench()
    done, refer = referring(bench)
    notify(bench, f"refer;id={refer.cseq.number}", "terminated;reason=noresource", "486 Busy Here")
    bench.bob.reply(refer, 202)
    bench.network.run(1)
    assert done == [486]


def test_who_hears_of_it_hangs_up() -> None:
    """The last NOTIFY has its 200, also where the end of the transfer is the end of the call."""
    bench = Bench()

    async def main(call: Any) -> int:
        status = await call.transfer(CAROL)
        call.bye()
        return int(status)

    async def work(ua: Any) -> int:
        return await main(await ua.invite("sip:bob@192.0.2.2", OFFER))

    done = during(bench, work)
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    bench.bob.reply(bench.bob.expect("REFER"), 202)
    notify(bench, "refer", "terminated;reason=noresource", "200 OK")
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    assert done == [200]


def test_refused() -> None:
    """RFC 3515 2.4.2: it does not even try."""
    bench = Bench()
    done, refer = referring(bench)
    bench.bob.reply(refer, 603)
    bench.network.run(1)
    assert [one.status for one in done] == [603]


def test_no_subscription() -> None:
    """RFC 4488 4: ``Refer-Sub: false`` in the 2xx: nothing is told, and nothing is waited for."""
    bench = Bench()
    done, refer = referring(bench, lambda call: call.transfer(CAROL, headers=[("Refer-Sub", "false")]))
    assert refer.get("refer-sub") == "false"
    bench.bob.reply(refer, 202, None, [("Refer-Sub", "false")])
    bench.network.run(1)
    assert done == [202]


def test_silence() -> None:
    """RFC 6665 4.1.2.4: Timer N: where no NOTIFY comes, it is over."""
    bench = Bench()
    done, refer = referring(bench)
    bench.bob.reply(refer, 202)
    bench.network.run(31)
    assert done == []
    bench.network.run(2)
    assert done == [408]


def test_a_subscription_without_end() -> None:
    """limits.ring_time: a peer that says ``expires=999999`` and falls silent does not keep it for ever."""
    bench = Bench()
    done, refer = referring(bench)
    bench.bob.reply(refer, 202)
    notify(bench, "refer", "active;expires=999999", "180 Ringing")
    bench.network.run(DEFAULT.ring_time - 10)
    assert done == []
    bench.network.run(20)
    assert done == [408]


def test_the_call_ends_first() -> None:
    """The peer hangs up and told nothing: it may have gone to Carol, or not."""
    bench = Bench()
    done, refer = referring(bench)
    bench.bob.reply(refer, 202)
    bench.bob.request("BYE")
    bench.network.run(70)
    assert [type(one) for one in done] == [CallEnded]
    assert bench.at_rest()


def test_what_is_no_answer() -> None:
    """RFC 6665 4.1.3: a NOTIFY without its state gets 400; one of another subscription is not ours."""
    bench = Bench()
    done, refer = referring(bench)
    bench.bob.reply(refer, 202)
    notify(bench, "refer", "", "200 OK", "400")
    notify(bench, f"refer;id={refer.cseq.number + 7}", "terminated", "200 OK")
    notify(bench, "presence", "terminated", "200 OK")
    notify(bench, "refer;id=" + "9" * 5_000, "terminated", "200 OK")
    assert done == []


def test_challenged() -> None:
    """RFC 3261 22.2: the REFER is repeated with credentials, and its new number is the id."""
    from sansip.auth import Account

    bench = Bench(accounts=[Account(("192.0.2.2",), "tests", "box", "secret")])
    done, refer = referring(bench)
    bench.bob.reply(refer, 401, None, [("WWW-Authenticate", 'Digest realm="tests", nonce="n", qop="auth"')])
    again = bench.bob.expect("REFER")
    assert again.has("authorization")
    bench.bob.reply(again, 202)
    notify(bench, f"refer;id={refer.cseq.number}", "terminated", "486 Busy Here")
    assert done == []
    notify(bench, f"refer;id={again.cseq.number}", "terminated", "200 OK")
    assert done == [200]


def test_referrals_per_call() -> None:
    """limits.referrals_per_call: one REFER too many fails at once."""
    bench = Bench(limits={"referrals_per_call": 1})

    def twice(call: Any) -> Any:
        call.transfer(CAROL)
        return call.transfer(CAROL)

    done, _ = referring(bench, twice)
    assert "referrals_per_call" in str(done[0])
    assert "referrals_per_call" in {one.name for one in bench.server.events if hasattr(one, "name")}


def test_attended() -> None:
    """RFC 5589 7.1, RFC 3891 3: Refer-To is Carol's Contact, with the ids of our call as she sees it."""
    bench = Bench()
    told: list[Any] = []

    def do(verb: str, number: int, **given: Any) -> None:
        actions = bench.server.stack.act(
            verb, number, given, bench.network.now, lambda result, now: told.append(result)
        )
        bench.server._perform(actions)

    for phone, uri in ((bench.bob, "sip:bob@192.0.2.2"), (bench.carol, CAROL)):
        do("invite", 0, uri=uri, sdp=OFFER)
        phone.reply(phone.expect("INVITE"), 200, None, [SDP], body=ANSWER)
        phone.expect("ACK")
    with_bob, with_carol = told
    do("transfer", with_bob.number, replaces=with_carol.number)
    refer = bench.bob.expect("REFER")
    ids = with_carol.dialog.id
    value = f"{ids.call_id}%3Bto-tag%3D{ids.remote_tag}%3Bfrom-tag%3D{ids.local_tag}"
    assert refer.get("refer-to") == f"<{with_carol.dialog.remote_target}?Replaces={value}>"
    # In our own reading it is Carol's view.
    from sansip.ua.refer_to import refer_to

    _, replaces = refer_to(refer)
    assert replaces is not None
    assert (replaces.to_tag, replaces.from_tag) == (ids.remote_tag, ids.local_tag)
    do("transfer", with_bob.number, replaces=99)
    assert "no call 99" in str(told[-1])
    do("transfer", with_bob.number)
    assert "needs a URI" in str(told[-1])


def test_act_knows_no_call() -> None:
    """A number that is over is named."""
    bench = Bench()
    told: list[Any] = []
    act(bench.ua, "transfer", 5, {"to": CAROL}, lambda result, now: told.append(result))
    assert "no call 5" in str(told[0])
