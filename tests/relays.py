"""Relays that are none: an rtpengine and an rtpproxy that do what no real one can be made to do.

Theory of operation: they keep to the protocols (kamailio.md 10.3, 10.4; rtpengine's own page on ng): a cookie
that they know gets the answer that it had, an offer opens ports, an answer to an unknown call is an error. No
media passes here. ``mood`` makes them bad: ``silent``, ``late`` (the answers come with the next command),
``twice``, ``nonsense``, ``empty`` (a description without media), ``wrong`` (the description of another call),
``full`` (load limit), ``error``, ``garbage`` (octets), ``gone`` (nobody listens). Real ones are in
tests/interop/test_media.py. The functions are pure; ``Served`` puts one behind a UDP socket.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Self

from sansip.modules.media import bencode

__all__ = ["Engine", "Proxy", "Served"]


class _Fake:
    def __init__(self, host: str = "203.0.113.5", port: int = 30_000) -> None:
        self.host = host
        self.mood = "good"
        self.port = port
        # The questions that it got, retransmissions as well: (cookie, command).
        self.asked: list[tuple[bytes, Any]] = []
        self._known: dict[bytes, bytes] = {}
        self._held: list[bytes] = []

    def answer(self, data: bytes) -> list[bytes]:
        """Return the datagrams that answer ``data``."""
        cookie, _, command = data.partition(b" ")
        again = cookie in self._known
        self.asked.append((cookie, self.read(command)))
        if self.mood == "gone":
            raise OSError("Connection refused")
        if self.mood == "silent":
            return []
        if self.mood == "garbage":
            return [b"\xff\xfe", b"", cookie, cookie + b" \x00\x01" * 9]
        if not again:
            self._known[cookie] = cookie + b" " + self.reply(self.read(command))
        found = self._known[cookie]
        if self.mood == "late":
            held, self._held = self._held, [found]
            return held
        return [found, found] if self.mood == "twice" else [found]

    def read(self, command: bytes) -> Any:
        raise NotImplementedError

    def reply(self, command: Any) -> bytes:
        raise NotImplementedError

    def next_port(self) -> int:
        self.port += 2
        return self.port - 2


class Engine(_Fake):
    """rtpengine: ng over UDP. ``calls``: Call-ID -> labels of its branches ("" within a dialog)."""

    def __init__(self, host: str = "203.0.113.5", port: int = 30_000) -> None:
        super().__init__(host, port)
        self.calls: dict[str, set[str]] = {}

    @property
    def commands(self) -> list[str]:
        """The commands, pings and retransmissions left out."""
        seen: dict[bytes, str] = {}
        for cookie, command in self.asked:
            if command["command"] != b"ping":
                seen.setdefault(cookie, command["command"].decode())
        return list(seen.values())

    def last(self, name: str) -> dict[str, Any]:
        """The last command ``name``."""
        return next(one for _, one in reversed(self.asked) if one["command"] == name.encode())

    def read(self, command: bytes) -> Any:
        return bencode.read(command)

    def reply(self, command: Any) -> bytes:
        return bencode.write(self._reply(command))

    def _reply(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["command"]
        if name == b"ping":
            return {"result": "pong"}
        if self.mood == "nonsense":
            return {"result": "perhaps"}
        if self.mood == "full" and name == b"offer":
            return {"result": "load limit", "message": "too many sessions"}
        if self.mood == "error":
            return {"result": "error", "error-reason": "the moon is full\r\n"}
        call, label = asked.get("call-id", b"").decode(), asked.get("via-branch", b"").decode()
        if name == b"delete":
            if label:
                self.calls.get(call, set()).discard(label)
            else:
                self.calls.pop(call, None)
            return {"result": "ok"}
        if name == b"offer":
            self.calls.setdefault(call, set()).add(label)
        elif name == b"answer" and call not in self.calls:
            return {"result": "error", "error-reason": "Unknown call-id"}
        if name in (b"offer", b"answer"):
            return {"result": "ok", "sdp": self._relayed(asked["sdp"])}
        return {"result": "ok", "totals": {"RTP": {"packets": 7}}}

    def _relayed(self, sdp: bytes) -> bytes:
        if self.mood == "empty":
            return sdp.partition(b"m=")[0]
        if self.mood == "wrong":
            return sdp.replace(b"m=audio", b"m=image")
        sdp = re.sub(rb"c=IN IP[46] \S+", f"c=IN IP4 {self.host}".encode(), sdp)
        return re.sub(rb"m=(\w+) [1-9]\d* ", lambda one: b"m=%b %d " % (one[1], self.next_port()), sdp)


# kamailio.md 10.4: ``Uc0,8,101 call-id 10.0.0.1 20000 fromtag;1``; ``L`` has both tags; ``D callid from to``.
_TAG = r"[^ ;]+;[1-9][0-9]*"
_PLACE = r"(?P<six>6?)(?:c[0-9]{1,3}(?:,[0-9]{1,3})*)? [^ ]+ (?P<host>[^ ]+) [1-9][0-9]{0,4}"
_LINE = re.compile(
    rf"(?:(?:U(?=[^ ]* [^ ]+ [^ ]+ [^ ]+ {_TAG}(?: {_TAG})?$)|L(?=[^ ]* [^ ]+ [^ ]+ [^ ]+ {_TAG} {_TAG}$))"
    rf"{_PLACE} .*|D [^ ]+ [^ ;]+(?: [^ ;]+)?|V|VF [0-9]{{8}})"
)
# Its protocol, and the last extension that it knows.
_VERSION, _LATEST = "20040107", "20081224"


class Proxy(_Fake):
    """rtpproxy. ``calls``: those that it has ports for. A line with any other grammar gets an error."""

    def __init__(self, host: str = "203.0.113.6", port: int = 35_000) -> None:
        super().__init__(host, port)
        self.calls: set[str] = set()
        self.latest = _LATEST

    @property
    def commands(self) -> list[str]:
        """The lines, version probes and retransmissions left out."""
        return list({cookie: line for cookie, line in self.asked if line[0] != "V"}.values())

    def read(self, command: bytes) -> Any:
        return command.decode()

    def reply(self, command: Any) -> bytes:
        kind, *words = command.split(" ")
        match = _LINE.fullmatch(command)
        if match is None:
            return b"E1"
        if kind == "V":
            return _VERSION.encode()
        if kind == "VF":
            return b"1" if words[0] <= self.latest else b"0"
        if match["host"] and (ip_address(match["host"]).version == 6) != bool(match["six"]):
            return b"E1"
        if self.mood in ("nonsense", "empty", "wrong"):
            return b"perhaps 203.0.113.6"
        if self.mood in ("error", "full"):
            return b"E7"
        if kind[0] == "D":
            self.calls.discard(words[0])
            return b"0"
        if kind[0] == "L" and words[0] not in self.calls:
            return b"E8"
        self.calls.add(words[0])
        return f"{self.next_port()} {self.host}".encode()


class Served:
    """``answer`` behind a UDP socket of its own, in a thread, until the block ends."""

    def __init__(self, answer: Callable[[bytes], list[bytes]], host: str = "127.0.0.1") -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(65_536)
            if not data:
                return
            for each in self._answer(data):
                self._socket.sendto(each, source)
