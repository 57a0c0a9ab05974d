"""Requests of ours within others' dialogs: right names, CSeq and Route values, whatever peers wrote."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.calls.call import Side
from sansip.modules.calls.hangup import send
from tests.rig import Rig, only

CALLER = "<sip:alice@biloxi.test>;tag=alice"
CALLEE = "<sip:bob@biloxi.test>;tag=bob"


def bye(routes: tuple[str, ...], target: str = "sip:bob@192.0.2.2") -> Any:
    rig = Rig()
    to, other = Side(CALLEE, target, routes, None), Side(CALLER, "sip:alice@192.0.2.1", (), None, 41)
    sent = send(rig.stack.proxy.client, "BYE", "call", to, other, rig.now, lambda *_: None, "SIP;cause=200")
    outs = rig.take(rig.stack.time_passed(rig.now))
    return only(outs, "BYE") if sent else None


def test_as_the_other_side_would() -> None:
    """RFC 3261 12.2.1.1."""
    out = bye(())
    message = out.message
    assert (message.get("from"), message.get("to"), message.cseq.number) == (CALLER, CALLEE, 42)
    assert (message.uri_text, out.to, message.get("reason")) == (
        "sip:bob@192.0.2.2",
        ("192.0.2.2", 5060),
        "SIP;cause=200",
    )


def test_loose_router() -> None:
    """The target stays the Request-URI, and the first Route says where it goes."""
    out = bye(("<sip:192.0.2.7;lr>", "<sip:192.0.2.8;lr>"))
    assert (out.message.uri_text, out.to) == ("sip:bob@192.0.2.2", ("192.0.2.7", 5060))
    assert out.message.values("route") == ["<sip:192.0.2.7;lr>", "<sip:192.0.2.8;lr>"]


def test_strict_router() -> None:
    """RFC 3261 12.2.1.1: the strict router's URI is the Request-URI, the target the last Route."""
    out = bye(("<sip:192.0.2.7>", "<sip:192.0.2.8;lr>"))
    assert (out.message.uri_text, out.to) == ("sip:192.0.2.7", ("192.0.2.7", 5060))
    assert out.message.values("route") == ["<sip:192.0.2.8;lr>", "<sip:bob@192.0.2.2>"]


@pytest.mark.parametrize("target", ["", "bob", "sip:bob@192.0.2.2\r\nX: y"])
def test_what_cannot_be_written(target: str) -> None:
    """A peer may spoil its own Contact; other calls go on."""
    assert bye((), target) is None
