"""JSON-RPC 2.0: the commands of ``sansip ctl`` and of modules, by POST.

Theory of operation: ``method`` is a command's name and ``params`` its arguments by name. The items of a list
come a page at a time: ``limit`` and ``after`` in ``params`` choose the page, and ``next`` in the result is
the ``after`` of the next page, or null. If a role is not enough, or anything else is wrong with one command,
the client gets an error object of JSON-RPC. Only a body that is no JSON-RPC at all gets an HTTP error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, TypeAlias

from sansip.limits import Limits
from sansip.module import CommandError
from sansip_server.http.access import Role
from sansip_server.management import Management, Refused, late
from sansip_sockets.pending import Late, Pending

__all__ = ["Rpc"]

_PARSE, _INVALID, _METHOD, _PARAMS = -32700, -32600, -32601, -32602
_FAILED, _ROLE, _LATE = -32000, -32001, -32002
# None: other work may go on; ``Pending``: a result that the answer waits for.
Work: TypeAlias = Generator[Pending[Any] | None, None, Any]
# Items of a page if the client gives no ``limit``.
_PAGE: Final = 100
# A command without an id is a notification: nothing is answered (JSON-RPC 2.0 section 4.1).
_ABSENT: Final = object()
_NONE: Final[Mapping[str, Callable[[], Any]]] = {}


class _Fault(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Rpc:
    """Answers JSON-RPC by the commands of ``management``."""

    def __init__(self, management: Management, limits: Limits) -> None:
        self._management = management
        self._limits = limits

    def answer(
        self, body: bytes, role: Role, own: Mapping[str, Callable[[], Any]] = _NONE
    ) -> Generator[Pending[Any] | None, None, bytes]:
        """Return the reply, ``b""`` for none. ``Late`` may be thrown into it.

        ``own``: methods that only this connection has, without parameters.
        """
        try:
            given = json.loads(body, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            return json.dumps(_error(None, _Fault(_PARSE, f"not JSON: {error}"[:200]))).encode()
        if not isinstance(given, list):
            reply = yield from self._one(given, role, own)
            return b"" if reply is _ABSENT else json.dumps(reply).encode()
        if not 0 < len(given) <= self._limits.http_batch:
            text = f"expected 1 to {self._limits.http_batch} commands in a batch (limits.http_batch)"
            return json.dumps(_error(None, _Fault(_INVALID, text))).encode()
        replies = []
        for one in given:
            reply = yield from self._one(one, role, own)
            if reply is not _ABSENT:
                replies.append(reply)
        return json.dumps(replies).encode() if replies else b""

    def _one(self, given: Any, role: Role, own: Mapping[str, Callable[[], Any]]) -> Work:
        """Return the reply as an object, or ``_ABSENT``."""
        number = given.get("id", _ABSENT) if isinstance(given, dict) else None
        try:
            if not isinstance(given, dict) or given.get("jsonrpc") != "2.0":
                raise _Fault(_INVALID, 'expected an object with "jsonrpc": "2.0"')
            if not (number is _ABSENT or _is_id(number)):
                number = None
                raise _Fault(_INVALID, "expected a string or a number as id")
            name, params = given.get("method"), given.get("params", {})
            if isinstance(name, str) and name in own:
                if params not in ({}, []):
                    raise _Fault(_PARAMS, f"{name} takes no params")
                result = own[name]()
            else:
                result = yield from self._call(name, params, role)
            reply: Any = {"jsonrpc": "2.0", "id": number, "result": result}
        except _Fault as fault:
            # JSON-RPC 2.0 section 5: an invalid request is answered even without an id.
            if number is _ABSENT and fault.code == _INVALID:
                number = None
            reply = _error(number, fault)
        return _ABSENT if number is _ABSENT else reply

    def _call(self, name: Any, params: Any, role: Role) -> Work:
        command = self._management.find(name) if isinstance(name, str) else None
        if command is None:
            raise _Fault(_METHOD, f"there is no command {name!r:.80}; the method commands lists them")
        if command.role == "operate" and role != "operate":
            raise _Fault(_ROLE, f"{name} needs a token with the role operate")
        if not isinstance(params, dict):
            raise _Fault(_PARAMS, "params: expected an object, the arguments by name")
        params = dict(params)
        limit = params.pop("limit", _PAGE)
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise _Fault(_PARAMS, "limit: expected a whole number above 0")
        takes = {one.name for one in command.parameters}
        own = "after" in takes
        after = None if own else params.pop("after", None)
        if after is not None and not (isinstance(after, str) and after.isdecimal() and len(after) < 10):
            raise _Fault(_PARAMS, "after: expected what next was")
        limit = min(limit, self._limits.http_page)
        if "limit" in takes:
            params["limit"] = limit
        return (yield from self._page(command.name, params, limit, int(after or 0), own))

    def _page(self, name: str, params: Any, limit: int, skip: int, own: bool) -> Work:
        items: list[Any] = []
        seen = 0
        result: Any = None
        try:
            for part in self._management.do(name, params):
                if not isinstance(part, dict):
                    yield part
                elif "item" in part:
                    seen += 1
                    if seen > skip:
                        if len(items) >= limit and not (own and _place(part["item"]) == _place(items[-1])):
                            last = _place(items[-1]) if own else str(skip + len(items))
                            return {"items": items, "next": last}
                        items.append(part["item"])
                    if not seen % 100:
                        yield None
                elif seen or "items" in part["result"] or _counts(part["result"]):
                    # A command that takes the limit gives at most that many items.
                    more = "limit" in params and len(items) >= limit
                    result = {"items": items, "next": _place(items[-1]) if more else None}
                else:
                    result = part["result"]
        except (Refused, CommandError, ValueError, TypeError) as error:
            raise _Fault(_FAILED, str(error)) from None
        except Late as error:
            raise _Fault(_LATE, late(name, error)) from None
        return result


def _no_json(name: str) -> Any:
    # RFC 8259 6: Python accepts such numbers, and would write an answer that no other program can read.
    raise ValueError(f"{name} cannot be a number in JSON")


def _is_id(value: Any) -> bool:
    """Whether JSON-RPC 2.0 section 4 allows ``value`` as id; 1e999 becomes infinite when it is read."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int | None) and not isinstance(value, bool)


def _place(item: Any) -> Any:
    """Return the ``after`` that asks for the items behind this one."""
    return item.get("aor", item.get("id")) if isinstance(item, dict) else None


def _counts(result: Any) -> bool:
    """Whether ``result`` only says how many items there were."""
    return (
        isinstance(result, dict)
        and len(result) == 1
        and next(iter(result))
        in (
            "bindings",
            "bans",
            "commands",
            "lifted",
        )
    )


def _error(number: Any, fault: _Fault) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": fault.code, "message": str(fault)}}
