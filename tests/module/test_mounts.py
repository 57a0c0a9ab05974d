"""Paths of HTTP that modules claim: found by whole segments, always answered once, bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from sansip import LocalProtocolError, Stack, StackConfig
from sansip.config import Reconfiguration
from sansip.journal import JournaledStack, again
from sansip.limits import Limits
from sansip.module import Module, ModuleFault, Use, WebRequest, WebResponse, mount
from sansip.routing import sleep
from sansip.testing import ModuleBench
from tests.rig import LISTENERS


@dataclass
class Given:
    root: str = ""


class Pages(Module):
    name = "pages"
    Settings = Given
    ended = 0

    @mount("/pages", access="open", key="root")
    async def serve(self, request: WebRequest) -> WebResponse:
        match request.path.rpartition("/")[2]:
            case "wait":
                await sleep(3.0)
            case "never":
                try:
                    await sleep(1e6)
                finally:
                    Pages.ended += 1
            case "raise":
                raise ValueError("a slip")
            case "gigabyte":
                return WebResponse(200, b"x" * (1 << 21))
            case "none":
                return None  # type: ignore[return-value]  # wrong on purpose
        return WebResponse(200, f"{request.method} {request.mount} {request.user}".encode())

    @mount("/pages/plain", access="read")
    def plain(self, request: WebRequest) -> WebResponse:
        return WebResponse(200, f"{request.query} {request.header('x-a')}".encode())


class Others(Module):
    """Claims what another has."""

    name = "others"

    @mount("/others", access="open")
    def serve(self, request: WebRequest) -> WebResponse:
        return WebResponse(204)


def body(answer: WebResponse | None) -> tuple[int, bytes]:
    assert answer is not None
    return answer.status, answer.body


def test_it_answers() -> None:
    """A method at once, or later; the longest path wins, and segments are whole."""
    bench = ModuleBench(Pages)
    assert body(bench.web("PUT", "/pages/x", user="sip:bob@example.com")) == (
        200, b"PUT /pages sip:bob@example.com")  # fmt: skip
    headers = [("x-a", "1"), ("x-a", "2")]
    assert body(bench.web("GET", "/pages/plain/deep?q=1", headers)) == (200, b"q=1 1, 2")
    assert body(bench.web("GET", "/pagesx"))[0] == 404
    assert bench.stack.modules.mount_of("/pages") is not None
    found = bench.stack.modules.mount_of("/pages/plain")
    assert found is not None
    assert (found.path, found.access, found.module.name) == ("/pages/plain", "read", "pages")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("raise", "ValueError('a slip')"),
        ("gigabyte", "2097152 octets (limits.mount_answer)"),
        ("none", "it answered None, which is no WebResponse"),
    ],
)
def test_one_that_misbehaves(path: str, said: str) -> None:
    """The client gets a 500 without details, the log gets the cause."""
    bench = ModuleBench(Pages)
    assert body(bench.web("GET", f"/pages/{path}")) == (
        500,
        b"the module failed; the server's log says how\n",
    )
    [failure] = bench.failures
    assert (failure.module, failure.where) == ("pages", "mount /pages")
    assert said in repr(failure.error)


def asked(stack: Stack, number: int, path: str, now: float) -> list[tuple[float, int]]:
    answers: list[tuple[float, int]] = []
    stack.web_received(
        number, WebRequest("GET", path), now, lambda answer, now: answers.append((now, answer.status))
    )
    return answers


def test_one_that_never_answers() -> None:
    """504 in time, and its work is ended; a client that goes ends it as well, and hears nothing."""
    stack = ModuleBench(Pages).stack
    Pages.ended = 0
    late = asked(stack, 1, "/pages/never", 1_000.0)
    stack.time_passed(1_000.0 + Limits().mount_time)
    assert (late, Pages.ended) == ([(1_010.0, 504)], 1)
    gone = asked(stack, 2, "/pages/never", 1_020.0)
    assert stack.snapshot()["web_requests"] == 1
    stack.web_closed(2, 1_021.0)
    stack.time_passed(1_100.0)
    assert (gone, Pages.ended, stack.snapshot()["web_requests"]) == ([], 2, 0)
    in_time = asked(stack, 3, "/pages/wait", 1_200.0)
    stack.time_passed(1_203.0)
    stack.time_passed(1_300.0)
    assert in_time == [(1_203.0, 200)]


def test_too_many() -> None:
    """503 at once above ``mount_requests``; there is room again when they have been answered."""
    config = StackConfig(list(LISTENERS), modules=[Use(Pages)], limits=Limits(mount_requests=2))
    stack = Stack(config, b"s" * 16)
    waiting = [asked(stack, number, "/pages/never", 0.0) for number in (1, 2)]
    assert asked(stack, 3, "/pages", 0.0) == [(0.0, 503)]
    stack.time_passed(10.0)
    assert waiting == [[(10.0, 504)], [(10.0, 504)]]
    assert asked(stack, 4, "/pages", 10.0) == [(10.0, 200)]


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("pages", "is not an HTTP path"),
        ("/a/../b?x", "is not an HTTP path"),
        ("/a/", "is not an HTTP path"),
        ("/rpc", "is one of the server's own paths"),
        ("/health/x", "is one of the server's own paths"),
        ("/others", "is claimed by the module others as well"),
    ],
)
def test_paths_that_cannot_be(root: str, said: str) -> None:
    """At the start and at a reload; then the old path stays."""
    uses = [Use(Pages, Given(root)), Use(Others)]
    with pytest.raises(ModuleFault, match=said):
        Stack(StackConfig(list(LISTENERS), modules=uses), b"s" * 16)
    stack = Stack(StackConfig(list(LISTENERS), modules=[Use(Pages), Use(Others)]), b"s" * 16)
    with pytest.raises(ModuleFault, match=said):
        stack.configure(Reconfiguration(modules={Pages: Given(root)}), 1.0)
    assert asked(stack, 1, "/pages", 2.0) == [(2.0, 200)]
    stack.configure(Reconfiguration(modules={Pages: Given("/elsewhere")}), 3.0)
    assert asked(stack, 2, "/elsewhere/x", 3.0) == [(3.0, 200)]
    assert asked(stack, 3, "/pages", 3.0) == [(3.0, 404)]


def test_slips_of_its_author() -> None:
    """Found when the class is made."""
    with pytest.raises(LocalProtocolError, match="access is 'all'; expected one of open, user"):
        mount("/x", access=cast(Any, "all"))
    with pytest.raises(ModuleFault, match=r"the mount serve takes \(self, request\)"):

        class Slip(Module):
            name = "slip"

            @mount("/x", access="open")
            def serve(self) -> None: ...


def test_a_module_that_goes() -> None:
    """The module answers the requests that it took; later ones get 404. A replay does the same."""
    lines: list[str] = []
    config = StackConfig(list(LISTENERS), modules=[Use(Pages)])
    stack = JournaledStack(config, b"s" * 16, lines.append, {})
    waiting = asked(stack, 1, "/pages/wait", 1.0)
    gone = asked(stack, 2, "/pages/raise", 1.0)
    stack.configure(Reconfiguration(removed=[Pages]), 2.0)
    assert asked(stack, 3, "/pages", 2.0) == [(2.0, 404)]
    stack.web_closed(9, 3.0)
    stack.time_passed(4.0)
    assert (waiting, gone) == ([(4.0, 200)], [(1.0, 500)])

    def build(head: dict[str, Any]) -> Stack:
        return Stack(StackConfig(list(LISTENERS), modules=[Use(Pages)]), bytes.fromhex(head["seed"]))

    played = list(again(lines, build))
    assert [one.name for one in played][-1] == "time_passed"
    assert all(one.same for one in played)
