"""Acting out a trace in a world, and judging what comes back.

Theory of operation: steps are taken in order. A send is written by the
endpoint's agent out of what the trace gives; an expectation lets time run until
a message fits, and then compares. Copies of messages already seen and 100s are
passed over unless a step asks for them; anything else that nobody expected
fails the trace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from sansip.errors import RemoteProtocolError
from sansip.testing import Draft, Received, fits
from sansip.wire import Message, Request, Response, header_key, parse_message
from sansip_conformance.names import Names, UnknownNameError, params_of, values_of
from sansip_conformance.trace import Block, Expect, ExpectNothing, Fault, Line, Send, Trace
from sansip_conformance.world import Party, World

_ESCAPES = {"\\r": b"\r", "\\n": b"\n", "\\\\": b"\\"}

__all__ = ["Player", "TraceFailedError"]


class TraceFailedError(Exception):
    """The server under test did not do what the trace says."""

    def __init__(self, line: int, reason: str, rfc: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.rfc = rfc


@dataclass(slots=True)
class _Named:
    """A message under its name, with who sent or received it and how."""

    message: Request | Response | Draft
    party: str
    received: Received | None = None
    data: bytes = b""
    transport: str | None = None
    pipe: Any = None


class Player:
    """One trace in one world. ``play()`` returns, or raises TraceFailedError."""

    def __init__(self, trace: Trace, world: World) -> None:
        self.trace = trace
        self.world = world
        self.names = Names(self._lookup, world.rewrite)
        self.named: dict[str, _Named] = {}
        self.tolerance = max(world.tolerance, trace.tolerance)
        self.start = 0.0
        self.now = 0.0
        self._taken: dict[str, set[int]] = {name: set() for name in world.parties}
        self._known: dict[str, set[bytes]] = {name: set() for name in world.parties}
        self._step: Any = None
        # addresses-of-record that were registered, for whoever cleans up
        self.registered: dict[str, str] = {}
        # (time, endpoint, whether it sent, octets) of everything, for ladders
        self.timeline: list[tuple[float, str, bool, bytes]] = []
        # Where the setup ends in ``timeline``.
        self.begun = 0
        self._harvested: dict[str, int] = dict.fromkeys(world.parties, 0)

    def play(self) -> None:
        """Act out the whole trace."""
        try:
            self._register()
            self.start = self.world.now
            self.harvest()
            self.begun = len(self.timeline)
            for step in self.trace.steps:
                self._step = step
                self._wait_for(step)
                if isinstance(step, Send):
                    self._send(step)
                elif isinstance(step, Expect):
                    self._expect(step)
                elif isinstance(step, ExpectNothing):
                    self._expect_nothing(step)
                elif isinstance(step, Fault) and step.verb != "wait":
                    self.world.fault(step.verb, step.source, step.destination, step.count)
            if not self.trace.loose:
                self._leftovers()
        except (UnknownNameError, ValueError) as error:
            line = self._step.line if self._step is not None else self.trace.line
            raise TraceFailedError(line, str(error), self.trace.rfc) from None

    # --- names

    def _lookup(self, name: str) -> str | None:
        head, _, part = name.partition(".")
        setup = self.trace.setup
        if head == setup.server:
            transport = part if part in ("udp", "tcp") else setup.transports[0]
            host, port = self.world.server_address(transport)
        elif head in self.world.parties:
            party = self.world.parties[head]
            host, port = party.host, party.port
            if part == "aor":
                return party.agent.aor
        elif name == "domain":
            return setup.domains[0]
        else:
            return None
        shown = f"[{host}]" if ":" in host else host
        if part == "host":
            return shown
        if part == "ip":
            return host
        if part == "port":
            return str(port)
        return f"{shown}:{port}"

    # --- time

    def _wait_for(self, step: Any) -> None:
        timed = isinstance(step, Expect)
        if step.after is not None:
            due = self.world.now - self.start + step.after
        elif step.at is not None:
            due = step.at
        else:
            return
        if timed:
            # The expectation itself lets time run, to see when the message comes.
            step_due = due
            self._due = step_due
            return
        left = self.start + due - self.world.now
        if left > 0:
            self.world.run(left)

    # --- setup

    def _register(self) -> None:
        for one in self.trace.setup.registrations:
            party = self.world.parties[one.endpoint]
            aor = self.names.expand(one.aor) if one.aor else party.agent.aor
            transport = self.trace.setup.endpoints[one.endpoint].transports[0]
            headers = [(name, self.names.expand(value)) for name, value in one.headers]
            if not any(header_key(name) == "contact" for name, _ in headers):
                headers.append(("Contact", f"<{party.agent.contact(transport)}>{one.contact_params}"))
            if not any(header_key(name) == "expires" for name, _ in headers):
                headers.append(("Expires", "3600"))
            names = {header_key(name) for name, _ in headers}
            if "to" not in names:
                headers.append(("To", f"<{aor}>"))
            if "from" not in names:
                headers.append(("From", f"<{aor}>;tag={party.agent.token()}"))
            domain = aor.rpartition("@")[2].partition(";")[0]
            draft = party.agent.request("REGISTER", f"sip:{domain}", headers, transport=transport)
            self.registered[aor] = one.endpoint
            self._note_sent(one.endpoint, draft.to_bytes())
            party.send(draft.to_bytes(), transport=transport)
            came = self._find(party, "200", self.world.patience + 2.0)
            if came is None:
                raise TraceFailedError(
                    one.line, f"setup: {one.endpoint} could not register {aor}: {self._seen(party)}"
                )
            self._take(party, came)

    # --- what happened

    def harvest(self) -> None:
        """Put what came in since the last call into ``timeline``."""
        came = []
        for name, party in self.world.parties.items():
            came += [(one.time, name, False, one.data) for one in party.inbox[self._harvested[name] :]]
            self._harvested[name] = len(party.inbox)
        self.timeline += sorted(came, key=lambda one: one[0])

    def _note_sent(self, name: str, data: bytes) -> None:
        self.harvest()
        self.timeline.append((self.world.now, name, True, data))

    # --- sending

    def _send(self, step: Send) -> None:
        party = self.world.parties[step.source]
        setup = self.trace.setup.endpoints[step.source]
        transport = step.transport or setup.transports[0]
        pipe = None
        draft: Draft | None = None
        if step.verb == "connect":
            party.connect(transport if transport != "udp" else "tcp")
            return
        if step.verb == "close":
            party.disconnect()
            return
        if step.verb == "again":
            named = self._named(step.to or "", step.line)
            data, transport, pipe = named.data, step.transport or named.transport or transport, named.pipe
        elif step.verb == "raw":
            data = self._raw(step)
            draft = _read_draft(data)
            party.agent.sent(draft)
        elif step.verb == "response":
            draft, came = self._response(step, party, transport)
            data = draft.to_bytes()
            if step.transport is None:
                transport, pipe = came.transport, came.pipe
        else:
            draft = self._request(step, party, transport)
            data = draft.to_bytes()
        if step.name is not None and draft is not None:
            self.names.messages[step.name] = draft
            self.named[step.name] = _Named(draft, step.source, None, data, transport, pipe)
        if draft is not None and draft.is_request and draft.method == "REGISTER":
            aor = params_of(draft.get("to") or "")[0].rpartition("<")[2].rstrip(">")
            self.registered[aor] = step.source
        self._note_sent(step.source, data)
        if step.split:
            pipe = pipe or party.connect(transport)
            for at in range(0, len(data), step.split):
                party.send(data[at : at + step.split], transport=transport, pipe=pipe)
        else:
            party.send(data, transport=transport, pipe=pipe)

    def _request(self, step: Send, party: Party, transport: str) -> Draft:
        headers, without, body = self._block(step.block)
        uri = None if step.uri is None else self.names.expand(step.uri)
        of = self._named(step.to, step.line).message if step.to is not None else None
        if isinstance(of, Request):
            raise ValueError(
                f"{step.to} is a request that was received; `of` names an INVITE sent or a response"
            )
        return party.agent.request(
            step.what,
            uri,
            headers,
            without=without,
            body=body,
            transport=transport,
            in_dialog=step.in_dialog,
            of=of,
        )

    def _response(self, step: Send, party: Party, transport: str) -> tuple[Draft, Received]:
        request: Request | None = None
        if step.to is not None:
            named = self._named(step.to, step.line)
            came = named.received
            if isinstance(named.message, Request):
                request = named.message
        else:
            request = party.agent.last_request
            came = next((one for one in reversed(party.inbox) if one.message is request), None)
        if request is None or came is None:
            raise ValueError(f"{party.name} has received no request to answer; expect one first")
        headers, without, body = self._block(step.block)
        reason = None if step.reason is None else self.names.expand(step.reason)
        draft = party.agent.reply(
            request, int(step.what), reason, headers, without=without, body=body, transport=transport
        )
        return draft, came

    def _block(self, block: Block) -> tuple[list[tuple[str, str]], list[str], bytes]:
        headers = []
        without = []
        for one in block.lines:
            if one.kind == "header":
                headers.append((one.name, self.names.expand(one.value)))
            elif one.kind == "absent":
                without.append(one.name)
            elif one.kind not in ("comment", "start"):
                raise TraceFailedError(
                    one.line, f"`{one.kind}` is for expectations; a message to send has `Name: value`"
                )
        return headers, without, _octets(self.names.expand(block.body or ""))

    def _raw(self, step: Send) -> bytes:
        if step.file is not None:
            data = resources.files("sansip_conformance").joinpath("data", *step.file.split("/")).read_bytes()
            return self.world.rewrite_octets(data)
        text = self.names.expand(step.block.raw)
        return raw_octets(text)

    def _named(self, name: str, line: int) -> _Named:
        named = self.named.get(name)
        if named is None:
            raise TraceFailedError(line, f"no message is named {name} yet; name one with `as {name}`")
        return named

    # --- expecting

    def _expect(self, step: Expect) -> None:
        world = self.world
        party = world.parties[step.endpoint]
        due: float | None = None
        tolerance = self.tolerance
        if step.at is not None or step.after is not None:
            due = self._due
        if due is not None:
            # A chain of timers, each a moment late, is later the longer it is.
            tolerance += world.drift * due
            wait = self.start + due - world.now + tolerance
        else:
            wait = step.within if step.within is not None else world.patience
        came = self._find(party, step.what, max(0.0, wait), step.again)
        if came is None:
            if step.or_nothing:
                came = next((one for one in party.inbox if not self._ignorable(party, one)), None)
                if came is None:
                    return
            elif step.optional:
                return
            when = "" if due is None else f" at {due:g} s"
            again = " again" if step.again else ""
            raise self._failure(
                step, f"{step.endpoint} expected {_shown(step.what)}{again}{when}; {self._seen(party)}"
            )
        self._take(party, came)
        if due is not None and abs(came.time - self.start - due) > tolerance:
            raise self._failure(
                step,
                f"{step.what} came to {step.endpoint} at {came.time - self.start:.3f} s instead of {due:g} s",
            )
        if step.transport is not None and came.transport != step.transport:
            raise self._failure(step, f"{step.what} came over {came.transport} instead of {step.transport}")
        message = came.message
        if message is None:
            return
        if came.fault and not self._asked_for(party, message):
            raise self._failure(step, f"{came.what} is malformed: {came.fault}")
        if not step.again and not came.fault:
            self._check_always(step, party, message)
        self._compare(step, message)
        if step.name is not None:
            self.names.messages[step.name] = message
            self.named[step.name] = _Named(message, step.endpoint, came, came.data, came.transport, came.pipe)

    def _find(self, party: Party, what: str, wait: float, again: bool = False) -> Received | None:
        found: list[Received] = []
        taken = self._taken[party.name]
        known = self._known[party.name]

        def look() -> bool:
            for one in party.inbox:
                if id(one) in taken:
                    continue
                if what == "close":
                    right = not one.data
                elif what == "pong":
                    right = one.data == b"\r\n"
                else:
                    right = fits(one.message, what) and (one.data in known) == again
                if right:
                    found.append(one)
                    return True
            return False

        self.world.run(wait, look)
        return found[0] if found else None

    def _take(self, party: Party, one: Received) -> None:
        self._taken[party.name].add(id(one))
        if one.data:
            self._known[party.name].add(one.data)

    def _ignorable(self, party: Party, one: Received) -> bool:
        if id(one) in self._taken[party.name]:
            return True
        if isinstance(one.message, Response) and one.message.status == 100:
            return True
        return one.data in self._known[party.name] or one.data in (b"", b"\r\n")

    def _seen(self, party: Party) -> str:
        seen = []
        for one in party.inbox:
            if not self._ignorable(party, one):
                message = one.message
                text = one.what
                if isinstance(message, Response):
                    text = f"{message.status} {message.reason}"
                seen.append(f"{text} at {one.time - self.start:.3f} s")
        return "got " + ", ".join(seen) if seen else "nothing came"

    def _expect_nothing(self, step: ExpectNothing) -> None:
        world = self.world
        began = world.now
        if step.until is not None:
            wait = self.start + step.until - world.now
        else:
            wait = step.duration or 0.0
        parties = [world.parties[name] for name in step.endpoints]

        def came() -> tuple[Party, Received] | None:
            for party in parties:
                for one in party.inbox:
                    if id(one) in self._taken[party.name]:
                        continue
                    if one.time > began + self.tolerance or not self._ignorable(party, one):
                        return party, one
            return None

        # A wait of nothing still lets what is on its way arrive.
        world.run(max(wait - self.tolerance, 0.0), lambda: came() is not None)
        found = came()
        if found is not None:
            party, one = found
            raise self._failure(
                step, f"{party.name} expected nothing, and got {one.what} at {one.time - self.start:.3f} s"
            )

    def _leftovers(self) -> None:
        self.world.run(0.0)
        for party in self.world.parties.values():
            for one in party.inbox:
                if not self._ignorable(party, one):
                    raise TraceFailedError(
                        self.trace.steps[-1].line,
                        f"no step expects {one.what} to {party.name} at {one.time - self.start:.3f} s",
                        self.trace.rfc,
                    )

    def _failure(self, step: Any, reason: str, line: int | None = None) -> TraceFailedError:
        return TraceFailedError(line or step.line, reason, step.rfc or self.trace.rfc)

    # --- comparing

    def _asked_for(self, party: Party, message: Request | Response) -> bool:
        """Whether a malformed response repeats what its request lacked (8.2.6.2)."""
        if isinstance(message, Request):
            return False
        needed = ("From", "To", "Call-ID", "CSeq")
        missing = {name for name in needed if message.get(name) is None}
        if not missing:
            return True
        return any(
            is_sent and name == party.name and missing & _lacking(data)
            for _, name, is_sent, data in self.timeline
        )

    def _check_always(self, step: Expect, party: Party, message: Request | Response) -> None:
        """What holds for every message of a server, whatever the trace is about."""
        if isinstance(message, Request):
            # RFC 3261 16.6 step 8 and 8.1.1.7
            if not (message.via.branch or "").startswith("z9hG4bK"):
                raise self._failure(
                    step, f"the top Via of {message.method} has no branch with the magic cookie"
                )
            if not message.has("Max-Forwards"):
                raise self._failure(step, f"{message.method} has no Max-Forwards (RFC 3261 16.6 step 3)")
            return
        request = party.agent.request_of(message)
        if request is None or message.get("to") is None:
            return
        # RFC 3261 8.2.6.2: what a response repeats of its request.
        for name in ("From", "Call-ID", "CSeq"):
            sent, got = " ".join((request.get(name) or "").split()), message.get(name)
            if got is not None and sent and " ".join(got.split()) != sent:
                raise self._failure(
                    step, f"{message.status} has {name} {got!r}, the request had {sent!r} (8.2.6.2)"
                )
        sent_vias = values_of("via", request.get_all("Via"))
        vias = len(message.values("via"))
        if vias != len(sent_vias):
            raise self._failure(
                step, f"{message.status} has {vias} Via values, not {len(sent_vias)} (8.2.6.2)"
            )
        to_sent, to_got = params_of(request.get("To") or ""), params_of(message.get("To") or "")
        if to_sent[0] != to_got[0]:
            raise self._failure(
                step, f"{message.status} has To {to_got[0]!r}, the request {to_sent[0]!r} (8.2.6.2)"
            )
        if message.status > 100 and message.to_tag is None:
            raise self._failure(step, f"{message.status} has no To tag (8.2.6.2)")

    def _compare(self, step: Expect, message: Request | Response) -> None:
        if (
            step.uri is not None
            and isinstance(message, Request)
            and not self.names.match(step.uri, message.uri_text)
        ):
            raise self._failure(step, f"Request-URI {message.uri_text!r}, expected {step.uri!r}")
        counts: dict[str, int] = {}
        for line in step.block.lines:
            self._compare_line(step, message, line, counts)
        if step.block.body is not None:
            body = message.body.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
            if not self.names.match(step.block.body.rstrip("\n"), body.rstrip("\n")):
                raise self._failure(step, f"the body is {body!r}")

    def _compare_line(
        self, step: Expect, message: Request | Response, line: Line, counts: dict[str, int]
    ) -> None:
        if line.kind in ("comment", "start"):
            return
        if line.kind == "like":
            self._compare_like(step, message, line)
            return
        key = header_key(line.name)
        values = values_of(key, message.get_all(key))
        if line.kind == "absent":
            if values:
                raise self._failure(step, f"{line.name} is there: {values[0]!r}", line.line)
            return
        if line.kind == "count":
            if len(values) != int(line.value):
                raise self._failure(
                    step, f"{len(values)} {line.name} values, expected {line.value}", line.line
                )
            return
        if line.kind in ("contains", "lacks"):
            found = any(self.names.match_value(key, line.value, value) for value in values)
            if found != (line.kind == "contains"):
                shown = ", ".join(values) or "not there"
                what = "no" if line.kind == "contains" else "a"
                raise self._failure(step, f"{line.name} has {what} value {line.value!r}: {shown}", line.line)
            return
        for pattern in values_of(key, [line.value]) or [""]:
            at = counts.get(key, 0)
            counts[key] = at + 1
            if at >= len(values):
                what = "is not there" if not values else f"has only {len(values)} values"
                raise self._failure(step, f"{line.name} {what}; expected {pattern!r}", line.line)
            if not self.names.match_value(key, pattern, values[at]):
                raise self._failure(step, f"{line.name} is {values[at]!r}, expected {pattern!r}", line.line)

    def _compare_like(self, step: Expect, message: Request | Response, line: Line) -> None:
        """``like inv except Via``: the same fields and the same body."""
        other = self._named(line.name, line.line).message
        skipped = {header_key(name) for name in re.split(r"[,\s]+", line.value) if name}
        skipped |= {"max-breadth", "content-length"}

        def fields(one: Any) -> dict[str, list[str]]:
            pairs = (
                one.headers
                if isinstance(one, Draft)
                else [(key, text.partition(":")[2]) for key, text in zip(one.keys, one.lines, strict=True)]
            )
            table: dict[str, list[str]] = {}
            for name, value in pairs:
                key = header_key(name)
                if key not in skipped:
                    table.setdefault(key, []).extend(" ".join(one.split()) for one in values_of(key, [value]))
            return table

        ours, theirs = fields(other), fields(message)
        for key in {**ours, **theirs}:
            if ours.get(key) != theirs.get(key):
                raise self._failure(
                    step,
                    f"{key} was {ours.get(key)}, and is {theirs.get(key)} (expected like {line.name})",
                    line.line,
                )
        if other.body != message.body:
            raise self._failure(step, f"the body differs from that of {line.name}", line.line)


def _shown(what: str) -> str:
    """Return alternatives as far as anybody wants to read them."""
    return what if what.count("|") < 8 else f"one of {what.count('|') + 1} statuses"


def _lacking(data: bytes) -> set[str]:
    """Return which of the fields that every response repeats are not in the request ``data``."""
    draft = _read_draft(data)
    return {name for name in ("From", "To", "Call-ID", "CSeq") if draft.get(name) is None}


def raw_octets(text: str) -> bytes:
    """Return the octets of a raw block (conformance/README.md)."""
    if text.endswith("\n\\") or text == "\\":
        # A lone backslash: the octets end here, in the middle of a message.
        text = text[:-2] + "\n" if len(text) > 1 else ""
    elif text.endswith("\\") and not text.endswith("\\\\"):
        text = text[:-1]
    elif "\n\n" not in text and not re.fullmatch(r"(\\[rn])+", text):
        text += "\n\n"
    return _octets(text)


def _octets(text: str) -> bytes:
    """Return the octets of a raw message: line ends are CRLF, ``\\xNN`` is one octet."""
    if not text:
        return b""
    data = bytearray()
    for part in re.split(r"(\\(?:x[0-9A-Fa-f]{2}|[rn\\]))", text.replace("\n", "\r\n")):
        if re.fullmatch(r"\\x[0-9A-Fa-f]{2}", part):
            data.append(int(part.removeprefix("\\x"), 16))
        else:
            data += _ESCAPES.get(part) or part.encode("utf-8", "surrogateescape")
    return bytes(data)


def _read_draft(data: bytes) -> Draft:
    """Return what can be read of a raw message, to relate its answers to it."""
    message: Message | None
    try:
        message = parse_message(data)
    except RemoteProtocolError as error:
        message = error.message
    if message is None:
        return Draft(data.split(b"\r\n", 1)[0].decode("utf-8", "replace"))
    headers = [(key, message.get_all(key)) for key in dict.fromkeys(message.keys)]
    return Draft(
        message.start_line, [(key, value) for key, values in headers for value in values], message.body
    )
