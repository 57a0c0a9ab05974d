"""REFER to us: a user agent that lets itself be transferred, and another that does not."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.events import CallTransferred
from sansip.ua import Transferee, UserAgentConfig
from tests.ua.phones import ANSWER, OFFER, SDP, Bench
from tests.ua.test_outgoing import during

CAROL = "sip:carol@192.0.2.3"
ACCEPTS = UserAgentConfig(transfers="accept")


def talking(**options: Any) -> Bench:
    """We called Bob."""
    bench = Bench(**options)

    async def work(ua: Any) -> Any:
        return await ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    return bench


def refer(bench: Bench, to: str = f"<{CAROL}>", headers: Any = ()) -> Any:
    return bench.bob.request("REFER", None, [("Refer-To", to), *headers], in_dialog=True)


def told(bench: Bench) -> tuple[str, str]:
    notify = bench.bob.expect("NOTIFY")
    bench.bob.reply(notify, 200)
    return notify.body.decode().strip(), notify.get("subscription-state") or ""


def test_refused_by_default() -> None:
    """RFC 3515 5: what a peer names would be called in our name."""
    bench = talking()
    refer(bench)
    bench.bob.expect("603")
    assert not bench.carol.history


def test_blind() -> None:
    """RFC 3515 2.4.4, RFC 5589 6: 202, each change a NOTIFY, and the new call stands when Bob hangs up."""
    bench = talking(ua=ACCEPTS)
    draft = refer(bench, headers=[("Referred-By", "<sip:bob@biloxi.test>")])
    accepted = bench.bob.expect("202")
    assert not accepted.has("refer-sub")
    assert told(bench) == ("SIP/2.0 100 Trying", "active;expires=600")
    invite = bench.carol.expect("INVITE")
    assert invite.get("referred-by") == "<sip:bob@biloxi.test>"
    assert b"m=audio 40000 RTP/AVP 0 8" in invite.body
    bench.carol.reply(invite, 180)
    assert told(bench)[0] == "SIP/2.0 180 Ringing"
    bench.carol.reply(invite, 200, None, [SDP], body=ANSWER)
    bench.carol.expect("ACK")
    notify = bench.bob.expect("NOTIFY")
    assert notify.get("event") == f"refer;id={draft.get('cseq').split()[0]}"
    assert notify.get("subscription-state") == "terminated;reason=noresource"
    bench.bob.reply(notify, 200)
    bench.bob.request("BYE")
    bench.bob.expect("200")
    bench.network.run(40)
    assert len(bench.ua.calls) == 1
    (event,) = (one for one in bench.server.events if isinstance(one, CallTransferred))
    assert event.target == CAROL
    assert event.new in bench.ua.numbered


def test_nobody_there() -> None:
    """RFC 3515 2.4.5: the failure is told, and the call goes on."""
    bench = talking(ua=ACCEPTS)
    refer(bench)
    told(bench)
    bench.carol.reply(bench.carol.expect("INVITE"), 486)
    assert told(bench) == ("SIP/2.0 486 Busy Here", "terminated;reason=noresource")
    assert len(bench.ua.calls) == 1


def test_no_subscription() -> None:
    """RFC 4488 4: no NOTIFY where none is wanted, and the 202 says so."""
    bench = talking(ua=ACCEPTS)
    refer(bench, headers=[("Refer-Sub", "false"), ("Require", "norefersub")])
    assert bench.bob.expect("202").get("refer-sub") == "false"
    bench.carol.reply(bench.carol.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.network.run(1)
    assert not [one for one in bench.bob.history if one.what == "NOTIFY"]


def test_attended() -> None:
    """RFC 5589 7: Replaces in Refer-To goes into our INVITE, which requires it; nothing else does."""
    bench = talking(ua=ACCEPTS)
    refer(bench, f"<{CAROL};method=BYE?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=x&Require=y>")
    bench.bob.expect("202")
    invite = bench.carol.expect("INVITE")
    assert str(invite.uri) == CAROL
    assert invite.get("replaces") == "a@b;to-tag=1;from-tag=2"
    assert invite.get("require") == "replaces"
    assert not invite.has("subject")


@pytest.mark.parametrize(("to", "status"), [("<tel:+1555>", "416"), ("<sip:a@b>, <sip:c@d>", "400")])
def test_what_is_no_refer_to(to: str, status: str) -> None:
    """RFC 3515 2.4.1."""
    bench = talking(ua=ACCEPTS)
    refer(bench, to)
    bench.bob.expect(status)


def test_bob_leaves_at_once() -> None:
    """RFC 5589 6.1: the transferor may hang up before it heard of the end; the new call goes on."""
    bench = talking(ua=ACCEPTS)
    refer(bench)
    told(bench)
    bench.bob.request("BYE")
    bench.bob.expect("200")
    bench.carol.reply(bench.carol.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.carol.expect("ACK")
    bench.network.run(40)
    assert len(bench.ua.calls) == 1


def test_transfers_per_call() -> None:
    """limits.transfers_per_call: a peer cannot have us call on and on."""
    bench = talking(ua=ACCEPTS, limits={"transfers_per_call": 2})
    for _ in range(2):
        refer(bench)
        bench.bob.expect("202")
        bench.carol.reply(bench.carol.expect("INVITE"), 486)
    bench.network.run(1)
    refer(bench)
    bench.bob.expect("603")
    assert "transfers_per_call" in {one.name for one in bench.server.events if hasattr(one, "name")}


def test_who_may_be_called() -> None:
    """A program that embeds us says which targets are called."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        handler = Transferee(ua, lambda call, uri: uri.host == "192.0.2.1")
        return await ua.invite("sip:bob@192.0.2.2", OFFER, handler=handler)

    during(bench, work)
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    refer(bench)
    bench.bob.expect("603")
    refer(bench, "<sip:alice@192.0.2.1>")
    bench.bob.expect("202")
    bench.alice.expect("INVITE")
