"""Steps of endpoints that speak MSRP or HTTP: what stands after the arrow, as values.

Theory of operation: an endpoint of one of ``PROTOCOLS`` has steps of its own, ``Say`` and ``Hear``. They are
steps of the usual kinds with a few words more, so times, names and reports work as in all traces.
``exchanging`` acts them out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sansip_conformance.directives import number_of
from sansip_conformance.lines import Lines
from sansip_conformance.trace import HTTP, MSRP, Expect, Send, Trace

__all__ = ["Hear", "Say", "kind_of", "read_hear", "read_say"]

_METHOD = re.compile(r"[A-Z]+")
_STATUS = re.compile(r"[1-6](?:\d\d|xx)(?:\|[1-6](?:\d\d|xx))*")
_NAME = re.compile(r"[A-Za-z][\w-]*")
# RFC 4975 7.1: the flag of the end-line; without it there is none yet.
_FLAGS = {"complete": "$", "continued": "+", "aborted": "#", "unfinished": ""}


@dataclass(slots=True)
class Say(Send):
    """``alice > proxy SEND …``. ``verb`` is "request", "response" or "raw".

    Attributes:
        path: the URIs after the method; one, the path of a resource, for HTTP.
        toward: the endpoint after ``to`` in ``SEND to bob``: the path leads there.
        flag: of the end-line (RFC 4975 7.1); "" where the message is left unfinished.
        text: the name of the text that is the body.
    """

    path: list[str] = field(default_factory=list)
    toward: str | None = None
    flag: str = "$"
    text: str | None = None


@dataclass(slots=True)
class Hear(Expect):
    """``proxy > bob expect SEND …``. ``flag`` and ``text`` as above."""

    flag: str = "$"
    text: str | None = None


def kind_of(trace: Trace, name: str) -> str:
    """Return "msrp" or "http" where ``name`` speaks that, and "" for SIP."""
    setup = trace.setup.endpoints.get(name)
    first = "" if setup is None else setup.transports[0]
    return "msrp" if first in MSRP else "http" if first == HTTP else ""


def read_say(lines: Lines, kind: str, source: str, rest: str) -> Say:
    """Read what an endpoint sends, and the block below. Raises TraceSyntaxError."""
    step = Say(lines.at, source=source)
    words = rest.split()
    first = words.pop(0) if words else ""
    if first == "raw" and kind == "msrp":
        step.verb = "raw"
    elif _METHOD.fullmatch(first):
        step.what = first
        while words and (words[0].startswith("/") or "<" in words[0] or "://" in words[0]):
            step.path.append(words.pop(0))
        if kind == "http" and len(step.path) != 1:
            raise lines.fail(f"write the path after {first}, as in `{source} > proxy GET /xcap-root/…`")
    elif re.fullmatch(r"\d{3}", first) and kind == "msrp":
        step.verb, step.what = "response", first
        reason = []
        while words and words[0] not in ("to", "as", *_FLAGS):
            reason.append(words.pop(0))
        step.reason = " ".join(reason) or None
    else:
        raise lines.fail(f"cannot send `{first}`; write a METHOD, or for MSRP a status or raw")
    while words:
        word = words.pop(0)
        if word in _FLAGS and kind == "msrp":
            step.flag = _FLAGS[word]
        elif word == "to" and words and step.verb == "request" and kind == "msrp":
            step.toward = words.pop(0)
        elif word in ("to", "of") and words:
            step.to = words.pop(0)
        else:
            step.name, step.text = _common(lines, word, words, step.name, step.text)
    step.block = lines.block(raw=step.verb == "raw")
    return step


def read_hear(lines: Lines, kind: str, endpoint: str, what: str, words: list[str]) -> Hear:
    """Read what is expected after ``expect``, and the block below. Raises TraceSyntaxError."""
    step = Hear(lines.at, endpoint=endpoint, what=what)
    if not (_STATUS.fullmatch(what) or (kind == "msrp" and _METHOD.fullmatch(what))):
        raise lines.fail(f"`expect {what}`: expected a status like 409 or 4xx, close, or a METHOD of MSRP")
    while words:
        word = words.pop(0)
        if word in _FLAGS and kind == "msrp":
            step.flag = _FLAGS[word]
        elif word == "within" and words:
            step.within = number_of(lines, words.pop(0))
        else:
            step.name, step.text = _common(lines, word, words, step.name, step.text)
    step.block = lines.block()
    return step


def _common(
    lines: Lines, word: str, words: list[str], name: str | None, text: str | None
) -> tuple[str | None, str | None]:
    """Read ``as NAME`` and ``with TEXT``."""
    if word in ("as", "with") and words:
        given = words.pop(0)
        if not _NAME.fullmatch(given):
            raise lines.fail(f"`{given}` cannot be a name; use letters, digits and -")
        return (given, text) if word == "as" else (name, given)
    raise lines.fail(
        f"`{word}` unknown; expected as NAME, with TEXT, and for MSRP continued, aborted, unfinished, to BOB"
    )
