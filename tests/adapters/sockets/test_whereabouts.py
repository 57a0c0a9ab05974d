"""Which line of the user's a thread is at, under whatever it is wrapped in."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

import pytest

from sansip_sockets.whereabouts import place_of

HERE: list[FrameType] = []


class Blocks:
    """Serialising it takes a while, so the user's frame stands below one of the standard library."""

    @staticmethod
    def default(value: Any) -> str:
        HERE.append(sys._getframe())
        return ""


def route(request: Any) -> None:
    json.dumps(request, default=Blocks.default)


@functools.wraps(route)
def wrapped(request: Any) -> None:
    route(request)


class Instance:
    def __call__(self, request: Any) -> None:
        route(request)


@pytest.mark.parametrize("given", [route, wrapped, functools.partial(route), Instance()])
def test_the_innermost_line_of_the_route(given: Callable[[Any], None]) -> None:
    """The log names the line of the route, not the frame of ``json`` below it, nor that of the test."""
    given(object())
    where = place_of(HERE.pop(), given)
    # The frame has gone on to its end when it is looked at.
    line = Blocks.default.__code__.co_firstlineno + 3
    assert where.is_route
    assert where.place == f"{__file__}, line {line}, in default"
    rows = where.rows.splitlines()
    assert rows[0].startswith(f'  File "{__file__}", line ')
    assert rows[-2:] == [f'  File "{__file__}", line {line}, in default', '    return ""']


@pytest.mark.parametrize("given", [None, print, "nothing", Any])
def test_where_no_route_is(given: Any) -> None:
    """The loop may be held by anything else: the innermost line, and the calls around it."""
    route(object())
    where = place_of(HERE.pop(), given)
    assert not where.is_route
    assert where.place.startswith(f"{__file__}, line ")
    assert len(where.rows.splitlines()) > 4


def test_what_a_route_calls_in_packages_is_not_the_line_to_mend() -> None:
    """``time.sleep`` and a database driver obey their caller, so the line to mend is the caller's."""
    kept: list[FrameType] = []

    def installed(value: Any) -> str:
        kept.append(sys._getframe())
        return ""

    # It looks as if it came from the standard library.
    code = installed.__code__.replace(co_filename=json.__file__)
    elsewhere = FunctionType(code, {**json.__dict__, "sys": sys}, "installed", None, installed.__closure__)

    def own(request: Any) -> None:
        elsewhere(request)

    own(object())
    where = place_of(kept.pop(), own)
    assert where.place == f"{__file__}, line {own.__code__.co_firstlineno + 1}, in own"
    assert json.__file__ in where.rows
