"""A bench with kept messages, their senders and phones, for the tests of the module ``messages``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sansip.auth import Lookup
from sansip.modules.messages import Messages, MessagesSettings
from sansip.testing import ModuleBench
from sansip.wire import Request

BOB = "sip:bob@example.com"


PHONE = ("192.0.2.20", 5060)


def users(lookup: Lookup) -> Mapping[str, str] | None:
    return {} if lookup.username in ("bob", "carol") else None


# Of this test: whether nodes share the rows, and ``memory``.
ways: dict[str, int] = {}


def made(
    *, shared: bool = False, more: Mapping[str, Any] = MappingProxyType({}), **given: Any
) -> ModuleBench[Messages]:
    """``more``: of the ``StackConfig``; ``given``: settings of the module."""
    settings = MessagesSettings(**{"memory": ways["memory"], **given})
    return ModuleBench(
        Messages, settings, answers={Lookup: users}, shares_rows=shared or bool(ways["shared"]), more=more
    )


def write(bench: ModuleBench[Messages], text: str = "hello", user: str = "bob", *fields: str) -> list[str]:
    """Have a stranger send a text; return the answers."""
    return bench.request("MESSAGE", f"sip:{user}@example.com", ["Content-Type: text/plain", *fields], text)


def register(
    bench: ModuleBench[Messages], cseq: int = 1, host: str = PHONE[0], expires: int = 3600, instance: str = ""
) -> None:
    feature = f';+sip.instance="<{instance}>"' if instance else ""
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bKreg{host}{cseq}",
        "Max-Forwards: 70",
        f"From: <{BOB}>;tag=r",
        f"To: <{BOB}>",
        f"Call-ID: reg-{host}",
        f"CSeq: {cseq} REGISTER",
        f"Contact: <sip:bob@{host}:5060>;expires={expires}{feature}",
        "Content-Length: 0",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))


def come(bench: ModuleBench[Messages]) -> list[Request]:
    """Return the messages that have left for phones since the last time, each once."""
    found = {
        one.vias[0].branch: one for one in bench.sent if isinstance(one, Request) and one.method == "MESSAGE"
    }
    bench.sent.clear()
    return list(found.values())


def answer(
    bench: ModuleBench[Messages], request: Request, status: str = "200 OK", host: str = PHONE[0]
) -> None:
    lines = [f"SIP/2.0 {status}", *(f"Via: {one}" for one in request.get_all("via"))]
    lines += [f"{name}: {request.get(name)}" for name in ("from", "call-id", "cseq")]
    lines += [f"To: {request.get('to')};tag=p", "Content-Length: 0"]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))


def fetch(bench: ModuleBench[Messages], host: str = PHONE[0]) -> list[str]:
    """Take and answer messages as long as some come; return their bodies."""
    bodies: list[str] = []
    while found := come(bench):
        # One at a time for a device.
        assert len(found) == 1
        bodies.append(found[0].body.decode())
        answer(bench, found[0], host=host)
    return bodies


def begun(*texts: str, **given: Any) -> tuple[ModuleBench[Messages], Request]:
    """Keep ``texts`` for a phone that comes then; return the first one, which waits for its answer."""
    bench = made(**given)
    for text in texts:
        write(bench, text)
    bench.sent.clear()
    register(bench)
    [first] = come(bench)
    return bench, first


def watch(bench: ModuleBench[Messages]) -> list[Any]:
    """Return the list that questions to the outside are put on from now on."""
    asked: list[Any] = []
    plain = bench._answer

    def noting(question: Any) -> Any:
        asked.append(question)
        return plain(question)

    bench._answer = noting  # type: ignore[method-assign]  # the test's own in its place
    return asked
