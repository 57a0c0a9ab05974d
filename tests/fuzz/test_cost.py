"""A slice of the fuzzer whose verdict is what an octet costs; ``tox -e soak`` runs it for an hour."""

from __future__ import annotations

import sys
from itertools import islice

import pytest

from sansip.stack import Stack
from tests.fuzz.cost import Findings, run, stretched
from tests.fuzz.targets.price import price


@pytest.mark.timeout(300)
def test_a_slice() -> None:
    """A thousand inputs, the same ones every time: none too dear, none too heavy, nothing left."""
    findings = Findings(None)
    run(islice(stretched(11), 1_000), findings, float("inf"))
    assert findings.found == []
    assert findings.inputs == 1_000


def test_the_verdict_sees_what_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail proves nothing: octets looked at again and again, and copies kept."""
    received = Stack.datagram_received

    def slow(self: Stack, listener: int, data: bytes, *rest: object) -> object:
        kept = [data[at:] for at in range(0, len(data), 8)]
        for part in kept:
            sum(part)
        return received(self, listener, data, *rest)

    monkeypatch.setattr(Stack, "datagram_received", slow)
    # A server that is there already was asked once for its way in.
    monkeypatch.setattr(sys.modules[price.__module__], "_servers", {})
    findings = Findings(None)
    findings.one(b"\0" * 30_000)
    assert "microseconds" in findings.found[0]
