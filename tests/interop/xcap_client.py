"""A small XCAP client for tests over raw sockets: HTTP/1.1 and digest, and nothing of sansip in it."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import dataclass, field

__all__ = ["Answer", "Raw", "talk"]


@dataclass
class Answer:
    """An answer, as it came."""

    status: int
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def etag(self) -> str:
        return self.fields.get("etag", "")


def talk(sock: socket.socket, data: bytes, method: str = "GET") -> Answer:
    """Send ``data``, read one answer."""
    sock.sendall(data)
    held = b""
    while b"\r\n\r\n" not in held:
        got = sock.recv(65_536)
        if not got:
            return Answer(0)
        held += got
    head, _, body = held.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        # Of several WWW-Authenticate the first is taken.
        fields.setdefault(name.strip().lower(), value.strip())
    status = int(lines[0].split()[1])
    length = 0 if method == "HEAD" or status in (204, 304) else int(fields.get("content-length", 0))
    while len(body) < length:
        got = sock.recv(65_536)
        if not got:
            break
        body += got
    return Answer(status, fields, body)


class Raw:
    """A user's client on one connection; it asks again where that was closed."""

    def __init__(self, server: tuple[str, int], user: str, password: str) -> None:
        self._server = server
        self._user = user
        self._password = password
        self._sock: socket.socket | None = None
        self._challenge: dict[str, str] = {}
        self._uses = 0

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __call__(self, method: str, path: str, body: bytes = b"", kind: str = "", **fields: str) -> Answer:
        """Ask; prove the password where the server wants it."""
        answer = Answer(0)
        for _ in range(3):
            answer = self._once(method, path, body, kind, fields)
            if answer.status != 401:
                return answer
            given = answer.fields["www-authenticate"]
            self._challenge = dict(re.findall(r'(\w+)="?([^",]*)"?', given.partition(" ")[2]))
            self._uses = 0
        return answer

    def _once(self, method: str, path: str, body: bytes, kind: str, fields: dict[str, str]) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._server[0]}:{self._server[1]}"]
        if kind:
            lines.append(f"Content-Type: {kind}")
        if body or method == "PUT":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        if self._challenge:
            lines.append(f"Authorization: {self._proof(method, path)}")
        data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        for _ in range(2):
            if self._sock is None:
                self._sock = socket.create_connection(self._server, timeout=20)
            answer = talk(self._sock, data, method)
            if answer.fields.get("connection") == "close" or not answer.status:
                self.close()
            if answer.status:
                return answer
        return Answer(0)

    def _proof(self, method: str, path: str) -> str:
        given = self._challenge
        algorithm = given.get("algorithm", "MD5")
        hashed = hashlib.sha256 if algorithm.upper() == "SHA-256" else hashlib.md5

        def digest(text: str) -> str:
            return hashed(text.encode()).hexdigest()

        self._uses += 1
        cnonce, count = os.urandom(8).hex(), f"{self._uses:08x}"
        secret = digest(f"{self._user}:{given['realm']}:{self._password}")
        response = digest(f"{secret}:{given['nonce']}:{count}:{cnonce}:auth:{digest(f'{method}:{path}')}")
        opaque = f', opaque="{given["opaque"]}"' if "opaque" in given else ""
        words = {
            "username": self._user,
            "realm": given["realm"],
            "nonce": given["nonce"],
            "uri": path,
            "cnonce": cnonce,
            "response": response,
        }
        quoted = ", ".join(f'{name}="{value}"' for name, value in words.items())
        return f"Digest {quoted}, algorithm={algorithm}, qop=auth, nc={count}{opaque}"
