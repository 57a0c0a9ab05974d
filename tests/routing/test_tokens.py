"""A token in a request (RFC 8898): asked about outside, taken out, and not believed over an open line."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.auth import AuthConfig, BearerConfig, ShownToken
from sansip.events import AuthenticationFailed
from sansip.routing.tokens import without_tokens
from tests.rig import Rig, only, request, what

HERE = ("127.0.0.1", 5070)
LOOPBACK = (ListenerConfig(0, "udp", "127.0.0.1", 5060),)
OPEN = ("192.0.2.1", 5060)


def rig(listeners: Any = LOOPBACK) -> Rig:
    return Rig(
        listeners=listeners,
        auth=AuthConfig(),
        users=lambda lookup: None,
        bearer=BearerConfig("https://as.test/"),
        limits={"limit_loopback": False},
    )


def register(*tokens: str) -> bytes:
    return request(
        "REGISTER",
        uri="sip:biloxi.test",
        source=HERE,
        sender="<sip:bob@biloxi.test>",
        to="<sip:bob@biloxi.test>",
        headers=[
            ("Contact", "<sip:bob@127.0.0.1:5070>"),
            *(("Authorization", f"Bearer {one}") for one in tokens),
        ],
    )


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"user": "bob@biloxi.test"}, "200"),
        ({"user": "alice@biloxi.test"}, "403"),
        ({"error": "invalid_scope", "reason": "too narrow"}, "401"),
        ({}, "401"),
        (OSError("gone"), "503"),
    ],
)
def test_what_is_said_of_it(said: Any, status: str) -> None:
    """RFC 8898 2.2: 401 where the validation fails; without a validator it is no fault of the phone."""
    bench = rig()
    assert what(bench.udp(register("abc"), HERE)) == []
    (asked,) = [one for one in bench.asks if isinstance(one.question, ShownToken)]
    assert asked.question == ShownToken("abc")
    answers = bench.take(bench.stack.answer(asked.id, said, bench.now))
    assert what(answers) == [status]
    if status == "401":
        error = said.get("error", "invalid_token")
        assert f'error="{error}"' in str(answers[0].message.get_all("www-authenticate"))
        assert any(isinstance(one, AuthenticationFailed) for one in bench.events)


def test_two_tokens() -> None:
    """Which of them is meant cannot be told, so none is."""
    bench = rig()
    assert what(bench.udp(register("abc", "def"), HERE)) == ["401"]
    assert bench.asks == []


def test_an_open_line() -> None:
    """RFC 8898 2.1.2: a token that others could read proves nothing, and is not even looked at."""
    bench = rig()
    assert what(bench.udp(register("abc"), OPEN)) == ["401"]
    assert bench.asks == []
    assert "read by others" in bench.events[-1].reason


def test_the_challenge_has_both_schemes() -> None:
    """RFC 8898 2.1.1: a phone takes the scheme that it knows."""
    (answer,) = rig().udp(register(), HERE)
    digest, bearer = answer.message.get_all("www-authenticate")
    assert (digest[:7], bearer[:7]) == ("Digest ", "Bearer ")


def test_no_spelling_hides_a_token() -> None:
    """RFC 3261 25.1: a tab is white space as well, so the next hop sees no token behind one either."""
    route = [("Route", "<sip:127.0.0.1:5090;lr>")]
    for blank in (" ", "\t", " \t"):

        async def relays(asked: Any) -> None:
            without_tokens(asked)
            asked.relay("sip:next@127.0.0.1:5099")

        bench = Rig(relays, listeners=LOOPBACK, bearer=BearerConfig("https://as.test/"), auth=AuthConfig())
        headers = [*route, ("Authorization", f"Bearer{blank}secret"), ("Authorization", 'Digest realm="x"')]
        sent = bench.udp(request("MESSAGE", "sip:x@biloxi.test", source=HERE, headers=headers), HERE)
        passed = only(sent, "MESSAGE")
        assert passed.message.get_all("authorization") == ['Digest realm="x"']
