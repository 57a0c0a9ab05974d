"""Plays for as long as one wants, from a command line: what was said yes to, and which seeds failed."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable

__all__ = ["play_on", "words"]


def words(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--seconds`` and ``--seed``."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def play_on(play: Callable[[int], Counter[str]], options: argparse.Namespace) -> None:
    """Play one seed after the other; ``play`` returns what was said yes to."""
    yes: Counter[str] = Counter()
    end = time.monotonic() + options.seconds
    seed = options.seed * 1_000_000
    plays = failed = 0
    while time.monotonic() < end:
        try:
            yes += play(seed)
        except Exception as error:
            failed += 1
            sys.stdout.write(f"--- seed {seed}: {''.join(traceback.format_exception(error)[-3:])}\n")
            sys.stdout.flush()
        plays += 1
        seed += 1
    sys.stdout.write(f"{plays} plays, {failed} failed; said yes: {dict(yes)}\n")
