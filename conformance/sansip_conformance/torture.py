"""RFC 4475 and RFC 5118 as traces, made from their verdict tables.

Theory of operation: ``data/rfc4475/table.json`` lists for each message the statuses that conform.
A trace sends the message as it is, and then an OPTIONS from another endpoint, which the server
must answer after any message. If the server would answer the archive's copy at another port,
there is a second copy with ``rport``, which can be played anywhere.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from sansip_conformance.trace import EndpointSetup, Expect, ExpectNothing, Send, Setup, Step, Trace

__all__ = ["torture_traces"]

# Every status that some RFC defines for a final response to an initial request.
_FINAL = (
    200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 412, 413, 414,
    415, 416, 417, 420, 421, 422, 423, 428, 429, 430, 436, 437, 438, 439, 440, 469, 470, 478, 480, 481, 482,
    483, 484, 485, 486, 487, 488, 489, 491, 493, 494, 500, 501, 502, 503, 504, 505, 513, 580, 600, 603, 604,
    606,
)  # fmt: skip


def torture_traces() -> list[Trace]:
    """Return a trace for each message of the two RFCs, and one for each copy with ``rport``."""
    return [*_traces("rfc4475", "RFC 4475"), *_traces("rfc5118", "RFC 5118")]


@cache
def _table(folder: str) -> list[dict[str, Any]]:
    text = _data(folder, "table.json").decode("utf-8")
    return json.loads(text)["messages"]  # type: ignore[no-any-return]  # Any by design


def _data(folder: str, name: str) -> bytes:
    return resources.files("sansip_conformance").joinpath("data", folder, *name.split("/")).read_bytes()


def _traces(folder: str, rfc: str) -> list[Trace]:
    traces = []
    for entry in _table(folder):
        file = entry.get("file_cl_fixed") or entry["file"]
        traces.append(_trace(folder, rfc, entry, file, ""))
        name = file.rpartition("/")[2]
        copies = resources.files("sansip_conformance").joinpath("data", folder, "messages_rport", name)
        if copies.is_file():
            traces.append(_trace(folder, rfc, entry, f"messages_rport/{name}", "-rport"))
    return traces


def _trace(folder: str, rfc: str, entry: dict[str, Any], file: str, suffix: str) -> Trace:
    message = _data(folder, file)
    suite = f"{folder}-torture"
    title = entry.get("title") or entry["name"].replace("-", " ")
    sections = (f"{rfc} {entry['section']}",)
    trace = Trace(entry["name"] + suffix, title, suite, f"data/{folder}/{file}", 1, sections)
    # RFC 4475 says "should" of most refusals; a server must accept the messages to accept.
    trace.level = "MUST" if entry["parse"] == "must-accept" else "SHOULD"
    trace.loose = True
    trace.setup = Setup(domains=["example.com"])
    endpoints = trace.setup.endpoints
    endpoints["sender"] = EndpointSetup("sender", ["udp"])
    answered_at = "sender"
    port = 5060 if suffix else _via_port(message)
    if port != 5060:
        # RFC 3261 18.2.2: the answer goes to the source address, at the sent-by port.
        answered_at = "elsewhere"
        endpoints["elsewhere"] = EndpointSetup("elsewhere", ["udp"], f"192.0.2.11:{port}")
    endpoints["other"] = EndpointSetup("other", ["udp"])
    steps: list[Step] = [Send(1, source="sender", verb="raw", file=f"{folder}/{file}")]
    expected = entry.get("expect_response") or "yes"
    if expected == "no":
        steps.append(ExpectNothing(1, endpoints=["sender"], duration=0.2))
    else:
        allowed = entry["udp_accept_status"] or [
            status for status in _FINAL if status not in (entry["udp_must_not_status"] or [])
        ]
        steps.append(
            Expect(
                1,
                endpoint=answered_at,
                what="|".join(map(str, allowed)),
                # Silence conforms if the RFC says "should"; a wrong status never does.
                or_nothing=expected == "should",
            )
        )
    steps.append(Send(1, source="other", what="OPTIONS", uri="sip:example.com"))
    steps.append(Expect(1, endpoint="other", what="200"))
    trace.steps = steps
    return trace


def _via_port(message: bytes) -> int:
    """Return the port that an answer goes to: that of the top Via's sent-by, or 5060."""
    match = re.search(rb"^(?:via|v)\s*:\s*([^\r\n;,]*)", message, re.IGNORECASE | re.MULTILINE)
    if match is None or re.search(rb"^(?:via|v)[^\r\n,]*;\s*rport", message, re.IGNORECASE | re.MULTILINE):
        return 5060
    port = re.search(rb":\s*(\d{1,5})\s*$", match[1].strip())
    # An unbracketed colon can be part of an IPv6 address.
    if port is None or (match[1].count(b":") > 1 and b"]" not in match[1]):
        return 5060
    return int(port[1])
