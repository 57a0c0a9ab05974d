"""Reading trace files; the format is described in conformance/README.md.

Theory of operation: a file is read line by line. A line that begins in the first
column is a directive or a step; indented lines below a step are its message.
What stands before the first ``trace`` line holds for every trace of the file. A
mistake is a ``TraceSyntaxError`` with file, line, and what to write instead.
"""

from __future__ import annotations

import copy
import difflib
import re
from pathlib import Path

from sansip_conformance.trace import (
    Block,
    EndpointSetup,
    Expect,
    ExpectNothing,
    Fault,
    Line,
    Registration,
    Send,
    Setup,
    Step,
    Trace,
)

__all__ = ["CONFIG_KEYS", "TraceSyntaxError", "read_file", "read_text"]

# What `config` may set; see ``sansip_conformance.setup``.
CONFIG_KEYS = (
    "t1", "t2", "t4",
    "timer-c", "record-route", "tcp-above", "dialog-tokens", "extensions", "min-expires",
    "default-expires", "max-expires", "max-contacts", "path", "service-route", "server-name", "max-breadth",
    "branches", "wall-offset", "connection-idle", "message-time", "first-data-time", "connect-time",
    "source-rate", "source-burst", "transactions", "connections", "connections-per-source", "uri-size",
    "header-count", "header-size", "head-size", "message-size", "via-count", "bindings-per-aor",
    "repeat-time",
    "answer-time", "route-steps", "retry-after", "show-received", "raise-brief",
)  # fmt: skip
_TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss", "sctp")
_DIRECTIVES = (
    "title", "rfc", "level", "covers", "trace", "server", "domain", "endpoint", "register", "config", "route",
    "name", "drop", "duplicate", "unreachable", "reachable", "refuse", "accept", "wait", "loose",
    "needs", "listen", "tolerance",
)  # fmt: skip
_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")
_METHOD = re.compile(r"[A-Z][A-Za-z0-9!%*_+`'~.-]*")
_STATUS = re.compile(r"[1-6](?:\d\d|xx)(?:\|[1-6](?:\d\d|xx))*")
_ARROW = re.compile(
    r"([A-Za-z][\w-]*(?:\s*,\s*[A-Za-z][\w-]*)*)\s*>\s*([A-Za-z][\w-]*(?:\s*,\s*[A-Za-z][\w-]*)*)\b\s*(.*)"
)
_TIME = re.compile(r"([@+])(\d+(?:\.\d+)?)\s+")
_SECTION = re.compile(r"RFC \d{3,5}(?: [A-Z0-9][\w.]*(?: .+)?)?")


