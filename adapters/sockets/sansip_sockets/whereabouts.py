"""The place where a thread is at work, in words for the author of the route.

Theory of operation: a stack of calls has frames of the runtime, the server and the user in it.
The names of its module identify the route, even if it is wrapped. The line to change is the
innermost line of the user's own code: library code that it calls may block.
"""

from __future__ import annotations

import inspect
import os
import sysconfig
import traceback
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

__all__ = ["Where", "place_of"]


@dataclass(slots=True)
class Where:
    """The place where a thread works; ``rows`` are its calls, from the route's outermost if there is one."""

    place: str
    is_route: bool
    rows: str


# Library code: the user cannot change a line there.
_INSTALLED = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def place_of(frame: FrameType, route: Any) -> Where:
    """Return where ``frame`` is at work; in a route: the innermost line of the user's code."""
    frames: list[FrameType] = []
    at: FrameType | None = frame
    while at is not None:
        frames.insert(0, at)
        at = at.f_back
    names = _globals(route)
    begin = next((index for index, one in enumerate(frames) if names and one.f_globals is names), None)
    shown = frames[-8:] if begin is None else frames[begin:]
    there = frame if begin is None else [one for one in shown if one.f_globals is names or _is_users(one)][-1]
    calls = [
        traceback.FrameSummary(one.f_code.co_filename, one.f_lineno, one.f_code.co_name) for one in shown
    ]
    place = f"{there.f_code.co_filename}, line {there.f_lineno}, in {there.f_code.co_name}"
    return Where(place, begin is not None, "".join(traceback.format_list(calls)).rstrip())


def _is_users(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    # Our own code may be a checkout.
    return not frame.f_code.co_filename.startswith(_INSTALLED) and package not in ("sansip", __package__)


def _globals(route: Any) -> Any:
    """Return the names of the module that ``route`` was written in, None if it is no Python."""
    while isinstance(route, partial):
        route = route.func
    function: Any = inspect.unwrap(route) if callable(route) else None
    return getattr(function, "__globals__", None) or getattr(type(function).__call__, "__globals__", None)
