"""The targets of fuzzing, each a function of octets whose docstring is its contract.

A target returns, or raises: what it raises is a finding.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.targets.credentials import digest
from tests.fuzz.targets.media import relay_reply, sdp
from tests.fuzz.targets.messages import framing, heads, parser
from tests.fuzz.targets.names import dns
from tests.fuzz.targets.price import price
from tests.fuzz.targets.story import stack, story
from tests.fuzz.targets.traces import trace
from tests.fuzz.targets.web import http, websocket

__all__ = ["TARGETS"]

TARGETS: dict[str, Callable[[bytes], None]] = {
    "parser": parser,
    "framing": framing,
    "heads": heads,
    "websocket": websocket,
    "http": http,
    "stack": stack,
    "story": story,
    "price": price,
    "dns": dns,
    "digest": digest,
    "trace": trace,
    "sdp": sdp,
    "relay_reply": relay_reply,
}
