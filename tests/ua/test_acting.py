"""Verbs by number: the numbers that exist, and the events about those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.ua.acting import act
from tests.ua.phones import Bench


@pytest.mark.parametrize(
    ("verb", "number", "given", "said"),
    [
        ("bye", 0, {}, "name its number"),
        ("bye", 99, {}, "there is no call 99"),
        ("request", 0, {"method": "INVITE", "uri": "sip:bob@192.0.2.2"}, "call invite"),
        ("request", 0, {"method": "OPTIONS", "uri": "no uri"}, "no uri"),
    ],
)
def test_what_cannot_be_done(verb: str, number: int, given: dict[str, Any], said: str) -> None:
    """The callback gets the exception; nothing is raised into the input."""
    bench = Bench()
    told: list[Any] = []
    act(bench.ua, verb, number, given, lambda result, now: told.append(result))
    (error,) = told
    assert isinstance(error, LocalProtocolError)
    assert said in str(error)
