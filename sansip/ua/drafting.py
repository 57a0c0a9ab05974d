"""Requests of ours out of dialogs, as they are before a way is known (RFC 3261 8.1.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sansip.errors import RemoteProtocolError
from sansip.ua.request import aimed
from sansip.wire import NameAddr, Request, SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.ua.config import UserAgentConfig
    from sansip.ua.request import Destination

__all__ = ["Identity", "check_server", "drafted", "through"]

# Call-ID, From tag and CSeq number: by these a receiver knows a request (RFC 3261 8.2.2.2).
Identity = tuple[str, str, int]


def check_server(text: str) -> None:
    """Check the setting ``server``: the URI of one that requests can be led through, or "". Raises
    ``ValueError``."""
    if not text:
        return
    try:
        uri = parse_uri(text)
    except RemoteProtocolError as error:
        raise ValueError(f"server is {text!r}: {error.reason}") from None
    if not isinstance(uri, SipUri) or uri.headers:
        raise ValueError(f"server is {text!r}: expected a SIP URI like sip:edge.example.net")


def through(server: str) -> tuple[str, str]:
    """Return the Route field that leads a request to ``server``, a SIP URI, first (RFC 3261 8.1.2)."""
    return "Route", f"<{server}>" if ";lr" in server else f"<{server};lr>"


def drafted(
    method: str,
    uri: Destination,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    from_: str,
    to: str,
    config: UserAgentConfig,
    domain: str,
    call_id: str,
    tag: str,
    cseq: int = 1,
) -> tuple[Request, Any]:
    """Return the request, without Via and Contact, and the flow that it has to go over, or None.

    ``tag`` is that of From. Raises ``LocalProtocolError`` for a value that cannot be written.
    """
    target, routes, hop = aimed(uri)
    identity = from_ or config.identity or f"sip:{domain}"
    if "<" not in identity:
        identity = str(NameAddr.build(identity, config.display if not from_ else ""))
    given = list(headers)
    named = {name.lower() for name, _ in given}
    if config.outbound and not hasattr(uri, "flow") and not routes and "route" not in named:
        # RFC 3261 8.1.1.1, 8.1.2: a pre-existing route set: the outbound proxy.
        routes = (f"<{config.outbound};lr>",)
    fields: list[tuple[str, str]] = [("Route", route) for route in routes]
    if "max-forwards" not in named:
        # RFC 3261 8.1.1.6
        fields.append(("Max-Forwards", "70"))
    fields += [
        ("From", f"{identity};tag={tag}"),
        ("To", (to if "<" in to else f"<{to}>") if to else f"<{_plain(target)}>"),
        # A request that is sent again after a restart keeps its Call-ID, so that its receiver knows it.
        *(() if "call-id" in named else (("Call-ID", call_id),)),
        ("CSeq", f"{cseq} {method}"),
        *given,
    ]
    return Request.build(method, target, fields, body), hop


def _plain(uri: Any) -> str:
    """Return ``uri`` as it stands in To: without parameters and header fields (RFC 3261 19.1.1, table 1)."""
    return str(uri.replace(params={}, headers=())) if isinstance(uri, SipUri) else str(uri)
