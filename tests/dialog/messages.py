"""Messages of the dialogs in these tests: requests that arrive, and the answers to them."""

from __future__ import annotations

from collections.abc import Iterable

from sansip.wire import Request, Response, response_to

CALL = "a84b4c76e66710"
ALICE = "Alice <sip:alice@atlanta.com>"
BOB = "Bob <sip:bob@biloxi.com>"

Headers = Iterable[tuple[str, object]]


def invite(
    uri: str = "sip:bob@biloxi.com",
    headers: Headers = (),
    *,
    method: str = "INVITE",
    contact: str | None = "<sip:alice@pc33.atlanta.com>",
    from_tag: str | None = "1928301774",
    number: int = 314159,
    body: bytes = b"",
) -> Request:
    """Return Alice's INVITE to Bob, as both ends see it."""
    fields: list[tuple[str, object]] = [
        ("Via", "SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds"),
        ("Max-Forwards", "70"),
        ("From", ALICE + (f";tag={from_tag}" if from_tag else "")),
        ("To", BOB),
        ("Call-ID", CALL),
        ("CSeq", f"{number} {method}"),
    ]
    if contact is not None:
        fields.append(("Contact", contact))
    return Request.build(method, uri, [*fields, *headers], body)


def answer(
    request: Request,
    status: int = 200,
    headers: Headers = (),
    *,
    contact: str | None = "<sip:bob@192.0.2.4>",
    to_tag: str | None = "a6c85cf",
    body: bytes = b"",
) -> Response:
    """Return Bob's answer to ``request``."""
    fields = list(headers)
    if contact is not None:
        fields.append(("Contact", contact))
    return response_to(request, status, to_tag=to_tag, headers=fields, body=body)


def from_bob(method: str, number: int, headers: Headers = (), body: bytes = b"") -> Request:
    """Return a request of Bob to Alice in their dialog."""
    return Request.build(
        method,
        "sip:alice@pc33.atlanta.com",
        [
            ("Via", f"SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK{method}{number}"),
            ("Max-Forwards", "70"),
            ("From", f"{BOB};tag=a6c85cf"),
            ("To", f"{ALICE};tag=1928301774"),
            ("Call-ID", CALL),
            ("CSeq", f"{number} {method}"),
            *headers,
        ],
        body,
    )
