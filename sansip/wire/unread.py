"""Messages that nobody has read yet: made for a module that may look at one, read when it does.

Theory of operation: the quick ways send octets on, and make no message of them. A hook of a module gets a
message all the same. It is one whose attributes are not there: the first that is asked for, or set, has the
octets read, and from then on it is an ordinary ``Request`` or ``Response`` with no trace of this. So a hook
sees what it would see anywhere, and one that does not look costs an empty object. In the compiled build
attributes cannot be missing, and ``LAZY`` is False.
"""

from __future__ import annotations

from typing import Any, Final

from sansip.wire.fields import HeaderFields
from sansip.wire.message import Message, Request, Response

__all__ = [
    "LAZY",
    "UnreadRequest",
    "UnreadResponse",
    "is_unread",
    "octets_of",
    "read_later",
    "rewrite",
    "unread_request",
    "unread_response",
]

_COMMON: Final = (
    *("keys", "lines", "body", "version", "_first"),
    *("_via", "_from", "_to", "_call_id", "_cseq", "_typed"),
)
_new: Final = object.__new__
_set: Final = object.__setattr__


def _fill(message: Message, kind: type[Message], names: tuple[str, ...]) -> None:
    """Turn ``message`` into what its octets say."""
    make, *arguments = message._unread
    made = make(*arguments)
    _set(message, "__class__", kind)
    for name in names:
        setattr(message, name, getattr(made, name))
    message._unread = None


def _classes() -> tuple[type[Request], type[Response]]:
    requests = (*_COMMON, "method", "uri_text", "_uri")
    responses = (*_COMMON, "status", "reason")

    class UnreadRequest(Request):
        """A request that nobody has read yet."""

        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            _fill(self, Request, requests)
            return getattr(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            _fill(self, Request, requests)
            setattr(self, name, value)

    class UnreadResponse(Response):
        """A response that nobody has read yet."""

        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            _fill(self, Response, responses)
            return getattr(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            _fill(self, Response, responses)
            setattr(self, name, value)

    return UnreadRequest, UnreadResponse


class _None:
    """The class of no message."""


UnreadRequest: type[Any]
UnreadResponse: type[Any]
try:
    UnreadRequest, UnreadResponse = _classes()
    _new(UnreadRequest)
except TypeError:  # pragma: no cover  (the compiled build: no object of its classes is made without values)
    UnreadRequest = UnreadResponse = _None
# Whether messages can be read when somebody looks at them.
LAZY: Final = UnreadRequest is not _None

if LAZY:
    _later: Final = HeaderFields.__dict__["_unread"].__set__
    _method: Final = Request.__dict__["method"].__set__
    _status: Final = Response.__dict__["status"].__set__


def unread_request(method: str, make: tuple[Any, ...]) -> Request:
    """Return a request of ``method``; ``make`` is a function that reads it, and its arguments."""
    request: Request = _new(UnreadRequest)
    _later(request, make)
    _method(request, method)
    return request


def unread_response(status: int, make: tuple[Any, ...]) -> Response:
    """Return a response with ``status``; ``make`` is a function that reads it, and its arguments."""
    response: Response = _new(UnreadResponse)
    _later(response, make)
    _status(response, status)
    return response


def read_later(message: Message, make: tuple[Any, ...]) -> None:
    """Have ``message``, which is unread, read by ``make``."""
    _later(message, make)


def octets_of(message: Message) -> bytes | None:
    """Return the octets that ``message``, which nobody has read, is made of; None for any other message.

    There may be one Via more or less in them than it will have.
    """
    kind: type[Any] = type(message)
    if kind is UnreadRequest or kind is UnreadResponse:
        data: bytes = message._unread[1]
        return data
    return None


def rewrite(message: Message, data: bytes) -> None:
    """Have ``message``, which nobody has read, be made of ``data`` in place of its octets."""
    make = message._unread
    _later(message, (make[0], data, *make[2:]))


def is_unread(message: Message) -> bool:
    """Whether nobody has looked at ``message`` yet."""
    kind: type[Any] = type(message)
    return kind is UnreadRequest or kind is UnreadResponse
