"""Acting out the steps of endpoints that speak MSRP or HTTP (``spoken``): write, send, wait, compare.

Theory of operation: the player fills in what a message needs and the trace does not say, as for SIP. A
message that came is found and timed by the ``Expecter``, and compared here, with the rules that hold for
every message of a relay.
"""

from __future__ import annotations

from typing import Any, cast

from sansip.testing import Received
from sansip_conformance.expecting import Expecter
from sansip_conformance.msrp import MsrpEnd, MsrpMessage, written
from sansip_conformance.octets import body_octets
from sansip_conformance.sending import Sender
from sansip_conformance.spoken import Hear, Say
from sansip_conformance.story import Named, Story, TraceFailedError
from sansip_conformance.trace import Block, Line, Registration
from sansip_conformance.web import WebAnswer, WebClient

__all__ = ["Exchanger"]

Spoken = MsrpMessage | WebAnswer


class Exchanger:
    """Acts out the steps of one story that are no SIP."""

    def __init__(self, story: Story, expecter: Expecter, sender: Sender) -> None:
        self.story = story
        self._expecter = expecter
        self._wallet = sender.wallet
        self._count = 0

    # --- sending

    def say(self, step: Say) -> None:
        """Send the message of ``step``."""
        party = self.story.world.parties[step.source]
        if isinstance(party, WebClient):
            self._ask(step, party)
            return
        assert isinstance(party, MsrpEnd)
        pipe = None
        if step.verb == "raw":
            self._write(party, self._raw(step.block.raw))
            return
        if step.verb == "response":
            message, pipe = self._response(step, party)
        else:
            message = self._request(step, party)
            party.sent[message.transaction] = message
        data = written(message)
        if step.name is not None:
            self.story.name(step.name, Named(cast(Any, message), step.source, None, data))
        self._write(party, data, pipe)

    def _write(self, party: MsrpEnd, data: bytes, pipe: Any = None) -> None:
        self.story.note_sent(party.name, data)
        party.send(data, pipe=pipe)

    def _raw(self, text: str) -> bytes:
        """Return the octets of a block: each line ends with CRLF, and a single backslash ends them."""
        text = self.story.names.expand(text)
        return body_octets(text[:-2] + "\n" if text.endswith("\n\\") else text.removesuffix("\\")) + (
            b"" if text.endswith("\\") else b"\r\n"
        )

    def _ask(self, step: Say, party: WebClient) -> None:
        uri = self.story.names.expand(step.path[0])
        fields, _ = self._fields(step.block)
        # Elements of XML look like names, so names do not stand in bodies of HTTP.
        text = self._body(step)
        body = b"" if text is None else body_octets(text).replace(b"\r\n", b"\n")
        for line in step.block.lines:
            if line.kind == "credentials":
                fields += self._wallet.answer(line, cast(Any, party), step.what, uri, body)
        self.story.note_sent(party.name, party.ask(step.what, uri, fields, body))

    def _body(self, step: Say | Hear) -> str | None:
        """Return the body of ``step`` as it is written: below it, or a text of the setup."""
        if step.text is None:
            return step.block.body
        text = self.story.trace.setup.texts.get(step.text)
        if text is None:
            raise ValueError(f"there is no `text {step.text}` in the setup")
        return text

    def _fields(self, block: Block) -> tuple[list[tuple[str, str]], set[str]]:
        """Return the header fields that ``block`` gives, and the names of those that it leaves out."""
        fields = []
        without = set()
        for one in block.lines:
            if one.kind == "header":
                fields.append((one.name, self.story.names.expand(one.value)))
            elif one.kind == "absent":
                without.add(one.name.lower())
            elif one.kind not in ("comment", "credentials"):
                raise TraceFailedError(one.line, f"`{one.kind}` is for expectations")
        return fields, without

    def _request(self, step: Say, party: MsrpEnd) -> MsrpMessage:
        """Return a request: the paths first, Content-Type last (RFC 4975 7.1)."""
        self._count += 1
        given, without = self._fields(step.block)
        text = self._body(step)
        body = None if text is None else body_octets(self.story.names.expand(text))
        defaults = [("To-Path", self._path(step, party)), ("From-Path", party.values["uri"])]
        if step.what == "SEND":
            defaults.append(("Message-ID", f"m{self._count}"))
            if body is not None:
                defaults += [("Byte-Range", f"1-{len(body)}/{len(body)}"), ("Content-Type", "text/plain")]
        elif step.what == "REPORT" and not step.path:
            asked = self._asked(step, party)
            defaults.append(("Message-ID", asked.get("message-id") or ""))
            if (place := asked.get("byte-range")) is not None:
                defaults.append(("Byte-Range", place))
            defaults.append(("Status", "000 200 OK"))
        known = {name.lower() for name, _ in given} | without
        fields = [one for one in defaults if one[0].lower() not in known] + given
        for line in step.block.lines:
            if line.kind == "credentials":
                # RFC 4976 9.1: A2 is of the rightmost URI.
                uri = defaults[0][1].split(" ")[-1]
                fields += self._wallet.answer(line, party, step.what, uri, b"")
        order = {"to-path": 0, "from-path": 1, "content-type": 3}
        fields.sort(key=lambda one: order.get(one[0].lower(), 2))
        transaction = f"{party.name[:8]}{self._count:04d}"
        return MsrpMessage(transaction, step.what, fields=fields, body=body, flag=step.flag)

    def _path(self, step: Say, party: MsrpEnd) -> str:
        if step.toward is not None:
            other = self.story.world.parties.get(step.toward)
            if not isinstance(other, MsrpEnd) or not {"path"} <= party.values.keys() & other.values.keys():
                raise ValueError(f"{party.name} and {step.toward} need URIs for `to`: register them")
            return f"{party.values['path']} {other.values['path']} {other.values['uri']}"
        if step.path:
            return self.story.names.expand(" ".join(step.path))
        if step.what == "REPORT":
            return self._asked(step, party).get("from-path") or ""
        raise ValueError(f"{step.what} needs a path: `{step.what} <alice.path> <bob.uri>`, or `to bob`")

    def _came(self, step: Say, party: MsrpEnd) -> Received:
        came = party.last if step.to is None else self.story.get(step.to, step.line).received
        if came is None:
            raise ValueError(f"{party.name} has received no request to answer; expect one first")
        return came

    def _asked(self, step: Say, party: MsrpEnd) -> MsrpMessage:
        """Return the SEND that a REPORT is about."""
        return cast(MsrpMessage, self._came(step, party).message)

    def _response(self, step: Say, party: MsrpEnd) -> tuple[MsrpMessage, Any]:
        """Return the response to a request, and the connection that it came over (RFC 4975 7.2)."""
        if step.to is None and party.partial is not None:
            asked, pipe = party.partial, None
        else:
            came = self._came(step, party)
            asked, pipe = cast(MsrpMessage, came.message), came.pipe
        back = asked.path("from-path")
        to = back[0] if asked.method == "SEND" else " ".join(back)
        fields = [("To-Path", to), ("From-Path", asked.path("to-path")[0])]
        given, without = self._fields(step.block)
        known = {name.lower() for name, _ in given} | without
        fields = [one for one in fields if one[0].lower() not in known] + given
        order = {"to-path": 0, "from-path": 1}
        fields.sort(key=lambda one: order.get(one[0].lower(), 2))
        reason = self.story.names.expand(step.reason or "")
        return MsrpMessage(asked.transaction, "", int(step.what), reason, fields, flag=step.flag), pipe

    # --- expecting

    def hear(self, step: Hear) -> None:
        """Wait for the message that ``step`` expects, and compare it."""
        party = self.story.world.parties[step.endpoint]
        if not step.flag:
            self._hear_part(step, cast(MsrpEnd, party))
            return
        came = self._expecter.arrived(step, lambda one: _fits(one.message, step.what))
        if came is None:
            return
        message = cast(Spoken, came.message)
        if isinstance(message, MsrpMessage):
            self._check_always(step, cast(MsrpEnd, party), message)
        self._compare(step, message)
        if step.name is not None:
            self.story.name(step.name, Named(cast(Any, message), step.endpoint, came, came.data))

    def _hear_part(self, step: Hear, party: MsrpEnd) -> None:
        """Wait for a request whose end has not come yet."""
        self.story.world.run(self.story.world.patience, lambda: party.partial is not None)
        message = party.partial
        if message is None or message.what != step.what:
            seen = self._expecter.seen(party)
            raise self.story.failure(step, f"{party.name} expected {step.what} unfinished; {seen}")
        self._compare(step, message)
        if step.name is not None:
            self.story.name(step.name, Named(cast(Any, message), step.endpoint))

    def _check_always(self, step: Hear, party: MsrpEnd, message: MsrpMessage) -> None:
        """The rules that hold for every message of a relay, in any trace."""
        failure = self.story.failure
        names = [name.lower() for name, _ in message.fields]
        if names[:2] != ["to-path", "from-path"]:
            raise failure(step, f"{message.what} begins with {names[:2]} (RFC 4975 7.1, 7.2)")
        if message.body is not None and names[-1] != "content-type":
            raise failure(step, f"{message.what} has a body, and Content-Type is not the last (7.1)")
        if message.flag != step.flag:
            raise failure(step, f"the end-line has {message.flag!r}, expected {step.flag!r}")
        if message.method:
            # RFC 4976 6.4: it comes to the first URI of its path, unless the trace says which one that is.
            told = any(line.name.lower() == "to-path" for line in step.block.lines)
            if not told and message.path("to-path") != [party.values["uri"]]:
                raise failure(step, f"To-Path is {message.get('to-path')!r}")
            return
        asked = party.sent.get(message.transaction)
        if asked is None:
            raise failure(step, f"{message.status} has a transaction that {party.name} has not begun (7.2)")
        if message.get("from-path") != asked.path("to-path")[0] and asked.method == "SEND":
            raise failure(step, f"{message.status} has From-Path {message.get('from-path')!r} (7.2)")
        # RFC 4975 7.2: a response to SEND goes to the previous hop, to another request the whole way back.
        back = asked.path("from-path")
        if message.path("to-path") != (back[:1] if asked.method == "SEND" else back):
            raise failure(step, f"{message.status} has To-Path {message.get('to-path')!r} (7.2)")

    def _compare(self, step: Hear, message: Spoken) -> None:
        story = self.story
        counts: dict[str, int] = {}
        for line in step.block.lines:
            if line.kind == "comment":
                continue
            values = message.get_all(line.name)
            shown = ", ".join(values) or "not there"
            if line.kind == "absent":
                wrong = bool(values)
            elif line.kind in ("contains", "lacks"):
                found = any(story.names.match(f"<*>{line.value}<*>", one) for one in values)
                wrong = found != (line.kind == "contains")
            elif line.kind == "count":
                wrong = len(values) != int(line.value)
            elif line.kind == "header":
                at = counts[line.name.lower()] = counts.get(line.name.lower(), -1) + 1
                wrong = at >= len(values) or not story.names.match(line.value, values[at])
            else:
                raise story.failure(step, f"`{line.kind}` is not for MSRP and HTTP", line.line)
            if wrong:
                raise story.failure(step, f"{line.name} is {shown}; expected {_written(line)}", line.line)
        wanted = self._body(step)
        if wanted is None:
            return
        body = (message.body or b"").decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        is_xml = isinstance(message, WebAnswer)
        found = _like(wanted, body) if is_xml else story.names.match(wanted, body)
        if not found:
            raise story.failure(step, f"the body is {body!r}")

    # --- setup

    def register(self, one: Registration) -> None:
        """``register alice``: she gets a URI of the relay before the trace begins (RFC 4976 5.1)."""
        story = self.story
        party = story.world.parties[one.endpoint]
        user = next((user for user in story.trace.setup.users if user.name == one.endpoint), None)
        if not isinstance(party, MsrpEnd) or user is None:
            raise TraceFailedError(one.line, f"setup: {one.endpoint} needs `user {one.endpoint} PASSWORD`")
        host = story.trace.setup.modules.get("msrp", {}).get("host", "")
        block = Block([Line("header", name, value, one.line) for name, value in one.headers])
        for status in ("401", "200"):
            self.say(
                Say(one.line, source=one.endpoint, what="AUTH", path=[f"msrps://{host};tcp"], block=block)
            )
            came = self._expecter.find(
                party, status, story.world.patience, right=lambda came: _fits(came.message, "401|200")
            )
            if came is None or cast(Spoken, came.message).what != status:
                seen = self._expecter.seen(party)
                raise TraceFailedError(one.line, f"setup: {one.endpoint} got no URI of the relay: {seen}")
            self._expecter.take(party, came)
            path = cast(MsrpMessage, came.message).get("use-path")
            if path is not None:
                party.values["path"] = path
            credentials = Line("credentials", user.name, user.password, one.line)
            block = Block([*block.lines, credentials])


def _fits(message: object, what: str) -> bool:
    """Whether a message is what ``what`` names: ``SEND``, ``409``, ``4xx``, ``401|403``."""
    if not isinstance(message, MsrpMessage | WebAnswer):
        return False
    have = message.what
    return any(one == have or (one[1:] == "xx" and one[0] == have[0]) for one in what.split("|"))


def _like(pattern: str, text: str) -> bool:
    """Whether ``text`` is ``pattern``, in which ``<*>`` is any text."""
    at = 0
    first, *parts = pattern.split("<*>")
    if not parts:
        return text.rstrip("\n") == pattern.rstrip("\n")
    if not text.startswith(first):
        return False
    at = len(first)
    *inner, last = parts
    for part in inner:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.rstrip("\n").endswith(last) and len(text) - len(last) >= at


def _written(line: Line) -> str:
    """Return what an expectation asks, for reports."""
    signs = {"absent": "none", "contains": "~ ", "lacks": "!~ ", "count": "as many as "}
    return f"{signs.get(line.kind, '')}{line.value}"
