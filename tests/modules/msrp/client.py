"""A client of MSRP for tests, over a bench's link: it shares no code with the relay."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sansip.testing import ModuleBench

__all__ = ["RELAY", "Client", "Frame", "frames"]

RELAY = "msrps://relay.example.com;tcp"


@dataclass
class Frame:
    """One message: its start line, header fields, body and flag."""

    start: list[str]
    fields: dict[str, str]
    body: bytes | None
    flag: str

    @property
    def transaction(self) -> str:
        return self.start[1]

    @property
    def word(self) -> str:
        """The method, or the status."""
        return self.start[2]


def frames(data: bytes) -> list[Frame]:
    """Cut octets into whole messages."""
    found: list[Frame] = []
    while data:
        transaction = data.split(b" ", 2)[1]
        end = re.search(rb"-------" + re.escape(transaction) + rb"([$+#])\r\n", data)
        assert end is not None, f"no end-line in {data[:300]!r}"
        text, data = data[: end.start()], data[end.end() :]
        head, blank, body = text.partition(b"\r\n\r\n")
        lines = head.decode().rstrip("\r\n").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            fields[name] = value
        found.append(Frame(lines[0].split(" ", 3), fields, body[:-2] if blank else None, end[1].decode()))
    return found


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Client:
    """``alice`` at ``msrps://alice.invalid:1/x;tcp``."""

    def __init__(
        self,
        bench: ModuleBench[Any],
        user: str,
        address: str,
        kind: str = "msrps",
        *,
        whole: bool = False,
        identities: tuple[str, ...] = (),
    ) -> None:
        self.link = bench.link(kind, (address, 40_000), whole=whole, identities=identities)
        self.user = user
        self.uri = f"msrps://{user}.invalid:1/x;tcp"
        self.path = ""
        self._number = 0

    def new(self) -> str:
        self._number += 1
        return f"{self.user}{self._number:04d}"

    def take(self) -> list[Frame]:
        """Return what has come since the last time."""
        data = b"".join(self.link.received)
        self.link.received.clear()
        return frames(data)

    def ask(self, method: str, to: str, *fields: str, body: bytes | None = None, flag: str = "$") -> str:
        """Send a request; return its transaction."""
        transaction = self.new()
        lines = [f"MSRP {transaction} {method}", f"To-Path: {to}", f"From-Path: {self.uri}", *fields]
        data = ("\r\n".join(lines) + "\r\n").encode()
        if body is not None:
            data += b"\r\n" + body + b"\r\n"
        self.link.send(data + f"-------{transaction}{flag}\r\n".encode())
        return transaction

    def answer(self, request: Frame, status: str) -> None:
        """Answer a SEND that came."""
        back, own = request.fields["From-Path"].split()[0], request.fields["To-Path"].split()[0]
        head = f"MSRP {request.transaction} {status}\r\nTo-Path: {back}\r\nFrom-Path: {own}\r\n"
        self.link.send(f"{head}-------{request.transaction}$\r\n".encode())

    def credentials(self, challenge: str, uri: str = RELAY, password: str = "secret") -> str:
        """Answer a challenge (RFC 4976 9.1): A2 is of the rightmost URI."""
        found = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        one = _md5(f"{self.user}:{found['realm']}:{password}")
        two = _md5(f"AUTH:{uri}")
        proof = _md5(f"{one}:{found['nonce']}:00000001:0a4f113b:auth:{two}")
        return (
            f'Authorization: Digest username="{self.user}", realm="{found["realm"]}", '
            f'nonce="{found["nonce"]}", qop=auth, nc=00000001, cnonce="0a4f113b", response="{proof}"'
        )

    def challenge(self) -> str:
        """Return the challenge of an AUTH without credentials."""
        self.ask("AUTH", RELAY)
        [answer] = self.take()
        assert answer.word == "401"
        return answer.fields["WWW-Authenticate"]

    def authenticate(self, *fields: str) -> Frame:
        """Get a URI; return the answer."""
        self.ask("AUTH", RELAY, self.credentials(self.challenge()), *fields)
        [answer] = self.take()
        self.path = answer.fields.get("Use-Path", "")
        return answer
