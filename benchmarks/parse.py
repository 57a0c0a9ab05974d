"""Microseconds per message: parsing, and parsing plus reading what routing needs.

Theory of operation: for an INVITE of about 900 octets and a REGISTER of about 460, ``parse`` is
``parse_message`` alone; ``route`` also reads the Request-URI's user and host, the top Via branch, the From
tag, the To URI, the Call-ID, the CSeq and the Contact URI. A few thousand distinct messages take turns, so
that the parser cannot remember one until it comes again. The figure is the best hundred in a row: other work
of the machine can only add to it. ``floor`` is a dict of lines made by ``str.split``, as a measure of the
machine.

    python benchmarks/parse.py [--json] [--messages N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from sansip.wire import parse_message
from sansip.wire import reader as reader_module

TARGETS = {"invite route": 15.0, "register route": 12.0}

_SDP = (
    "v=0\r\no=alice {n} {n} IN IP4 client.atlanta.example.com\r\ns=-\r\n"
    "c=IN IP4 192.0.2.101\r\nt=0 0\r\nm=audio 49172 RTP/AVP 0 8 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
_INVITE = (
    "INVITE sip:bob{n}@biloxi.example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf{n};rport\r\n"
    "Max-Forwards: 70\r\n"
    'From: "Alice Anders" <sip:alice{n}@atlanta.example.com>;tag=9fxced76sl{n}\r\n'
    'To: "Bob Brown" <sip:bob{n}@biloxi.example.com>\r\n'
    "Call-ID: 3848276298220188511-{n}@atlanta.example.com\r\n"
    "CSeq: {c} INVITE\r\n"
    "Contact: <sip:alice{n}@client.atlanta.example.com:5060;transport=udp>\r\n"
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER\r\n"
    "Supported: replaces, timer, 100rel, norefersub\r\n"
    "User-Agent: ExamplePhone/4.2.1 (build 7)\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: {length}\r\n\r\n"
)
_REGISTER = (
    "REGISTER sip:biloxi{n}.example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.{h}:5060;branch=z9hG4bK-524287-1---{n};rport\r\n"
    "Max-Forwards: 70\r\n"
    "To: <sip:bob{n}@biloxi.example.com>\r\n"
    "From: <sip:bob{n}@biloxi.example.com>;tag=a73kszlfl{n}\r\n"
    "Call-ID: 843817637684230-{n}@192.0.2.{h}\r\n"
    "CSeq: {c} REGISTER\r\n"
    "Contact: <sip:bob{n}@192.0.2.{h}:5060>\r\n"
    "Expires: 7200\r\n"
    "User-Agent: ExamplePhone/4.2.1 (build 7)\r\n"
    "Allow: INVITE, ACK, CANCEL, BYE\r\n"
    "Content-Length: 0\r\n\r\n"
)


def make_messages(count: int) -> dict[str, list[bytes]]:
    """Return ``count`` distinct INVITEs and REGISTERs."""
    invites, registers = [], []
    for n in range(10_000, 10_000 + count):
        body = _SDP.format(n=n * 31)
        invites.append((_INVITE.format(n=n, c=n % 900 + 1, length=len(body)) + body).encode())
        registers.append(_REGISTER.format(n=n, c=n % 900 + 1, h=n % 250 + 1).encode())
    return {"invite": invites, "register": registers}


def floor(data: bytes) -> None:
    """Do the least that anyone calls parsing: one dict of stripped values, later lines over earlier ones."""
    head, _, _ = data.decode().partition("\r\n\r\n")
    headers = {}
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()


def parse_only(data: bytes) -> None:
    """Parse and forget."""
    parse_message(data)


def parse_and_route(data: bytes) -> None:
    """Parse, and read the fields that a proxy or registrar reads of every request."""
    message: Any = parse_message(data)
    uri = message.uri
    _ = uri.user
    _ = uri.host
    _ = message.via.branch
    _ = message.from_tag
    _ = message.to.uri
    _ = message.call_id
    _ = message.cseq
    _ = message.contacts[0].uri


def measure(work: Callable[[bytes], None], messages: list[bytes], rounds: int) -> float:
    """Return microseconds per message: the best hundred messages of all rounds."""
    best = float("inf")
    for _ in range(rounds):
        for at in range(0, len(messages) - 99, 100):
            batch = messages[at : at + 100]
            begin = perf_counter()
            for data in batch:
                work(data)
            best = min(best, perf_counter() - begin)
    return best / 100 * 1e6


def main() -> int:
    """Print the figures; the exit status is always 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--messages", type=int, default=4000, help="distinct messages in rotation")
    parser.add_argument("--rounds", type=int, default=8, help="rounds, of which the best counts")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for name, messages in make_messages(options.messages).items():
        sizes[name] = sum(map(len, messages)) / len(messages)
        figures[f"{name} floor"] = measure(floor, messages, options.rounds)
        figures[f"{name} parse"] = measure(parse_only, messages, options.rounds)
        figures[f"{name} route"] = measure(parse_and_route, messages, options.rounds)
    compiled = not str(reader_module.__file__).endswith(".py")
    if options.json:
        report = {
            "python": platform.python_version(),
            "compiled": compiled,
            "octets": sizes,
            "microseconds": figures,
            "targets": TARGETS,
        }
        print(json.dumps(report, indent=2))
        return 0
    print(f"Python {platform.python_version()}, {'compiled' if compiled else 'interpreted'}")
    for name, value in figures.items():
        target = TARGETS.get(name)
        print(
            f"{name:16}{sizes[name.split()[0]]:6.0f} octets {value:7.2f} µs"
            + (f"   target {target:.0f}" if target else "")
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
