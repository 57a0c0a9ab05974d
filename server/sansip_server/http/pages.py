"""The paths of the HTTP listeners: /rpc (also over WebSocket), /health, /metrics.

Theory of operation: an HTTP pump calls ``answer``, in the stack's thread. First the server judges
whether the client may ask, then the path finds its page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

from sansip.limits import Limits
from sansip_server.followers import Followers
from sansip_server.http.access import Access, demand
from sansip_server.http.figures import FigureError, exposition
from sansip_server.http.mounts import Mounts
from sansip_server.http.rpc import Rpc
from sansip_server.http.rpc_socket import PROTOCOL, RpcSocket
from sansip_server.management import Management
from sansip_sockets.http import HttpFault, HttpRequest, HttpResponse, Upgrade, Work

__all__ = ["Pages"]

_JSON = "application/json"


class Pages:
    """The answers of the HTTP listeners of one server."""

    def __init__(
        self,
        management: Management,
        access: Access,
        limits: Limits,
        followers: Followers,
        mounts: Mounts | None = None,
    ) -> None:
        self._mounts = mounts
        self._followers = followers
        self._limits = limits
        self._management = management
        self._access = access
        self._rpc = Rpc(management, limits)
        self._paths: dict[str, tuple[tuple[str, ...], Callable[[HttpRequest], HttpResponse | Work]]]
        self._paths = {
            "/rpc": (("POST",), self._call),
            "/health": (("GET", "HEAD"), self._health),
            "/metrics": (("GET", "HEAD"), self._metrics),
        }

    def answer(self, request: HttpRequest) -> Work:
        """Return the answer; before it, yield None or a result to wait for. Raises ``HttpFault``."""
        self._access.admit(request)
        found = self._paths.get(request.path)
        if found is None and self._mounts is not None:
            mount = self._mounts.find(request.path)
            if mount is not None:
                return (yield from self._mounts.answer(mount, request))
        if found is None:
            raise HttpFault(404, f"there are {', '.join(self._paths)}")
        methods, page = found
        if request.path == "/rpc" and (request.header("upgrade") or "").lower() == "websocket":
            return self._talk(request)
        if request.method not in methods:
            # RFC 9110 15.5.6
            raise HttpFault(405, f"expected {' or '.join(methods)}", ("Allow", ", ".join(methods)))
        said = page(request)
        return said if isinstance(said, HttpResponse) else (yield from said)

    def _call(self, request: HttpRequest) -> Work:
        # A foreign page cannot send this type before its browser has asked this server for permission.
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != _JSON:
            raise HttpFault(415, f"expected Content-Type: {_JSON}")
        role = self._access.demand(request, "read")
        reply = yield from self._rpc.answer(request.body, role)
        return HttpResponse(200 if reply else 204, reply, _JSON)

    def _talk(self, request: HttpRequest) -> Upgrade:
        if PROTOCOL not in request.tokens("sec-websocket-protocol"):
            raise HttpFault(400, f"the sub-protocol must be {PROTOCOL} (sip is spoken at ws: listeners)")
        # A Digest proof is good for one request, so it is judged once.
        role = self._access.standing(request)
        demand(role(), "read", self._access.challenges(request))
        return Upgrade(PROTOCOL, RpcSocket(self._rpc, role, self._followers, self._limits.http_events))

    def _health(self, request: HttpRequest) -> Work:
        result = yield from self._result("health")
        # Load balancers ask without a token, and learn only the status.
        if self._access.role(request):
            body = json.dumps(result)
        else:
            body = json.dumps({"status": result["status"]})
        return HttpResponse(200 if result["status"] == "ok" else 503, body.encode(), _JSON)

    def _metrics(self, request: HttpRequest) -> Work:
        self._access.demand(request, "read")
        stats = yield from self._result("stats")
        health = yield from self._result("health")
        try:
            kind, body = exposition(stats, health)
        except FigureError as error:
            raise HttpFault(501, str(error)) from None
        return HttpResponse(200, body, kind)

    def _result(self, name: str) -> Generator[Any, None, dict[str, Any]]:
        """Return the result of a command; workers may have to be asked for it."""
        result: dict[str, Any] = {}
        for part in self._management.do(name, {}):
            if isinstance(part, dict):
                result = part["result"]
            else:
                yield part
        return result
