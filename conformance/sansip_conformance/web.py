"""An endpoint that asks over HTTP: its requests go to the mount of a module, as from an HTTP listener.

Theory of operation: what HTTP itself does (lines, lengths, connections) is not in it; the module gets a
``WebRequest`` and its answer is a message in ``inbox``. Where the trace has no ``user`` lines the request is
one of a user of ours who has proved it, as ``<name.aor>``; else the module asks for the password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sansip.module import WebRequest, WebResponse
from sansip.testing import Endpoint
from sansip_conformance.msrp import Heard

__all__ = ["WebAnswer", "WebClient", "WebEnd"]


@dataclass(slots=True)
class WebAnswer:
    """An answer; Content-Type and Content-Length are among ``fields``."""

    status: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def what(self) -> str:
        """The status, for reports."""
        return str(self.status)

    def get_all(self, name: str) -> list[str]:
        """Return the values of a header field."""
        return [value for one, value in self.fields if one.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the first value of a header field, None without one."""
        return next(iter(self.get_all(name)), None)


class WebClient:
    """An endpoint that asks over HTTP; its answers are in its ``inbox``."""

    name: str

    def ask(self, method: str, uri: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
        """Send a request; return it as octets, for ladders."""
        raise NotImplementedError


class WebEnd(Endpoint, WebClient):
    """A client on the virtual network. ``proved``: the user who it is, None where the module has to ask."""

    def __init__(self, *given: Any, proved: bool) -> None:
        super().__init__(*given)
        self.proved = self.agent.aor if proved else None

    def ask(self, method: str, uri: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
        path, _, query = uri.partition("?")
        headers = tuple((name.lower(), value) for name, value in fields)
        server: Any = self.server
        request = WebRequest(method, path, query, headers, body, self.host, True, self.proved)
        server.web(request, self._answered)
        lines = [f"{method} {uri} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _answered(self, response: WebResponse, now: float) -> None:
        fields = [*response.headers, ("Content-Length", str(len(response.body)))]
        if response.body:
            fields.append(("Content-Type", response.content_type))
        lines = [f"HTTP/1.1 {response.status}", *(f"{name}: {value}" for name, value in fields)]
        data = "\r\n".join([*lines, "", ""]).encode() + response.body
        message: Any = WebAnswer(response.status, fields, response.body)
        one = Heard(now, "http", data, message)
        self.inbox.append(one)
        self.history.append(one)
