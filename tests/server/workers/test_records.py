"""sansip_server.workers.records: a binding is the same behind a link."""

from __future__ import annotations

from math import inf

from sansip.location import Binding, ConnectionFlow, NodeFlow, Source
from sansip_server.workers.records import packed, unpacked, until

BINDINGS = (
    Binding(
        "sip:a@b", "sip:a@192.0.2.1", 60.5, "id", 7, 500, 1.0, 2.0, ("<sip:e;lr>",), "urn:x", 2, ";x=\udce4"
    ),
    Binding("sip:a@b", "sip:k@k.invalid", inf, "id2", 8, flow=ConnectionFlow(5, "ws", 1, ("192.0.2.9", 4))),
    Binding("sip:a@b", "sip:n@n", 9.5, "n", 2, flow=NodeFlow("n1", "life", "tcp", 0, 7, "token", False)),
    Binding(
        "sip:a@b", "sip:c@c", 9.0, "i", 1, flow=3, received=Source("udp", "2001:db8::1", 6), user_agent="x"
    ),
)


def test_all_fields_come_back() -> None:
    """A field that is lost on the way changes where, or how long, a phone is reached."""
    assert unpacked("sip:a@b", packed(BINDINGS)) == BINDINGS
    assert unpacked("sip:a@b", packed(())) == ()


def test_until() -> None:
    """A record lives as long as its last binding."""
    assert until(BINDINGS) == inf
    assert until(BINDINGS[:1]) == 60.5
    assert until(()) == -inf
