"""Reads the steps of a trace: messages sent, messages expected, and faults on the way.

Theory of operation: a step is a line of words, read from left to right, and the
indented message below it. ``StepReader`` adds steps to the trace being read.
"""

from __future__ import annotations

import re

from sansip_conformance.directives import TRANSPORTS, known_party, number_of
from sansip_conformance.lines import Lines
from sansip_conformance.spoken import kind_of, read_hear, read_say
from sansip_conformance.stun import ANSWERS
from sansip_conformance.trace import Expect, ExpectNothing, Fault, Send, Step, Trace

__all__ = ["ARROW", "FAULTS", "StepReader"]

_PARTIES = r"[A-Za-z][\w-]*(?:\s*,\s*[A-Za-z][\w-]*)*"
ARROW = re.compile(rf"({_PARTIES})\s*>\s*({_PARTIES})\b\s*(.*)")
FAULTS = ("drop", "duplicate", "unreachable", "reachable", "refuse", "accept", "wait")
_METHOD = re.compile(r"[A-Z][A-Za-z0-9!%*_+`'~.-]*")
_STATUS = re.compile(r"[1-6](?:\d\d|xx)(?:\|[1-6](?:\d\d|xx))*")


class StepReader:
    """Reads steps into ``trace``. ``cited`` are the sections that the next steps cite."""

    def __init__(self, lines: Lines, trace: Trace) -> None:
        self.lines = lines
        self.trace = trace
        self.cited: tuple[str, ...] = ()

    def _known(self, name: str) -> None:
        known_party(self.lines, self.trace, name)

    def _add(self, step: Step, at: float | None, after: float | None) -> None:
        step.at, step.after, step.rfc = at, after, self.cited
        if at is not None:
            before = max((one.at for one in self.trace.steps if one.at is not None), default=0.0)
            if at < before:
                raise self.lines.fail(
                    f"@{at:g} is before @{before:g}; steps stand in the order of their times", step.line
                )
        self.trace.steps.append(step)

    def fault(self, verb: str, rest: str, at: float | None, after: float | None) -> None:
        """Read `drop next proxy > bob`, `unreachable bob`, `wait` and the like."""
        step = Fault(self.lines.at, verb=verb)
        words = rest.replace(">", " > ").split()
        if verb in ("drop", "duplicate"):
            count = 1
            if words and words[0] == "next":
                words.pop(0)
            if words and words[0].isdigit():
                count = int(words.pop(0))
            if len(words) != 3 or words[1] != ">":
                raise self.lines.fail(f"write `{verb} next proxy > bob` or `{verb} 3 proxy > bob`")
            step.source, step.destination, step.count = words[0], words[2], count
            self._known(step.source)
        elif verb != "wait":
            if len(words) != 1:
                raise self.lines.fail(f"write `{verb} bob`")
            step.destination = words[0]
        elif at is None and after is None:
            raise self.lines.fail("wait needs a time: `@5 wait` or `+2 wait`")
        if step.destination:
            self._known(step.destination)
        self._add(step, at, after)

    def step(self, arrow: re.Match[str], at: float | None, after: float | None) -> None:
        """Read the words after `alice > proxy` or `proxy > bob`."""
        sources = [one.strip() for one in arrow[1].split(",")]
        targets = [one.strip() for one in arrow[2].split(",")]
        for name in (*sources, *targets):
            self._known(name)
        server = self.trace.setup.server
        rest = arrow[3].strip()
        if sources == [server]:
            words = rest.split()
            if not words or words[0] != "expect":
                raise self.lines.fail(
                    f"what {server} sends is expected: write `{server} > {targets[0]} expect …`"
                )
            self._expect(targets, words[1:], at, after)
        elif targets == [server] and len(sources) == 1:
            self._send(sources[0], rest, at, after)
        else:
            raise self.lines.fail(f"one side must be {server}; endpoints talk through it")

    def _expect(self, targets: list[str], words: list[str], at: float | None, after: float | None) -> None:
        line = self.lines.at
        if not words:
            raise self.lines.fail(
                "expect what? Write `expect INVITE`, `expect 404|480`, `expect nothing` or `expect close`"
            )
        what = words.pop(0)
        if what == "nothing":
            nothing = ExpectNothing(line, endpoints=targets)
            if words:
                match = re.fullmatch(r"until @(\d+(?:\.\d+)?)|for (\d+(?:\.\d+)?)", " ".join(words))
                if match is None:
                    raise self.lines.fail(
                        "write `expect nothing`, `expect nothing until @32` or `expect nothing for 2`"
                    )
                nothing.until = float(match[1]) if match[1] else None
                nothing.duration = float(match[2]) if match[2] else None
            self._add(nothing, at, after)
            return
        if len(targets) > 1:
            raise self.lines.fail("only `expect nothing` takes several endpoints; write one line for each")
        if what != "close" and (kind := kind_of(self.trace, targets[0])):
            self._add(read_hear(self.lines, kind, targets[0], what, words), at, after)
            return
        step = Expect(line, endpoint=targets[0], what=what)
        if not (_STATUS.fullmatch(what) or _METHOD.fullmatch(what) or what in ("close", "pong", *ANSWERS)):
            raise self.lines.fail(
                f"`expect {what}`: expected a METHOD, a status like 404, 4xx or 400|481, close, pong or stun"
            )
        while words:
            word = words.pop(0)
            if word == "again":
                step.again = True
            elif word == "optional":
                step.optional = True
            elif word == "or" and words and words[0] == "nothing":
                words.pop(0)
                step.or_nothing = True
            elif word == "as" and words:
                step.name = self._slug(words.pop(0))
            elif word == "over" and words:
                step.transport = words.pop(0)
            elif word == "within" and words:
                step.within = number_of(self.lines, words.pop(0))
            elif step.uri is None and _METHOD.fullmatch(what):
                step.uri = word
            else:
                raise self.lines.fail(
                    f"`{word}` unknown; after expect: again, as NAME, over tcp, optional, or nothing"
                )
        step.block = self.lines.block()
        self._add(step, at, after)

    def _slug(self, word: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w-]*", word):
            raise self.lines.fail(f"`{word}` cannot be a name; use letters, digits and -")
        return word

    def _send(self, source: str, rest: str, at: float | None, after: float | None) -> None:
        words = rest.split()
        if (kind := kind_of(self.trace, source)) and words not in (["connect"], ["close"]):
            self._add(read_say(self.lines, kind, source, rest), at, after)
            return
        step = Send(self.lines.at, source=source)
        if words and words[0] in TRANSPORTS:
            step.transport = words.pop(0)
        if not words:
            # The start line stands in the block, as on the wire.
            self._start_line(step)
        else:
            word = words.pop(0)
            if word in ("raw", "connect", "close"):
                step.verb = word
            elif word == "again":
                step.verb = "again"
                if not words:
                    raise self.lines.fail(
                        "again what? Name it first, as in `alice > proxy INVITE … as inv`, then `again inv`"
                    )
                step.to = words.pop(0)
            elif re.fullmatch(r"[1-6]\d\d", word):
                step.verb, step.what = "response", word
                reason = []
                while words and words[0] not in ("to", "as", "over", "split"):
                    reason.append(words.pop(0))
                step.reason = " ".join(reason) or None
            elif _METHOD.fullmatch(word):
                step.what = word
                if words and words[0] not in ("as", "of", "in", "over", "split"):
                    step.uri = words.pop(0)
            else:
                raise self.lines.fail(
                    f"cannot send `{word}`; write a METHOD, a status, raw, again, connect or close"
                )
            self._modifiers(step, words)
            step.block = self.lines.block(raw=step.verb == "raw")
        if step.verb == "raw" and not step.block.raw and step.file is None:
            raise self.lines.fail("raw needs the message below it, indented, or `raw file NAME`", step.line)
        self._add(step, at, after)

    def _modifiers(self, step: Send, words: list[str]) -> None:
        while words:
            word = words.pop(0)
            if word == "in" and words and words[0] == "dialog":
                words.pop(0)
                step.in_dialog = True
            elif word in ("to", "of") and words:
                step.to = words.pop(0)
            elif word == "as" and words:
                step.name = self._slug(words.pop(0))
            elif word == "over" and words:
                step.transport = words.pop(0)
            elif word == "split" and words and words[0].isdigit():
                step.split = int(words.pop(0))
            elif word == "file" and words and step.verb == "raw":
                step.file = words.pop(0)
            else:
                raise self.lines.fail(
                    f"`{word}` unknown; after a message: as NAME, to NAME, in dialog, over tcp, split 10"
                )

    def _start_line(self, step: Send) -> None:
        block = self.lines.block()
        start = block.raw.split("\n", 1)[0].strip()
        if not start:
            raise self.lines.fail(
                "send what? Write the message after the arrow, or below it, indented", step.line
            )
        words = start.split()
        if words[0] == "SIP/2.0" and len(words) > 1:
            step.verb, step.what, step.reason = "response", words[1], " ".join(words[2:]) or None
        else:
            step.what = words[0]
            step.uri = words[1] if len(words) > 1 else None
        block.lines = [one for one in block.lines if one.kind != "start"]
        step.block = block
