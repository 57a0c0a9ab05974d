"""Ladders: readable at 80 columns, well-formed as SVG, complete as Mermaid."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from sansip_conformance import load_suites, select
from sansip_conformance.ladder import Event, Ladder, ladder_of

(CALL,) = select(load_suites(), ["rfc3261-24-flows/session"])


def test_text_fits_80_columns() -> None:
    """Nothing is wider than a terminal, with two participants and with six."""
    for count in range(2, 7):
        names = [f"participant{number}" for number in range(count)]
        events = [Event(1.0, names[0], names[-1], "503 Service Unavailable (SUBSCRIBE)", "failure")]
        assert max(map(len, Ladder("t", names, events).text(80))) <= 80


def test_the_call() -> None:
    """The arrows of a call in their order: sender, time and direction."""
    ladder = ladder_of(CALL)
    assert ladder.participants == ["alice", "proxy", "bob"]
    arrows = [(event.source, event.target, event.label.split(" (")[0]) for event in ladder.events]
    assert arrows[:4] == [
        ("alice", "proxy", "INVITE"),
        ("proxy", "alice", "100 Trying"),
        ("proxy", "bob", "INVITE"),
        ("bob", "proxy", "180 Ringing"),
    ]
    text = "\n".join(ladder.text())
    assert "INVITE ────────>" in text
    assert "   2.000" in text


def test_svg_is_well_formed() -> None:
    """A browser must take it; names and labels are escaped."""
    ladder = Ladder("a < b & c", ["<x>", "y"], [Event(0.0, "<x>", "y", "200 <OK>", "success")])
    root = ElementTree.fromstring(ladder.svg())
    assert root.tag.endswith("svg")
    assert "200 <OK>" in "".join(root.itertext())


def test_mermaid() -> None:
    """One line an event, with participants declared first."""
    lines = ladder_of(CALL).mermaid().splitlines()
    assert "sequenceDiagram" in lines
    assert "    participant p0 as alice" in lines
    assert "    p0->>p1: INVITE" in lines
