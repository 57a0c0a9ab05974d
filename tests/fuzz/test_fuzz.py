"""A short, seeded fuzz run, and every input that once broke something or reached far."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz.mutate import inputs
from tests.fuzz.seeds import kept, seeds
from tests.fuzz.targets import TARGETS

KEPT = [(target, path) for target in TARGETS for path in kept(target)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run(target: str) -> None:
    """Two thousand inputs a target, the same ones every time."""
    run = TARGETS[target]
    for data in itertools.islice(inputs(target, seed=20), 2000):
        run(data)


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_themselves(target: str) -> None:
    """Torture messages and examples, unchanged."""
    for data in seeds(target):
        TARGETS[target](data)


@pytest.mark.parametrize(("target", "path"), KEPT, ids=lambda value: getattr(value, "name", value))
def test_kept_case(target: str, path: Path) -> None:
    """A case that fuzzing once found stays fixed."""
    TARGETS[target](path.read_bytes())
