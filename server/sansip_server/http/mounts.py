"""Paths that modules claim (``sansip.module.mounts``): proves the client, then asks the module.

Theory of operation: a request is an input of the stack, and so is the end of its client. The server
checks the answer of a module before it becomes octets: the module may not set a field that HTTP itself
writes, and every field must be valid.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from sansip.module import Mount, WebRequest, WebResponse
from sansip_server.http.access import Access, demand
from sansip_server.http.users import Users
from sansip_sockets.http import HttpFault, HttpRequest, HttpResponse
from sansip_sockets.pending import Late, Pending

if TYPE_CHECKING:
    from sansip.stack import Stack
    from sansip_sockets import Hub

__all__ = ["Mounts"]

# RFC 9112 6, 9: the framing of the answer belongs to HTTP.
_OWN: Final = frozenset(
    ("connection", "content-length", "content-type", "keep-alive", "transfer-encoding", "upgrade")
)
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Mounts:
    """Answers for the modules of ``stack``; ``users`` is None if no user has a password."""

    def __init__(self, stack: Stack, hub: Hub, access: Access, users: Users | None) -> None:
        self._stack = stack
        self._hub = hub
        self._access = access
        self._users = users
        self._numbers = itertools.count(1)

    def find(self, path: str) -> Mount | None:
        """Return the module that claims ``path``."""
        return self._stack.modules.mount_of(path)

    def answer(
        self, mount: Mount, request: HttpRequest
    ) -> Generator[Pending[Any] | None, None, HttpResponse]:
        """Return the module's answer. Raises ``HttpFault`` for a client that may not ask."""
        role, user = "", None
        if mount.access in ("read", "operate"):
            role = self._access.demand(request, "read")
            demand(role, "operate" if mount.access == "operate" else "read")
        elif mount.access == "user":
            if self._users is None:
                raise HttpFault(403, 'users have no passwords here (auth = "digest")')
            user = yield from self._users.prove(request)
        path, _, query = request.place.partition("?")
        asked = WebRequest(
            *(request.method, path, query, tuple(request.headers), request.body),
            *(request.remote, request.secure, user, role),
        )
        return self._said((yield from self._ask(asked)))

    def _ask(self, request: WebRequest) -> Generator[Pending[Any], None, WebResponse]:
        number = next(self._numbers)
        answered: Pending[WebResponse] = Pending()
        hub, stack = self._hub, self._stack
        now = hub.clock()
        actions = stack.web_received(number, request, now, lambda response, _: answered.give(response))
        hub.perform(actions, now)
        try:
            return (yield from answered.result())
        except (GeneratorExit, Late):
            now = hub.clock()
            hub.perform(stack.web_closed(number, now), now)
            raise

    def _said(self, response: WebResponse) -> HttpResponse:
        fields = [*response.headers, ("Content-Type", response.content_type)]
        for name, value in fields:
            if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
                raise ValueError(f"a module answered the field {name!r:.80}: {value!r:.80}")
        for name, _ in response.headers:
            if name.lower() in _OWN:
                raise ValueError(f"a module answered {name}, which HTTP writes itself")
        return HttpResponse(response.status, response.body, response.content_type, list(response.headers))
