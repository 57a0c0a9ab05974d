"""RFC 4028 8: the session timer fields that a proxy may change, and those that it must not."""

from __future__ import annotations

import pytest

from sansip.modules.calls.session import Asked, ask, complete, interval_of, too_small
from sansip.wire import Request, Response, parse_message
from tests.rig import reply, request


def refresh(*headers: tuple[str, str]) -> Request:
    message = parse_message(request(headers=headers))
    assert isinstance(message, Request)
    return message


def answer(*headers: tuple[str, str]) -> Response:
    message = parse_message(reply(refresh(), 200, headers=headers))
    assert isinstance(message, Response)
    return message


TIMER = ("Supported", "timer")


@pytest.mark.parametrize(
    ("headers", "wanted", "least", "expires", "min_se"),
    [
        # RFC 4028 8.1: inserted where there is none, without a refresher.
        ([], 1800, 90, "1800", None),
        ([TIMER], 1800, 90, "1800", None),
        # ... not below Min-SE of the request,
        ([TIMER, ("Min-SE", "3600")], 1800, 90, "3600", "3600"),
        # ... reduced, with its refresher left alone,
        ([TIMER, ("Session-Expires", "7200;refresher=uas")], 1800, 90, "1800;refresher=uas", None),
        # ... never increased while it is at least Min-SE,
        ([TIMER, ("Session-Expires", "600")], 1800, 90, "600", None),
        # ... raised where an earlier proxy raised Min-SE only.
        ([("Session-Expires", "100"), ("Min-SE", "200")], 0, 90, "200", "200"),
        # 8.1: a sender that knows no timers gets Min-SE and Session-Expires raised,
        ([("Session-Expires", "100")], 0, 300, "300", "300"),
        ([("Session-Expires", "100"), ("Min-SE", "90")], 0, 300, "300", "300"),
        # ... one that knows them never does (section 11).
        ([TIMER, ("Session-Expires", "100")], 0, 300, "100", None),
        # No wish of ours: nothing is inserted.
        ([], 0, 90, None, None),
    ],
)
def test_requests(
    headers: list[tuple[str, str]], wanted: int, least: int, expires: str | None, min_se: str | None
) -> None:
    """The request that leaves, for each request that comes."""
    message = refresh(*headers)
    ask(message, wanted, least)
    assert (message.get("session-expires"), message.get("min-se")) == (expires, min_se)


@pytest.mark.parametrize(
    ("headers", "small"),
    [
        ([TIMER, ("Session-Expires", "89")], True),
        ([TIMER, ("Session-Expires", "90")], False),
        # RFC 4028 8.1: without support it cannot usefully be refused.
        ([("Session-Expires", "89")], False),
        ([TIMER], False),
        ([TIMER, ("Session-Expires", "soon")], False),
    ],
)
def test_422(headers: list[tuple[str, str]], small: bool) -> None:
    """Refused only where the sender can ask again for more."""
    assert too_small(refresh(*headers), 90) is small


def test_the_first_proxy_that_knows() -> None:
    """RFC 4028 8.2: the callee knows no timers, the caller does, so the caller refreshes."""
    response = answer(("Require", "100rel"))
    complete(response, Asked(1800, True))
    assert response.get("session-expires") == "1800;refresher=uac"
    # "The proxy MUST add the 'timer' option tag to any Require header field".
    assert response.values("require") == ["100rel", "timer"]


@pytest.mark.parametrize("asked", [Asked(0, True), Asked(1800, False)])
def test_no_timer(asked: Asked) -> None:
    """RFC 4028 8.2: none was asked for, or neither side knows them: it is forwarded as it is."""
    response = answer()
    complete(response, asked)
    assert not response.has("session-expires")


def test_what_the_callee_said_stands() -> None:
    """RFC 4028 8.2: "The proxy MUST NOT modify the value ... received in the response"."""
    response = answer(("Session-Expires", "120;refresher=uas"))
    complete(response, Asked(90, True))
    assert response.get("session-expires") == "120;refresher=uas"
    assert interval_of(response) == 120
