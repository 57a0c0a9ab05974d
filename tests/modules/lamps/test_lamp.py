"""One lamp: its state only rises, and its element holds whatever a peer wrote."""

from __future__ import annotations

from itertools import product

import pytest

from sansip.module.xml import read_xml
from sansip.modules.lamps.lamp import STATES, Lamp, Party, write

NS = "{urn:ietf:params:xml:ns:dialog-info}"


def lamp(state: str = "trying", direction: str = "recipient") -> Lamp:
    local, remote = Party("sip:bob@x.test"), Party("sip:a@x.test", 'A "<&> B', "sip:a@192.0.2.1;x=<&>")
    return Lamp("1", "sip:bob@x.test", "c<&>\"'\x01@x", direction, local, remote, 10.0, state, remote_tag="r")


@pytest.mark.parametrize(("before", "after"), list(product(STATES, STATES)))
def test_it_only_rises(before: str, after: str) -> None:
    """RFC 4235 3.7.1: no way leads back, so nothing is early that was confirmed or is over."""
    moved = lamp(before).moved(after)
    rises = STATES.index(after) > STATES.index(before)
    assert (moved is not None) is rises
    if moved is not None:
        assert moved.state == after


@pytest.mark.parametrize("direction", ["initiator", "recipient"])
def test_the_tag_and_target_of_the_callee(direction: str) -> None:
    """They are the local ones of the callee, and the remote ones of the caller."""
    moved = lamp(direction=direction).moved("early", tag="t", target="sip:bob@192.0.2.2")
    assert moved is not None
    party = moved.local if direction == "recipient" else moved.remote
    assert party.target == "sip:bob@192.0.2.2"
    assert (moved.local_tag if direction == "recipient" else moved.remote_tag) == "t"


def test_the_document() -> None:
    """RFC 4235 4: well-formed whatever the peers wrote, with version, state and entity."""
    root = read_xml(write("sip:bob@x.test", [lamp("confirmed")], 7, full=False, now=15.0))
    assert (root.get("version"), root.get("state"), root.get("entity")) == ("7", "partial", "sip:bob@x.test")
    (dialog,) = root
    assert dialog.get("call-id") == "c<&>\"'?@x"
    assert dialog.findtext(f"{NS}duration") == "5"
    assert dialog.find(f"{NS}remote/{NS}identity").get("display") == 'A "<&> B'
    assert dialog.find(f"{NS}remote/{NS}target").get("uri") == "sip:a@192.0.2.1;x=<&>"
