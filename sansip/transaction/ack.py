"""The two requests that a client transaction makes from its own INVITE.

Theory of operation: an ACK for a failure and a CANCEL are hop-by-hop. Both are
copied from the INVITE as it was sent, with its single top Via (so the branch is
the same and the next hop finds its transaction) and its Route header fields.
"""

from __future__ import annotations

from sansip.wire import Request, Response

__all__ = ["build_ack", "build_cancel"]


def build_ack(invite: Request, response: Response) -> Request:
    """Return the ACK for a failure ``response`` to ``invite`` (RFC 3261 17.1.1.3)."""
    to = response.get("to") or ""
    return _derived(invite, "ACK", to)


def build_cancel(invite: Request, reason: str | None = None) -> Request:
    """Return the CANCEL of ``invite`` as it was sent (RFC 3261 9.1).

    ``reason`` becomes a Reason header field (RFC 3326 2).
    """
    cancel = _derived(invite, "CANCEL", invite.get("to") or "")
    if reason:
        cancel.append("Reason", reason)
    return cancel


def _derived(invite: Request, method: str, to: str) -> Request:
    # RFC 3261 17.1.1.3 and 9.1: the Via is the top one of the INVITE alone.
    headers = [("Via", invite.values("via")[0])]
    headers += [("Route", value) for value in invite.get_all("route")]
    headers.append(("Max-Forwards", "70"))
    headers.append(("From", invite.get("from") or ""))
    headers.append(("To", to))
    headers.append(("Call-ID", invite.get("call-id") or ""))
    number = (invite.get("cseq") or "").split()[0]
    headers.append(("CSeq", f"{number} {method}"))
    headers.append(("Content-Length", "0"))
    return Request.build(method, invite.uri_text, headers)
