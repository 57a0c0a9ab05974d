"""The cost of keepalives to registered phones, and how evenly they leave.

    python -m benchmarks.keepalive [--phones 100000] [--interval 30] [--seconds 60]

Theory of operation: a server of its own (``sansip serve``) gets that many
registrations over UDP from one socket, all from behind a NAT; the socket answers
every OPTIONS, as the phones would. For each method, the figure is the processor time of the
server while it does nothing else, divided by the keepalives that it sent. The table also shows
how many left in the fullest and the emptiest tenth of a second.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tools.cpu import cpu_seconds
from tools.peers import free_port, sansip_serve

HOST, PHONES, DOMAIN = "127.35.9.1", "127.35.9.2", "bench.test"
REGISTER = (
    "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{number};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:u{number}@{domain}>;tag=1\r\nTo: <sip:u{number}@{domain}>\r\n"
    "Call-ID: {number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:u{number}@10.0.0.9:5060>\r\nExpires: 7200\r\n"
    "Content-Length: 0\r\n\r\n"
)


def register(phones: socket.socket, server: tuple[str, int], count: int) -> None:
    """Register them all, a hundred on their way at a time; keepalives meanwhile are not answered."""
    asked = answered = 0
    while answered < count:
        while asked < count and asked - answered < 100:
            phones.sendto(REGISTER.format(domain=DOMAIN, number=asked).encode(), server)
            asked += 1
        answered += phones.recv(4096).startswith(b"SIP/2.0 200")


def answer(phones: socket.socket, server: tuple[str, int], seconds: float) -> list[float]:
    """Answer all messages for ``seconds``; return the time of each keepalive."""
    times: list[float] = []
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        try:
            data = phones.recv(4096)
        except TimeoutError:
            continue
        times.append(now)
        if data.startswith(b"OPTIONS"):
            head = data.partition(b"Max-Forwards")
            fields = head[2].partition(b"\r\n")[2]
            phones.sendto(b"SIP/2.0 200 OK\r\n" + head[0].partition(b"\r\n")[2] + fields, server)
    return times


def measure(method: str, count: int, interval: int, seconds: float) -> str:
    """Return one row of the table."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = directory / "sansip.toml"
        config.write_text(
            f"[keepalive]\ninterval = {interval}\nmethod = '{method}'\n"
            "[limits]\nsource_rate = 0\n[log]\nlevel = 'error'\n"
        )
        server = (HOST, free_port())
        listeners = [f"udp:{HOST}:{server[1]}"]
        program = stack.enter_context(sansip_serve(directory, listeners, [DOMAIN], ["--config", str(config)]))
        phones = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        phones.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        phones.bind((PHONES, 0))
        phones.settimeout(5.0)
        register(phones, server, count)
        # First a whole round: by then the remains of the registrations are gone.
        answer(phones, server, max(interval, 33.0))
        before = cpu_seconds(program.pid)
        times = answer(phones, server, seconds)
        spent = cpu_seconds(program.pid) - before
    tenths = Counter(int((when - times[0]) * 10) for when in times)
    whole = [tenths[number] for number in range(int(seconds * 10) - 1)]
    each = 1e6 * spent / len(times)
    return (
        f"{method:>8} {len(times) / seconds:>10.0f} {each:>8.1f} {100 * spent / seconds:>8.1f} "
        f"{min(whole):>8} {max(whole):>8} {count / interval / 10:>8.0f}"
    )


def main() -> None:
    """Measure each method and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--interval", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(f"{given.phones} phones behind NATs, a keepalive every {given.interval} s")
    print("  method  sent 1/s  µs each  % of core  in 0.1 s: least, most, even share")
    for method in ("options", "crlf", "zero"):
        print(measure(method, given.phones, given.interval, given.seconds), flush=True)


if __name__ == "__main__":
    main()