class TraceSyntaxError(ValueError):
    """A trace file that cannot be read. ``str()`` is ``file:line: what; the fix``."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


def read_file(path: Path | str) -> list[Trace]:
    """Return the traces of the file at ``path``. Raises TraceSyntaxError."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
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
        self.lines = text.replace("\r\n", "\n").split("\n")
        self.path = path
        self.suite = Path(path).name.removesuffix(".trace")
        self.at = 0
        self.shared = Trace("", "", self.suite, path, 1)
        self.current = self.shared
        self.traces: list[Trace] = []
        self.cited: tuple[str, ...] = ()

    def fail(self, problem: str, line: int | None = None) -> TraceSyntaxError:
        return TraceSyntaxError(self.path, self.at if line is None else line, problem)

    def read(self) -> list[Trace]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            if not line.strip() or line.startswith("#"):
                continue
            if line[0] in " \t":
                raise self.fail("an indented line belongs below a step; begin this one in the first column")
            self._line(_strip_comment(line))
        if not self.traces:
            if not self.shared.steps:
                raise self.fail("no steps here; write for example `alice > proxy OPTIONS sip:biloxi.test`")
            # A file with one trace needs no `trace` line.
            self.shared.name = self.suite
            self.shared.title = self.shared.title or self.suite
            self.traces = [self.shared]
        elif self.shared.steps:
            raise self.fail(
                "steps before the first `trace` line; move them below it", self.shared.steps[0].line
            )
        names: dict[str, int] = {}
        for trace in self.traces:
            if trace.name in names:
                raise self.fail(
                    f"trace {trace.name} is already in line {names[trace.name]}; rename it", trace.line
                )
            names[trace.name] = trace.line
            if not trace.steps:
                raise self.fail(f"trace {trace.name} has no steps; add some or remove it", trace.line)
            if not trace.setup.domains:
                trace.setup.domains.append("biloxi.test")
        return self.traces

    # --- lines

    def _line(self, line: str) -> None:
        start = _TIME.match(line)
        at = after = None
        if start is not None:
            if start[1] == "@":
                at = float(start[2])
            else:
                after = float(start[2])
            line = line[start.end() :]
        word = line.split(None, 1)[0]
        arrow = _ARROW.fullmatch(line)
        if arrow is not None and word.rstrip(":") not in ("trace", "drop", "duplicate", "title"):
            self._step(arrow, at, after)
            return
        keyword = word.removesuffix(":")
        rest = line[len(word) :].strip()
        if keyword not in _DIRECTIVES:
            near = difflib.get_close_matches(keyword, _DIRECTIVES, 1)
            hint = f"did you mean `{near[0]}`?" if near else "expected a directive, or `alice > proxy …`"
            raise self.fail(f"cannot read `{line[:40]}`; {hint}")
        if keyword in ("drop", "duplicate", "unreachable", "reachable", "refuse", "accept", "wait"):
            self._fault(keyword, rest, at, after)
            return
        if at is not None or after is not None:
            raise self.fail(f"`{keyword}` has no time; remove the @ or +")
        getattr(self, f"_{keyword}")(rest)

    def _title(self, rest: str) -> None:
        self.current.title = rest

    def _rfc(self, rest: str) -> None:
        sections = tuple(part.strip() for part in rest.split(";") if part.strip())
        for section in sections:
            if not _SECTION.fullmatch(section):
                raise self.fail(f"cannot read the section `{section}`; write `RFC 3261 16.6 step 3`")
        if not sections:
            raise self.fail("rfc: names no section; write `rfc: RFC 3261 16.6 step 3`")
        if self.current.steps:
            self.cited = sections
        else:
            self.current.rfc = sections

    def _level(self, rest: str) -> None:
        if rest not in ("MUST", "SHOULD", "MAY", "policy"):
            raise self.fail(f"level {rest}; expected MUST, SHOULD, MAY or policy")
        self.current.level = rest

    def _covers(self, rest: str) -> None:
        self.current.covers += tuple(part for part in re.split(r"[,\s]+", rest) if part)

    def _loose(self, rest: str) -> None:
        self.current.loose = True

    def _tolerance(self, rest: str) -> None:
        self.current.tolerance = self._number(rest)

    def _listen(self, rest: str) -> None:
        match = re.fullmatch(r"(udp|tcp) (\S+):(\d+)", rest)
        if match is None:
            raise self.fail("write `listen udp 192.0.2.1:5060`, or `listen tcp [2001:db8::1]:5060`")
        setup = self.current.setup
        setup.listen.append((match[1], match[2].strip("[]"), int(match[3])))
        setup.transports = list(dict.fromkeys(one[0] for one in setup.listen))

    def _needs(self, rest: str) -> None:
        self.current.needs.append(rest)

    def _trace(self, rest: str) -> None:
        name, _, title = rest.partition(":")
        name = name.strip()
        if not _SLUG.fullmatch(name):
            raise self.fail(
                f"`{name}` cannot name a trace; use lower case, digits and -, as in `trace busy: …`"
            )
        trace = copy.deepcopy(self.shared)
        trace.steps = []
        trace.name = name
        trace.title = title.strip() or name
        trace.line = self.at
        self.traces.append(trace)
        self.current = trace
        self.cited = ()

    def _server(self, rest: str) -> None:
        setup = self.current.setup
        words = rest.split()
        if not words:
            raise self.fail("server needs a name; write `server proxy udp tcp`")
        setup.server = words[0]
        transports, address = self._transports(words[1:])
        setup.transports = transports or ["udp", "tcp"]
        setup.address = address

    def _transports(self, words: list[str]) -> tuple[list[str], str | None]:
        transports: list[str] = []
        address = None
        for word in words:
            word = word.strip(",")
            if word in _TRANSPORTS:
                transports.append(word)
            elif re.fullmatch(r"(?:[\d.]+|\[[0-9a-f:.]+\]):\d+", word):
                address = word
            else:
                raise self.fail(
                    f"`{word}` is no transport ({', '.join(_TRANSPORTS)}) and no address like 192.0.2.1:5060"
                )
        return transports, address

    def _domain(self, rest: str) -> None:
        self.current.setup.domains += rest.replace(",", " ").split()

    def _endpoint(self, rest: str) -> None:
        head, _, aor = rest.partition(" as ")
        words = head.split()
        if not words:
            raise self.fail("endpoint needs a name; write `endpoint alice udp`")
        names = []
        while (
            words and words[0].strip(",") not in _TRANSPORTS and re.fullmatch(r"[A-Za-z][\w-]*,?", words[0])
        ):
            names.append(words.pop(0).strip(","))
        transports, address = self._transports(words)
        for name in names:
            self.current.setup.endpoints[name] = EndpointSetup(
                name, transports or ["udp"], address, aor.strip() or None
            )

    def _register(self, rest: str) -> None:
        line = self.at
        match = re.fullmatch(r"([\w-]+)(?:\s+as\s+(\S+))?((?:;\S+)?)", rest)
        if match is None:
            raise self.fail(
                f"cannot read `register {rest}`; write `register bob as sip:team@biloxi.test;q=0.5`"
            )
        name, aor, params = match[1], match[2], match[3]
        if aor and ";" in aor:
            aor, _, params = aor.partition(";")
            params = f";{params}"
        block = self._block()
        headers = [(one.name, one.value) for one in block.lines if one.kind == "header"]
        self._known(name)
        self.current.setup.registrations.append(Registration(name, aor, headers, params, line))

    def _config(self, rest: str) -> None:
        key, equals, value = rest.partition("=")
        key = key.strip()
        if not equals or key not in CONFIG_KEYS:
            near = difflib.get_close_matches(key, CONFIG_KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(CONFIG_KEYS)}"
            raise self.fail(f"`config {rest}`: {hint} Write `config t1 = 0.5`")
        self.current.setup.config[key] = value.strip()

    def _route(self, rest: str) -> None:
        block = self._indented()
        if not block:
            raise self.fail("route needs Python below it, indented: a function `route(request)`")
        self.current.setup.route = "\n".join(block) + "\n"

    def _name(self, rest: str) -> None:
        name, equals, addresses = rest.partition("=")
        if not equals:
            raise self.fail("write `name gateway.test = bob, carol`")
        self.current.setup.names[name.strip().lower()] = addresses.replace(",", " ").split()

    # --- steps

    def _known(self, name: str) -> None:
        setup = self.current.setup
        if name not in setup.endpoints and name != setup.server:
            known = [setup.server, *setup.endpoints]
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"add `endpoint {name} udp`"
            raise self.fail(f"nobody is called {name}; {hint}")

    def _add(self, step: Step, at: float | None, after: float | None) -> None:
        step.at, step.after, step.rfc = at, after, self.cited
        if at is not None:
            before = max((one.at for one in self.current.steps if one.at is not None), default=0.0)
            if at < before:
                raise self.fail(
                    f"@{at:g} is before @{before:g}; steps stand in the order of their times", step.line
                )
        self.current.steps.append(step)

    def _fault(self, verb: str, rest: str, at: float | None, after: float | None) -> None:
        step = Fault(self.at, verb=verb)
        words = rest.replace(">", " > ").split()
        if verb in ("drop", "duplicate"):
            count = 1
            if words and words[0] == "next":
                words.pop(0)
            if words and words[0].isdigit():
                count = int(words.pop(0))
            if len(words) != 3 or words[1] != ">":
                raise self.fail(f"write `{verb} next proxy > bob` or `{verb} 3 proxy > bob`")
            step.source, step.destination, step.count = words[0], words[2], count
            self._known(step.source)
        elif verb != "wait":
            if len(words) != 1:
                raise self.fail(f"write `{verb} bob`")
            step.destination = words[0]
        elif at is None and after is None:
            raise self.fail("wait needs a time: `@5 wait` or `+2 wait`")
        if step.destination:
            self._known(step.destination)
        self._add(step, at, after)

    def _step(self, arrow: re.Match[str], at: float | None, after: float | None) -> None:
        sources = [one.strip() for one in arrow[1].split(",")]
        targets = [one.strip() for one in arrow[2].split(",")]
        for name in (*sources, *targets):
            self._known(name)
        server = self.current.setup.server
        rest = arrow[3].strip()
        if sources == [server]:
            words = rest.split()
            if not words or words[0] != "expect":
                raise self.fail(f"what {server} sends is expected: write `{server} > {targets[0]} expect …`")
            self._expect(targets, words[1:], at, after)
        elif targets == [server] and len(sources) == 1:
            self._send(sources[0], rest, at, after)
        else:
            raise self.fail(f"one side must be {server}; endpoints talk through it")

    def _expect(self, targets: list[str], words: list[str], at: float | None, after: float | None) -> None:
        line = self.at
        if not words:
            raise self.fail(
                "expect what? Write `expect INVITE`, `expect 404|480`, `expect nothing` or `expect close`"
            )
        what = words.pop(0)
        if what == "nothing":
            nothing = ExpectNothing(line, endpoints=targets)
            if words:
                match = re.fullmatch(r"until @(\d+(?:\.\d+)?)|for (\d+(?:\.\d+)?)", " ".join(words))
                if match is None:
                    raise self.fail(
                        "write `expect nothing`, `expect nothing until @32` or `expect nothing for 2`"
                    )
                nothing.until = float(match[1]) if match[1] else None
                nothing.duration = float(match[2]) if match[2] else None
            self._add(nothing, at, after)
            return
        if len(targets) > 1:
            raise self.fail("only `expect nothing` takes several endpoints; write one line for each")
        step = Expect(line, endpoint=targets[0], what=what)
        if not (_STATUS.fullmatch(what) or _METHOD.fullmatch(what) or what in ("close", "pong")):
            raise self.fail(
                f"`expect {what}`: expected a METHOD, a status like 404, 4xx or 400|481, close or pong"
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
                step.within = self._number(words.pop(0))
            elif step.uri is None and _METHOD.fullmatch(what):
                step.uri = word
            else:
                raise self.fail(
                    f"`{word}` unknown; after expect: again, as NAME, over tcp, optional, or nothing"
                )
        step.block = self._block()
        self._add(step, at, after)

    def _slug(self, word: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w-]*", word):
            raise self.fail(f"`{word}` cannot be a name; use letters, digits and -")
        return word

    def _number(self, word: str) -> float:
        try:
            return float(word)
        except ValueError:
            raise self.fail(f"`{word}` is not a number of seconds") from None

    def _send(self, source: str, rest: str, at: float | None, after: float | None) -> None:
        step = Send(self.at, source=source)
        words = rest.split()
        if words and words[0] in _TRANSPORTS:
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
                    raise self.fail(
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
                raise self.fail(
                    f"cannot send `{word}`; write a METHOD, a status, raw, again, connect or close"
                )
            self._modifiers(step, words)
            step.block = self._block(raw=step.verb == "raw")
        if step.verb == "raw" and not step.block.raw and step.file is None:
            raise self.fail("raw needs the message below it, indented, or `raw file NAME`", step.line)
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
                raise self.fail(
                    f"`{word}` unknown; after a message: as NAME, to NAME, in dialog, over tcp, split 10"
                )

    def _start_line(self, step: Send) -> None:
        block = self._block()
        start = block.raw.split("\n", 1)[0].strip()
        if not start:
            raise self.fail("send what? Write the message after the arrow, or below it, indented", step.line)
        words = start.split()
        if words[0] == "SIP/2.0" and len(words) > 1:
            step.verb, step.what, step.reason = "response", words[1], " ".join(words[2:]) or None
        else:
            step.what = words[0]
            step.uri = words[1] if len(words) > 1 else None
        block.lines = [one for one in block.lines if one.kind != "start"]
        step.block = block

    # --- blocks

    def _indented(self) -> list[str]:
        """Take the indented lines that follow; blank ones count when more follow. Dedented."""
        taken: list[str] = []
        blank = 0
        start = self.at
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip():
                blank += 1
            elif line[0] in " \t":
                taken += [""] * blank
                blank = 0
                taken.append(line)
            else:
                break
            self.at += 1
        self.at = start + len(taken)
        margin = min((len(line) - len(line.lstrip()) for line in taken if line.strip()), default=0)
        return [line[margin:] for line in taken]

    def _block(self, *, raw: bool = False) -> Block:
        first = self.at + 1
        lines = self._indented()
        block = Block(raw="\n".join(lines))
        if raw:
            return block
        for number, line in enumerate(lines):
            if not line.strip():
                block.body = "\n".join(lines[number + 1 :])
                break
            block.lines.append(self._message_line(line, first + number, number == 0))
        return block

    def _message_line(self, line: str, number: int, is_first: bool) -> Line:
        if line.startswith("#"):
            return Line("comment", "", "", number)
        if match := re.fullmatch(r"-\s*([A-Za-z][\w-]*)", line):
            return Line("absent", match[1], "", number)
        if match := re.fullmatch(r"like ([\w-]+)(?: except (.+))?", line):
            return Line("like", match[1], match[2] or "", number)
        if match := re.fullmatch(r"count ([A-Za-z][\w-]*) (\d+)", line):
            return Line("count", match[1], match[2], number)
        if match := re.fullmatch(r"([A-Za-z][\w.!%*+`'~-]*)\s*~\s*(.*)", line):
            return Line("contains", match[1], match[2], number)
        if match := re.fullmatch(r"([A-Za-z][\w.!%*+`'~-]*)\s*!~\s*(.*)", line):
            return Line("lacks", match[1], match[2], number)
        if is_first and re.match(r"SIP/2\.0 \d|[A-Za-z]+ \S+ SIP/2\.0$", line):
            return Line("start", "", line, number)
        if match := re.fullmatch(r"([^\s:][^:]*?)\s*:\s*(.*)", line):
            return Line("header", match[1], match[2].rstrip(), number)
        raise self.fail(
            f"`{line[:40]}` is no header field; write `Name: value`, `-Name`, `Name ~ value` or `like inv`",
            number,
        )


def _strip_comment(line: str) -> str:
    """Take off ``  # …`` at the end of a directive or step."""
    return re.sub(r"\s+#(?:\s.*)?$", "", line).rstrip()


def default_setup() -> Setup:
    """Return the setup of a trace that says nothing."""
    return Setup()
