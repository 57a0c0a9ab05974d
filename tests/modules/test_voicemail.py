"""A call that no phone took goes on to the voicemail server, and the caller hears nothing of it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.voicemail import Voicemail, VoicemailSettings
from sansip.testing import check_module
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, reply, request, what

MAIL = ("192.0.2.90", 5080)
CONTACT = ("Contact", "<sip:alice@192.0.2.1>")


def bench(**options: Any) -> Rig:
    settings = VoicemailSettings("sip:192.0.2.90:5080", **options)
    rig = Rig(modules=[Use(Voicemail, settings)])
    rig.register(BOB_URI)
    return rig


def invite(rig: Rig, **options: Any) -> list[Out]:
    return rig.udp(request(headers=[CONTACT], **options))


def test_contract() -> None:
    """What every module promises."""
    check_module(Voicemail, VoicemailSettings("sip:192.0.2.90:5080", absent=False))


@pytest.mark.parametrize("status", [408, 480, 486])
def test_nobody_took_it(status: int) -> None:
    """The mailbox is the user who was called; the caller gets the server's answer alone."""
    rig = bench()
    ringing = only(invite(rig), "INVITE")
    mail = only(rig.udp(reply(ringing, status), BOB), "INVITE")
    assert (mail.to, mail.message.uri_text) == (MAIL, "sip:bob@192.0.2.90:5080")
    outs = rig.udp(reply(mail, 200), MAIL)
    assert [out.what for out in outs if out.to == ALICE] == ["200"]


def test_it_rings_too_long() -> None:
    """The phone is cancelled after so many seconds (RFC 3261 16.8)."""
    rig = bench(after=20.0)
    ringing = only(invite(rig), "INVITE")
    rig.udp(reply(ringing, 180), BOB)
    assert "INVITE" not in what(rig.wait(19))
    outs = rig.wait(2)
    assert {("CANCEL", BOB), ("INVITE", MAIL)} <= {(out.what, out.to) for out in outs}


def test_declined() -> None:
    """603 is the user's own word (RFC 3261 21.6.2)."""
    rig = bench()
    ringing = only(invite(rig), "INVITE")
    assert "INVITE" not in what(rig.udp(reply(ringing, 603), BOB))


def test_given_up() -> None:
    """Nobody is asked after a CANCEL (RFC 3261 16.10)."""
    rig = bench()
    ringing = only(invite(rig), "INVITE")
    rig.udp(reply(ringing, 180), BOB)
    rig.udp(request("CANCEL"))
    outs = rig.udp(reply(ringing, 487), BOB)
    assert [out.what for out in outs if out.to == ALICE] == ["487"]
    assert not [out for out in rig.log if out.to == MAIL]


def test_absent() -> None:
    """A user without a phone; not where that is turned off, and never for the server's own call."""
    absent = {"uri": "sip:carol@biloxi.test", "to": "<sip:carol@biloxi.test>"}
    assert only(invite(bench(), **absent), "INVITE").to == MAIL
    assert what(invite(bench(absent=False), **absent)) == ["404"]
    rig = bench()
    own = request(headers=[("Contact", "<sip:mail@192.0.2.90:5080>")], source=MAIL, **absent)
    assert "INVITE" not in what(rig.udp(own, MAIL))


def test_other_requests() -> None:
    """A MESSAGE has no mailbox."""
    rig = bench()
    arrived = only(rig.udp(request("MESSAGE")), "MESSAGE")
    assert "MESSAGE" not in what(rig.udp(reply(arrived, 480), BOB))


@pytest.mark.parametrize("given", [{"uri": ""}, {"uri": "sip:mail@h"}, {"after": -1.0}, {"statuses": [200]}])
def test_bad_settings(given: dict[str, Any]) -> None:
    """The key is named."""
    with pytest.raises(ValueError, match=next(iter(given))):
        VoicemailSettings(**{"uri": "sip:192.0.2.90", **given})
