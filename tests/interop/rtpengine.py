"""Debian's rtpengine in user space, on loopback, and a wire tap that counts what really passes.

Theory of operation: ``Rtpengine`` is the daemon without its kernel module (``--table=-1``), with ports and a
name of its own. ``Wiretap`` reads every packet of the loopback interface (a packet socket), so RTP is counted
where it arrives, whatever the programs at the ends say of themselves.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from sansip.modules.media import bencode
from tools.peers import Program, free_port

__all__ = ["Rtpengine", "Wiretap", "rtp"]

# Ports of RTP of the relays, a range for each: above those of SIP, below those that the system and baresip
# choose, and others in each worker of xdist.
_SIZE = 400
_FIRST = 10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4 * 6 * _SIZE
_RANGES = itertools.cycle(range(_FIRST, _FIRST + 6 * _SIZE, _SIZE))


class Rtpengine(Program):
    """A relay. ``ng`` is where it takes commands, ``uri`` how the configuration names it."""

    def __init__(
        self,
        directory: Path,
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        websocket: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self.first = next(_RANGES)
        self.ng = ("127.0.0.1", free_port())
        self.uri = f"ng:127.0.0.1:{self.ng[1]}"
        command = [
            "rtpengine",
            "--config-file=none",
            "--table=-1",
            "--foreground",
            "--log-stderr",
            "--log-level=5",
        ]
        command += [f"--interface={one}" for one in addresses]
        command += [f"--port-min={self.first}", f"--port-max={self.first + _SIZE - 1}", "--delete-delay=0"]
        command += [
            f"--listen-cli=127.0.0.1:{free_port()}",
            f"--listen-ng={self.ng[0]}:{self.ng[1]}",
            f"--recording-dir={directory}",
            *options,
        ]
        if websocket:
            port = free_port()
            command.append(f"--listen-http=127.0.0.1:{port}")
            self.uri = f"ng+ws:127.0.0.1:{port}"
        super().__init__(command, directory / f"rtpengine-{self.ng[1]}.log", cwd=directory)
        deadline = time.monotonic() + 20
        while self.ask(command="ping").get("result") != b"pong":
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise self.failure("does not answer a ping")
            time.sleep(0.05)

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Give it a command of its own; return the answer, {} for none."""
        cookie = f"t{time.monotonic_ns()}".encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.5)
            sock.connect(self.ng)
            try:
                sock.send(cookie + b" " + bencode.write({k.replace("_", "-"): v for k, v in asked.items()}))
                answer = sock.recv(65_536)
            except OSError:
                return {}
        found: dict[str, Any] = bencode.read(answer, len(cookie) + 1)
        return found

    @property
    def sessions(self) -> int:
        """How many calls it has."""
        found: int = self.ask(command="statistics")["statistics"]["currentstatistics"]["sessionsown"]
        return found

    def wait_until_empty(self, seconds: float = 5.0) -> None:
        """Wait until it has no call any more."""
        deadline = time.monotonic() + seconds
        while self.sessions:
            assert time.monotonic() < deadline, f"{self.sessions} calls are left at the relay"
            time.sleep(0.05)

    def has(self, port: int) -> bool:
        """Whether ``port`` is one of its media ports."""
        return self.first <= port < self.first + _SIZE


class Wiretap:
    """Counts RTP on loopback until the block ends: (source port, destination port, SSRC) -> packets."""

    def __init__(self) -> None:
        # Every protocol, and no link-layer header.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.packets: Counter[tuple[int, int, int]] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._over:
            try:
                data, address = self._socket.recvfrom(2_048)
            except TimeoutError:
                continue
            # Loopback shows each packet twice: as it leaves (4), and as it comes.
            if address[2] != 4:
                self._take(data)

    def _take(self, data: bytes) -> None:
        if data[:1] and data[0] >> 4 == 4 and data[9] == 17:
            udp = data[(data[0] & 15) * 4 :]
        elif data[:1] and data[0] >> 4 == 6 and data[6] == 17:
            udp = data[40:]
        else:
            return
        source, destination = struct.unpack("!HH", udp[:4])
        packet = udp[8:]
        # RTP, version 2 (RFC 3550 5.1), and not RTCP (RFC 5761 4).
        if len(packet) >= 12 and packet[0] >> 6 == 2 and not 192 <= packet[1] <= 223:
            self.packets[source, destination, struct.unpack("!I", packet[8:12])[0]] += 1

    def to(self, port: int) -> int:
        """How many RTP packets arrived at ``port``."""
        return sum(count for (_, at, _), count in self.packets.items() if at == port)

    def between(self, relay: Rtpengine) -> tuple[Counter[int], Counter[int]]:
        """Return how many RTP packets left ``relay`` for each port, and how many came to it from each."""
        out: Counter[int] = Counter()
        into: Counter[int] = Counter()
        for (source, destination, _), count in self.packets.items():
            if relay.has(source) and not relay.has(destination):
                out[destination] += count
            elif relay.has(destination) and not relay.has(source):
                into[source] += count
        return out, into

    def ssrc(self, ssrc: int, relay: Rtpengine) -> int:
        """How many packets of ``ssrc`` left ``relay``."""
        return sum(
            count for (source, _, one), count in self.packets.items() if one == ssrc and relay.has(source)
        )


def rtp(sequence: int, ssrc: int, *, payload: int = 0, content: bytes = b"\xff" * 160) -> bytes:
    """Return one RTP packet (RFC 3550 5.1)."""
    return struct.pack("!BBHII", 0x80, payload, sequence & 0xFFFF, sequence * 160, ssrc) + content
