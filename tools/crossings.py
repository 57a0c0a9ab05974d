"""Counts the files that one request enters in the core, and the switches between them.

Theory of operation: a stack is warmed up with a registration and a call, then one input is
made under ``sys.setprofile``. A call into another file of ``sansip`` counts as a switch; code of
the standard library belongs to its caller. The figures show how many files a reader has to open
to follow one request. A change may lower them, and must not raise them.

``python -m tools.crossings``: the table; ``--files``: the files of each request, in their order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import sansip
from benchmarks.core import CALLEE, CALLER, IN_DIALOG, INVITE, OPTIONS, REGISTER, Load, answer, wire
from sansip.actions import Address

__all__ = ["Walk", "walks"]

_ROOT = str(Path(sansip.__file__).parent) + "/"


@dataclass(slots=True)
class Walk:
    """The way of one request through the files of the core."""

    name: str
    files: list[str] = field(default_factory=list)
    switches: int = 0
    calls: int = 0

    def record(self, action: Callable[[], object]) -> None:
        """Do ``action`` and record its way."""
        here: list[str] = []
        seen = set(self.files)

        def follow(frame: FrameType, event: str, _: Any) -> None:
            if event not in ("call", "return"):
                return
            path = frame.f_code.co_filename
            if not path.startswith(_ROOT):
                return
            if event == "call":
                self.calls += 1
                if here and here[-1] != path:
                    self.switches += 1
                here.append(path)
                if path not in seen:
                    seen.add(path)
                    self.files.append(path)
            elif here:
                here.pop()

        sys.setprofile(follow)
        try:
            action()
        finally:
            sys.setprofile(None)


def walks() -> list[Walk]:
    """Return the ways of an OPTIONS to the server, a REGISTER that refreshes, and each message of a call."""
    load = Load()
    load.register(1, 0, 6000)
    load.call(1)
    load.feed(wire(OPTIONS.format(n=1)), CALLER)
    done: list[Walk] = []

    def walk(name: str, data: bytes, source: Address) -> list[Any]:
        """Give ``data`` to the stack, and record its way."""
        sent: list[Any] = []
        done.append(Walk(name))
        done[-1].record(lambda: sent.extend(load.stack.datagram_received(0, data, source, load.now)))
        return sent

    walk("OPTIONS", wire(OPTIONS.format(n=2)), CALLER)
    again = wire(REGISTER.format(n=1, user=0, port=6000).replace("-r;", "-r2;").replace("CSeq: 1", "CSeq: 2"))
    walk("REGISTER", again, CALLEE)
    _, invite = walk("INVITE", wire(INVITE.format(n=2)), CALLER)
    walk("180", answer(invite.data, "180 Ringing", "2b", True), CALLEE)
    (ok,) = walk("200", answer(invite.data, "200 OK", "2b", True), CALLEE)
    line = next(line for line in ok.data.decode().split("\r\n") if line.startswith("Record-Route:"))
    route = line.partition(": ")[2]
    walk("ACK", wire(IN_DIALOG.format(method="ACK", n=2, cseq=1, route=route)), CALLER)
    (bye,) = walk("BYE", wire(IN_DIALOG.format(method="BYE", n=2, cseq=2, route=route)), CALLER)
    walk("200 (BYE)", answer(bye.data, "200 OK", "2b", False), CALLEE)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", action="store_true", help="name the files of each request")
    options = parser.parse_args()
    for walk in walks():
        figures = f"{len(walk.files):3} files  {walk.switches:4} switches  {walk.calls:4} calls"
        print(f"{walk.name:9} {figures}")
        if options.files:
            for path in walk.files:
                print(f"          {path.removeprefix(_ROOT)}")


if __name__ == "__main__":
    main()
