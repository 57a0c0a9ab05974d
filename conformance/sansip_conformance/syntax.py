"""Reading trace files; the format is described in conformance/README.md.

Theory of operation: a line that begins in the first column is a directive
(``directives``) or a step (``steps``); indented lines below it are its message
(``lines``). The lines before the first ``trace`` line hold for every trace of the file. A mistake
is a ``TraceSyntaxError`` with file, line, and what to write instead.
"""

from __future__ import annotations

import copy
import difflib
import re
from pathlib import Path

from sansip_conformance.directives import CONFIG_KEYS, DIRECTIVES, sections_of
from sansip_conformance.lines import Lines, TraceSyntaxError
from sansip_conformance.steps import ARROW, FAULTS, StepReader
from sansip_conformance.trace import Trace

__all__ = ["CONFIG_KEYS", "TraceSyntaxError", "read_file", "read_text"]

_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")
_TIME = re.compile(r"([@+])(\d+(?:\.\d+)?)\s+")
_KEYWORDS = ("trace", "rfc", *DIRECTIVES, *FAULTS)


def read_file(path: Path | str) -> list[Trace]:
    """Return the traces of the file at ``path``. Raises TraceSyntaxError."""
    path = Path(path)
    octets = path.read_bytes()
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise TraceSyntaxError(
            str(path), line, "not UTF-8; write other octets as \\xNN in a raw message"
        ) from None
    return read_text(text, str(path))


def read_text(text: str, path: str = "<text>") -> list[Trace]:
    """Return the traces in ``text``; ``path`` names it in errors. Raises TraceSyntaxError."""
    return _Reader(text, path).read()


class _Reader:
    """One pass over one file."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = Lines(text, path)
        self._suite = Path(path).name.removesuffix(".trace")
        self._shared = Trace("", "", self._suite, path, 1)
        self._traces: list[Trace] = []
        self._steps = StepReader(self._lines, self._shared)

    def read(self) -> list[Trace]:
        while (line := self._lines.next()) is not None:
            self._line(line)
        shared = self._shared
        if not self._traces:
            if not shared.steps:
                raise self._lines.fail(
                    "no steps here; write for example `alice > proxy OPTIONS sip:biloxi.test`"
                )
            # A file with one trace needs no `trace` line.
            shared.name = self._suite
            shared.title = shared.title or self._suite
            self._traces = [shared]
        elif shared.steps:
            raise self._lines.fail(
                "steps before the first `trace` line; move them below it", shared.steps[0].line
            )
        self._check()
        return self._traces

    def _check(self) -> None:
        names: dict[str, int] = {}
        for trace in self._traces:
            if trace.name in names:
                raise self._lines.fail(
                    f"trace {trace.name} is already in line {names[trace.name]}; rename it", trace.line
                )
            names[trace.name] = trace.line
            if not trace.steps:
                raise self._lines.fail(f"trace {trace.name} has no steps; add some or remove it", trace.line)
            if not trace.setup.domains:
                trace.setup.domains.append("biloxi.test")

    def _line(self, line: str) -> None:
        lines, steps = self._lines, self._steps
        at = after = None
        start = _TIME.match(line)
        if start is not None:
            if start[1] == "@":
                at = float(start[2])
            else:
                after = float(start[2])
            line = line[start.end() :]
        word = line.split(None, 1)[0]
        arrow = ARROW.fullmatch(line)
        if arrow is not None and word.rstrip(":") not in ("trace", "drop", "duplicate", "title"):
            steps.step(arrow, at, after)
            return
        keyword = word.removesuffix(":")
        rest = line[len(word) :].strip()
        if keyword not in _KEYWORDS:
            near = difflib.get_close_matches(keyword, _KEYWORDS, 1)
            hint = f"did you mean `{near[0]}`?" if near else "expected a directive, or `alice > proxy …`"
            raise lines.fail(f"cannot read `{line[:40]}`; {hint}")
        if keyword in FAULTS:
            steps.fault(keyword, rest, at, after)
            return
        if at is not None or after is not None:
            raise lines.fail(f"`{keyword}` has no time; remove the @ or +")
        if keyword == "trace":
            self._trace(rest)
        elif keyword == "rfc":
            self._rfc(rest)
        else:
            DIRECTIVES[keyword](lines, steps.trace, rest)

    def _rfc(self, rest: str) -> None:
        sections = sections_of(self._lines, rest)
        if self._steps.trace.steps:
            self._steps.cited = sections
        else:
            self._steps.trace.rfc = sections

    def _trace(self, rest: str) -> None:
        name, _, title = rest.partition(":")
        name = name.strip()
        if not _SLUG.fullmatch(name):
            raise self._lines.fail(
                f"`{name}` cannot name a trace; use lower case, digits and -, as in `trace busy: …`"
            )
        trace = copy.deepcopy(self._shared)
        trace.steps = []
        trace.name = name
        trace.title = title.strip() or name
        trace.line = self._lines.at
        self._traces.append(trace)
        self._steps = StepReader(self._lines, trace)
