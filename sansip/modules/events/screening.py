"""What is wrong with a SUBSCRIBE, before anybody is asked who sent it (RFC 3261 8.2, RFC 6665 4.2.1).

Theory of operation: in the RFC's order, the first fault decides; each refusal names what would have been
accepted. Nothing here costs more than reading the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.dialog import Refusal
from sansip.modules.events.content import BadFilter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sansip.modules.events.package import Package
    from sansip.routing import IncomingRequest
    from sansip.wire import Request

__all__ = [
    "accepted_types",
    "filter_of",
    "mark_of",
    "mark_of_lines",
    "media_type",
    "refuse_filter",
    "screen_subscribe",
]

# The fields by which one SUBSCRIBE of a subscription differs from the next, but for its number.
_TELLING: Final = ("from", "event", "contact", "accept", "require", "expires", "record-route")


def media_type(message: Request) -> str:
    """Return the media type of the body in lower case, without parameters."""
    return (message.get("content-type") or "").partition(";")[0].strip().lower().replace(" ", "")


def screen_subscribe(request: Request, package: Package, extensions: Collection[str]) -> Refusal | None:
    """Return why ``request`` cannot be accepted, None where it can.

    Raises RemoteProtocolError for a header field that cannot be read.
    """
    unknown = [tag for tag in request.require if tag.lower() not in extensions]
    if unknown:
        # RFC 3261 8.2.2.3
        return Refusal(420, None, (("Unsupported", ", ".join(unknown)),))
    if request.body and package.own_body:
        refusal = package.screen_body(request)
        if refusal is not None:
            return refusal
    elif request.body and not package.ignores_body:
        encoding = (request.get("content-encoding") or "identity").strip().lower()
        if encoding != "identity":
            return Refusal(415, None, (("Accept-Encoding", "identity"),))
        if media_type(request) not in package.filters:
            # RFC 3261 8.2.3; RFC 3265 3.1.5: bodies of a SUBSCRIBE are the package's.
            return Refusal(415, None, (("Accept", ", ".join(package.filters)),))
    if accepted_types(request, package) is None:
        # RFC 6665 3.1.3, RFC 3261 21.4.7
        return Refusal(406, None, (("Accept", ", ".join(package.types)),))
    return None


def mark_of(request: Request) -> int:
    """Return a number that the next SUBSCRIBE of the dialog has, too, if it says the same; 0: unknown.

    A refresh nearly always says what the one before said, so what was read of that holds for it.
    """
    keys = request.keys
    # Each field once, but for Via.
    if request.body or len(keys) - len({*keys}) != keys.count("via") - 1:
        return 0
    return hash(tuple([request.first_line(key) for key in _TELLING]))


def mark_of_lines(lines: Mapping[str, str]) -> int:
    """As ``mark_of``, of a request without a body that was read in brief: its lines by their fields."""
    return hash(tuple([lines.get(key) for key in _TELLING]))


def accepted_types(request: Request, package: Package) -> tuple[str, ...] | None:
    """Return the package's media types that the watcher takes, the watcher's order; None: it takes none."""
    if not request.has("accept"):
        # RFC 6665 3.1.3: the default of the package.
        return package.types[:1]
    taken: list[str] = []
    for one in request.values("accept")[:64]:
        wanted, _, params = one.lower().replace(" ", "").partition(";")
        if "q=0" in params.split(";") or "q=0.0" in params.split(";"):
            continue
        for known in package.types:
            if wanted in (known, "*/*", f"{known.partition('/')[0]}/*") and known not in taken:
                taken.append(known)
                if wanted != known:
                    # A range means what the package sends where nothing is named.
                    break
    return tuple(taken) or None


def filter_of(request: Request, package: Package, before: bytes = b"") -> tuple[Any, str, bytes] | None:
    """Return the filter in the body of a SUBSCRIBE, its type and its octets; None without a body.

    ``before``: the octets of the one that stands. Raises ``ValueError``.
    """
    if not request.body or package.ignores_body:
        return None
    if package.own_body:
        return package.read_body(request)
    kind = media_type(request)
    body = package.join_filters(before, request.body)
    return package.check_filter(kind, body), kind, body


def refuse_filter(request: IncomingRequest, error: ValueError) -> None:
    """Answer a SUBSCRIBE whose filter cannot be taken."""
    # RFC 4660 3.3.4
    status = 488 if isinstance(error, BadFilter) else 400
    request.reply(status, f"Bad Filter: {error}"[:80])
