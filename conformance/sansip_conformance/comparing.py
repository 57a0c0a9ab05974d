"""Compares a message that came with the trace, and with the rules that always hold."""

from __future__ import annotations

import re
from typing import Any

from sansip.testing import Draft
from sansip.wire import Request, Response, header_key
from sansip_conformance.names import params_of, values_of
from sansip_conformance.octets import read_draft
from sansip_conformance.story import Story
from sansip_conformance.trace import Expect, Line
from sansip_conformance.world import Party

__all__ = ["asked_for", "check_always", "compare"]


def asked_for(story: Story, party: Party, message: Request | Response) -> bool:
    """Whether a malformed response repeats what its request lacked (8.2.6.2)."""
    if isinstance(message, Request):
        return False
    needed = ("From", "To", "Call-ID", "CSeq")
    missing = {name for name in needed if message.get(name) is None}
    if not missing:
        return True
    return any(
        is_sent and name == party.name and missing & _lacking(data)
        for _, name, is_sent, data in story.timeline
    )


def check_always(story: Story, step: Expect, party: Party, message: Request | Response) -> None:
    """The rules that hold for every message of a server, in any trace."""
    if isinstance(message, Request):
        # RFC 3261 16.6 step 8 and 8.1.1.7
        if not (message.via.branch or "").startswith("z9hG4bK"):
            raise story.failure(step, f"the top Via of {message.method} has no branch with the magic cookie")
        if not message.has("Max-Forwards"):
            raise story.failure(step, f"{message.method} has no Max-Forwards (RFC 3261 16.6 step 3)")
        return
    request = party.agent.request_of(message)
    if request is None or message.get("to") is None:
        return
    # RFC 3261 8.2.6.2: the fields that a response repeats from its request.
    for name in ("From", "Call-ID", "CSeq"):
        sent, got = " ".join((request.get(name) or "").split()), message.get(name)
        if got is not None and sent and " ".join(got.split()) != sent:
            raise story.failure(
                step, f"{message.status} has {name} {got!r}, the request had {sent!r} (8.2.6.2)"
            )
    sent_vias = values_of("via", request.get_all("Via"))
    vias = len(message.values("via"))
    if vias != len(sent_vias):
        raise story.failure(step, f"{message.status} has {vias} Via values, not {len(sent_vias)} (8.2.6.2)")
    to_sent, to_got = params_of(request.get("To") or ""), params_of(message.get("To") or "")
    if to_sent[0] != to_got[0]:
        raise story.failure(
            step, f"{message.status} has To {to_got[0]!r}, the request {to_sent[0]!r} (8.2.6.2)"
        )
    if message.status > 100 and message.to_tag is None:
        raise story.failure(step, f"{message.status} has no To tag (8.2.6.2)")


def compare(story: Story, step: Expect, message: Request | Response) -> None:
    """Compare a message with ``step``. Raises TraceFailedError."""
    if (
        step.uri is not None
        and isinstance(message, Request)
        and not story.names.match(step.uri, message.uri_text)
    ):
        raise story.failure(step, f"Request-URI {message.uri_text!r}, expected {step.uri!r}")
    counts: dict[str, int] = {}
    for line in step.block.lines:
        _compare_line(story, step, message, line, counts)
    if step.block.body is not None:
        body = message.body.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        if not story.names.match(step.block.body.rstrip("\n"), body.rstrip("\n")):
            raise story.failure(step, f"the body is {body!r}")


def _compare_line(
    story: Story, step: Expect, message: Request | Response, line: Line, counts: dict[str, int]
) -> None:
    if line.kind in ("comment", "start", "credentials"):
        return
    if line.kind == "like":
        _compare_like(story, step, message, line)
        return
    key = header_key(line.name)
    values = values_of(key, message.get_all(key))
    if line.kind == "absent":
        if values:
            raise story.failure(step, f"{line.name} is there: {values[0]!r}", line.line)
        return
    if line.kind == "count":
        if len(values) != int(line.value):
            raise story.failure(step, f"{len(values)} {line.name} values, expected {line.value}", line.line)
        return
    if line.kind in ("contains", "lacks"):
        found = any(story.names.match_value(key, line.value, value) for value in values)
        if found != (line.kind == "contains"):
            shown = ", ".join(values) or "not there"
            what = "no" if line.kind == "contains" else "a"
            raise story.failure(step, f"{line.name} has {what} value {line.value!r}: {shown}", line.line)
        return
    for pattern in values_of(key, [line.value]) or [""]:
        at = counts.get(key, 0)
        counts[key] = at + 1
        if at >= len(values):
            what = "is not there" if not values else f"has only {len(values)} values"
            raise story.failure(step, f"{line.name} {what}; expected {pattern!r}", line.line)
        if not story.names.match_value(key, pattern, values[at]):
            raise story.failure(step, f"{line.name} is {values[at]!r}, expected {pattern!r}", line.line)


def _compare_like(story: Story, step: Expect, message: Request | Response, line: Line) -> None:
    """``like inv except Via``: the same fields and the same body."""
    other = story.get(line.name, line.line).message
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
            raise story.failure(
                step,
                f"{key} was {ours.get(key)}, and is {theirs.get(key)} (expected like {line.name})",
                line.line,
            )
    if other.body != message.body:
        raise story.failure(step, f"the body differs from that of {line.name}", line.line)


def _lacking(data: bytes) -> set[str]:
    """Return which of the fields that every response repeats are not in the request ``data``."""
    draft = read_draft(data)
    return {name for name in ("From", "To", "Call-ID", "CSeq") if draft.get(name) is None}
