"""An honest client beside an attack: an OPTIONS every 20 ms over UDP, and how long each waited.

    python -m tests.interop.prober HOST PORT

Theory of operation: a process of its own, so that an attacker's interpreter lock is not taken for a stall of
the server. A request is never sent again: one that has no answer two seconds after the last was sent is
lost. SIGTERM ends it; then it prints ``{"sent": …, "lost": …, "worst": …, "median": …}``, times in seconds.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import statistics
import sys
import time

INTERVAL = 0.02
# Seconds after the last request in which answers count still.
GRACE = 2.0


def main(host: str, port: int) -> None:
    """Ask until SIGTERM, then print the result."""
    asked: dict[bytes, float] = {}
    waits: list[float] = []
    ended: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(time.monotonic()))
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        own = "{}:{}".format(*sock.getsockname()[:2])
        number, due = 0, time.monotonic()
        _say("probing")
        while not ended or (asked and time.monotonic() < ended[0] + GRACE):
            now = time.monotonic()
            if now >= due and not ended:
                number += 1
                mark = f"probe-{number}"
                asked[mark.encode()] = now
                # Where the server is silent the send buffer may fill: that request counts as lost.
                with contextlib.suppress(OSError):
                    sock.send(_options(host, port, own, mark))
                due = max(due + INTERVAL, now)
            sock.settimeout(max(0.001, due - time.monotonic()) if not ended else 0.05)
            try:
                answer = sock.recv(65_535)
            except OSError:
                continue
            now = time.monotonic()
            call_id = answer.partition(b"Call-ID: ")[2].partition(b"\r\n")[0]
            begun = asked.pop(call_id, None)
            if begun is not None:
                waits.append(now - begun)
    worst, median = max(waits, default=0.0), statistics.median(waits) if waits else 0.0
    _say(json.dumps({"sent": number, "lost": len(asked), "worst": worst, "median": median}))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options(host: str, port: int, own: str, mark: str) -> bytes:
    shown = f"[{host}]" if ":" in host else host
    return (
        f"OPTIONS sip:{shown}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{mark};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:honest@client.example>;tag=1\r\nTo: <sip:{shown}:{port}>\r\n"
        f"Call-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
