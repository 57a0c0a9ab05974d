"""Mistakes of the operator: one clear line each, and exit status 2.

Theory of operation: a wrong option, an unreadable file, a bad configuration
key and a port in use are all reported the same way, as lines on standard
error that say what is wrong and what to do, never as a traceback. Code that
finds such a mistake raises ``OperatorError``; ``cli`` prints it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import click

__all__ = ["EXIT_FAULT", "OperatorError", "os_reason", "suggestion"]

EXIT_FAULT = 2


class OperatorError(click.ClickException):
    """A mistake that the operator has to correct, as one or more lines. Exit status 2."""

    exit_code = EXIT_FAULT

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def suggestion(wrong: str, known: Iterable[str]) -> str | None:
    """Return the name in ``known`` that ``wrong`` was probably meant to be, or None."""
    # Case and the two ways to join words are the commonest slips.
    folded = {name.lower().replace("-", "_"): name for name in known}
    matches = difflib.get_close_matches(wrong.lower().replace("-", "_"), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def os_reason(error: OSError) -> str:
    """Return the operating system's words for ``error``, in lower case."""
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
