"""A server that a name leads to, with a way of dying: silent, reset, refused, busy, slow, or alive.

Theory of operation: one thread, one UDP socket or TCP listener, messages as text, nothing of
ours in it. ``heard`` are the requests that arrived, by Call-ID and branch.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from typing import Self

__all__ = ["Callee", "field"]

# Seconds after which one that is "slow" gives its final answer.
SLOW = 1.5


def field(text: str, name: str) -> str:
    """Return the first value of a field of the message ``text``."""
    found = re.search(rf"(?im)^{name}:\s*(.*?)\r$", text)
    assert found is not None, text
    return found[1]


class Callee:
    """Listens on a free port of ``host``; ``how`` says what becomes of a request."""

    def __init__(self, how: str, transport: str, host: str, port: int = 0) -> None:
        self.how = how
        self.transport = transport
        self.heard: list[tuple[str, str, str]] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        self._socket.bind((host, port))
        self.host, self.port = self._socket.getsockname()[:2]
        self._peers: list[socket.socket] = []
        if how == "refused":
            # Bound and not read would be silence: no program has this port from here on.
            self._socket.close()
            return
        if transport == "tcp":
            self._socket.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._socket, *self._peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def calls(self, method: str = "INVITE") -> list[str]:
        """Return the Call-IDs of the requests that came, each once."""
        return list(dict.fromkeys(call for what, call, _ in self.heard if what == method))

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                if self.transport == "udp":
                    data, source = self._socket.recvfrom(65_535)
                    if not data:
                        return
                    for answer in self._answers(data.decode()):
                        self._socket.sendto(answer.encode(), source)
                else:
                    self._stream(self._socket.accept()[0])

    def _stream(self, peer: socket.socket) -> None:
        self._peers.append(peer)
        data = b""
        while piece := peer.recv(65_535):
            data += piece
            while (end := data.find(b"\r\n\r\n")) >= 0:
                text, data = data[: end + 4].decode(), data[end + 4 :]
                answers = list(self._answers(text))
                if self.how == "reset":
                    # The connection ends by RST, not by FIN.
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    peer.close()
                    return
                for answer in answers:
                    peer.sendall(answer.encode())

    def _answers(self, request: str) -> list[str]:
        method = request.partition(" ")[0]
        branch = re.search(r"branch=([^;\s,]+)", field(request, "via"))
        self.heard.append((method, field(request, "call-id"), branch[1] if branch else ""))
        if method == "ACK" or self.how in ("silent", "reset"):
            return []
        if self.how == "busy":
            return [self._answer(request, "503 Service Unavailable")]
        if self.how == "slow":
            if sum(branch is not None and one[2] == branch[1] for one in self.heard) > 1:
                return []
            threading.Thread(target=self._later, args=(request,), daemon=True).start()
            return [self._answer(request, "100 Trying")]
        return [self._answer(request, "200 OK")]

    def _later(self, request: str) -> None:
        time.sleep(SLOW)
        via = re.search(r"SIP/2.0/UDP \[?([^\];]+)\]?:(\d+)", field(request, "via"))
        assert via is not None
        with contextlib.suppress(OSError):
            self._socket.sendto(self._answer(request, "200 OK").encode(), (via[1], int(via[2])))

    def _answer(self, request: str, status: str) -> str:
        lines = [f"SIP/2.0 {status}"]
        lines += re.findall(r"(?im)^(?:via|record-route):.*?(?=\r$)", request)
        to = field(request, "to")
        lines += [f"From: {field(request, 'from')}", f"To: {to}" + ("" if ";tag=" in to else ";tag=callee")]
        lines += [f"Call-ID: {field(request, 'call-id')}", f"CSeq: {field(request, 'cseq')}"]
        host = f"[{self.host}]" if ":" in self.host else self.host
        contact = f"Contact: <sip:callee@{host}:{self.port};transport={self.transport}>"
        return "\r\n".join([*lines, contact, "Content-Length: 0", "", ""])
