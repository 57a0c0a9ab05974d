"""Paths of HTTP that modules claim, as the parent of the workers answers them: it asks the first worker.

Theory of operation: the parent has the HTTP listeners, and the first worker the modules that claim paths. A
request goes there as plain values, under the number that HTTP gave it, and the answer comes back. While that
worker is started again a client gets 503; so does a client whose request it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sansip.actions import Action
from sansip.limits import Limits
from sansip.module import Module, Mount, WebRequest, WebResponse
from sansip.module.base import FIRST, marked
from sansip.module.mounts import find, mounted

__all__ = ["FirstMounts", "response_values"]

Answered = Callable[[WebResponse, float], None]


def _unready() -> WebResponse:
    # RFC 9110 15.6.4
    text = b"the worker that answers here is being started again\n"
    return WebResponse(503, text, headers=[("Retry-After", "1")])


def response_values(response: WebResponse) -> tuple[Any, ...]:
    """Return an answer as plain values, which another process reads."""
    fields = [(str(name), str(value)) for name, value in response.headers]
    return int(response.status), bytes(response.body), str(response.content_type), fields


class FirstMounts:
    """The paths of the modules of the first worker. ``send`` gives it a message, and says whether it serves.

    ``limits.questions`` bounds how many requests wait at once.
    """

    def __init__(self, send: Callable[[tuple[Any, ...]], bool], limits: Limits) -> None:
        self._send = send
        self._limits = limits
        self._mounts: list[Mount] = []
        self._waiting: dict[int, Answered] = {}

    # --- as HTTP needs the modules of a stack

    @property
    def commands(self) -> Mapping[str, Any]:
        """None: the parent finds the commands of modules by itself."""
        return MappingProxyType({})

    def mount_of(self, path: str) -> Mount | None:
        """Return what answers an HTTP request for ``path``, None where no module has claimed it."""
        return find(self._mounts, path)

    def take(self, modules: Mapping[type[Module], Any]) -> None:
        """Know the paths of ``modules``, which have these settings."""
        found = []
        for kind, settings in modules.items():
            if kind.over_workers != FIRST:
                continue
            # Nothing is asked of it: only its methods and its settings are looked at.
            described = kind.__new__(kind)
            described.settings = kind.Settings() if settings is None else settings
            found += [(described, getattr(described, name)) for name, _ in marked(kind, "sansip_mount")]
        self._mounts = mounted(found, {})

    # --- as HTTP needs a stack

    def received(self, number: int, request: WebRequest, now: float, answered: Answered) -> list[Action]:
        """Have the first worker answer ``request``; ``answered`` is called once."""
        fields = tuple(
            getattr(request, name)
            for name in ("method", "path", "query", "headers", "body", "remote", "secure", "user", "role")
        )
        if len(self._waiting) < self._limits.questions and self._send(("web", number, fields)):
            self._waiting[number] = answered
        else:
            answered(_unready(), now)
        return []

    def closed(self, number: int, now: float) -> list[Action]:
        """The client waits no longer."""
        if self._waiting.pop(number, None) is not None:
            self._send(("web_closed", number))
        return []

    # --- the first worker

    def answered(self, number: int, values: tuple[Any, ...], now: float) -> None:
        """The answer has come."""
        answered = self._waiting.pop(number, None)
        if answered is not None:
            status, body, kind, fields = values
            answered(WebResponse(status, body, kind, list(fields)), now)

    def gone(self, now: float) -> None:
        """The first worker is dead: its clients may ask again."""
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            answered(_unready(), now)
