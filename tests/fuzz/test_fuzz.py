"""A short, seeded fuzz run, and every input that once broke something."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz.mutate import inputs, seeds
from tests.fuzz.targets import TARGETS

KEPT = sorted(path for path in (Path(__file__).parent / "corpus").glob("*") if path.name != "README.md")


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run(target: str) -> None:
    """Two thousand inputs a target, the same ones every time."""
    run = TARGETS[target]
    for data in itertools.islice(inputs(seed=20), 2000):
        run(data)


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_themselves(target: str) -> None:
    """Torture messages and examples, unchanged."""
    for data in seeds():
        TARGETS[target](data)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_kept_case(path: Path) -> None:
    """What was found is fixed, and stays so, in every target."""
    for run in TARGETS.values():
        run(path.read_bytes())
