"""Modules over workers: `core.limit`, `core.shared` and `core.once` are those of one server."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import TARGET
from tests.interop.phone import Message
from tests.interop.workers import AGAIN, Crew, soon
from tests.server.packages import installed

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
CODE = """
from dataclasses import dataclass
from sansip.module import Module, command, step
from sansip.rows import Table


@dataclass
class Load:
    trunk: str
    calls: int


LOADS = Table("probe_load", Load, key=("trunk",))


class Probe(Module):
    name = "probe"
    over_workers = True

    @step("screen")
    async def screen(self, request):
        if request.method != "OPTIONS":
            return
        if not await self.core.limit("options", 10, 600):
            request.reply(486)
            return
        load = await self.core.shared(LOADS).change(
            ("a",), lambda load: Load("a", 1 + (load.calls if load else 0)), ttl=600)
        request.reply(200)

    @command("probe.show")
    async def show(self) -> int:
        load = await self.core.shared(LOADS).get("a")
        return load.calls if load else 0

    @command("probe.once", everywhere=True)
    def once(self) -> dict[str, int]:
        return {name: int(self.core.once(name)) for name in "abcdefgh"}


class Shy(Module):
    name = "shy"
"""


def crew_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, **given: Any) -> Crew:
    environment = installed(tmp_path, CODE, {"probe": "Probe", "shy": "Shy"})
    monkeypatch.setenv("PYTHONPATH", f"{environment['PYTHONPATH']}:{os.environ.get('PYTHONPATH', '')}")
    return Crew(tmp_path, workers=3, transports=("udp",), config=config, **given)


def test_a_module_counts_and_shares_over_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten are ten, whichever workers they come to; no change is lost; one worker does what is once."""
    with crew_with(tmp_path, monkeypatch, "[probe]\n") as crew:
        lines = crew.lines()
        answers = [crew.sees(line, "x") for line in lines]
        assert sorted(answers) == ["200"] * 10 + ["486"] * (len(lines) - 10)
        assert crew.ctl("probe.show").strip() == "10"
        told = crew.ctl("probe.once", "--json")
        # Each name is done by one of the three, and the three share the work.
        assert told == [dict.fromkeys("abcdefgh", 1)]
        assert crew.kill(1) < AGAIN
        # The parent counted: a worker that is started again begins nothing anew.
        assert {crew.sees(line, "x") for line in crew.lines()} == {"486"}


def test_registrations_elsewhere_are_kept_by_one_worker(tmp_path: Path) -> None:
    """A carrier that saw a REGISTER of each worker would ring, or refuse, each call three times."""
    (tmp_path / "password").write_text("secret\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind(("127.0.0.1", 0))
        carrier.settimeout(10)
        port = carrier.getsockname()[1]
        config = (
            '[[upstream]]\nhosts = ["127.0.0.1"]\nrealm = "carrier.test"\nusername = "trunk"\n'
            f'password_file = "password"\nregister = "sip:trunk@127.0.0.1:{port}"\ncontact_user = "alice"\n'
        )
        with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
            calls = set()
            for _ in range(2):
                request, source = carrier.recvfrom(65_535)
                message = Message(request.decode())
                assert message.what == "REGISTER"
                calls.add(message.get("call-id"))
                copied = [f"{name}: {message.get(name)}" for name in ("via", "from", "to", "call-id", "cseq")]
                answer = ["SIP/2.0 200 OK", *copied, f"Contact: {message.get('contact')};expires=600"]
                carrier.sendto("\r\n".join([*answer, "Content-Length: 0", "", ""]).encode(), source)
                carrier.settimeout(1.5)
                try:
                    carrier.recvfrom(1, socket.MSG_PEEK)
                except TimeoutError:
                    break
            assert len(calls) == 1
            soon(
                lambda: crew.ctl("upstream.list", "--json") == [{f"sip:trunk@127.0.0.1:{port}": True}], "200"
            )


def test_a_module_that_does_not_say_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that counts for itself would be wrong in silence."""
    from tools.peers import PeerError

    with pytest.raises(PeerError, match="the module shy does not say that it works in several processes"):
        crew_with(tmp_path, monkeypatch, "[shy]\n")
