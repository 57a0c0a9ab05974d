"""A carrier that asks for a password, the server that has an account there, and calls through both."""

from __future__ import annotations

from typing import Any

from sansip.auth import Account, compute_response, ha1
from sansip.wire.headers.auth import parse_credentials
from tests.rig import ALICE, BOB, Out, Rig, only, reply, request

__all__ = ["CARRIER", "asked", "believed", "called", "carrier", "credentials", "in_dialog"]

CARRIER = Account(("192.0.2.2",), "carrier.test", "trunk", "secret")
CHALLENGE = 'Digest realm="carrier.test", nonce="{nonce}", algorithm={algorithm}, qop="auth"'


def asked(nonce: str = "n1", algorithm: str = "SHA-256", more: str = "") -> tuple[str, str]:
    """A challenge of the carrier."""
    return ("Proxy-Authenticate", CHALLENGE.format(nonce=nonce, algorithm=algorithm) + more)


def credentials(out: Out, field: str = "proxy-authorization") -> Any:
    """The one Proxy-Authorization value of the sent message."""
    (value,) = out.message.get_all(field)
    return parse_credentials(value, field, "")


def carrier(route: Any = None, **config: Any) -> Rig:
    """A server that relays everything to Bob's address, where it has an account."""

    def everything(handle: Any) -> None:
        if handle.in_dialog and handle.from_dialog:
            handle.relay()
        elif handle.validate():
            handle.record_route()
            handle.relay("sip:bob@192.0.2.2")

    return Rig(route=route or everything, accounts=[CARRIER], **config)


def believed(out: Out) -> bool:
    """Whether the sent message proves that the sender knows the carrier's password."""
    one = credentials(out)
    expected = compute_response(
        ha1("trunk", "carrier.test", "secret", one.algorithm or "MD5"),
        out.message.method,
        one.uri,
        one.nonce,
        algorithm=one.algorithm,
        qop=one.qop[0],
        nc=one.params["nc"],
        cnonce=one.cnonce,
        body=out.message.body,
    )
    return bool(one.response == expected and one.uri == out.message.uri_text)


def called(rig: Rig, **options: Any) -> tuple[Out, Out]:
    """Place a call that the carrier challenges; return the INVITE it believes and the 200 to Alice."""
    contact = [("Contact", "<sip:alice@192.0.2.1>")]
    first = only(rig.udp(request(headers=contact, **options)), "INVITE")
    outs = rig.udp(reply(first, 407, headers=[asked()]), BOB)
    again = only(outs, "INVITE")
    return again, only(rig.udp(reply(again, 200, headers=[("Contact", "<sip:bob@192.0.2.2>")]), BOB), "200")


def in_dialog(method: str, ok: Out, cseq: int, *, down: bool = True, **more: Any) -> bytes:
    """A request within the dialog, from Alice, who got ``ok``, or (not ``down``) from Bob."""
    routes = [("Route", value) for value in ok.message.get_all("record-route")]
    alice = ("<sip:alice@biloxi.test>", "alice")
    bob = ("<sip:bob@biloxi.test>", "bob")
    (sender, from_tag), (to, to_tag) = (alice, bob) if down else (bob, alice)
    headers = (routes[::-1] if down else routes) + list(more.pop("headers", ()))
    return request(
        method,
        "sip:bob@192.0.2.2" if down else "sip:alice@192.0.2.1",
        source=ALICE if down else BOB,
        branch=more.pop("branch", f"z9hG4bK{method}{cseq}{down}"),
        sender=sender,
        from_tag=from_tag,
        to=to,
        to_tag=to_tag,
        cseq=cseq,
        headers=headers,
        **more,
    )
