"""Octets that are no SIP at all, in quantity: the server drops or answers them, and no other peer waits."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop.siege import TRANSPORTS, Siege, request


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_garbage_delays_nobody(tmp_path: Path, transport: str) -> None:
    """A thousand messages of noise cost the server little, and clients beside them are served."""
    noise = random.Random(3261)
    with Siege(tmp_path) as siege, siege.watched() as watch:
        for _ in range(20):
            with siege.line(transport) as stranger:
                for _ in range(50):
                    try:
                        stranger.send(noise.randbytes(noise.randrange(1, 1_200)))
                    except OSError:
                        # The server hung up: it may.
                        break
        with siege.line(transport) as honest:
            honest.send(request("OPTIONS", f"sip:{siege.domain}", honest))
            assert honest.receive().startswith(b"SIP/2.0 200 ")
    assert watch.sent > 5
    assert watch.spent < 1.0
