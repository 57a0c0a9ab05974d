"""The example routes do what their docstrings say, on the real engine and a virtual clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from sansip.actions import Action, Ask, SendDatagram
from sansip.auth import AuthConfig
from sansip.config import ListenerConfig, StackConfig
from sansip.stack import Stack
from sansip.wire import Request, Response, parse_message, response_to
from sansip_server.routes import load_route

ROUTES = Path(__file__).parents[2] / "examples" / "routes"
ALICE = ("127.0.0.1", 5071)
BOB = ("127.0.0.1", 5072)
VOICEMAIL = ("127.0.0.1", 5090)


class Wire:
    """One stack on 127.0.0.1:5060, and everybody else by their socket address."""

    def __init__(self, script: str, auth: AuthConfig | None = None) -> None:
        config = StackConfig([ListenerConfig(0, "udp", "127.0.0.1", 5060)], ["localhost"], auth=auth)
        config.route = load_route(ROUTES / script)
        self.stack = Stack(config, bytes(32))
        self.now = 0.0
        self.count = 0

    def send(self, source: tuple[str, int], data: bytes) -> list[tuple[Request | Response, tuple[str, int]]]:
        """Deliver ``data``; return the messages that come out, each with where it goes."""
        return self.taken(self.stack.datagram_received(0, data, source, self.now))

    def taken(self, actions: list[Action]) -> list[tuple[Request | Response, tuple[str, int]]]:
        out = []
        for action in actions:
            if isinstance(action, SendDatagram):
                out.append((parse_message(action.data), action.address[:2]))
            assert not isinstance(action, Ask), action
        return out

    def request(self, source: tuple[str, int], method: str, uri: str, *headers: tuple[str, str]) -> Request:
        self.count += 1
        given = dict(headers)
        return Request.build(
            method,
            uri,
            [
                ("Via", f"SIP/2.0/UDP {source[0]}:{source[1]};branch=z9hG4bK{self.count};rport"),
                ("Max-Forwards", "70"),
                ("From", given.pop("From", "<sip:alice@localhost>") + f";tag=f{self.count}"),
                ("To", given.pop("To", f"<{uri}>")),
                ("Call-ID", f"c{self.count}"),
                ("CSeq", f"1 {method}"),
                *given.items(),
            ],
        )

    def register(self, who: str, address: tuple[str, int], q: str = "") -> None:
        contact = f"<sip:{who}@{address[0]}:{address[1]}>{q}"
        request = self.request(
            address, "REGISTER", "sip:localhost", ("To", f"<sip:{who}@localhost>"), ("Contact", contact)
        )
        ((answer, _),) = self.send(address, request.to_bytes())
        assert isinstance(answer, Response)
        assert answer.status == 200

    def call(self, uri: str, *headers: tuple[str, str]) -> list[tuple[Request | Response, tuple[str, int]]]:
        return self.send(ALICE, self.request(ALICE, "INVITE", uri, *headers).to_bytes())

    def answer(
        self, request: Request, source: tuple[str, int], status: int
    ) -> list[tuple[Request | Response, tuple[str, int]]]:
        return self.send(source, response_to(request, status, to_tag=f"t{source[1]}").to_bytes())


def statuses(out: list[tuple[Request | Response, tuple[str, int]]]) -> list[object]:
    """Return what went where, in short."""
    return [(m.status if isinstance(m, Response) else m.method, where[1]) for m, where in out]


def test_redirect_tells_where_the_user_is() -> None:
    """RFC 3261 8.3: the contacts come back in a 302, and no INVITE goes out."""
    wire = Wire("redirect.py")
    wire.register("bob", BOB, ";q=0.5")
    ((answer, where),) = wire.call("sip:bob@localhost")
    assert isinstance(answer, Response)
    assert (answer.status, where) == (302, ALICE)
    assert answer.values("Contact") == ["<sip:bob@127.0.0.1:5072>;q=0.500"]


@pytest.mark.parametrize(
    ("uri", "status"),
    [("sip:nobody@localhost", 404), ("sip:bob@elsewhere.example", 403), ("sip:localhost", 484)],
)
def test_redirect_refuses(uri: str, status: int) -> None:
    """An absent user, a domain that is not ours, no user at all."""
    assert statuses(Wire("redirect.py").call(uri)) == [(status, 5071)]


def test_voicemail_after_busy() -> None:
    """The phone is tried first; its 486 leads to voicemail instead of to the caller."""
    wire = Wire("voicemail.py")
    wire.register("bob", BOB)
    out = [item for item in wire.call("sip:bob@localhost") if isinstance(item[0], Request)]
    assert statuses(out) == [("INVITE", 5072)]
    invite = out[0][0]
    assert isinstance(invite, Request)
    out = wire.answer(invite, BOB, 486)
    assert statuses(out) == [("ACK", 5072), ("INVITE", 5090)]
    (mail,) = [m for m, where in out if where == VOICEMAIL]
    assert isinstance(mail, Request)
    assert str(mail.uri) == "sip:bob@127.0.0.1:5090"
    out = wire.answer(mail, VOICEMAIL, 200)
    assert statuses(out) == [(200, 5071)]


def test_voicemail_when_nobody_is_registered() -> None:
    """No phone at all is no reason to lose the call."""
    out = Wire("voicemail.py").call("sip:bob@localhost")
    assert ("INVITE", 5090) in statuses(out)


def test_voicemail_not_after_a_decline() -> None:
    """603 is the user's own word."""
    wire = Wire("voicemail.py")
    wire.register("bob", BOB)
    (invite,) = [m for m, where in wire.call("sip:bob@localhost") if isinstance(m, Request)]
    assert statuses(wire.answer(invite, BOB, 603)) == [("ACK", 5072), (603, 5071)]


def test_blocklist() -> None:
    """Scanners get silence, the unwanted a 603, everybody else the default."""
    wire = Wire("blocklist.py")
    wire.register("bob", BOB)
    assert wire.call("sip:bob@localhost", ("User-Agent", "friendly-scanner")) == []
    assert wire.send(("192.0.2.7", 5060), wire.request(ALICE, "OPTIONS", "sip:localhost").to_bytes()) == []
    assert statuses(wire.call("sip:bob@localhost", ("From", "<sip:spam@example.net>"))) == [(603, 5071)]
    assert statuses(wire.call("sip:bob@localhost", ("From", "<sip:x@robocalls.example>"))) == [(603, 5071)]
    assert ("INVITE", 5072) in statuses(wire.call("sip:bob@localhost"))


@pytest.mark.parametrize("script", ["voicemail.py", "redirect.py", "blocklist.py"])
@pytest.mark.parametrize(("method", "status"), [("REGISTER", 401), ("INVITE", 407)])
def test_passwords_are_asked_for(script: str, method: str, status: int) -> None:
    """RFC 3261 22: a custom script lets no one in without a password."""
    wire = Wire(script, AuthConfig())
    uri = "sip:localhost" if method == "REGISTER" else "sip:bob@localhost"
    contact = ("Contact", f"<sip:alice@{ALICE[0]}:{ALICE[1]}>")
    out = wire.send(ALICE, wire.request(ALICE, method, uri, contact).to_bytes())
    assert [answer.status for answer, _ in out if isinstance(answer, Response)][-1] == status
