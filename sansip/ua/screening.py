"""The checks of a user agent server before it does anything (RFC 3261 8.2).

Theory of operation: in the RFC's order, the first fault decides. A refusal names what would have been
accepted, so that the caller's side can mend its request.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sansip.dialog import Refusal
from sansip.wire import Request

__all__ = ["BODIES", "EXTENSIONS", "METHODS", "capabilities", "screen"]

# Methods that a call of ours answers. REGISTER, SUBSCRIBE and PUBLISH belong to others.
METHODS: Final = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "INFO",
    "MESSAGE",
    "REFER",
    "NOTIFY",
)
# RFC 3262, RFC 4028, RFC 4488, RFC 3891.
EXTENSIONS: Final = ("100rel", "timer", "norefersub", "replaces")
# Bodies that are understood, by method; any body of a method that is not here is the application's business.
BODIES: Final = {
    "INVITE": ("application/sdp", "multipart/mixed", "multipart/alternative"),
    "UPDATE": ("application/sdp", "multipart/mixed", "multipart/alternative"),
    "PRACK": ("application/sdp", "multipart/mixed", "multipart/alternative"),
}


def capabilities(extensions: Collection[str] = EXTENSIONS) -> list[tuple[str, str]]:
    """Return the header fields that state our capabilities (RFC 3261 11.2, 13.2.1, 13.3.1.4)."""
    return [("Allow", ", ".join(METHODS)), ("Supported", ", ".join(extensions))]


def screen(
    request: Request,
    *,
    methods: Collection[str] = METHODS,
    extensions: Collection[str] = EXTENSIONS,
    any_body: bool = False,
    largest: int | None = None,
) -> Refusal | None:
    """Return why ``request`` cannot be accepted, None where it can. ``any_body``: the body is another's
    business. ``largest``: octets of a session description that are taken.

    Raises RemoteProtocolError for a header field that cannot be read.
    """
    method = request.method
    if method not in methods:
        # RFC 3261 8.2.1
        return Refusal(405, None, (("Allow", ", ".join(methods)),))
    if method in ("ACK", "CANCEL"):
        # RFC 3261 8.2.2.3: their Require is ignored.
        return None
    known = {tag.lower() for tag in extensions}
    if request.has("replaces") and "replaces" in known and (method != "INVITE" or request.to_tag is not None):
        # RFC 3891 3
        return Refusal(400, "Replaces is for an INVITE that begins a dialog")
    unknown = [tag for tag in request.require if tag.lower() not in known]
    if unknown:
        # RFC 3261 8.2.2.3
        return Refusal(420, None, (("Unsupported", ", ".join(unknown)),))
    if largest is not None and len(request.body) > largest and method in BODIES:
        # RFC 3261 21.4.11: each call keeps the description of its peer.
        return Refusal(413)
    if any_body:
        return None
    return _body(request) or _accepted(request)


def _body(request: Request) -> Refusal | None:
    """RFC 3261 8.2.3."""
    if not request.body or request.method not in BODIES:
        return None
    if _is_optional(request):
        return None
    encoding = (request.get("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        return Refusal(415, None, (("Accept-Encoding", "identity"),))
    accepted = BODIES[request.method]
    kind = (request.get("content-type") or "").partition(";")[0].strip().lower().replace(" ", "")
    if kind not in accepted:
        return Refusal(415, None, (("Accept", ", ".join(accepted)),))
    return None


def _is_optional(request: Request) -> bool:
    # RFC 3261 20.11: a body whose handling is optional is ignored where it is not understood.
    return "handling=optional" in (request.get("content-disposition") or "").lower().replace(" ", "")


def _accepted(request: Request) -> Refusal | None:
    """RFC 3261 21.4.7: the caller must accept the body type of our answer."""
    if request.method != "INVITE" or not request.has("accept"):
        # RFC 3261 20.1: without the field, application/sdp.
        return None
    ranges = [one.partition(";")[0].strip().lower().replace(" ", "") for one in request.values("accept")]
    if any(one in ("application/sdp", "application/*", "*/*") for one in ranges):
        return None
    return Refusal(406)
