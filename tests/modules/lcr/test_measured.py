"""sansip.modules.lcr.measured: the quality of a gateway is that of the calls at all workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sansip.modules.lcr.measured import Measured
from sansip.modules.lcr.quality import Quality


def gateway(quality: Quality) -> Any:
    return SimpleNamespace(gateway=SimpleNamespace(name="a"), quality=quality)


def test_calls_of_all_workers_count() -> None:
    """Ordering by quality would differ by the port a caller has; a dead worker's calls go with it."""
    said: list[Any] = []
    core: Any = SimpleNamespace(
        seat=SimpleNamespace(digit="1"), announce=lambda key, word, own: said.append((key, word, own))
    )
    quality = Quality()
    for number in range(4):
        quality.tried(number == 0, 10.0, 600.0)
    measured = Measured(core)
    measured.share(gateway(quality), 10.0)
    # Once a second at the most.
    measured.share(gateway(quality), 10.5)
    [(key, word, own)] = said
    assert own
    other = Measured(core)
    mine = Quality()
    for _ in range(4):
        mine.tried(True, 10.0, 600.0)
    assert other.of(gateway(mine), 10.0, 600.0).calls == 4
    assert other.heard(key, word)
    whole = other.of(gateway(mine), 10.0, 600.0)
    assert (whole.calls, whole.answered) == (8, 5)
    # Half as much after that long.
    assert round(other.of(gateway(mine), 610.0, 600.0).calls, 6) == 4
    assert other.heard(key, None)
    assert round(other.of(gateway(mine), 610.0, 600.0).calls, 6) == 2
    assert not other.heard("health a", ())
    measured.share(gateway(quality), 11.5)
    assert len(said) == 2


def test_one_process_says_nothing() -> None:
    """Without workers there is no other process to tell."""
    core: Any = SimpleNamespace(seat=None)
    Measured(core).share(gateway(Quality()), 1.0)
